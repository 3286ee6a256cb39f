//! A violation of the contract in a record, with the steps of the unit before it.

use std::error::Error;
use std::fmt;

use monitor_core::{Event, Step};
use monitor_os::UnitId;

use super::rule::Rule;
use crate::oracle::trace::actions;

/// A violation of the contract: its place in the record, the rule, and what the rule expects.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContractViolation {
    /// The number of the line, counted from 1; the last line if something is missing at the end.
    pub line: usize,
    /// The time of that line, in microseconds since the first event.
    pub at_us: u64,
    /// The unit.
    pub unit: UnitId,
    /// The name of the unit.
    pub name: String,
    /// The rule.
    pub rule: Rule,
    /// What the contract expects.
    pub expected: String,
    /// What the record has.
    pub seen: String,
    /// The last steps of the unit before the violation, as lines of a table.
    pub before: Vec<String>,
}

/// Prints the place, the rule and both sides, then the steps before it as a table.
impl fmt::Display for ContractViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, at_us, unit, name, rule, expected, seen, before } = self;
        let number = unit.as_u32();
        writeln!(
            f,
            "line {line}, unit {number} ({name}), at {}: {rule} is violated",
            time(*at_us)
        )?;
        writeln!(f, "expected  {expected}")?;
        write!(f, "seen      {seen}")?;
        if !before.is_empty() {
            let (line, time, event, phase) = ("line", "time", "event", "phase");
            write!(f, "\n{line:>8}  {time:>16}  {event:<28}  {phase:<12}  actions")?;
        }
        before.iter().try_for_each(|row| write!(f, "\n{row}"))
    }
}

impl Error for ContractViolation {}

/// A step that was accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct PastStep {
    pub(super) line: usize,
    pub(super) at_us: u64,
    pub(super) event: Event,
    pub(super) step: Step,
}

/// Prints a row of the table.
impl fmt::Display for PastStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, at_us, event, step } = self;
        let (time, event, phase) = (time(*at_us), event.to_string(), step.state.phase().name());
        write!(f, "{line:>8}  {time:>16}  {event:<28}  {phase:<12}  {}", actions(*step))
    }
}

/// The last steps of a unit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PastSteps {
    steps: [Option<PastStep>; ROWS],
    /// The place of the next step, where the oldest step is.
    next: usize,
}

impl PastSteps {
    pub(super) const fn push(&mut self, step: PastStep) {
        self.steps[self.next] = Some(step);
        self.next = (self.next + 1) % ROWS;
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.steps[0].is_none()
    }

    pub(super) fn rows(&self) -> Vec<String> {
        let (newer, older) = self.steps.split_at(self.next);
        older.iter().chain(newer).flatten().map(ToString::to_string).collect()
    }
}

/// A time of a record, in seconds and microseconds.
pub(super) fn time(at_us: u64) -> String {
    format!("{}.{:06}s", at_us / MICROS_PER_SECOND, at_us % MICROS_PER_SECOND)
}

const MICROS_PER_SECOND: u64 = 1_000_000;

/// The rows of the table: enough to see how a timer was armed.
const ROWS: usize = 6;
