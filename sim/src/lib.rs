//! Runs the driver of `monitor-os` on a virtual clock and kernel, and hunts the races of lifecycles.
//!
//! Everything that can go wrong between a stop, an exit, a timer and a restart is a question of order,
//! and here order is an input. Four layers:
//! - [`oracle`]: the oracles. They check every step of every trace from events and actions alone.
//! - [`model`]: the exhaustive engine. Every reachable state of the machine in an environment that may do
//!   anything; the first violation it reports is a shortest one.
//! - [`world`]: the virtual kernel under the driver that ships, with processes that follow scripts.
//!   [`hunt`] draws cases for it from seeds, aimed at a [`race`] or at nothing; [`mod@shrink`] shortens what
//!   fails. A case may say what it [expects](mod@expected).
//! - [`mod@reference`]: all rules once more, naively, against which every step is held.
//! - [`bank`]: injected bugs, which [`bugs`] hunts; [`coverage`]: what a run must meet. A harness that
//!   cannot find them is not believed.
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
//! assert_eq!(verdict.violated, None);
//! assert_eq!(verdict.trace.last().unwrap().at.as_millis(), 1_050, "a stop in the backoff returns at once");
//! # Ok::<(), monitor_sim::case::CaseError>(())
//! ```

pub mod alarm;
pub mod bank;
pub mod bugs;
pub mod campaign;
pub mod canary;
pub mod case;
pub mod case_json;
pub mod check;
pub mod choices;
pub mod chooser;
#[cfg(feature = "proptest")]
pub mod conformance;
pub mod coverage;
pub mod expected;
pub mod failure_report;
pub mod family;
pub mod fuzz;
pub mod generate;
pub mod graph;
pub mod guard;
pub mod harness;
mod html_text;
pub mod hunt;
pub mod model;
pub mod observation;
pub mod oracle;
pub mod race;
#[cfg(feature = "real")]
pub mod real;
pub mod reference;
pub mod replay;

pub mod shrink;
#[cfg(feature = "proptest")]
pub mod strategy;
pub mod timeline;
pub mod world;
