//! What callers hold.

pub(crate) mod supervisor;
