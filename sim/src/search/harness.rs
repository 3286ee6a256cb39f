//! The replaceable parts of a search, so that a test can show that the absence of each part is
//! noticed.
//!
//! The [canaries](super::canary) and the [coverage](super::coverage) raise an
//! [alarm](super::alarm).

use monitor_core::Policy;
use monitor_os::Machine;

use super::coverage::{self, Measure};
use super::failure::Failure;
use super::{digest, shrink};
use crate::case::definition::Case;
use crate::generate::race::Race;
use crate::generate::seeds;
use crate::machine::injected_bug::MachineUnderTest;
use crate::model::exploration;
use crate::model::finding::Exploration;
use crate::oracle::comparison::{self, Compare};
use crate::oracle::property::Property;
use crate::oracle::verdict::Verdict;
use crate::world::simulation::{self, STEPS_MAX};

/// The parts of a harness. The provided methods are the parts that ship.
pub trait Harness: Copy + Send + Sync {
    /// Draws the case of a seed, aimed at a race or at nothing: the choosers, and the faults that
    /// are injected.
    fn draw(self, race: Option<Race>, seed: u64) -> Case {
        seeds::draw(race, seed)
    }

    /// Runs a case: the virtual world, the oracles, the check of the end, and what catches panics.
    fn run(self, case: &Case, machine: impl MachineUnderTest + Copy) -> Verdict {
        simulation::run(case, machine, STEPS_MAX)
    }

    /// Runs a case a second time, and returns whether both runs are equal.
    fn is_deterministic(
        self,
        case: &Case,
        machine: impl MachineUnderTest + Copy,
        first: &Verdict,
    ) -> bool {
        digest::digest(&self.run(case, machine)) == digest::digest(first)
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

    /// Returns the comparison with the reference machine.
    fn reference(self) -> Compare {
        comparison::compare
    }

    /// Runs the exhaustive search.
    fn explore(self, policies: &[Policy], machine: &impl Machine) -> Exploration {
        exploration::explore(policies, machine)
    }

    /// Returns the least that so many cases must have covered.
    fn floor(self, measure: Measure, cases: u64) -> u64 {
        coverage::floor(measure, cases)
    }
}

/// The harness that ships.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standard;

impl Harness for Standard {}
