//! Kits for parts of other projects: somebody else's driver runs under this harness.
//!
//! `CONTRACT.md` of `monitor-core` says what a driver and a backend must do, with an id for each
//! rule. A kit finds where a part does something else, shrinks the case and shows it.
//!
//! - [`driver()`] runs a loop of one's own on the virtual kernel, with crashes, several units, slow
//!   disks and clocks that jump. All oracles judge it, and its calls are compared with those of the
//!   driver of `monitor-os`.
//! - [`machine()`] puts decisions of one's own under the exhaustive search, the races and the
//!   reference machine.
//! - `backend` puts a backend of one's own on real processes under the shipped driver (feature
//!   `real`).
//! - [`record()`] judges a recorded supervision by its commands, times, timers and answers.
//! - [`driver_tests!`](crate::driver_tests) and [`machine_tests!`](crate::machine_tests) make a
//!   `#[test]` of each part.
//!
//! A kit proves its teeth: a [`DriverMutant`] is planted between a right driver and its kernel, a
//! [`MachineMutant`] in the answers of a right machine, and each must be found.

#[cfg(feature = "real")]
pub mod backend;
mod call;
mod driver;
mod driver_mutant;
mod machine;
mod machine_mutant;
#[cfg(feature = "proptest")]
mod property_check;
mod race_tests;
pub mod record;
mod recorder;
mod settings;

pub use call::{Call, Observed, What};
pub use driver::{CallDifference, Comparison, DriverFailure, DriverKit, VirtualKernel, driver};
pub use driver_mutant::DriverMutant;
pub use machine::{MachineFailure, MachineKit, machine};
pub use machine_mutant::MachineMutant;
#[cfg(feature = "proptest")]
pub use property_check::{Alarm, Alarms, CheckError, check, check_by};
pub use record::record;
