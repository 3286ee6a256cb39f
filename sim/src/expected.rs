//! What a case expects: the answer of the machine to every step, and the state at the end.
//!
//! The words are those of the printed actions, one line a step:
//!
//! ```text
//! 0ms start                  => save; spawn A; emit starting [starting]
//!   then 0ms started A       => {save ; emit started ; arm healthy A 10s1ms}
//!   then 1s exited A code=1  => save; release A TERM group; arm stop-grace A 10s; emit exited
//!   then 1s released A       => save; arm backoff A 100ms; emit backing-off
//! 1s50ms stop                => save; disarm phase; emit stopped   # no second run
//! end                        => stopped (stop-requested), restarts 0
//! ```
//!
//! - A line with `=>` is a step. `then` begins what the world does by itself, with its time; the other
//!   lines are the inputs of the case. An input without `=>` is expected not to reach the machine: it
//!   contradicts what is the case, or is a crash, after which the world says what was found.
//! - Actions are separated by `;` and in their order; those in braces may come in any order; `-` is none.
//! - In brackets, if that matters: the phase reached, and `stale` or `not-applicable`.
//! - A run is written as `#1`, or by a name that begins with a capital letter: a name means one run, the
//!   one that it meets first.
//! - Either every step of the run is written, or none; `end` may stand alone. It has those parts of the
//!   final state that matter.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use monitor_core::{Event, Millis, Note, ParseError, State, Step};
use monitor_os::{Moment, UnitId};

use crate::case::{Case, InputKind, TimedInput};
use crate::world::TraceLine;

/// What a case expects of its run. The default expects nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Every step, in order; none if steps are not compared.
    pub steps: Vec<ExpectedStep>,
    /// Parts of the final state, separated by commas.
    pub end: Option<String>,
}

/// One step that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedStep {
    /// The event that the machine receives.
    pub trigger: Trigger,
    /// What it answers.
    pub answer: Answer,
}

impl ExpectedStep {
    /// The runs that are written in it, in order, as names or numbers.
    fn runs(&self) -> Vec<String> {
        let event = match &self.trigger {
            Trigger::Input(_) => "",
            Trigger::World { event, .. } => event,
        };
        let actions = self.answer.items.iter().flat_map(|item| match item {
            Item::One(action) => std::slice::from_ref(action),
            Item::AnyOrder(actions) => actions,
        });
        let texts = std::iter::once(event).chain(actions.map(String::as_str));
        // No action has more than one run, and the run is the first word that looks like one.
        let run = |text: &str| text.split(' ').find(|word| is_run(word)).map(str::to_owned);
        texts.filter_map(run).collect()
    }
}

/// Whether a word is a run in the place of one: a number such as `#1`, or a name.
fn is_run(word: &str) -> bool {
    word.starts_with(|c: char| c == '#' || c.is_ascii_uppercase())
}

/// The event of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The input of this index, which is neither a crash nor a reboot.
    Input(usize),
    /// Something that the world does by itself.
    World {
        /// When, from the beginning.
        at: Millis,
        /// The event in its text form, in which runs may have names.
        event: String,
    },
}

/// The answer of the machine to one event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    items: Vec<Item>,
    /// The phase, and the note if the event did not count; `None` if that does not matter.
    phase_and_note: Option<String>,
}

/// One action, or several in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    One(String),
    AnyOrder(Vec<String>),
}

/// Why an expectation cannot be read. Nothing was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedError {
    /// A word of the event or its time cannot be read.
    Word(ParseError),
    /// An action is none that the machine can give.
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
                "action: {text:?} is none: begin it with save, spawn, signal, release, disarm, arm, shorten, lengthen or emit, or write - for no action"
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

impl std::error::Error for ExpectedError {}

impl From<ParseError> for ExpectedError {
    fn from(error: ParseError) -> Self {
        Self::Word(error)
    }
}

const ACTIONS: [&str; 9] =
    ["save", "spawn", "signal", "release", "disarm", "arm", "shorten", "lengthen", "emit"];

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

