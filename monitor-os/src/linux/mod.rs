//! The Linux backend: safe and typed primitives that decide nothing, the kernel that the driver runs on,
//! and the handles.
//!
//! A child is started by `posix_spawn(3)` as the leader of a session and a process group of its
//! own, is waited for and signalled through a pidfd, and is reaped last: as long as it is unreaped its
//! numbers cannot be given to a stranger. Linux 5.4 is the oldest kernel that has all of it
//! (`waitid(2)` on a pidfd).

mod block_on;
mod clock;
mod command;
mod epoll;
mod group;
mod inbox;
mod process;
mod reactor;
mod run;
mod signals;
mod spawn;
mod status;
mod stop_signals;
mod supervisor;
#[cfg(test)]
mod testing;
mod timer;
mod unit;
mod wake;

pub use block_on::block_on;
pub use command::{Command, CommandError};
pub use process::{Ended, SignalError};
pub use signals::ChildrenUnwaitable;
pub use spawn::SpawnError;
pub use status::{Notice, Status, StopResult};
pub use stop_signals::StopSignals;
pub use supervisor::{Events, Stopping, Supervisor, SupervisorError, SupervisorGone, Unit};
