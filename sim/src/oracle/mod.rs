//! The oracles, which decide whether a run is right, and their [`Verdict`].
//!
//! - A [`SafetyOracle`] checks each step by the [properties](Property), from events and steps
//!   alone.
//! - [`mod@reference`] is a second machine, with which each step is compared.
//! - [`expectation`] compares a run with the expectations of its case.

pub(crate) mod compared;
pub(crate) mod comparison;
pub mod expectation;
pub(crate) mod fault_effects;
pub(crate) mod observation;
pub(crate) mod property;
pub mod reference;
pub(crate) mod safety_oracle;
pub(crate) mod step_facts;
pub(crate) mod step_view;
pub(crate) mod trace;
pub(crate) mod verdict;
pub(crate) mod violation;

pub use compared::Compared;
pub use comparison::{Compare, Mismatch, compare};
pub use fault_effects::{FaultEffect, FaultEffects};
pub use observation::Observation;
pub use property::Property;
pub use safety_oracle::SafetyOracle;
pub use trace::TraceLine;
pub use verdict::{Oracle, Verdict};
pub use violation::Violation;
