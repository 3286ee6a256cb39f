//! The commands of the program.

pub(crate) mod check_config;
pub(crate) mod client;
pub(crate) mod event_sinks;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod manual;
pub(crate) mod requests;
pub(crate) mod run;
pub(crate) mod signal_actions;
pub(crate) mod top;
pub(crate) mod unit_manager;
pub(crate) mod up;
