//! The bug bank: known bugs of supervisors, and the hunt that must find each of them.

pub mod bank;
pub(crate) mod bug;
pub mod bug_hunt;
mod edits;

pub use bug::{Bug, Layer};

pub use crate::search::harness::{Harness, Standard};
