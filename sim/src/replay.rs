//! Compares the record of a real supervision with the machine, step by step.

use std::collections::BTreeMap;

use monitor_core::{Policy, State};
use monitor_os::record::{Record, RecordLine, RecordedStep};
use monitor_os::{Core, Machine, Moment, UnitId};

use crate::machine::guard::Guarded;
use crate::oracle::expectation::Difference;
use crate::oracle::property::Property;
use crate::oracle::safety_oracle::SafetyOracle;
use crate::oracle::trace::{self, TraceLine};
use crate::oracle::verdict::Verdict;
use crate::oracle::violation::Violation;

struct ReplayedUnit {
    policy: Policy,
    state: State,
    oracle: SafetyOracle,
}

/// Replays every unit of a record, and stops at the first objection.
///
/// The trace has the steps of the machine. If the machine gives other commands than the record has,
/// or goes to another phase, that is the [difference](Verdict::difference).
#[must_use]
pub fn replay(record: &Record) -> Verdict {
    replay_by(record, &Core)
}

/// Replays a record as [`replay`] does, and compares it with `machine`.
pub fn replay_by(record: &Record, machine: &impl Machine) -> Verdict {
    let mut units: BTreeMap<UnitId, ReplayedUnit> = BTreeMap::new();
    let mut verdict = Verdict::default();
    for line in &record.lines {
        match line {
            RecordLine::Head { unit, policy, .. } => {
                let fresh = ReplayedUnit {
                    policy: *policy,
                    state: State::INITIAL,
                    oracle: SafetyOracle::default(),
                };
                units.insert(*unit, fresh);
            }
            RecordLine::PolicyChanged { unit, policy, .. } => {
                if let Some(unit) = units.get_mut(unit) {
                    unit.policy = *policy;
                }
            }
            RecordLine::Step(step) => {
                let Some(unit) = units.get_mut(&step.unit) else { continue };
                unit.follow(step, machine, &mut verdict);
                if !verdict.is_accepted() {
                    break;
                }
            }
        }
    }
    verdict
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
                trace.push(TraceLine { at: moment(recorded), unit: *unit, event, before, step });
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
    /// Adds the machine's step to the trace, and checks the recorded one.
    fn follow(&mut self, recorded: &RecordedStep, machine: &impl Machine, verdict: &mut Verdict) {
        let (before, event) = (self.state, recorded.event);
        let guarded = Guarded::new(machine, None);
        let step = (&guarded).step(&self.policy, before, event);
        self.state = step.state;
        let line = TraceLine { at: moment(recorded), unit: recorded.unit, event, before, step };
        verdict.trace.push(line);
        let number = verdict.trace.len();
        if let Some(panic) = guarded.panic() {
            let violation = Violation::new(Property::NoPanic, number);
            verdict.violation = Some(Violation { panic: Some(panic.to_owned()), ..violation });
            return;
        }
        let mut actions = Vec::new();
        step.for_each(|action| actions.push(action.to_string()));
        let phase = step.state.phase();
        if actions != recorded.actions || phase != recorded.phase {
            let text = |phase, actions| {
                let answer = trace::listed(actions, step.note);
                format!("{} us {} => {answer} [{phase}]", recorded.at_us, line.event_text())
            };
            verdict.difference = Some(Difference {
                step: number,
                expected: text(recorded.phase, recorded.actions.clone()),
                actual: text(phase, actions),
            });
            return;
        }
        let checked = self.oracle.observe(&self.policy, before, event, step);
        verdict.violation = checked.err().map(|property| Violation::new(property, number));
    }
}

const fn moment(recorded: &RecordedStep) -> Moment {
    Moment::from_nanos(recorded.at_us.saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use monitor_core::{Event, Step};

    use super::*;

    #[derive(Debug)]
    struct Panicking;

    impl Machine for Panicking {
        fn step(&self, _: &Policy, _: State, _: Event) -> Step {
            panic!("no answer");
        }
    }

    fn record(actions: &str) -> Record {
        let text = format!(
            r#"{{"record":1,"unit":0,"name":"web","policy":"restart=always"}}
{{"at_us":7,"unit":0,"event":"start","phase":"starting","actions":[{actions}]}}"#
        );
        Record::parse(text.lines()).unwrap()
    }

    const START: &str = r#""save","spawn #1","emit starting""#;

    #[test]
    fn a_record_of_the_machine_is_accepted() {
        let verdict = replay(&record(START));
        assert!(verdict.is_accepted());
        assert_eq!(verdict.trace.len(), 1);
    }

    #[test]
    fn a_step_that_the_machine_answers_otherwise_is_the_difference() {
        let verdict = replay(&record(r#""save","emit starting""#));
        let difference = verdict.difference.unwrap();
        assert_eq!(difference.step, 1);
        assert_eq!(difference.expected, "7 us start => save; emit starting [starting]");
        assert_eq!(difference.actual, "7 us start => save; spawn #1; emit starting [starting]");
        assert_eq!(verdict.violation, None);
    }

    #[test]
    fn a_panic_of_the_machine_is_the_violation() {
        let verdict = replay_by(&record(START), &Panicking);
        let violation = verdict.violation.unwrap();
        assert_eq!((violation.property, violation.step), (Property::NoPanic, 1));
        assert!(violation.panic.unwrap().starts_with("no answer"));
        assert_eq!((verdict.trace.len(), verdict.difference), (1, None));
    }
}
