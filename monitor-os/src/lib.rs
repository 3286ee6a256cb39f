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
//! println!("{}", status.explain()); // stopped #2: all 1 retries are used, last code=7; nothing ...
//! assert_eq!(block_on(unit.stop()), StopResult::NotRunning);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing here needs an async runtime: requests to a `Unit` are calls that do not block, and
//! what is waited for is a future, for any runtime or for `block_on`.
//!
//! # State directory
//! A supervisor that is killed can be started again, and goes on with what still runs:
#![cfg_attr(feature = "linux", doc = "```")]
#![cfg_attr(not(feature = "linux"), doc = "```ignore")]
//! use monitor_core::Policy;
//! use monitor_os::{Command, Launcher, OnCrash, StateDir, Supervisor, block_on};
//!
//! // The first line of `main`: the same program is the helper that starts others.
//! let launcher = Launcher::enter();
//! # let place = std::env::temp_dir().join(format!("monitor-os-doc-{}", std::process::id()));
//! let state = StateDir::open(&place)?; // refused while another monitor has it
//! let supervisor = Supervisor::with_launcher(&launcher)?;
//! let command = Command::new("/bin/sh", ["-c", "exit 7"])?;
//! let policy = "restart=no".parse::<Policy>()?;
//! let unit = supervisor.restore(&state, OnCrash::Adopt, "demo", command, policy)?;
//!
//! unit.resume(); // starts it, or goes on from where an earlier monitor left it
//! let status = block_on(unit.wait_until(|status| status.is_down()))?;
//! assert_eq!(status.exit(), Some(monitor_core::Exit::Code(7)));
//! # drop(supervisor);
//! # std::fs::remove_dir_all(place)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Layers
//! Three, each usable alone:
//! - [`Driver`] over a [`Kernel`]: executes what the machine asks for. Synchronous, deterministic, the
//!   same code over Linux and over the simulator's virtual kernel.
//! - `Supervisor` and `Unit` (feature `linux`): that driver over Linux, on a thread of its own that waits
//!   for processes by their pidfds, with handles for any other thread or task.
//! - the program `monitor` (crate `monitor-os-cli`): supervised commands, for people and scripts.
//!
//! # Features
//! `linux` is on by default. `record` is the format in which a supervision is written down and read again; it
//! needs no other feature.

// By this name the tests in here and those beside wait in the same way.
#[cfg(all(test, feature = "linux"))]
extern crate self as monitor_os;

mod agenda;
mod driver;
mod kernel;
#[cfg(feature = "linux")]
pub mod linux;
#[cfg(feature = "record")]
pub mod record;
#[cfg(feature = "linux")]
mod telemetry;

pub use driver::{Core, Driver, Machine};
pub use kernel::{
    DriverInput, Kernel, Moment, ObservedInput, Report, SaveFailed, Signalled, Spawned, UnitId,
};
#[cfg(feature = "linux")]
pub use linux::{
    Capture, CheckResult, Command, CommandError, Contain, Containment, Ended, Events, Health,
    HealthCheck, Input, InputSource, JournalError, KernelFeatures, Launcher, Limit, LimitError,
    Line, LinePattern, LogFile, LogFormat, LogRing, LogSink, Notice, NotifyStatus, OnCrash, Output,
    PathError, PathFault, PathTrust, PatternError, ReadyBy, Rotation, SetupStage, SignalAnswer,
    SinkCounts, Slow, SpawnError, StateDir, StateError, Status, StopResult, StopSignals, Stopping,
    StoredUnit, Stream, Supervisor, SupervisorBuilder, SupervisorError, SupervisorGone, Survivor,
    Terminal, TerminalSize, Unit, Writer, block_on, now, stored_units, trim_memory,
};
