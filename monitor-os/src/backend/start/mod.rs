//! The start of a run: its streams, its helper and its launch.

pub(crate) mod helper_sequence;
pub(crate) mod launch;
pub(crate) mod launcher;
pub(crate) mod message;
pub(crate) mod spawn;
pub(crate) mod stdio;
