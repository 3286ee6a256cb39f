//! What the integration tests share.

pub mod arbitrary;
pub mod timeline;
