//! Completion of words that are typed in a shell.

pub(crate) mod candidates;
pub(crate) mod script;
