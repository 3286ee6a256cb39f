//! Runs the driver of `monitor-os` on a virtual clock and kernel, and hunts the races of
//! lifecycles.
//!
//! Whatever can go wrong between a stop, an exit, a timer and a restart is a question of order.
//! Here the order is an input. The modules, each of which uses only those above it:
//! - [`case`](mod@case): a case is a policy, what each process does, and what is asked when. It may
//!   say what it expects.
//! - [`machine`]: the machine under test, with the backend bug that is injected below it.
//! - [`oracle`]: the properties that each step must have, and a second machine that each step is
//!   compared with.
//! - [`model`]: the exhaustive search. It visits every reachable state, and its counterexamples are
//!   the shortest.
//! - [`world`]: the virtual kernel under the driver that ships. Its processes follow scripts.
//! - [`generate`]: draws cases from seeds, aimed at a [race](generate::Race) or at nothing.
//! - [`bugs`]: known bugs of supervisors. A harness that cannot find them proves nothing.
//! - [`report`]: failures, tables, timelines and diagrams.
//! - [`conform`]: puts a driver or a machine of another crate under all of this, and judges records.
//! - `real`: runs the same cases on Linux (feature `real`).
//! - `observe`: judges other supervisors as they are (feature `observe`).
//!
//! # The loop
//! ```
//! use monitor_core::{Event, Preset};
//! use monitor_os::Core;
//! use monitor_sim::case::Case;
//! use monitor_sim::world;
//!
//! let case: Case = "
//!     policy preset=docker restart=always
//!     process rest lives=1s exits=code=1
//!     0ms start
//!     1s50ms stop
//! ".parse()?;
//! let verdict = world::run(&case, Core, 100);
//! assert_eq!(verdict.violated(), None);
//! let last = verdict.trace.last().unwrap();
//! assert_eq!(last.at.as_millis(), 1_050, "a stop in the backoff returns at once");
//! # Ok::<(), monitor_sim::case::CaseError>(())
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod bugs;
pub mod case;
pub mod conform;
pub mod generate;
pub mod machine;
pub mod model;
#[cfg(feature = "observe")]
pub mod observe;
pub mod oracle;
#[cfg(feature = "real")]
pub mod real;
pub mod report;
pub mod world;

// Public for the program, the tests, the benches and the fuzz targets of this repository alone.
// What they need of a search changes with them, so it is no promise to other users.
#[doc(hidden)]
pub mod fuzz;
#[doc(hidden)]
pub mod search;
#[doc(hidden)]
pub mod verification;
