//! The virtual world: an operating system without faults, a case that says which faults to inject, and the
//! backend above it, on a clock that jumps from event to event.
//!
//! The system has numbers, processes, zombies and groups; the disk has files. The backend is the kernel
//! that the driver is given. It keeps the rules of `monitor-os`: it means processes by identity, keeps an
//! ended one as a zombie until its release, asks for every child at each notice and before each signal,
//! saves by a temporary file, and proves the identity of what it adopts. An [`InjectedBug`](crate::machine::InjectedBug) breaks one of these
//! rules. The world checks every reported fact against the true state.

mod backend;
mod disk;
mod end_checks;
mod event_queue;
mod inputs;
mod kernel;
mod os;
mod outage;
mod pending_replies;
mod planned_events;
mod request;
mod saves;
pub(crate) mod simulation;
mod state;
mod step_checks;

pub use simulation::{STEPS_MAX, judge, run, run_checked, trace};
pub use state::Checks;
