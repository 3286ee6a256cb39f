//! The random engine: runs cases drawn from seeds, and shrinks what fails.

use std::fmt;

use crate::case::Case;
use crate::choices::Seeded;
use crate::chooser::Chooser;
use crate::generate;
use crate::marks::Marks;
use crate::race::Race;
use crate::shrink::{Sibling, shrink};
use crate::watch::Property;
use crate::world::{self, Suspect, TraceLine};

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
    /// Situations that were met in any of them.
    pub marks: Marks,
    /// The first failure.
    pub failure: Option<Failure>,
}

/// Runs the cases of `seeds`, aimed at `race` or at nothing, until one fails.
///
/// `progress` is called after each case.
pub fn hunt(
    race: Option<Race>,
    seeds: std::ops::Range<u64>,
    machine: impl Suspect + Copy,
    mut progress: impl FnMut(),
) -> Hunt {
    let mut hunt = Hunt::default();
    for seed in seeds {
        let mut choices = Seeded::new(seed);
        let case = match race {
            Some(race) => race.case(&mut choices),
            None => generate::case(&mut choices),
        };
        let verdict = world::run(&case, machine, STEPS_MAX);
        hunt.cases += 1;
        hunt.steps += verdict.trace.len() as u64;
        hunt.occurred += u64::from(race.is_none_or(|race| race.occurred(&verdict)));
        hunt.marks = hunt.marks.or(Marks::of(&verdict));
        progress();
        if let Some(property) = verdict.violated {
            let aim = Some(Aim::of(race, seed));
            hunt.failure = Some(Failure { aim, ..shrink(seed, case, property, machine) });
            break;
        }
    }
    hunt
}
