//! Pages that are printed from the code, and therefore agree with it.

#[doc = include_str!("../docs/table.md")]
pub mod table {}

#[doc = include_str!("../docs/states.md")]
pub mod states {}
