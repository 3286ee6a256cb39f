//! The generators as proptest strategies, for property tests in any crate.
//!
//! A strategy reads its choices from bytes, so proptest's shrinking of the bytes is shrinking of the
//! case: fewer bytes are fewer inputs, and a zero is the simplest choice.
//!
//! # Examples
//! ```
//! use monitor_sim::{strategy, world};
//! use proptest::prelude::*;
//!
//! proptest!(|(case in strategy::cases())| {
//!     let verdict = world::run(&case, monitor_os::Core, 400);
//!     prop_assert_eq!(verdict.violated, None, "{}", case);
//! });
//! ```

use monitor_core::Policy;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::case::Case;
use crate::choices::FromBytes;
use crate::generate;
use crate::race::Race;

/// More choices than any case takes.
const CHOICES_MAX: usize = 400;

/// Any sound policy.
pub fn policies() -> impl Strategy<Value = Policy> {
    bytes().prop_map(|bytes| generate::policy(&mut FromBytes(&bytes)))
}

/// Any case.
pub fn cases() -> impl Strategy<Value = Case> {
    bytes().prop_map(|bytes| generate::case(&mut FromBytes(&bytes)))
}

/// Cases that aim at a race.
pub fn races(race: Race) -> impl Strategy<Value = Case> {
    bytes().prop_map(move |bytes| race.case(&mut FromBytes(&bytes)))
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..CHOICES_MAX)
}
