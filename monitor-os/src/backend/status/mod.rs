//! The published view of a unit: its status and its events.

pub(crate) mod events;
pub(crate) mod published;
pub(crate) mod unit_status;
