//! Errors in the text of a case.

use std::fmt;

use monitor_core::{Millis, ParseError, PolicyTextError};

use super::expected_error::ExpectedError;

/// An error in the text of a case.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaseError {
    /// The line, from 1.
    pub line: usize,
    /// The kind of the error.
    pub kind: CaseErrorKind,
}

/// An error in a line of a case.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaseErrorKind {
    /// A word cannot be read.
    Word(ParseError),
    /// The policy is unsound.
    Policy(PolicyTextError),
    /// The line does not begin with a time, `policy`, `process`, `unit`, `timers`, `handling`, `saves`, `pids`,
    /// `disk`, `seed`, `then` or `end`.
    Line(String),
    /// The number in this word cannot be read, or is too large.
    Number(String),
    /// The value of this word is unknown.
    Value(String),
    /// The jump of the wall clock has no sign.
    Jump(String),
    /// No unit has this number.
    NoUnit(String),
    /// The input concerns the monitor or its machine, not a unit.
    NotOfAUnit(String),
    /// A key is unknown.
    Key(String),
    /// The time is earlier than that of the line before.
    Backwards {
        /// The time of the line.
        at: Millis,
        /// The time of the line before.
        before: Millis,
    },
    /// No `policy` line comes before the first input.
    NoPolicy,
    /// An expectation cannot be read.
    Expected(ExpectedError),
}

impl fmt::Display for CaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.kind)
    }
}

/// Prints as `Display` does, so that `unwrap` shows the text.
impl fmt::Debug for CaseErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for CaseErrorKind {}

impl fmt::Display for CaseErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // An input is an event or one of these requests to the virtual world.
            Self::Word(error) if error.field() == "event" => {
                write!(f, "{error}; or policy, crash, reboot, stop-faults, wall or suspend")
            }
            Self::Word(error) => error.fmt(f),
            Self::Policy(error) => error.fmt(f),
            Self::Line(word) => write!(
                f,
                "{word:?} begins no line: write policy, process, unit, timers, handling, saves, pids, disk, seed, then, end, or a time such as 50ms and what is asked then"
            ),
            Self::Number(word) => {
                write!(
                    f,
                    "{word:?} has no number that fits: write one from 0 to 255, for pids from 1"
                )
            }
            Self::Value(word) => write!(
                f,
                "{word:?} is not known: write notice=twice, notice=late:5s or notice=lost, signals=refused or signals=missed, disk loses, disk tears or disk reorders"
            ),
            Self::Jump(word) => {
                write!(f, "{word:?} is no jump: write wall +1h or wall -1h")
            }
            Self::NotOfAUnit(words) => {
                write!(f, "{words:?} concerns the whole machine: write it without a unit")
            }
            Self::NoUnit(word) => write!(
                f,
                "{word:?} names no unit: write @N with N from 1 to the number of `unit` lines, or nothing for the first"
            ),
            Self::Key(word) => write!(
                f,
                "{word:?} is no word of this line: write key=value with starts, fails, lives, exits, term, leaves, ready, pings, extends, unhealthy, notice, signals, output (process), late (timers), takes (handling), fail-until and take (saves), after, down (crash), after (reboot)"
            ),
            Self::Backwards { at, before } => {
                write!(
                    f,
                    "{at} is before {before}, the time of the line above: order the lines by time"
                )
            }
            Self::Expected(error) => error.fmt(f),
            Self::NoPolicy => f.write_str(
                "there is no policy yet: begin with a line such as `policy restart=always`",
            ),
        }
    }
}

/// Prints as `Display` does, so that `unwrap` shows the text.
impl fmt::Debug for CaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for CaseError {}

impl From<ParseError> for CaseErrorKind {
    fn from(error: ParseError) -> Self {
        Self::Word(error)
    }
}

impl From<ExpectedError> for CaseErrorKind {
    fn from(error: ExpectedError) -> Self {
        Self::Expected(error)
    }
}

impl From<PolicyTextError> for CaseErrorKind {
    fn from(error: PolicyTextError) -> Self {
        Self::Policy(error)
    }
}
