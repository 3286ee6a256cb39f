//! The oracles for other drivers: they check every step and report the first that is wrong.
//!
//! A driver of another crate passes each event and each answer to its checker. With
//! [`crate::generate::strategy`] its tests use the inputs and the properties of this harness. A machine that only
//! decides otherwise, under the driver of `monitor-os`, needs no more than [`check`].

use std::cell::{Cell, RefCell};

use monitor_core::{Event, Policy, State, Step};
use monitor_os::{Moment, UnitId};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::bugs::canary_search::{self, CanarySearch};
use crate::case::definition::Case;
use crate::machine::injected_bug::MachineUnderTest;
use crate::oracle::safety_oracle::SafetyOracle;
use crate::oracle::trace::TraceLine;
use crate::report::failure_report::FailureReport;
use crate::report::trace_table::TraceTable;
use crate::search::alarm::Alarms;
use crate::search::canary::{self, Canary, Evidence};
use crate::search::harness::{Harness, Standard};
use crate::search::hunt;

/// Checks the steps of one unit. Begin with a new one for each unit.
#[derive(Clone, Debug, Default)]
pub struct StepChecker {
    oracle: SafetyOracle,
    trace: Vec<TraceLine>,
    policies: Vec<Policy>,
}

impl StepChecker {
    /// Checks one step: at `at`, under `policy`, the machine received `event` in the state `before`, and
    /// answered `step`.
    ///
    /// # Errors
    /// The property that is violated, with all steps so far as a table.
    pub fn observe(
        &mut self,
        at: Moment,
        policy: &Policy,
        before: State,
        event: Event,
        step: Step,
    ) -> Result<(), String> {
        self.trace.push(TraceLine { at, unit: UnitId::default(), event, before, step });
        self.policies.push(*policy);
        self.oracle.observe(policy, before, event, step).map_err(|property| {
            let table = TraceTable { trace: &self.trace, policies: &self.policies, marked: true };
            let (source, sentence) = (property.source(), property.sentence());
            format!("FAIL {property} ({source}): {sentence}\npolicy {policy}\n{table}")
        })
    }
}

/// Runs cases with `machine` in the virtual world, and shrinks what fails.
///
/// How many cases, and from which seed, is proptest's matter: `PROPTEST_CASES`, `PROPTEST_RNG_SEED`.
///
/// Before that the canaries of every campaign run, so that a harness that is blind does not pass. Nor does
/// one that runs fewer cases than were asked for, or none.
///
/// # Errors
/// The failure report, or the [alarms](crate::search::alarm) that ring.
pub fn check(
    machine: impl MachineUnderTest + Copy,
    cases: impl Strategy<Value = Case>,
) -> Result<(), String> {
    check_by(Standard, machine, cases)
}

/// Runs cases as [`check`] does, with the parts of `harness`.
///
/// # Errors
/// Those of [`check`].
pub fn check_by(
    harness: impl CanarySearch,
    machine: impl MachineUnderTest + Copy,
    cases: impl Strategy<Value = Case>,
) -> Result<(), String> {
    let Evidence { found, mut alarms } = canary_search::look_for(harness, &Canary::CAMPAIGN);
    alarms.add(canary::missing(&found, &Canary::CAMPAIGN, &alarms, "this check"));
    if !alarms.is_silent() {
        return Err(alarms.to_string());
    }
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    run_cases(harness, config, machine, cases)
}

fn run_cases(
    harness: impl Harness,
    config: ProptestConfig,
    machine: impl MachineUnderTest + Copy,
    cases: impl Strategy<Value = Case>,
) -> Result<(), String> {
    let asked = u64::from(config.cases);
    let ran = Cell::new(0);
    let report = RefCell::new(None);
    let result = TestRunner::new(config).run(&cases, |case| {
        ran.set(ran.get() + 1);
        let verdict = harness.run(&case, machine);
        let Some(property) = verdict.violated() else { return Ok(()) };
        let failure = hunt::confirm(harness, case.seed, case, property, machine);
        let shown = FailureReport::of(&failure);
        report.replace(Some(shown.to_string()));
        Err(TestCaseError::fail(property.name()))
    });
    let report = report.into_inner();
    result.map_err(|error| report.unwrap_or_else(|| error.to_string()))?;
    let mut alarms = Alarms::default();
    alarms.count([("this check", ran.get(), asked)]);
    if alarms.is_silent() { Ok(()) } else { Err(alarms.to_string()) }
}

#[cfg(test)]
mod tests {
    use monitor_os::Core;

    use super::*;
    use crate::bugs::bug::Bug;
    use crate::generate::race::Race;
    use crate::generate::strategy;

    #[test]
    fn the_machine_that_ships_passes_and_a_broken_one_is_shown() {
        assert_eq!(check(Core, strategy::cases()), Ok(()));
        let bug: Bug = "BB-16".parse().unwrap();
        let report = check(bug, strategy::races(Race::StopDuringBackoff)).unwrap_err();
        assert!(report.starts_with("FAIL ") && report.contains("the rules say:"), "{report}");
    }

    /// As `PROPTEST_CASES=0` asks for.
    #[test]
    fn a_check_of_no_case_does_not_pass() {
        let config =
            |cases| ProptestConfig { failure_persistence: None, cases, ..Default::default() };
        let ran = |cases| run_cases(Standard, config(cases), Core, strategy::cases());
        assert!(ran(0).unwrap_err().starts_with("ALARM cases-missing: "));
        assert_eq!(ran(3), Ok(()));
    }

    #[test]
    fn a_judge_speaks_at_the_first_wrong_step() {
        let (policy, mut checker) = (Policy::DEFAULT, StepChecker::default());
        let step = policy.step(State::INITIAL, Event::StartRequested);
        let right =
            checker.observe(Moment::ORIGIN, &policy, State::INITIAL, Event::StartRequested, step);
        assert_eq!(right, Ok(()));
        let again =
            checker.observe(Moment::ORIGIN, &policy, step.state, Event::StartRequested, step);
        assert!(again.unwrap_err().contains("\n> "), "two spawns, one marked");
    }
}
