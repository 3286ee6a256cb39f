//! Kits for parts of other projects: somebody else's driver runs under this harness.
//!
//! `CONTRACT.md` of `monitor-core` says what a driver and a backend must do, with an id for each
//! rule. A kit finds where a part does something else, shrinks the case and shows it.
//!
//! - [`driver()`] runs a loop of one's own on the virtual kernel, with crashes, several units, slow
//!   disks and clocks that jump. All oracles judge it, and its calls are compared with those of the
//!   driver of `monitor-os`.
//!
//! A kit proves its teeth: a [`DriverMutant`] is planted between a right driver and its kernel, and
//! must be found.

mod call;
mod driver;
mod driver_mutant;
mod recorder;
mod settings;

pub use call::{Call, Observed, What};
pub use driver::{CallDifference, Comparison, DriverFailure, DriverKit, VirtualKernel, driver};
pub use driver_mutant::DriverMutant;
