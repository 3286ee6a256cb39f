//! Code that the integration tests share.

pub mod arbitrary;
/// The guide, whose Rust examples are compiled and run as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/GUIDE.md")]
pub mod guide {}
pub mod table;
pub mod timeline;
