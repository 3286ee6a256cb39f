//! Injects some known bugs, and sees that the harness finds them.

use super::bank;
use super::bug::{Bug, Layer};
use crate::model::family::{FamilyMember, family};
use crate::model::finding::Counterexample;
use crate::search::failure::Failure;
use crate::search::harness::Harness;
use crate::search::hunt;

/// Whether the harness finds a bug that was injected.
#[derive(Clone, Debug)]
pub struct SelfTest {
    /// The bug.
    pub bug: Bug,
    /// How the hunt of its race found it, and after how many cases.
    pub hunted: Option<(Failure, u64)>,
    /// A shortest case under one member, by exhaustive search.
    pub exhausted: Option<(Counterexample, FamilyMember)>,
}

impl SelfTest {
    /// Whether an engine that could have found the bug did not; below the machine there is the random one
    /// alone.
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
