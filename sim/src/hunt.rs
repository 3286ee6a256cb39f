//! The random engine: runs cases drawn from seeds, and shrinks what fails.

use std::collections::BTreeSet;
use std::fmt;

use crate::case::Case;
use crate::choices::Seeded;
use crate::chooser::Chooser;
use crate::coverage::CoverageMarks;
use crate::generate;
use crate::harness::{Harness, Standard};
use crate::oracle::Property;
use crate::race::Race;
use crate::shrink::Sibling;
use crate::world::{MachineUnderTest, TraceLine, Verdict};

/// How many steps a case may take; enough for every lawful stop, too few for an endless loop to hurt.
pub const STEPS_MAX: usize = 400;

/// What the drawing of a case aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aim {
    /// One race.
    Race(Race),
    /// Nothing; the inputs were chosen so.
    Anything(Chooser),
}

impl Aim {
    /// That of the case which a seed draws for `race`, or for nothing.
    #[must_use]
    pub fn of(race: Option<Race>, seed: u64) -> Self {
        race.map_or_else(|| Self::Anything(Chooser::of(seed)), Self::Race)
    }

    /// The name of the race or of the chooser, as printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Race(race) => race.name(),
            Self::Anything(chooser) => chooser.name(),
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Race(race) => write!(f, "aimed at {race}"),
            Self::Anything(chooser) => write!(f, "chosen by {chooser}"),
        }
    }
}

/// A case that violates a property, and where it came from.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed that the unshrunk case was drawn from.
    pub seed: u64,
    /// What it aimed at; `None` if it was not drawn by a hunt or a campaign.
    pub aim: Option<Aim>,
    /// The property.
    pub property: Property,
    /// The shrunk case.
    pub case: Case,
    /// Its trace.
    pub trace: Vec<TraceLine>,
    /// A case close to it that passes, if there is one.
    pub sibling: Option<Sibling>,
    /// The panic that was caught, as one line with its place, where it is the violation.
    pub panic: Option<String>,
    /// Whether the case is as it was drawn, because the shortened one did not fail in the same way:
    /// [`Alarm::ShrunkCasePasses`](crate::alarm::Alarm::ShrunkCasePasses).
    pub is_unshrunk: bool,
}

/// What a hunt has seen.
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

/// The case that a seed draws for `race`, or for nothing.
#[must_use]
pub fn draw(race: Option<Race>, seed: u64) -> Case {
    let mut choices = Seeded::new(seed);
    match race {
        Some(race) => race.case(&mut choices),
        None => generate::case(&mut choices),
    }
}

/// So many seeds, one after the other from `first`; after the largest comes 0.
pub fn seeds(first: u64, count: u64) -> impl Iterator<Item = u64> + Clone {
    (0..count).map(move |nth| first.wrapping_add(nth))
}

/// Shrinks a case that violates `property`, and runs what comes of it again. If that does not fail in the
/// same way, the case stands as it was drawn.
pub fn confirm(
    harness: impl Harness,
    seed: u64,
    case: Case,
    property: Property,
    machine: impl MachineUnderTest + Copy,
) -> Failure {
    let shrunk = harness.shrink(seed, case.clone(), property, machine);
    let Verdict { trace, violated, panic, .. } = harness.run(&shrunk.case, machine);
    if violated == Some(property) && shrunk.property == property {
        return Failure { trace, panic, is_unshrunk: false, ..shrunk };
    }
    let Verdict { trace, panic, .. } = harness.run(&case, machine);
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
        if let Some(property) = verdict.violated {
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

    #[test]
    fn as_many_cases_run_as_seeds_were_asked_for_wherever_they_begin() {
        assert_eq!(seeds(u64::MAX, 3).collect::<Vec<_>>(), [u64::MAX, 0, 1]);
        for first in [0, 7, u64::MAX - 1, u64::MAX] {
            assert_eq!(hunt(None, seeds(first, 5), Core, || {}).cases, 5, "from {first}");
        }
    }
}
