//! The random search: runs drawn cases, shrinks failing ones, measures what was met, and adds up
//! campaigns.

pub mod alarm;
pub mod campaign;
pub mod canary;
pub mod coverage;
pub mod coverage_marks;
pub mod digest;
pub mod failure;
pub mod harness;
pub mod hunt;
pub mod merge;
pub mod shard;
pub mod shrink;
mod simpler;
