//! The handles that a caller holds: the supervisor and its units.

pub(crate) mod supervisor;