fn action(text: &str) -> Result<String, ExpectedError> {
    let text = tidy(text);
    let known = text.split(' ').next().is_some_and(|head| ACTIONS.contains(&head));
    let plain = !text.contains(['{', '}', '[', ']']);
    if known && plain { Ok(text) } else { Err(ExpectedError::Action(text)) }
}

/// The words with one space between them.
fn tidy(text: &str) -> String {
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

/// The final state in the words of an `end` line.
#[must_use]
pub fn end_text(state: State) -> String {
    let (phase, reason, outcome) = (state.phase(), state.reason(), state.outcome());
    let (restarts, strikes, level) = (state.restarts(), state.strikes(), state.level());
    format!(
        "{phase} ({reason}), outcome {outcome}, restarts {restarts}, strikes {strikes}, level {level}"
    )
}

/// Which run each name means.
#[derive(Clone, Debug, Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    /// Whether the words are the same, but for names; names that are met here for the first time are
    /// bound, but not if the words differ.
    fn unify(&mut self, expected: &str, found: &str) -> bool {
        let mut bound = self.clone();
        let same = expected.split_whitespace().count() == found.split_whitespace().count()
            && expected
                .split_whitespace()
                .zip(found.split_whitespace())
                .all(|(expected, found)| expected == found || bound.means(expected, found));
        if same {
            *self = bound;
        }
        same
    }

    fn means(&mut self, name: &str, run: &str) -> bool {
        if name.starts_with('#') || !is_run(name) || !run.starts_with('#') {
            return false;
        }
        match self.0.get(name) {
            Some(known) => known == run,
            None if self.0.values().any(|known| known == run) => false,
            None => self.0.insert(name.to_owned(), run.to_owned()).is_none(),
        }
    }

    /// The names of a case whose expectations may be wrong: the first name is the first run, and so on.
    fn in_order(case: &Case) -> Self {
        let mut names = Self::default();
        for word in case.expected.steps.iter().flat_map(ExpectedStep::runs) {
            if !names.0.contains_key(&word) {
                let run = format!("#{}", names.0.len() + 1);
                names.0.insert(word, run);
            }
        }
        names.0.retain(|name, _| !name.starts_with('#'));
        names
    }

    /// The text with the names of the runs that have one.
    fn apply(&self, text: &str) -> String {
        let name =
            |word| self.0.iter().find(|(_, run)| *run == word).map(|(name, _)| name.as_str());
        text.split(' ').map(|word| name(word).unwrap_or(word)).collect::<Vec<_>>().join(" ")
    }

    fn unify_answer(&mut self, expected: &Answer, found: &Answer) -> bool {
        let mut found_items = found.items.iter().flat_map(|item| match item {
            Item::One(action) => std::slice::from_ref(action),
            Item::AnyOrder(actions) => actions,
        });
        let same = expected.items.iter().all(|item| match item {
            Item::One(action) => found_items.next().is_some_and(|found| self.unify(action, found)),
            Item::AnyOrder(actions) => {
                let found: Vec<_> = found_items.by_ref().take(actions.len()).collect();
                self.unify_any_order(actions, &found)
            }
        });
        let phase_and_note = |answer: &Answer| answer.phase_and_note.as_deref().map(tidy);
        same && found_items.next().is_none()
            && (expected.phase_and_note.is_none()
                || phase_and_note(expected) == phase_and_note(found))
    }

    fn unify_any_order(&mut self, expected: &[String], found: &[&String]) -> bool {
        let Some((first, rest)) = expected.split_first() else { return found.is_empty() };
        (0..found.len()).any(|place| {
            let mut names = self.clone();
            let mut others = found.to_vec();
            let here = others.remove(place);
            let fits = names.unify(first, here) && names.unify_any_order(rest, &others);
            if fits {
                *self = names;
            }
            fits
        })
    }
}

/// Where a run is not as its case expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The step, counted from 1; one more than there are if the end differs.
    pub step: usize,
    /// What the case expects there.
    pub expected: String,
    /// What happened.
    pub actual: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, expected, actual } = self;
        write!(f, "DIFF at step {step}\n  expected  {expected}\n  actual    {actual}")
    }
}

/// Holds a run against what its case expects.
///
/// # Errors
/// The first [`Difference`].
pub fn compare(case: &Case, trace: &[TraceLine]) -> Result<(), Difference> {
    first_difference(case, trace).map_or(Ok(()), Err)
}

