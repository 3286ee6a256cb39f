//! The text form of an input.

use std::fmt;
use std::str::FromStr;

use monitor_core::{Millis, whole_number};

use super::error::CaseErrorKind;
use super::input::{InputKind, Jump, TimedInput};

impl fmt::Display for TimedInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.at)?;
        if self.unit > 0 {
            write!(f, "@{} ", self.unit)?;
        }
        self.kind.fmt(f)
    }
}

/// Prints the words of an input line, without its time and its unit.
impl fmt::Display for InputKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |f: &mut fmt::Formatter<'_>, name: &str, after: u8, down: Millis| {
            f.write_str(name)?;
            if after > 0 {
                write!(f, " after={after}")?;
            }
            if down > Millis::ZERO { write!(f, " down={down}") } else { Ok(()) }
        };
        match *self {
            Self::Event(event) => event.fmt(f),
            Self::Policy(policy) => write!(f, "policy {policy}"),
            Self::Crash { after, down } => words(f, "crash", after, down),
            Self::Reboot { after } => words(f, "reboot", after, Millis::ZERO),
            Self::StopFaults => f.write_str("stop-faults"),
            Self::Wall(Jump::Ahead(by)) => write!(f, "wall +{by}"),
            Self::Wall(Jump::Back(by)) => write!(f, "wall -{by}"),
            Self::Suspend(time) => write!(f, "suspend {time}"),
        }
    }
}

/// Reads what `Display` prints.
///
/// # Errors
/// [`CaseErrorKind`] naming the word.
impl FromStr for InputKind {
    type Err = CaseErrorKind;

    fn from_str(words: &str) -> Result<Self, CaseErrorKind> {
        let words = words.trim();
        let (head, rest) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
        let rest = rest.trim();
        let mut after = 0;
        let mut down = Millis::ZERO;
        if matches!(head, "crash" | "reboot") {
            for word in rest.split_whitespace() {
                match word.split_once('=') {
                    Some(("after", value)) => after = small(word, value)?,
                    Some(("down", value)) if head == "crash" => down = value.parse()?,
                    _ => return Err(CaseErrorKind::Key(word.to_owned())),
                }
            }
        }
        Ok(match head {
            "policy" => Self::Policy(rest.parse()?),
            "crash" => Self::Crash { after, down },
            "reboot" => Self::Reboot { after },
            "stop-faults" if rest.is_empty() => Self::StopFaults,
            "suspend" => Self::Suspend(rest.parse()?),
            "wall" => Self::Wall(match (rest.strip_prefix('+'), rest.strip_prefix('-')) {
                (Some(by), _) => Jump::Ahead(by.parse()?),
                (None, Some(by)) => Jump::Back(by.parse()?),
                (None, None) => return Err(CaseErrorKind::Jump(rest.to_owned())),
            }),
            _ => Self::Event(words.parse()?),
        })
    }
}

pub(super) fn small(word: &str, value: &str) -> Result<u8, CaseErrorKind> {
    whole_number(value).ok_or_else(|| CaseErrorKind::Number(word.to_owned()))
}
