//! Execution of the driver's actions on processes, without any rule of the lifecycle.
//!
//! `posix_spawn(3)` starts each child as the leader of a session and a process group of its own.
//! The monitor waits for the child and signals it through a pidfd. The child is reaped last,
//! because the kernel reuses its numbers only after that.

pub(crate) mod health;
pub(crate) mod output;
pub(crate) mod reactor;
pub(crate) mod readiness;
pub(crate) mod run;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod store;
