//! Checks a backend of another project on real processes.
//!
//! A backend is an implementation of [`monitor_os::Kernel`] that spawns, signals, releases and waits
//! for processes of Linux. The kit gives it a program, which is a scripted child that writes down
//! what it receives. It runs the shipped [`Driver`](monitor_os::Driver) over the backend, makes the
//! requests of a [`Scenario`] itself, and compares each answer with what the processes really did.
//! Each [`Finding`] names the rule of the contract.
//!
//! # A test of a backend
//! The test file has a `main` of its own (`harness = false`), because its program is the scripted
//! child, too. With the feature `trials` one line makes a test of each scenario and of each
//! [`Mutant`]: `monitor_sim::backend_tests!(MyBackend::new);`. Without the feature:
//!
//! ```no_run
//! use monitor_sim::conform::backend::{self, BackendSetup};
//! # use monitor_core::*;
//! # use monitor_os::*;
//! # struct MyBackend;
//! # impl Kernel for MyBackend {
//! #     fn spawn(&mut self, _: Moment, _: UnitId, _: RunId) -> SpawnOutcome { unreachable!() }
//! #     fn signal(
//! #         &mut self, _: Moment, _: UnitId, _: RunId, _: Signal, _: Scope,
//! #     ) -> SignalOutcome { unreachable!() }
//! #     fn release(
//! #         &mut self, _: Moment, _: UnitId, _: RunId, _: Option<Signal>, _: Scope,
//! #     ) -> Option<Remains> { unreachable!() }
//! #     fn save(&mut self, _: Moment, _: UnitId, _: State, _: Ticket) -> SaveStatus { unreachable!() }
//! #     fn watchdog(&mut self, _: UnitId, _: RunId) -> Option<Millis> { None }
//! #     fn draw(&mut self, _: Millis) -> Millis { Millis::ZERO }
//! #     fn observe(&mut self, _: &Report<'_>) {}
//! #     fn wait(&mut self, _: Option<Moment>) -> ObservedInput { unreachable!() }
//! # }
//!
//! impl MyBackend {
//!     /// `setup` has the program of each unit: its path and arguments.
//!     fn new(setup: &BackendSetup) -> Self {
//!         for unit in setup.units() {
//!             println!("{} runs {}", unit.unit(), unit.path().display());
//!         }
//!         Self
//!     }
//! }
//!
//! // First of all: this does not return in a scripted child.
//! monitor_sim::real::enter();
//! let verdict = backend::check(MyBackend::new).unwrap();
//! assert!(verdict.is_clean(), "{verdict}");
//! ```
//!
//! # Mutants
//! A suite that finds nothing proves little. Each of the [`mutants`] wraps the backend and breaks
//! one thing, and [`hunt()`] says whether the suite finds it on this backend.
//!
//! # Duties beside the contract
//! - The clock of the backend may begin anywhere, and goes as the monotonic clock does.
//! - The first call is a wait until [`Moment::ORIGIN`](monitor_os::Moment::ORIGIN), by which the kit
//!   learns the time. The deadline is due at once, and the answer has the moment of that wake.
//! - Scenarios run one after another, because each looks for the zombies of the whole process.
//!
//! # Limits
//! - The store of a backend is its own. So the kit checks only that each save is answered once.
//! - Readiness is checked on a backend that gives its programs a `NOTIFY_SOCKET`. On others that
//!   scenario is skipped.
//! - A restart of the monitor (`Recovered`) is not played.

mod answer_checks;
mod children;
mod end_checks;
mod finding;
mod hunt;
mod mutant;
mod mutated;
mod scenario;
mod scenarios;
mod session;
mod setup;
mod suite;
mod tap;
#[cfg(feature = "trials")]
mod trials;
mod watch;

pub use finding::{BackendVerdict, Finding, Rule, ScenarioVerdict};
pub use hunt::{HuntResult, hunt};
pub use mutant::{Mutant, mutants};
pub use scenario::Scenario;
pub use scenarios::scenarios;
pub use setup::{BackendSetup, UnitProgram};
pub use suite::{check, check_scenario};
#[cfg(feature = "trials")]
pub use trials::run_trials;
