//! The last lines of a unit, from log files.

pub(crate) mod stored_logs;
pub(crate) mod tail;
