//! The decisions of a process supervisor as one pure, total state machine: event in, actions out.
//!
//! The machine knows restart policies, growing delays, stops with a grace and a kill, readiness,
//! watchdogs, start limits and recovery after its own crash. It knows no clock, no process, no file
//! and no randomness. Time goes out as delays and comes back as fired timers. Other facts come in
//! as events. Each decision can therefore be tested, checked in every reachable state, and
//! replayed.
//!
//! # The loop
//! Call [`Monitor::handle`] with each event, and execute the returned actions in order:
//!
//! ```
//! use monitor_core::{Action, Event, Exit, Monitor, Policy, Remains};
//!
//! let mut monitor = Monitor::new(Policy::DEFAULT);
//! let mut inbox = vec![Event::StartRequested]; // in a program: a queue, timers, the kernel
//! while let Some(event) = inbox.pop() {
//!     monitor.handle(event).for_each(|action| match action {
//!         Action::Persist(state) => drop(state.to_bytes()), // to disk
//!         Action::Spawn { run } => inbox.push(Event::Exited { run, exit: Exit::Code(0) }),
//!         Action::Signal { .. } | Action::CancelSpawn { .. } => {} // kill(2)
//!         Action::Release { run, .. } => {
//!             inbox.push(Event::Released { run, remains: Remains::Nothing });
//!         }
//!         Action::Arm { .. } | Action::Disarm { .. } => {}                  // timers
//!         Action::Shorten { .. } | Action::Lengthen { .. } => {}            // timers
//!         Action::AwaitReady { .. } | Action::BeginService { .. } => {}     // probes and checks
//!         Action::EndService { .. } | Action::Abandon { .. } => {}          // no more of them
//!         Action::Emit(lifecycle) => println!("{lifecycle}"),
//!     });
//! }
//! assert_eq!(monitor.explain().to_string(), "stopped #1: ended with code=0, after which the \
//!     policy asks for no restart; nothing happens until somebody starts it");
//! ```
//!
//! # What a driver must do
//! The page [`contract`] says all of it. The short form:
//! - Execute the commands of a step in the order of [`Step::for_each`], then take the next event.
//! - Measure delays from the moment the event was observed, and draw jitter uniformly.
//! - Keep one deadline for each [`TimerSlot`]. Arming replaces it, so a replaced timer cannot fire.
//! - Deliver what was readable at a wake before the timers that are due at it.
//! - Answer each [`Action::Spawn`] with [`Event::Started`], [`Event::StartFailed`] or
//!   [`Event::Exited`], and each [`Action::Release`] with [`Event::Released`].
//! - Report an exit until it was handled. Late and doubled reports are harmless.
//!
//! # Rules that the machine keeps
//! - **Total**: every phase × event pair has a written answer. Nothing panics, and nothing is an
//!   error. An event that does not count is answered with a [`Note`] and changes nothing.
//! - **Intent is state**: a stop is recorded in every phase, even when nothing runs.
//! - **A run ends in two steps**: its process exits, then its remains are released. Between the two
//!   steps no new run begins, and the machine does not report "stopped".
//! - **A phase owns its timer**: entering a phase empties the slot.
//!
//! [`manual::table`] prints every answer, and [`manual::states`] every change of phase.
//!
//! # Features
//! `serde` derives `Serialize` and `Deserialize` for all types that are stored or sent. The crate
//! needs neither `std` nor `alloc`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod action;
mod backoff;
#[doc = include_str!("../docs/CONTRACT.md")]
pub mod contract {}
mod event;
mod exit;
mod explain;
pub mod manual;
mod monitor;
mod names;
mod parse_error;
mod policy;
mod policy_text;
mod preset;
mod run;
mod scope;
mod signal;
mod state;
mod step;
mod text;
mod time;
mod wire;

pub use action::{Action, Actions, Lifecycle, ProcessCommand, ServiceCommand, TimerCommand};
pub use backoff::{Backoff, Curve, Factor};
pub use event::{Event, Found, Grace, Origin, Remains, StopMode};
pub use exit::{Exit, ExitSet, Outcome, StartFailure};
pub use explain::{Explanation, Next, Why};
pub use monitor::Monitor;
pub use parse_error::{ParseError, whole_number};
pub use policy::{
    Counts, EarlyExit, Forgives, HealthyRule, OnLimit, Policy, PolicyBuilder, PolicyError,
    Readiness, Restart, Retries, Rules, SaveRule, StartLimit, StartRetry, StartRule, StartsCounted,
    StopRule, Watchdog,
};
pub use policy_text::PolicyTextError;
pub use preset::Preset;
pub use run::{RunId, TimerKind, TimerSlot, TimerToken};
pub use scope::Scope;
pub use signal::{Signal, SignalOutOfRange};
pub use state::{Phase, Reason, State};
pub use step::{Note, Step};
pub use time::{Delay, Millis};
pub use wire::{DecodeError, VERSION};
