//! Targets of captured output: files, rings, listeners and patterns.

pub(crate) mod capture;
pub(crate) mod descriptor;
pub(crate) mod line;
pub(crate) mod lines;
pub(crate) mod log_file;
pub(crate) mod log_format;
pub(crate) mod pattern;
pub(crate) mod ring;
pub(crate) mod rotation;
pub(crate) mod sink;
pub(crate) mod slow_sink;
