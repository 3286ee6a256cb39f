//! A violated property.

use std::error::Error;
use std::fmt;

use super::property::Property;

/// A property that a run violates, and the step that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The property.
    pub property: Property,
    /// The step, counted from 1: the last step of the trace, which may violate the property by
    /// being the last.
    pub step: usize,
    /// The panic that was caught, as one line with its place, if the panic is the violation.
    pub panic: Option<String>,
}

impl Violation {
    /// A violation without a panic.
    pub(crate) const fn new(property: Property, step: usize) -> Self {
        Self { property, step, panic: None }
    }
}

/// Prints the property, its source and its sentence, and the step.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { property, step, panic } = self;
        write!(f, "{property} ({}) at step {step}: {}", property.source(), property.sentence())?;
        panic.as_ref().map_or(Ok(()), |panic| write!(f, "; panic: {panic}"))
    }
}

impl Error for Violation {}
