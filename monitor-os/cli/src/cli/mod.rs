//! The command line.

pub(crate) mod args;
pub(crate) mod help;
pub(crate) mod target;
