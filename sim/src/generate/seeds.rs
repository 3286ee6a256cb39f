//! Draws whole cases from seeds.

use std::fmt;

use super::choices::{Choices, Seeded};
use super::chooser::Chooser;
use super::race::Race;
use crate::case::definition::Case;

/// The aim of a drawn case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aim {
    /// One race.
    Race(Race),
    /// No race. This chooser drew the inputs.
    Anything(Chooser),
}

impl Aim {
    /// Returns the aim of the case that a seed draws for `race` or without an aim.
    #[must_use]
    pub fn of(race: Option<Race>, seed: u64) -> Self {
        race.map_or_else(|| Self::Anything(Chooser::of(seed)), Self::Race)
    }

    /// Returns the printed name of the race or of the chooser.
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

/// Draws the case of a seed for `race`, or without an aim.
#[must_use]
pub fn draw(race: Option<Race>, seed: u64) -> Case {
    let mut choices = Seeded::new(seed);
    match race {
        Some(race) => race.case(&mut choices),
        None => case(&mut choices),
    }
}

/// Counts `count` seeds up from `first`. After the largest seed comes 0.
pub fn seeds(first: u64, count: u64) -> impl Iterator<Item = u64> + Clone {
    (0..count).map(move |nth| first.wrapping_add(nth))
}

/// Draws a case without an aim, by one of the [choosers](Chooser).
pub fn case(choices: &mut impl Choices) -> Case {
    Chooser::drawn(choices).case(choices)
}