fn first_difference(case: &Case, trace: &[TraceLine]) -> Option<Difference> {
    let mut names = Names::default();
    let Expected { steps, end } = &case.expected;
    let nothing = || "nothing more".to_owned();
    let pairs = if steps.is_empty() { 0 } else { steps.len().max(trace.len()) };
    for index in 0..pairs {
        let (wanted, line) = (steps.get(index), trace.get(index));
        let fits = wanted.zip(line).is_some_and(|(step, line)| {
            let event_text = line.event_text();
            let trigger = match &step.trigger {
                Trigger::Input(input) => input_event(case, *input) == Some((line.unit, line.event)),
                Trigger::World { at, event } => {
                    *at == millis(line.at) && names.unify(event, &event_text)
                }
            };
            trigger && names.unify_answer(&step.answer, &Answer::from(line.step))
        });
        if !fits {
            let expected = wanted.map_or_else(nothing, |step| {
                format!("{} => {}", trigger_text(case, &step.trigger), step.answer)
            });
            let actual = line.map_or_else(nothing, |line| {
                let answer = Answer::from(line.step).to_string();
                format!(
                    "{} {} => {}",
                    millis(line.at),
                    names.apply(&line.event_text()),
                    names.apply(&answer)
                )
            });
            return Some(Difference { step: index + 1, expected, actual });
        }
    }
    let actual = end_text(last_state(trace));
    let differs = end.as_ref().filter(|end| {
        !end.split(',').map(tidy).all(|part| {
            actual.split(", ").any(|found| {
                found
                    .strip_prefix(&*part)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            })
        })
    });
    differs.map(|end| Difference {
        step: trace.len() + 1,
        expected: format!("end => {end}"),
        actual: format!("end => {actual}"),
    })
}

fn millis(at: Moment) -> Millis {
    Millis::new(u32::try_from(at.as_millis()).unwrap_or(u32::MAX))
}

/// The event that an input is to its unit, if it is one.
fn input_event(case: &Case, input: usize) -> Option<(UnitId, Event)> {
    let TimedInput { unit, kind, .. } = *case.inputs.get(input)?;
    let unit = UnitId::new(unit.into());
    match kind {
        InputKind::Event(event) => Some((unit, event)),
        InputKind::Policy(_) => Some((unit, Event::PolicyChanged)),
        InputKind::Crash { .. }
        | InputKind::Reboot { .. }
        | InputKind::StopFaults
        | InputKind::Wall(_)
        | InputKind::Suspend(_) => None,
    }
}

/// The last state of the first unit.
fn last_state(trace: &[TraceLine]) -> State {
    let line = trace.iter().rfind(|line| line.unit.as_u32() == 0);
    line.map_or(State::INITIAL, |line| line.step.state)
}

/// What a run did, as an expectation. Runs keep the names that the case gives them.
#[must_use]
pub fn from_trace(case: &Case, trace: &[TraceLine]) -> Expected {
    let names = Names::in_order(case);
    let mut next_input = 0;
    let steps = trace
        .iter()
        .map(|line| {
            let mut pending = (next_input..case.inputs.len())
                .take_while(|&input| case.inputs[input].at <= millis(line.at));
            let input = pending.find(|&input| {
                input_event(case, input) == Some((line.unit, line.event))
                    && case.inputs[input].at == millis(line.at)
            });
            let trigger = match input {
                Some(input) => {
                    next_input = input + 1;
                    Trigger::Input(input)
                }
                None => {
                    Trigger::World { at: millis(line.at), event: names.apply(&line.event_text()) }
                }
            };
            let mut answer = Answer::from(line.step);
            for item in &mut answer.items {
                if let Item::One(action) = item {
                    *action = names.apply(action);
                }
            }
            ExpectedStep { trigger, answer }
        })
        .collect();
    Expected { steps, end: Some(end_text(last_state(trace))) }
}

/// Takes a line apart at its `=>`.
pub(crate) fn split(line: &str) -> (&str, Option<&str>) {
    match line.split_once("=>") {
        Some((line, answer)) => (line.trim(), Some(answer.trim())),
        None => (line, None),
    }
}

