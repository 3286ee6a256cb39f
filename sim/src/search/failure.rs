//! A case that violates a property, and a neighbour of it that passes.

use std::fmt;

use monitor_core::Millis;

use crate::case::definition::Case;
use crate::case::input::TimedInput;
use crate::generate::seeds::Aim;
use crate::oracle::property::Property;
use crate::oracle::trace::TraceLine;
use crate::oracle::verdict::Oracle;

/// A case that violates a property, and where it came from.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed that the unshrunk case was drawn from.
    pub seed: u64,
    /// The aim of the case; `None` if no hunt or campaign drew it.
    pub aim: Option<Aim>,
    /// The property.
    pub property: Property,
    /// The oracle that found it: the property, or the reference machine if that alone objects.
    pub oracle: Oracle,
    /// The shrunk case.
    pub case: Case,
    /// Its trace.
    pub trace: Vec<TraceLine>,
    /// A case close to it that passes, if there is one.
    pub sibling: Option<Sibling>,
    /// The panic that was caught, as one line with its place, where it is the violation.
    pub panic: Option<String>,
    /// Whether the case is as it was drawn, because the shortened one did not fail in the same way:
    /// [`Alarm::ShrunkCasePasses`](crate::search::alarm::Alarm::ShrunkCasePasses).
    pub is_unshrunk: bool,
}

/// A case that differs in one input and passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sibling {
    /// The input as it stands in the failing case.
    pub input: TimedInput,
    /// Its new time; `None` if it is left out.
    pub moved_to: Option<Millis>,
}

impl fmt::Display for Sibling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input, moved_to } = self;
        match moved_to {
            Some(to) => {
                write!(f, "the same with `{}` at {to} and not at {}", input.kind, input.at)
            }
            None => write!(f, "the same without `{input}`"),
        }
    }
}
