//! Storage that outlives the monitor: the state directory, its records, and the named log files.

pub(crate) mod journal;
pub(crate) mod log_files;
pub(crate) mod state_dir;
pub(crate) mod unit_store;
