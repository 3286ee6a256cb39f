//! Compares the record of a real supervision with the machine, step by step.

use std::collections::BTreeMap;
use std::fmt;

use monitor_core::{Event, Phase, Policy, State};
use monitor_os::record::{Record, RecordLine, RecordedStep};
use monitor_os::{Core, Machine, Moment, UnitId};

use crate::machine::guard::{self, Guarded};
use crate::oracle::property::Property;
use crate::oracle::safety_oracle::SafetyOracle;
use crate::oracle::trace::{self, TraceLine};
use crate::oracle::violation::Violation;

/// The result of a replay.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Agreement {
    /// Units in the record.
    pub units: usize,
    /// Steps in which record and machine agree.
    pub steps: usize,
    /// Commands in them.
    pub actions: usize,
    /// The first step in which they do not agree.
    pub dispute: Option<Dispute>,
}

/// A recorded step that the machine or an oracle does not accept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dispute {
    /// The recorded step, counted from 1.
    pub step: usize,
    /// The record of the step.
    pub recorded: RecordedStep,
    /// The objection.
    pub objection: Objection,
}

/// An objection to a recorded step.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Objection {
    /// The machine gives other commands, or goes to another phase.
    Differs {
        /// The phase that the machine goes to.
        phase: Phase,
        /// The commands that the machine gives.
        actions: String,
    },
    /// The step violates a property, or the machine panics.
    Violates(Violation),
}

impl fmt::Display for Dispute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RecordedStep { at_us, event, phase, actions, .. } = &self.recorded;
        writeln!(f, "step {} at {} us: {event}", self.step, at_us)?;
        writeln!(f, "  recorded  {phase}: {}", actions.join("; "))?;
        match &self.objection {
            Objection::Differs { phase, actions } => write!(f, "  machine   {phase}: {actions}"),
            Objection::Violates(Violation { property, panic, .. }) => {
                if let Some(line) = panic {
                    writeln!(f, "  panics    {line}")?;
                }
                write!(f, "  violates  {property}: {}", property.sentence())
            }
        }
    }
}

impl std::error::Error for Dispute {}

struct ReplayedUnit {
    policy: Policy,
    state: State,
    oracle: SafetyOracle,
}

/// Replays every unit of a record. Stops at the first step that does not agree.
#[must_use]
pub fn replay(record: &Record) -> Agreement {
    replay_by(record, &Core)
}

/// Replays a record as [`replay`] does, and compares it with `machine`.
pub fn replay_by(record: &Record, machine: &impl Machine) -> Agreement {
    let mut units: BTreeMap<UnitId, ReplayedUnit> = BTreeMap::new();
    let mut agreement = Agreement::default();
    for line in &record.lines {
        match line {
            RecordLine::Head { unit, policy, .. } => {
                let fresh = ReplayedUnit {
                    policy: *policy,
                    state: State::INITIAL,
                    oracle: SafetyOracle::default(),
                };
                units.insert(*unit, fresh);
                agreement.units = units.len();
            }
            RecordLine::PolicyChanged { unit, policy, .. } => {
                if let Some(unit) = units.get_mut(unit) {
                    unit.policy = *policy;
                }
            }
            RecordLine::Step(step) => {
                let Some(unit) = units.get_mut(&step.unit) else { continue };
                let number = agreement.steps + 1;
                if let Err(objection) = unit.follow(number, step, machine) {
                    let recorded = step.clone();
                    agreement.dispute = Some(Dispute { step: number, recorded, objection });
                    break;
                }
                agreement.steps += 1;
                agreement.actions += step.actions.len();
            }
        }
    }
    agreement
}

/// Returns the trace of the first unit of a record by the machine, and the policy in force at each
/// step.
#[must_use]
pub fn trace(record: &Record) -> (Vec<TraceLine>, Vec<Policy>) {
    let guarded = Guarded::new(&Core, None);
    let mut trace = Vec::new();
    let mut policies = Vec::new();
    let mut first: Option<(UnitId, Policy, State)> = None;
    for line in &record.lines {
        match (line, &mut first) {
            (RecordLine::Head { unit, policy, .. }, None) => {
                first = Some((*unit, *policy, State::INITIAL))
            }
            (RecordLine::PolicyChanged { unit, policy, .. }, Some(known)) if *unit == known.0 => {
                known.1 = *policy;
            }
            (RecordLine::Step(recorded), Some((unit, policy, state))) if recorded.unit == *unit => {
                let (before, event) = (*state, recorded.event);
                let step = (&guarded).step(policy, before, event);
                *state = step.state;
                let at = Moment::from_nanos(recorded.at_us.saturating_mul(1_000));
                trace.push(TraceLine { at, unit: *unit, event, before, step });
                policies.push(*policy);
            }
            (
                RecordLine::Head { .. } | RecordLine::PolicyChanged { .. } | RecordLine::Step(_),
                _,
            ) => {}
        }
    }
    (trace, policies)
}

impl ReplayedUnit {
    /// Checks the recorded step of this number.
    fn follow(
        &mut self,
        number: usize,
        recorded: &RecordedStep,
        machine: &impl Machine,
    ) -> Result<(), Objection> {
        let event: Event = recorded.event;
        let before = self.state;
        let violates = |property| Violation::new(property, number);
        let step = guard::catch(|| machine.step(&self.policy, before, event)).map_err(|line| {
            let panic = Some(line);
            Objection::Violates(Violation { panic, ..violates(Property::NoPanic) })
        })?;
        let mut actions = Vec::new();
        step.for_each(|action| actions.push(action.to_string()));
        self.state = step.state;
        let phase = step.state.phase();
        if actions != recorded.actions || phase != recorded.phase {
            return Err(Objection::Differs { phase, actions: trace::actions(step) });
        }
        let checked = self.oracle.observe(&self.policy, before, event, step);
        checked.map_err(|property| Objection::Violates(violates(property)))
    }
}
