//! Checks of others against the contract between the machine, a driver and a backend.
//!
//! `docs/CONTRACT.md` has the rules and their ids.

pub mod record;

pub use record::record;
