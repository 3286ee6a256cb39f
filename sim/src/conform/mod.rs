//! Kits that put the parts of other projects under the checks of this harness.
//!
//! The rules that a kit checks are those of the page `CONTRACT` of `monitor-core`.

pub mod backend;
