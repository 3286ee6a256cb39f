//! Draws whole cases from seeds.

use std::fmt;

use super::choices::{Choices, Seeded};
use super::chooser::Chooser;
use super::race::Race;
use crate::case::definition::Case;

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

/// The case that a seed draws for `race`, or for nothing.
#[must_use]
pub fn draw(race: Option<Race>, seed: u64) -> Case {
    let mut choices = Seeded::new(seed);
    match race {
        Some(race) => race.case(&mut choices),
        None => case(&mut choices),
    }
}

/// So many seeds, one after the other from `first`; after the largest comes 0.
pub fn seeds(first: u64, count: u64) -> impl Iterator<Item = u64> + Clone {
    (0..count).map(move |nth| first.wrapping_add(nth))
}

/// A whole case that aims at nothing, by one of the [choosers](Chooser).
pub fn case(choices: &mut impl Choices) -> Case {
    Chooser::drawn(choices).case(choices)
}
