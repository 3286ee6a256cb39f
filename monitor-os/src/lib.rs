//! Starts, watches, restarts and stops real processes by the decisions of `monitor-core`.
//!
//! Three layers, each usable alone:
//! - [`Driver`] over a [`Kernel`]: executes what the machine asks for. Synchronous, deterministic, the
//!   same code over Linux and over the simulator's virtual kernel.

mod driver;
mod kernel;
#[cfg(feature = "linux")]
pub mod linux;

pub use driver::{Core, Driver, Machine};
pub use kernel::{
    Happening, Kernel, Moment, Occurrence, Report, SaveFailed, Signalled, Spawned, UnitId,
};
