//! Pages that are printed from the code, so that they cannot be wrong.

#[doc = include_str!("../docs/table.md")]
pub mod table {}

#[doc = include_str!("../docs/states.md")]
pub mod states {}
