//! The bug bank: known bugs of supervisors, and the searches that must find each of them.

pub mod bank;
pub(crate) mod bug;
pub mod bug_hunt;
pub mod canary_search;
pub mod check;
mod edits;
pub mod self_test;

pub use bug::{Bug, Layer};

pub use crate::search::harness::{Harness, Standard};
