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

#[cfg(feature = "linux")]
mod backend;
#[cfg(feature = "linux")]
mod block_on;
#[cfg(feature = "linux")]
mod by_identity;
#[cfg(feature = "linux")]
mod command;
mod driver;
#[cfg(feature = "linux")]
mod handle;
#[cfg(feature = "linux")]
mod linux;
#[cfg(feature = "linux")]
mod output;
#[cfg(feature = "record")]
pub mod record;
#[cfg(feature = "linux")]
mod telemetry;
#[cfg(test)]
#[cfg(feature = "linux")]
mod testing;

pub use driver::kernel::{
    DriverInput, Kernel, Moment, ObservedInput, Report, SaveFailed, Signalled, Spawned, UnitId,
};
pub use driver::{Core, Driver, Machine};

#[cfg(feature = "linux")]
pub use backend::health::{CheckResult, Health};
#[cfg(feature = "linux")]
pub use backend::readiness::notifications::NotifyStatus;
#[cfg(feature = "linux")]
pub use backend::run::recovery::{OnCrash, StoredUnit, stored_units};
#[cfg(feature = "linux")]
pub use backend::start::launcher::Launcher;
#[cfg(feature = "linux")]
pub use backend::status::events::Events;
#[cfg(feature = "linux")]
pub use backend::status::unit_status::{Notice, Status, StopResult};
#[cfg(feature = "linux")]
pub use backend::store::journal::JournalError;
#[cfg(feature = "linux")]
pub use backend::store::state_dir::{StateDir, StateError};
#[cfg(feature = "linux")]
pub use block_on::block_on;
#[cfg(feature = "linux")]
pub use command::Command;
#[cfg(feature = "linux")]
pub use command::command_error::CommandError;
#[cfg(feature = "linux")]
pub use command::health_check::HealthCheck;
#[cfg(feature = "linux")]
pub use command::ready_by::ReadyBy;
#[cfg(feature = "linux")]
pub use command::setup_stage::SetupStage;
#[cfg(feature = "linux")]
pub use command::spawn_error::SpawnError;
#[cfg(feature = "linux")]
pub use command::streams::{Input, InputSource, Output};
#[cfg(feature = "linux")]
pub use handle::supervisor::{
    Stopping, Supervisor, SupervisorBuilder, SupervisorError, SupervisorGone, Unit,
};
#[cfg(feature = "linux")]
pub use linux::clock::now;
#[cfg(feature = "linux")]
pub use linux::containment::{Contain, Containment, Survivor};
#[cfg(feature = "linux")]
pub use linux::kernel_features::KernelFeatures;
#[cfg(feature = "linux")]
pub use linux::limit::{Limit, LimitError};
#[cfg(feature = "linux")]
pub use linux::path_error::{PathError, PathFault, Writer};
#[cfg(feature = "linux")]
pub use linux::path_trust::PathTrust;
#[cfg(feature = "linux")]
pub use linux::process::Ended;
#[cfg(feature = "linux")]
pub use linux::pty::{Terminal, TerminalSize};
#[cfg(feature = "linux")]
pub use linux::signal::SignalError;
#[cfg(feature = "linux")]
pub use linux::signals::ChildrenUnwaitable;
#[cfg(feature = "linux")]
pub use linux::stop_signals::{SignalAnswer, StopSignals};
#[cfg(feature = "linux")]
pub use linux::sys::trim_memory;
#[cfg(feature = "linux")]
pub use output::capture::Capture;
#[cfg(feature = "linux")]
pub use output::line::{Line, Stream};
#[cfg(feature = "linux")]
pub use output::log_file::LogFile;
#[cfg(feature = "linux")]
pub use output::log_format::LogFormat;
#[cfg(feature = "linux")]
pub use output::pattern::{LinePattern, PatternError};
#[cfg(feature = "linux")]
pub use output::ring::LogRing;
#[cfg(feature = "linux")]
pub use output::rotation::Rotation;
#[cfg(feature = "linux")]
pub use output::sink::{LogSink, SinkCounts};
#[cfg(feature = "linux")]
pub use output::slow::Slow;