/// The line without the comment at its end. A `#` between white space begins one, so that `#1` stays a run.
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

impl Expected {
    /// Adds the step that follows an input.
    pub(crate) fn answered(
        &mut self,
        input: usize,
        kind: InputKind,
        answer: &str,
    ) -> Result<(), ExpectedError> {
        if !matches!(kind, InputKind::Event(_) | InputKind::Policy(_)) {
            return Err(ExpectedError::NoStep(kind.to_string()));
        }
        self.steps.push(ExpectedStep { trigger: Trigger::Input(input), answer: answer.parse()? });
        Ok(())
    }

    /// Adds a step that the world takes by itself: a time and an event.
    pub(crate) fn then(
        &mut self,
        trigger: &str,
        answer: Option<&str>,
    ) -> Result<(), ExpectedError> {
        let trigger = trigger.trim();
        let (at, event) = trigger.split_once(char::is_whitespace).unwrap_or((trigger, ""));
        let (at, event) = (at.parse()?, tidy(event));
        let words = match event.split_once(' ') {
            Some((unit, words)) if unit.starts_with('@') => words,
            _ => &event,
        };
        let numbered = words
            .split(' ')
            .map(|word| if is_run(word) && !word.starts_with('#') { "#1" } else { word });
        numbered.collect::<Vec<_>>().join(" ").parse::<Event>()?;
        let answer =
            answer.ok_or_else(|| ExpectedError::NoAnswer(format!("then {}", tidy(trigger))))?;
        self.steps
            .push(ExpectedStep { trigger: Trigger::World { at, event }, answer: answer.parse()? });
        Ok(())
    }
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

fn trigger_text(case: &Case, trigger: &Trigger) -> String {
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

/// What stood around a line of the body: the lines before it that are none of the body, and its comment.
#[derive(Default)]
struct Surroundings {
    before: Vec<String>,
    comment: Option<String>,
}

/// The text of a case with its expectations written anew from a run of it. Comments, empty lines and the
/// head are kept; a comment whose line is gone moves to the next one.
///
/// `text` must be a case, and `trace` its run.
#[must_use]
pub fn rewrite(text: &str, case: &Case, trace: &[TraceLine]) -> String {
    let case = Case { expected: from_trace(case, trace), ..case.clone() };
    let lines = body(&case);
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

#[cfg(test)]
mod tests {
    use monitor_os::Core;

    use super::*;
    use crate::hunt::STEPS_MAX;
    use crate::world;

    const GOOD: &str = "\
# Who reads this?
policy restart=always jitter=0 healthy-after=none
process rest lives=1s exits=code=1

0ms start                  => save; spawn A; emit starting [starting]
  then 0ms started A       => {emit started ; disarm phase ; save} [running]
# It dies.
  then 1s exited A code=1  => save; release A TERM group; arm stop-grace A 10s; emit exited
  then 1s released A       => save; arm backoff A 100ms; emit backing-off
1s10ms exited #7 code=0
1s50ms stop                => save; disarm phase; emit stopped [stopped]  # at once
end                        => stopped (stop-requested), restarts 0
# Last words.
";

    fn run(text: &str) -> (Case, Vec<TraceLine>) {
        let case: Case = text.parse().unwrap();
        let trace = world::run(&case, Core, STEPS_MAX).trace;
        (case, trace)
    }

    /// The first difference after a change of the text.
    fn differs(from: &str, to: &str) -> Difference {
        assert!(GOOD.contains(from), "{from} is in the case");
        let (case, trace) = run(&GOOD.replace(from, to));
        compare(&case, &trace).expect_err("the change must be found")
    }

    fn refused(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from} is in the case");
        GOOD.replace(from, to).parse::<Case>().unwrap_err().to_string()
    }

    #[test]
    fn what_happens_as_expected_passes_and_survives_its_text_form() {
        let (case, trace) = run(GOOD);
        assert_eq!(compare(&case, &trace), Ok(()));
        assert_eq!(case.to_string().parse(), Ok(case));
    }

    #[test]
    fn every_difference_is_found_where_it_is() {
        let found = differs("spawn A; emit", "emit");
        assert_eq!(
            found.to_string(),
            "DIFF at step 1\n  expected  0ms start => save; emit starting [starting]\n  actual    0ms start => save; spawn #1; emit starting [starting]"
        );
        for (from, to, step) in [
            ("[running]", "[healthy]", 2),
            ("{emit started ; disarm phase ; save}", "emit started; disarm phase; save", 2),
            ("{emit started ; disarm phase", "{emit started ; save ; disarm phase", 2),
            ("then 1s exited A", "then 2s exited A", 3),
            ("exited A code=1  =>", "exited B code=1  =>", 3),
            ("100ms", "200ms", 4),
            ("1s10ms exited #7 code=0", "1s10ms exited #7 code=0 => -", 5),
            ("restarts 0", "restarts 1", 6),
            ("stopped (stop", "stop (stop", 6),
        ] {
            assert_eq!(differs(from, to).step, step, "{from} -> {to}");
        }
        let missing = differs(
            "  then 0ms started A       => {emit started ; disarm phase ; save} [running]\n",
            "",
        );
        assert_eq!(missing.step, 2);
        let silent = differs("  => save; disarm phase; emit stopped [stopped]  # at once", "");
        assert_eq!((silent.step, &*silent.expected), (5, "nothing more"));
    }

    #[test]
    fn a_case_may_expect_the_end_alone() {
        let (case, trace) =
            run("policy restart=no\n0ms start\n5ms stop\nend => stopped, outcome signal=TERM");
        assert_eq!(compare(&case, &trace), Ok(()));
        let (case, trace) = run("policy restart=no\n0ms start\n5ms stop\nend => running");
        assert_eq!(compare(&case, &trace).unwrap_err().step, trace.len() + 1);
    }

    #[test]
    fn what_a_run_did_is_what_it_is_expected_to_do() {
        let (case, trace) = run(GOOD);
        let recorded = Case { expected: from_trace(&case, &trace), ..case };
        assert_eq!(compare(&recorded, &trace), Ok(()));
        assert!(recorded.to_string().contains("spawn A"), "names are kept: {recorded}");
    }

    #[test]
    fn rewriting_mends_expectations_and_keeps_the_rest() {
        let broken = GOOD.replace("spawn A; ", "").replace("then 1s released", "then 3s released");
        let (case, trace) = run(&broken);
        let mended = rewrite(&broken, &case, &trace);
        assert!(
            mended.starts_with("# Who reads this?\npolicy restart=always jitter=0 healthy"),
            "{mended}"
        );
        assert!(mended.ends_with("level 1\n# Last words.\n"), "{mended}");
        assert!(
            mended.contains("\n# It dies.\n  then 1s exited A") && mended.contains("  # at once\n"),
            "{mended}"
        );
        assert_eq!(compare(&mended.parse().unwrap(), &trace), Ok(()));
        let (case, trace) = run(&mended);
        assert_eq!(rewrite(&mended, &case, &trace), mended);
    }

    #[test]
    fn errors_name_line_value_and_fix() {
        for (from, to, expected) in [
            ("spawn A;", "spwan A;", "line 5: action: \"spwan A\" is none: begin it with save"),
            ("; emit starting", "; ; emit starting", "line 5: action: \"\" is none"),
            ("; save} [running]", "; save [running]", "line 6: expected: \"{emit started"),
            ("[running]", "running]", "line 6: expected: "),
            ("then 1s exited", "then soon exited", "line 8: duration: \"soon\""),
            ("then 1s exited", "then 1s left", "line 8: event: \"left\""),
            ("1s10ms exited #7 code=0", "1s10ms crash => -", "line 10: \"crash\" is no step"),
            (
                "=> save; arm backoff A 100ms; emit backing-off",
                "",
                "line 9: \"then 1s released A\" says no answer",
            ),
            ("=> stopped (stop-requested), restarts 0", "", "line 12: \"end\" says no answer"),
            (
                "lives=1s exits=code=1",
                "lives=1s => -",
                "line 3: \"process rest lives=1s\" is no step",
            ),
        ] {
            let error = refused(from, to);
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
