//! The generators as proptest strategies, for property tests in any crate.
//!
//! A strategy reads its choices from bytes, so proptest's shrinking of the bytes is shrinking of the
//! schedule: fewer bytes are fewer inputs, and a zero is the simplest choice.
//!
//! # Examples
//! ```
//! use monitor_sim::{strategy, world};
//! use proptest::prelude::*;
//!
//! proptest!(|(schedule in strategy::schedules())| {
//!     let verdict = world::run(&schedule, monitor_os::Core, 400);
//!     prop_assert_eq!(verdict.violated, None, "{}", schedule);
//! });
//! ```

use monitor_core::Policy;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::choices::FromBytes;
use crate::generate;
use crate::race::Race;
use crate::schedule::Schedule;

/// More choices than any schedule takes.
const CHOICES_MAX: usize = 300;

/// Any sound policy.
pub fn policies() -> impl Strategy<Value = Policy> {
    bytes().prop_map(|bytes| generate::policy(&mut FromBytes(&bytes)))
}

/// Any schedule.
pub fn schedules() -> impl Strategy<Value = Schedule> {
    bytes().prop_map(|bytes| generate::schedule(&mut FromBytes(&bytes)))
}

/// Schedules that aim at a race.
pub fn races(race: Race) -> impl Strategy<Value = Schedule> {
    bytes().prop_map(move |bytes| race.schedule(&mut FromBytes(&bytes)))
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..CHOICES_MAX)
}
