//! Notifications and probes, by which the monitor learns that a program serves and lives.

pub(crate) mod notifications;
pub(crate) mod probe;
