//! The parts of the harness that a search leans on. Each can be replaced, to see that its absence is
//! noticed: [`mod@crate::canary`] and [`mod@crate::coverage`] ring an [alarm](crate::alarm) for each.

use monitor_core::{Event, Policy, State, Step};
use monitor_os::Machine;

use crate::campaign;
use crate::canary::{self, Canary};
use crate::case::Case;
use crate::coverage::{self, Measure};
use crate::hunt::{self, Failure, STEPS_MAX};
use crate::model::{self, Exploration};
use crate::oracle::Property;
use crate::race::Race;
use crate::reference::{self, Mismatch};
use crate::shrink;
use crate::world::{self, MachineUnderTest, Verdict};

/// Holds one answer of a machine against the rules, as [`reference::compare`] does.
pub type Compare = fn(&Policy, State, Event, Step) -> Result<(), Box<Mismatch>>;

/// The parts of a harness. What is provided is what ships.
pub trait Harness: Copy + Send + Sync {
    /// Draws the case of a seed, aimed at a race or at nothing: the choosers, and the faults that are
    /// injected.
    fn draw(self, race: Option<Race>, seed: u64) -> Case {
        hunt::draw(race, seed)
    }

    /// Runs a case: the virtual world, the oracles, the check of the end, and what catches panics.
    fn run(self, case: &Case, machine: impl MachineUnderTest + Copy) -> Verdict {
        world::run(case, machine, STEPS_MAX)
    }

    /// Runs a case a second time, and says whether it did the same again.
    fn is_deterministic(
        self,
        case: &Case,
        machine: impl MachineUnderTest + Copy,
        first: &Verdict,
    ) -> bool {
        campaign::digest(&self.run(case, machine)) == campaign::digest(first)
    }

    /// Shortens a case that violates a property.
    fn shrink(
        self,
        seed: u64,
        case: Case,
        property: Property,
        machine: impl MachineUnderTest + Copy,
    ) -> Failure {
        shrink::shrink(seed, case, property, machine)
    }

    /// The second machine.
    fn reference(self) -> Compare {
        reference::compare
    }

    /// The exhaustive search.
    fn explore(self, policies: &[Policy], machine: &impl Machine) -> Exploration {
        model::explore(policies, machine)
    }

    /// The least that so many cases must have covered.
    fn floor(self, measure: Measure, cases: u64) -> u64 {
        coverage::floor(measure, cases)
    }

    /// Looks for the bug of a canary, which is injected or, as a control, is not.
    ///
    /// # Errors
    /// What was not found.
    fn look(self, canary: Canary, is_injected: bool) -> Result<String, String> {
        canary::look(self, canary, is_injected)
    }
}

/// The harness that ships.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standard;

impl Harness for Standard {}
