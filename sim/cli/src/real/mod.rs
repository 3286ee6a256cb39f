//! The subcommand `real`: cases on Linux, with processes that follow their scripts.

mod cases;
mod command;
mod cycles;
mod kills;
mod options;

pub(crate) use command::real;
pub(crate) use options::RealArguments;
