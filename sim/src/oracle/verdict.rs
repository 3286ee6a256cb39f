//! The verdict on a run.

use std::fmt;

use monitor_core::Policy;

use super::comparison::{self, Mismatch};
use super::expectation::{self, Difference};
use super::fault_effects::FaultEffects;
use super::policies::policies;
use super::property::Property;
use super::trace::TraceLine;
use super::violation::Violation;
use crate::case::definition::Case;

/// The result of a run: its steps, and the objections of the oracles.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Verdict {
    /// Every step, in order.
    pub trace: Vec<TraceLine>,
    /// The faults that took effect.
    pub fault_effects: FaultEffects,
    /// The first violated property, with its step.
    pub violation: Option<Violation>,
    /// The first step that differs from the reference machine, if the run was compared with it.
    pub mismatch: Option<Box<Mismatch>>,
    /// The first difference from what the case expects, if the run was compared with it.
    pub difference: Option<Difference>,
}

impl Verdict {
    /// The first violated property, with its step.
    #[must_use]
    pub fn violated(&self) -> Option<Property> {
        self.violation.as_ref().map(|violation| violation.property)
    }

    /// Returns the oracle that objects. A property comes before the reference machine. An unmet
    /// expectation is a [difference](Self::difference), not a finding of an oracle.
    #[must_use]
    pub fn oracle(&self) -> Option<Oracle> {
        let reference = || self.mismatch.as_ref().map(|_| Oracle::Reference);
        self.violated().map(Oracle::Property).or_else(reference)
    }

    /// Returns whether no oracle objects and the run is as its case expects.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.oracle().is_none() && self.difference.is_none()
    }

    /// Compares the run of `case` with the reference machine and with what the case expects.
    #[must_use]
    pub fn compared(mut self, case: &Case) -> Self {
        let steps = self.trace.iter().zip(policies(case, &self.trace));
        let mismatch = |(line, policy): (&TraceLine, Policy)| {
            comparison::compare(&policy, line.before, line.event, line.step).err()
        };
        self.mismatch = steps.into_iter().find_map(mismatch);
        self.difference = expectation::compare(case, &self.trace).err();
        self
    }
}

/// The oracle that found a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oracle {
    /// A property of the trace.
    Property(Property),
    /// The reference machine.
    Reference,
}

impl Oracle {
    /// Returns the printed name.
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
