//! The virtual world: an operating system, a disk and a backend on a virtual clock.
//!
//! The operating system has numbers, processes, zombies and groups; the disk has files. Neither
//! injects faults by itself, because the case says which faults occur. The clock jumps from event
//! to event.
//!
//! The backend is the kernel that the driver is given. It keeps the rules of `monitor-os`:
//! - It identifies processes by more than their number.
//! - It keeps an ended process as a zombie until its release.
//! - It asks for every child at each notice and before each signal.
//! - It saves by a temporary file.
//! - It proves the identity of each process that it adopts.
//!
//! An [`InjectedBug`](crate::machine::InjectedBug) breaks one of these rules. The world checks
//! every reported fact against the true state.

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
mod recording;
mod saves;
pub(crate) mod simulation;
mod state;
mod step_checks;

pub use recording::record;
pub use simulation::{STEPS_MAX, judge, run, run_checked, trace};
pub use state::Checks;
