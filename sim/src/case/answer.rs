//! An expected answer of the machine, and its text form.

use std::fmt;
use std::str::FromStr;

use monitor_core::{Note, Step};

use super::expected_error::ExpectedError;

/// The answer of the machine to one event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub(crate) items: Vec<Item>,
    /// The phase, and the note if the event did not count; `None` if both are not compared.
    pub(crate) phase_and_note: Option<String>,
}

/// One action, or several in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    One(String),
    AnyOrder(Vec<String>),
}

pub(super) const ACTIONS: [&str; 14] = [
    "save",
    "spawn",
    "cancel-spawn",
    "signal",
    "release",
    "abandon",
    "await-ready",
    "begin-service",
    "end-service",
    "disarm",
    "arm",
    "shorten",
    "lengthen",
    "emit",
];

/// Reads what `Display` prints: actions, and the phase and the note in brackets.
///
/// # Errors
/// [`ExpectedError`] naming the part that cannot be read.
impl FromStr for Answer {
    type Err = ExpectedError;

    fn from_str(text: &str) -> Result<Self, ExpectedError> {
        let brackets = || ExpectedError::Brackets(text.trim().to_owned());
        let (mut rest, phase_and_note) = match text.trim().strip_suffix(']') {
            None => (text.trim(), None),
            Some(rest) => {
                let (actions, phase_and_note) = rest.split_once('[').ok_or_else(brackets)?;
                if phase_and_note.contains(['[', ']']) {
                    return Err(brackets());
                }
                (actions.trim(), Some(tidy(phase_and_note)))
            }
        };
        let mut items = Vec::new();
        if rest == "-" {
            return Ok(Self { items, phase_and_note });
        }
        loop {
            rest = rest.trim_start();
            let (item, after) = if let Some(group) = rest.strip_prefix('{') {
                let (group, after) = group.split_once('}').ok_or_else(brackets)?;
                let actions = group.split(';').map(action).collect::<Result<_, _>>()?;
                (Item::AnyOrder(actions), after.trim_start())
            } else {
                let end = rest.find(';').unwrap_or(rest.len());
                (Item::One(action(&rest[..end])?), &rest[end..])
            };
            items.push(item);
            match after.strip_prefix(';') {
                Some(after) => rest = after,
                None if after.is_empty() => return Ok(Self { items, phase_and_note }),
                None => return Err(brackets()),
            }
        }
    }
}

pub(crate) fn action(text: &str) -> Result<String, ExpectedError> {
    let text = tidy(text);
    let known = text.split(' ').next().is_some_and(|head| ACTIONS.contains(&head));
    let plain = !text.contains(['{', '}', '[', ']']);
    if known && plain { Ok(text) } else { Err(ExpectedError::Action(text)) }
}

/// Joins the words of a text by single spaces.
pub(crate) fn tidy(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.items.is_empty() {
            f.write_str("-")?;
        }
        for (index, item) in self.items.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            match item {
                Item::One(action) => write!(f, "{separator}{action}")?,
                Item::AnyOrder(actions) => write!(f, "{separator}{{{}}}", actions.join(" ; "))?,
            }
        }
        match &self.phase_and_note {
            Some(phase_and_note) => write!(f, " [{phase_and_note}]"),
            None => Ok(()),
        }
    }
}

impl From<Step> for Answer {
    fn from(step: Step) -> Self {
        let mut items = Vec::new();
        step.for_each(|action| items.push(Item::One(action.to_string())));
        let phase = step.state.phase();
        let phase_and_note = match step.note {
            Note::Applied => phase.to_string(),
            Note::Stale | Note::NotApplicable => format!("{phase}, {}", step.note.name()),
        };
        Self { items, phase_and_note: Some(phase_and_note) }
    }
}
