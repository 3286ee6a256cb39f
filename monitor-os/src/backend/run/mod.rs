//! A run of a program, from its start or its adoption to its release.

pub(crate) mod adopted;
pub(crate) mod recovery;
pub(crate) mod supervised_run;
