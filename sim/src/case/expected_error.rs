//! Errors in an expectation.

use std::fmt;

use monitor_core::ParseError;

/// An error in an expectation.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpectedError {
    /// A word of the event or its time cannot be read.
    Word(ParseError),
    /// The machine has no such action.
    Action(String),
    /// Braces or brackets do not match.
    Brackets(String),
    /// The line takes no `=>`.
    NoStep(String),
    /// The line needs `=>`.
    NoAnswer(String),
}

impl fmt::Display for ExpectedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(error) => error.fmt(f),
            Self::Action(text) => write!(
                f,
                "action: {text:?} is none: begin it with save, spawn, cancel-spawn, signal, release, abandon, await-ready, begin-service, end-service, disarm, arm, shorten, lengthen or emit, or write - for no action"
            ),
            Self::Brackets(text) => write!(
                f,
                "expected: {text:?} has braces or brackets that do not match: write {{a ; b}} for any order, and [phase] last"
            ),
            Self::NoStep(text) => write!(
                f,
                "{text:?} is no step of the machine: remove its `=>`, and write what follows as `then TIME EVENT => ACTIONS`"
            ),
            Self::NoAnswer(text) => {
                write!(
                    f,
                    "{text:?} says no answer: write `=> ACTIONS` after it, or `=> -` for none"
                )
            }
        }
    }
}

/// Prints as `Display` does, so that `unwrap` shows the text.
impl fmt::Debug for ExpectedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ExpectedError {}

impl From<ParseError> for ExpectedError {
    fn from(error: ParseError) -> Self {
        Self::Word(error)
    }
}
