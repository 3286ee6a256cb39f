//! Code that the integration tests share.

pub mod arbitrary;
pub mod table;
pub mod timeline;
