//! Reports of a run: its failure, its table, its timeline, and the state diagram.

pub(crate) mod counterexample;
pub(crate) mod failure_report;
pub mod graph;
mod html_text;
mod rust_test;
mod saved_failure;
pub mod timeline;
pub(crate) mod trace_table;

pub use counterexample::counterexample;
pub use failure_report::FailureReport;
pub use rust_test::rust_test;
pub use saved_failure::{SavedFailure, save};
pub use trace_table::TraceTable;

pub use crate::search::failure::{Failure, Sibling};
