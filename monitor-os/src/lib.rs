//! Starts, watches, restarts and stops real processes by the decisions of `monitor-core`.
//!
//! # The main loop
#![cfg_attr(feature = "linux", doc = "```")]
#![cfg_attr(not(feature = "linux"), doc = "```ignore")]
//! use monitor_core::{Exit, Policy};
//! use monitor_os::{Command, StopResult, Supervisor, block_on};
//!
//! let supervisor = Supervisor::new()?;
//! let command = Command::new("/bin/sh", ["-c", "exit 7"])?;
//! let unit = supervisor.add("demo", command, "restart=on-failure retries=1".parse::<Policy>()?);
//!
//! unit.start();
//! let status = block_on(unit.wait_until(|status| status.is_down()))?;
//!
//! assert_eq!(status.exit(), Some(Exit::Code(7)));
//! println!("{}", status.explain()); // stopped #2: all 1 retries are used, last code=7; ...
//! assert_eq!(block_on(unit.stop()), StopResult::NotRunning);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing here needs an async runtime. Requests to a `Unit` are calls that do not block. Each wait
//! is a future, for any runtime or for `block_on`.
//!
//! # State directory
//! A supervisor that was killed can be started again, and continues with the runs that are alive:
#![cfg_attr(feature = "linux", doc = "```")]
#![cfg_attr(not(feature = "linux"), doc = "```ignore")]
//! use monitor_core::Policy;
//! use monitor_os::{Command, Launcher, OnCrash, StateDir, Supervisor, block_on};
//!
//! // The first line of `main`, because this program is the helper that starts others.
//! let launcher = Launcher::enter();
//! # let place = std::env::temp_dir().join(format!("monitor-os-doc-{}", std::process::id()));
//! let state = StateDir::open(&place)?; // refused while another monitor has it
//! let supervisor = Supervisor::with_launcher(&launcher)?;
//! let command = Command::new("/bin/sh", ["-c", "exit 7"])?;
//! let policy = "restart=no".parse::<Policy>()?;
//! let unit = supervisor.restore(&state, OnCrash::Adopt, "demo", command, policy)?;
//!
//! unit.resume(); // starts it, or continues the run of an earlier monitor
//! let status = block_on(unit.wait_until(|status| status.is_down()))?;
//! assert_eq!(status.exit(), Some(monitor_core::Exit::Code(7)));
//! # drop(supervisor);
//! # std::fs::remove_dir_all(place)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Layers
//! Three layers, each usable alone:
//! - [`Driver`] over a [`Kernel`]: executes the actions of the machine. It is synchronous,
//!   deterministic, and one code over Linux and over the simulator's virtual kernel.
//! - `Supervisor` and `Unit` (feature `linux`): a driver over Linux on a thread of its own, which
//!   waits for processes by their pidfds. The handles work on any other thread or task.
//! - the program `monitor` (crate `monitor-os-cli`): supervised commands, for people and scripts.
//!
//! # Features
//! `linux` is on by default. `record` is the format of a supervision that was written down. It
//! needs no other feature.
#![cfg_attr(docsrs, feature(doc_cfg))]

// Tests inside the crate and tests beside it import the waiting helpers by this one name.
#[cfg(all(test, feature = "linux"))]
extern crate self as monitor_os;

#[cfg(all(feature = "linux", not(target_os = "linux")))]
compile_error!(
    "the feature `linux` of monitor-os needs Linux: build with `default-features = false` elsewhere"
);

#[cfg(all(feature = "linux", target_os = "linux"))]
mod backend;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod block_on;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod by_identity;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod command;
mod driver;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod exports;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod handle;
#[cfg(any(feature = "record", all(feature = "linux", target_os = "linux")))]
mod hex;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod linux;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod output;
#[cfg(feature = "record")]
pub mod record;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod telemetry;
#[cfg(test)]
#[cfg(all(feature = "linux", target_os = "linux"))]
mod testing;

pub use driver::kernel::{
    DriverInput, Kernel, Moment, ObservedInput, Report, SaveFailed, SaveStatus, SignalOutcome,
    SpawnOutcome, Ticket, UnitId,
};
pub use driver::{Core, Driver, Machine};

#[cfg(all(feature = "linux", target_os = "linux"))]
pub use exports::*;
