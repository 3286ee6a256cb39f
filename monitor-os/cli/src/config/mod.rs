//! The configuration of a unit: flags and keys of a file, and the command and policy that they
//! make.

pub(crate) mod config_error;
pub(crate) mod example;
pub(crate) mod file;
pub(crate) mod opened_streams;
pub(crate) mod options;
pub(crate) mod policy;
pub(crate) mod spec;
pub(crate) mod stream_values;
pub(crate) mod streams;
pub(crate) mod values;
