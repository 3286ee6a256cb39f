//! The real engine: the same cases on Linux, with processes that follow their scripts.
//!
//! A [`RealEngine`] runs any number of cases at once under one supervisor of `monitor-os`. The
//! machine and the oracles must accept each recorded step, and every reported status must be true.
//!
//! The runs that observers saw must be among those that the simulator shows. Time is real here, so
//! a case whose inputs meet within milliseconds may go either way. Therefore the simulator shows
//! all runs that are possible when starts and timers are a little late ([`live_runs()`]).
//!
//! Some cases need a virtual world: [`NotPlayable`].

pub(crate) mod child_record;
mod crash_session;
mod cycles;
mod generate;
mod hanging_disk;
mod live_runs;
mod playable;
pub(crate) mod process_identity;
mod random_kills;
mod real_engine;
mod result;
mod running_case;
mod running_unit;
pub(crate) mod scan;
pub(crate) mod scripted_child;
mod syscall_kills;
mod traced;
mod waker;

pub use child_record::{ChildFact, ChildLine, ChildRecord};
pub use cycles::{AbsentShortage, Cycles, Shortage, cycle};
pub use generate::case;
pub use live_runs::{LiveRuns, live_runs};
pub use playable::{NotPlayable, playable};
pub use random_kills::{Kills, kill_monitors};
pub use real_engine::RealEngine;
pub use result::{RealFault, RealResult, SimulatorMatch};
pub use scan::Leftovers;
pub use scripted_child::{ScriptedChild, enter};
pub use syscall_kills::{KillResult, Programs, Protocol, Resumed};
pub use traced::SyscallStep;
