//! The generators as proptest strategies, for property tests in any crate.
//!
//! A strategy reads its choices from bytes, so proptest's shrinking of the bytes is shrinking of
//! the case: fewer bytes are fewer inputs, and a zero is the simplest choice.
//!
//! A complete crate that tests its own driver with them is in `sim/examples/outside`.
//!
//! # Examples
//! ```
//! use monitor_sim::conform;
//! use monitor_sim::generate::strategy;
//!
//! conform::check(monitor_os::Core, strategy::cases())?;
//! # Ok::<(), conform::CheckError>(())
//! ```

use monitor_core::{Event, Millis, Policy};
use proptest::collection::vec;
use proptest::prelude::*;

use super::choices::{Choices as _, FromBytes};
use super::race::Race;
use super::{elements, seeds};
use crate::case::definition::Case;
use crate::case::script::Script;

/// More choices than any case takes.
const CHOICES_MAX: usize = 400;

/// Generates sound policies.
pub fn policies() -> impl Strategy<Value = Policy> {
    bytes().prop_map(|bytes| elements::policy(&mut FromBytes(&bytes)))
}

/// Generates cases.
pub fn cases() -> impl Strategy<Value = Case> {
    bytes().prop_map(|bytes| seeds::case(&mut FromBytes(&bytes)))
}

/// Generates requests, each with its delay after the previous one.
pub fn requests() -> impl Strategy<Value = Vec<(Millis, Event)>> {
    bytes().prop_map(|bytes| {
        let mut choices = FromBytes(&bytes);
        let count = choices.below(9);
        (0..count)
            .map(|_| (elements::delay(&mut choices), elements::request(&mut choices)))
            .collect()
    })
}

/// Generates scripts.
pub fn scripts() -> impl Strategy<Value = Script> {
    bytes().prop_map(|bytes| elements::script(&mut FromBytes(&bytes)))
}

/// Generates cases that aim at a race.
pub fn races(race: Race) -> impl Strategy<Value = Case> {
    bytes().prop_map(move |bytes| race.case(&mut FromBytes(&bytes)))
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..CHOICES_MAX)
}
