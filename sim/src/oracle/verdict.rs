//! The verdict on a run.

use std::fmt;

use super::fault_effects::FaultEffects;
use super::property::Property;
use super::trace::TraceLine;

/// What a run of a case has shown.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Every step, in order.
    pub trace: Vec<TraceLine>,
    /// The faults that took effect.
    pub fault_effects: FaultEffects,
    /// The first property that was violated; by the last line of the trace, or by its end.
    pub violated: Option<Property>,
    /// The panic that was caught, as one line with its place, where it is the violation.
    pub panic: Option<String>,
}

/// The oracle that found a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oracle {
    /// A property of the trace.
    Property(Property),
    /// The second implementation of the rules.
    Reference,
}

impl Oracle {
    /// The name, as printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Property(property) => property.name(),
            Self::Reference => "reference",
        }
    }
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Property(property) => {
                write!(f, "{property} ({}): {}", property.source(), property.sentence())
            }
            Self::Reference => f.write_str("reference: a step is not as the rules say"),
        }
    }
}
