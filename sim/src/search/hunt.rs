//! The random engine: runs cases drawn from seeds, and shrinks what fails.

use std::collections::BTreeSet;

use super::coverage_marks::CoverageMarks;
use super::failure::Failure;
use super::harness::{Harness, Standard};
use crate::case::definition::Case;
use crate::generate::race::Race;
use crate::generate::seeds::Aim;
use crate::machine::injected_bug::MachineUnderTest;
use crate::oracle::property::Property;
use crate::oracle::verdict::Verdict;

/// The result of a hunt.
#[derive(Clone, Debug, Default)]
pub struct Hunt {
    /// Cases run.
    pub cases: u64,
    /// Steps taken in all of them.
    pub steps: u64,
    /// Cases in which the race really took place.
    pub occurred: u64,
    /// The races that took place, and the choosers that chose.
    pub aims: BTreeSet<Aim>,
    /// Coverage marks that were met in any of them.
    pub coverage_marks: CoverageMarks,
    /// The first failure.
    pub failure: Option<Failure>,
}

/// Shrinks a case that violates `property`, and runs the result again. If the result violates
/// another property or none, the failure has the case as it was drawn.
pub fn confirm(
    harness: impl Harness,
    seed: u64,
    case: Case,
    property: Property,
    machine: impl MachineUnderTest + Copy,
) -> Failure {
    let shrunk = harness.shrink(seed, case.clone(), property, machine);
    let verdict = harness.run(&shrunk.case, machine);
    if verdict.violated() == Some(property) && shrunk.property == property {
        let (trace, panic) = (verdict.trace, verdict.violation.and_then(|found| found.panic));
        return Failure { trace, panic, is_unshrunk: false, ..shrunk };
    }
    let Verdict { trace, violation, .. } = harness.run(&case, machine);
    let panic = violation.and_then(|violation| violation.panic);
    Failure { property, case, trace, sibling: None, panic, is_unshrunk: true, ..shrunk }
}

/// Runs the cases of `seeds`, aimed at `race` or at nothing, until one fails.
///
/// `progress` is called after each case.
pub fn hunt(
    race: Option<Race>,
    seeds: impl IntoIterator<Item = u64>,
    machine: impl MachineUnderTest + Copy,
    progress: impl FnMut(),
) -> Hunt {
    hunt_by(Standard, race, seeds, machine, progress)
}

/// Hunts as [`hunt`] does, with the parts of `harness`.
pub fn hunt_by(
    harness: impl Harness,
    race: Option<Race>,
    seeds: impl IntoIterator<Item = u64>,
    machine: impl MachineUnderTest + Copy,
    mut progress: impl FnMut(),
) -> Hunt {
    let mut hunt = Hunt::default();
    for seed in seeds {
        let case = harness.draw(race, seed);
        let verdict = harness.run(&case, machine);
        hunt.cases += 1;
        hunt.steps += verdict.trace.len() as u64;
        if race.is_none_or(|race| race.occurred(&verdict)) {
            hunt.occurred += 1;
            hunt.aims.insert(Aim::of(race, seed));
        }
        hunt.coverage_marks.add(&verdict);
        progress();
        if let Some(property) = verdict.violated() {
            let aim = Some(Aim::of(race, seed));
            hunt.failure = Some(Failure { aim, ..confirm(harness, seed, case, property, machine) });
            break;
        }
    }
    hunt
}

#[cfg(test)]
mod tests {
    use monitor_os::Core;

    use super::*;
    use crate::generate::seeds::seeds;

    #[test]
    fn as_many_cases_run_as_seeds_were_asked_for_wherever_they_begin() {
        assert_eq!(seeds(u64::MAX, 3).collect::<Vec<_>>(), [u64::MAX, 0, 1]);
        for first in [0, 7, u64::MAX - 1, u64::MAX] {
            assert_eq!(hunt(None, seeds(first, 5), Core, || {}).cases, 5, "from {first}");
        }
    }
}
