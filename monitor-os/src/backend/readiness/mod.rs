//! Notifications and probes: how the monitor learns that a program serves and lives.

pub(crate) mod notifications;
pub(crate) mod probe;
