//! The random engine: runs cases drawn from seeds, and shrinks what fails.

use crate::case::Case;
use crate::choices::Seeded;
use crate::generate;
use crate::marks::Marks;
use crate::race::Race;
use crate::shrink::{Sibling, shrink};
use crate::watch::Property;
use crate::world::{self, Suspect, TraceLine};

/// How many steps a case may take; enough for every lawful stop, too few for an endless loop to hurt.
pub const STEPS_MAX: usize = 400;

/// A case that violates a property, and where it came from.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed that the unshrunk case was drawn from.
    pub seed: u64,
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
            hunt.failure = Some(shrink(seed, case, property, machine));
            break;
        }
    }
    hunt
}
