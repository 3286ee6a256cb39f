//! What a shell offers for a word that is being typed.

pub(crate) mod candidates;
pub(crate) mod script;
