//! The rules of the contract that a record can show.

use std::fmt;

/// A rule of `docs/CONTRACT.md` that a record can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// Each event goes to the machine with the state of the step before.
    C1,
    /// All commands of a step are executed, in their order.
    C2,
    /// The moments of a unit's events never decrease.
    C4,
    /// A fact about a process names its run, and a run has one status.
    C5,
    /// A delay is `base` plus a part of `jitter`.
    C9,
    /// A timer fires once, at its deadline and not before, by the last command to its slot.
    C11,
    /// Timers that are due at one wake fire in the order of their deadlines.
    C13,
    /// Each spawn is answered once.
    C15,
    /// Each release is answered once.
    C17,
    /// A spawn that needs a save does not take place if the save has failed.
    C26,
    /// A saved state is followed by the fate of its run, before any other event.
    C30,
}

impl Rule {
    /// The id in `docs/CONTRACT.md`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::C1 => "C1",
            Self::C2 => "C2",
            Self::C4 => "C4",
            Self::C5 => "C5",
            Self::C9 => "C9",
            Self::C11 => "C11",
            Self::C13 => "C13",
            Self::C15 => "C15",
            Self::C17 => "C17",
            Self::C26 => "C26",
            Self::C30 => "C30",
        }
    }
}

/// Prints the id.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}
