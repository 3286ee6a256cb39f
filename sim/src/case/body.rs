//! The lines of a case that have a time: its inputs, with the answers that it expects.

use std::fmt;

use super::answer::tidy;
use super::definition::Case;
use super::expected::{ExpectedStep, Trigger};

/// Takes a line apart at its `=>`.
pub(crate) fn split(line: &str) -> (&str, Option<&str>) {
    match line.split_once("=>") {
        Some((line, answer)) => (line.trim(), Some(answer.trim())),
        None => (line, None),
    }
}

/// The line without the comment at its end. A `#` between white space begins one, so that `#1`
/// stays a run.
pub(crate) fn without_comment(line: &str) -> &str {
    comment_at(line).map_or(line, |at| &line[..at]).trim()
}

fn comment_at(line: &str) -> Option<usize> {
    let begins = |at: usize| {
        line[..at].ends_with(char::is_whitespace)
            && line[at + 1..].chars().next().is_none_or(char::is_whitespace)
    };
    line.match_indices('#').map(|(at, _)| at).find(|&at| begins(at))
}

/// One line of the body of a case, and what it is.
struct BodyLine {
    key: Key,
    trigger: String,
    answer: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Input(usize),
    Then(String),
    End,
}

pub(crate) fn trigger_text(case: &Case, trigger: &Trigger) -> String {
    match trigger {
        Trigger::Input(input) => {
            case.inputs.get(*input).map_or_else(String::new, ToString::to_string)
        }
        Trigger::World { at, event } => format!("then {at} {event}"),
    }
}

/// The inputs, the steps between them and the end, in order.
fn body(case: &Case) -> Vec<BodyLine> {
    let mut lines = Vec::new();
    let mut inputs = 0..case.inputs.len();
    let silent = |input: usize| BodyLine {
        key: Key::Input(input),
        trigger: trigger_text(case, &Trigger::Input(input)),
        answer: None,
    };
    for ExpectedStep { trigger, answer } in &case.expected.steps {
        let is_before = |input: usize| match trigger {
            Trigger::Input(answered) => input < *answered,
            Trigger::World { at, .. } => case.inputs[input].at <= *at && !is_answered(case, input),
        };
        while inputs.clone().next().is_some_and(is_before) {
            lines.extend(inputs.next().map(silent));
        }
        let (key, indent) = match trigger {
            Trigger::Input(input) => {
                inputs.next();
                (Key::Input(*input), "")
            }
            Trigger::World { at, event } => (Key::Then(format!("{at} {event}")), "  "),
        };
        let trigger = format!("{indent}{}", trigger_text(case, trigger));
        lines.push(BodyLine { key, trigger, answer: Some(answer.to_string()) });
    }
    lines.extend(inputs.map(silent));
    if let Some(end) = &case.expected.end {
        lines.push(BodyLine {
            key: Key::End,
            trigger: "end".to_owned(),
            answer: Some(end.clone()),
        });
    }
    lines
}

fn is_answered(case: &Case, input: usize) -> bool {
    case.expected.steps.iter().any(|step| step.trigger == Trigger::Input(input))
}

/// Prints the inputs of a case with what is expected.
pub(crate) fn write_body(f: &mut impl fmt::Write, case: &Case) -> fmt::Result {
    let lines = body(case);
    let width = column(&lines);
    lines.iter().try_for_each(|line| line.write(f, width, None))
}

/// Where the answers begin.
fn column(lines: &[BodyLine]) -> usize {
    let answered = lines.iter().filter(|line| line.answer.is_some());
    answered.map(|line| line.trigger.len()).filter(|&len| len <= 60).max().unwrap_or(0)
}

impl BodyLine {
    fn write(&self, f: &mut impl fmt::Write, width: usize, comment: Option<&str>) -> fmt::Result {
        match &self.answer {
            Some(answer) => write!(f, "{:<width$} => {answer}", self.trigger)?,
            None => f.write_str(&self.trigger)?,
        }
        match comment {
            Some(comment) => writeln!(f, "  # {comment}"),
            None => writeln!(f),
        }
    }
}

/// What stood around a line of the body: the lines before it that are none of the body, and its
/// comment.
#[derive(Default)]
struct Surroundings {
    before: Vec<String>,
    comment: Option<String>,
}

/// Replaces the expectations in the text of a case by those of `case`. Comments, empty lines and
/// the head are kept; a comment whose line is gone moves to the next one.
///
/// `text` must be the case, with any expectations.
pub(crate) fn replace_expectations(text: &str, case: &Case) -> String {
    let lines = body(case);
    let mut kept: Vec<(Key, Surroundings)> = Vec::new();
    let mut pending = Surroundings::default();
    let mut inputs = 0;
    for line in text.lines() {
        let comment = comment_at(line).map(|at| line[at + 1..].trim().to_owned());
        let (trigger, _) = split(without_comment(line));
        let (head, rest) = trigger.split_once(char::is_whitespace).unwrap_or((trigger, ""));
        let key = match head {
            "then" => Key::Then(tidy(rest)),
            "end" => Key::End,
            _ if head.starts_with(|c: char| c.is_ascii_digit()) => {
                inputs += 1;
                Key::Input(inputs - 1)
            }
            _ => {
                pending.before.push(line.trim_end().to_owned());
                continue;
            }
        };
        let still_there = lines.iter().filter(|line| line.key == key).count()
            > kept.iter().filter(|(known, _)| *known == key).count();
        if still_there {
            kept.push((key, Surroundings { comment, ..std::mem::take(&mut pending) }));
        } else {
            pending.before.extend(comment.map(|comment| format!("# {comment}")));
        }
    }
    let width = column(&lines);
    let mut output = String::new();
    for line in &lines {
        let place = kept.iter().position(|(key, _)| *key == line.key);
        let around = place.map(|place| kept.remove(place).1).unwrap_or_default();
        for before in around.before {
            output.push_str(&before);
            output.push('\n');
        }
        // Writing to a string cannot fail.
        let _unfailing = line.write(&mut output, width, around.comment.as_deref());
    }
    for left in pending.before {
        output.push_str(&left);
        output.push('\n');
    }
    output
}
