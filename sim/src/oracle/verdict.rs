//! The verdict on a run: of a case in the virtual world, or of a record.

use std::fmt;

use super::comparison::{self, Mismatch};
use super::expectation::{self, Difference};
use super::fault_effects::FaultEffects;
use super::property::Property;
use super::trace::TraceLine;
use super::violation::Violation;
use crate::case::definition::Case;

/// The result of a run: its steps, and the objections of the oracles.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Verdict {
    /// Every step, in order.
    pub trace: Vec<TraceLine>,
    /// The faults that took effect.
    pub fault_effects: FaultEffects,
    /// The first violated property, with its step.
    pub violation: Option<Violation>,
    /// The first step that differs from the reference machine, if the run was compared with it.
    pub mismatch: Option<Box<Mismatch>>,
    /// The first difference from what the case expects or the record has, if the run was compared
    /// with it.
    pub difference: Option<Difference>,
}

impl Verdict {
    /// The first violated property, with its step.
    #[must_use]
    pub fn violated(&self) -> Option<Property> {
        self.violation.as_ref().map(|violation| violation.property)
    }

    /// Returns the oracle that objects. A property comes before the reference machine. An unmet
    /// expectation is a [difference](Self::difference), not a finding of an oracle.
    #[must_use]
    pub fn oracle(&self) -> Option<Oracle> {
        let reference = || self.mismatch.as_ref().map(|_| Oracle::Reference);
        self.violated().map(Oracle::Property).or_else(reference)
    }

    /// Returns whether no oracle objects, and the run is as its case expects or its record has it.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.oracle().is_none() && self.difference.is_none()
    }

    /// Compares the run of `case` with the reference machine and with what the case expects.
    #[must_use]
    pub fn compared(mut self, case: &Case) -> Self {
        let mismatch = |line: &TraceLine| {
            comparison::compare(&line.policy, line.before, line.event, line.step).err()
        };
        self.mismatch = self.trace.iter().find_map(mismatch);
        self.difference = expectation::compare(case, &self.trace).err();
        self
    }
}

/// The oracle that found a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oracle {
    /// A property of the trace.
    Property(Property),
    /// The reference machine.
    Reference,
}

impl Oracle {
    /// Returns the printed name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Property(property) => property.name(),
            Self::Reference => "reference",
        }
    }
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Property(property) => {
                write!(f, "{property} ({}): {}", property.source(), property.sentence())
            }
            Self::Reference => f.write_str("reference: a step is not as the rules say"),
        }
    }
}

#[cfg(test)]
mod tests {
    use monitor_core::{Event, Policy, State, Step, TimerCommand, TimerKind};
    use monitor_os::{Core, Machine};

    use super::*;
    use crate::machine::injected_bug::MachineUnderTest;
    use crate::world::simulation::judge;

    fn verdict(end: &str, machine: impl MachineUnderTest + Copy) -> Verdict {
        let text = "policy restart=always\nprocess rest\n0ms start\n5s stop\nend => ";
        let case: Case = format!("{text}{end}").parse().unwrap();
        judge(&case, machine, 100)
    }

    /// A machine that does not arm the timer of a healthy run, which violates no property.
    #[derive(Clone, Copy)]
    struct WithoutHealthyTimer;

    impl MachineUnderTest for WithoutHealthyTimer {}

    impl Machine for WithoutHealthyTimer {
        fn step(&self, policy: &Policy, state: State, event: Event) -> Step {
            let mut step = Core.step(policy, state, event);
            let arms = matches!(step.actions.timer, TimerCommand::Arm(_));
            if arms && step.state.phase().timer() == Some(TimerKind::Healthy) {
                step.actions.timer = TimerCommand::Keep;
            }
            step
        }
    }

    #[test]
    fn each_oracle_has_its_own_objection() {
        assert!(verdict("stopped", Core).is_accepted());
        let unexpected = verdict("running", Core);
        assert!(unexpected.difference.is_some() && !unexpected.is_accepted());
        assert_eq!(unexpected.oracle(), None);
        let wrong = verdict("stopped", WithoutHealthyTimer);
        assert_eq!((wrong.violated(), wrong.oracle()), (None, Some(Oracle::Reference)));
        assert!(wrong.difference.is_none() && !wrong.is_accepted());
    }
}
