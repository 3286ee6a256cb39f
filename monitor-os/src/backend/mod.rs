//! What carries out the requests of the driver: it knows processes and no rule of the lifecycle.
//!
//! A child is started by `posix_spawn(3)` as the leader of a session and a process group of its own, is waited for and
//! signalled through a pidfd, and is reaped last: while it is unreaped, the kernel gives its numbers to no other process.

pub(crate) mod health;
pub(crate) mod output;
pub(crate) mod reactor;
pub(crate) mod readiness;
pub(crate) mod run;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod store;
