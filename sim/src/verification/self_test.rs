//! Injects some known bugs, and checks that the harness finds them.

use crate::bugs::bank;
use crate::bugs::bug::{Bug, Layer};
use crate::model::family::{FamilyMember, family};
use crate::model::finding::Counterexample;
use crate::search::failure::Failure;
use crate::search::harness::Harness;
use crate::search::hunt;

/// The search for one injected bug.
#[derive(Clone, Debug)]
pub struct SelfTest {
    /// The bug.
    pub bug: Bug,
    /// The failure that the hunt of its race found, and the number of cases until then.
    pub hunted: Option<(Failure, u64)>,
    /// A shortest case under one member, by exhaustive search.
    pub exhausted: Option<(Counterexample, FamilyMember)>,
}

impl SelfTest {
    /// Returns whether an engine missed the bug. Below the machine only the random engine could
    /// find it.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.hunted.is_none() || (self.bug.layer == Layer::Core && self.exhausted.is_none())
    }
}

/// Injects each bug of [`bank::self_test`] and looks for it with both engines.
pub fn self_test(
    harness: impl Harness,
    cases_max: u64,
    mut progress: impl FnMut(),
) -> Vec<SelfTest> {
    bank::self_test()
        .map(|bug| {
            let hunt = hunt::hunt_by(harness, bug.race, 0..cases_max, bug, || {});
            let cases = hunt.cases;
            let searched = if bug.layer == Layer::Core { family() } else { Vec::new() };
            let exhausted = searched.into_iter().find_map(|member| {
                let found = harness.explore(&member.policies, &bug);
                found.counterexample.map(|example| (example, member))
            });
            progress();
            let hunted = hunt.failure.map(|failure| (failure, cases));
            SelfTest { bug, hunted, exhausted }
        })
        .collect()
}
