//! What the kernel offers a supervisor, as safe and typed primitives that decide nothing.
//!
//! A child is started by `posix_spawn(3)` as the leader of a session and a process group of its
//! own, is waited for and signalled through a pidfd, and is reaped last: as long as it is unreaped its
//! numbers cannot be given to a stranger. Linux 5.4 is the oldest kernel that has all of it
//! (`waitid(2)` on a pidfd).

#![cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the driver that calls these primitives is not written yet"
    )
)]

mod clock;
mod command;
mod epoll;
mod group;
mod process;
mod signals;
mod spawn;
#[cfg(test)]
mod testing;
mod timer;
mod wake;

pub use command::{Command, CommandError};
pub use process::{Ended, SignalError};
pub use signals::ChildrenUnwaitable;
pub use spawn::SpawnError;
