//! The threads that copy the standard streams of programs.

pub(crate) mod stdin_pump;
pub(crate) mod thread;
