//! Judges the lines of a record, one after the other.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io::BufRead;

use monitor_os::UnitId;
use monitor_os::record::{RecordError, RecordLine, RecordReader};

use super::timers::{Objection, micros};
use super::tolerance::Tolerance;
use super::unit::{Awaited, JudgedUnit};
use super::violation::ContractViolation;

/// An accepted record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordSummary {
    /// The number of steps.
    pub steps: u64,
    /// The number of commands in them.
    pub actions: u64,
    /// The number of units.
    pub units: usize,
    /// The commands that were not answered when the record ended.
    pub unanswered: Vec<Unanswered>,
}

/// A command that was not answered when the record ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unanswered {
    /// The unit.
    pub unit: UnitId,
    /// The name of the unit.
    pub name: String,
    /// The command.
    pub command: Awaited,
}

/// Prints the unit and the command.
impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unit, name, command } = self;
        write!(f, "unit {} ({name}): {command} is unanswered at the end", unit.as_u32())
    }
}

/// Why a record was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordFault {
    /// The record cannot be read.
    Unreadable(RecordError),
    /// The supervision violates the contract.
    Violation(Box<ContractViolation>),
}

impl fmt::Display for RecordFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::Violation(violation) => violation.fmt(f),
        }
    }
}

impl Error for RecordFault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreadable(error) => Some(error),
            Self::Violation(violation) => Some(violation),
        }
    }
}

impl From<RecordError> for RecordFault {
    fn from(error: RecordError) -> Self {
        Self::Unreadable(error)
    }
}

/// Judges every unit of a record, and stops at the first violation.
///
/// The memory does not grow with the record: of each unit its state, its timers and its last steps
/// are held.
///
/// # Errors
/// [`RecordFault`]: the first violation, or a line that cannot be read.
pub fn record(
    reader: &mut RecordReader<impl BufRead>,
    tolerance: Tolerance,
) -> Result<RecordSummary, RecordFault> {
    let mut judge = Judge::default();
    let mut last = 0;
    while let Some((number, line)) = reader.read()? {
        judge.judge(number, &line, tolerance)?;
        last = number;
    }
    judge.end(last, micros(tolerance.late))
}

#[derive(Default)]
struct Judge {
    units: BTreeMap<UnitId, JudgedUnit>,
    summary: RecordSummary,
    /// The time of the last line.
    now: u64,
    /// The number of the monitor, as far as second heads of units show that there is another.
    monitor: u32,
}

impl Judge {
    fn judge(
        &mut self,
        number: usize,
        line: &RecordLine<'_>,
        tolerance: Tolerance,
    ) -> Result<(), RecordFault> {
        match line {
            RecordLine::Head { unit, name, policy, state } => {
                let earlier = self.units.get(unit);
                if earlier.is_some_and(|earlier| earlier.monitor == self.monitor) {
                    self.monitor += 1;
                }
                let fresh = JudgedUnit::begin(name, *policy, *state, self.monitor, earlier);
                self.units.insert(*unit, fresh);
            }
            RecordLine::PolicyChanged { at_us, unit, policy } => {
                self.now = *at_us;
                let Some(judged) = self.units.get_mut(unit) else { return Ok(()) };
                let changed = judged.change_policy(*at_us, *policy);
                changed.map_err(|objection| violation(number, *at_us, *unit, judged, objection))?;
            }
            RecordLine::Step(step) => {
                self.now = step.at_us;
                let Some(judged) = self.units.get_mut(&step.unit) else { return Ok(()) };
                let answered = judged.follow(number, step, tolerance);
                answered.map_err(|objection| {
                    violation(number, step.at_us, step.unit, judged, objection)
                })?;
                self.summary.steps += 1;
                self.summary.actions += step.actions.len() as u64;
            }
        }
        Ok(())
    }

    /// Judges what is missing at the end. Units of an earlier monitor have no timers any more.
    fn end(mut self, last: usize, late: u64) -> Result<RecordSummary, RecordFault> {
        self.summary.units = self.units.len();
        for (unit, judged) in &self.units {
            if judged.monitor != self.monitor {
                continue;
            }
            judged
                .check_end(self.now, late)
                .map_err(|objection| violation(last, self.now, *unit, judged, objection))?;
            for command in judged.awaited() {
                let name = judged.name.clone();
                self.summary.unanswered.push(Unanswered { unit: *unit, name, command });
            }
        }
        Ok(self.summary)
    }
}

fn violation(
    line: usize,
    at_us: u64,
    unit: UnitId,
    judged: &JudgedUnit,
    (rule, expected, seen): Objection,
) -> RecordFault {
    let (name, before) = (judged.name.clone(), judged.past.rows());
    let violation = ContractViolation { line, at_us, unit, name, rule, expected, seen, before };
    RecordFault::Violation(Box::new(violation))
}
