//! Checks of drivers and machines of other crates.
//!
//! A driver passes each event and each answer to a [`StepChecker`], which reports the first wrong
//! step. With [`generate::strategy`](crate::generate::strategy) its tests use the inputs and the
//! properties of this harness. A machine that only decides otherwise, under the driver of
//! `monitor-os`, needs [`check`] alone.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;

use monitor_core::{Event, Policy, State, Step};
use monitor_os::{Moment, UnitId};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::case::definition::Case;
use crate::machine::injected_bug::MachineUnderTest;
use crate::oracle::safety_oracle::SafetyOracle;
use crate::oracle::trace::TraceLine;
use crate::oracle::verdict::Oracle;
use crate::oracle::violation::Violation;
use crate::report::failure_report::FailureReport;
use crate::report::trace_table::TraceTable;
use crate::search::failure::Failure;
use crate::verification::canary_search::{self, CanarySearch};

pub use crate::search::alarm::{Alarm, Alarms};
use crate::search::canary::{self, Canary, Evidence};
use crate::search::harness::{Harness, Standard};
use crate::search::hunt;

/// Checks the steps of one unit.
#[derive(Clone, Debug, Default)]
pub struct StepChecker {
    oracle: SafetyOracle,
    trace: Vec<TraceLine>,
    policies: Vec<Policy>,
}

impl StepChecker {
    /// Checks one step: at `at`, under `policy`, the machine received `event` in the state `before`
    /// and answered `step`.
    ///
    /// # Errors
    /// The property that is violated, with all steps so far.
    pub fn observe(
        &mut self,
        at: Moment,
        policy: &Policy,
        before: State,
        event: Event,
        step: Step,
    ) -> Result<(), Box<StepViolation>> {
        self.trace.push(TraceLine { at, unit: UnitId::default(), event, before, step });
        self.policies.push(*policy);
        self.oracle.observe(policy, before, event, step).map_err(|property| {
            let violation = Violation::new(property, self.trace.len());
            let (trace, policies) = (self.trace.clone(), self.policies.clone());
            Box::new(StepViolation { violation, trace, policies })
        })
    }
}

/// A step that violates a property, with the steps before it.
#[derive(Clone)]
#[non_exhaustive]
pub struct StepViolation {
    /// The violation.
    pub violation: Violation,
    /// All steps, up to the wrong one.
    pub trace: Vec<TraceLine>,
    /// The policy in force at each step.
    pub policies: Vec<Policy>,
}

/// Prints the property, the policy, and the steps as a table.
impl fmt::Display for StepViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { violation, trace, policies } = self;
        writeln!(f, "FAIL {}", Oracle::Property(violation.property))?;
        policies.last().map_or(Ok(()), |policy| writeln!(f, "policy {policy}"))?;
        TraceTable { trace, policies, marked: true }.fmt(f)
    }
}

/// Prints as `Display` does, so that a failed test shows the table.
impl fmt::Debug for StepViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for StepViolation {}

/// An error of [`check`].
#[derive(Clone)]
#[non_exhaustive]
pub enum CheckError {
    /// A case violates a property.
    Failed(Box<Failure>),
    /// A check of the harness is blind, so that silence would prove nothing.
    Blind(Alarms),
    /// The test runner gave up.
    Abandoned(String),
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => FailureReport::of(failure).fmt(f),
            Self::Blind(alarms) => alarms.fmt(f),
            Self::Abandoned(reason) => f.write_str(reason),
        }
    }
}

/// Prints as `Display` does, so that a failed test shows the report.
impl fmt::Debug for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for CheckError {}

/// Runs cases with `machine` in the virtual world, and shrinks what fails.
///
/// `PROPTEST_CASES` and `PROPTEST_RNG_SEED` set the number of cases and the seed.
///
/// The canaries of every campaign run before, so that a blind harness does not pass. A harness that
/// runs too few cases does not pass.
///
/// # Errors
/// [`CheckError`]: the failure, or the raised alarms.
pub fn check(
    machine: impl MachineUnderTest + Copy,
    cases: impl Strategy<Value = Case>,
) -> Result<(), CheckError> {
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
) -> Result<(), CheckError> {
    let Evidence { found, mut alarms } = canary_search::look_for(harness, &Canary::CAMPAIGN);
    alarms.add(canary::missing(&found, &Canary::CAMPAIGN, &alarms, "this check"));
    if !alarms.is_empty() {
        return Err(CheckError::Blind(alarms));
    }
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    run_cases(harness, config, machine, cases)
}

fn run_cases(
    harness: impl Harness,
    config: ProptestConfig,
    machine: impl MachineUnderTest + Copy,
    cases: impl Strategy<Value = Case>,
) -> Result<(), CheckError> {
    let asked = u64::from(config.cases);
    let ran = Cell::new(0);
    let found = RefCell::new(None);
    let result = TestRunner::new(config).run(&cases, |case| {
        ran.set(ran.get() + 1);
        let verdict = harness.run(&case, machine);
        let Some(property) = verdict.violated() else { return Ok(()) };
        found.replace(Some(hunt::confirm(harness, case.seed, case, property, machine)));
        Err(TestCaseError::fail(property.name()))
    });
    if let Err(error) = result {
        let failed = found.into_inner().map(|failure| CheckError::Failed(Box::new(failure)));
        return Err(failed.unwrap_or_else(|| CheckError::Abandoned(error.to_string())));
    }
    let mut alarms = Alarms::default();
    alarms.count([("this check", ran.get(), asked)]);
    if alarms.is_empty() { Ok(()) } else { Err(CheckError::Blind(alarms)) }
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
        check(Core, strategy::cases()).unwrap();
        let bug: Bug = "BB-16".parse().unwrap();
        let report = check(bug, strategy::races(Race::StopDuringBackoff)).unwrap_err().to_string();
        assert!(report.starts_with("FAIL ") && report.contains("the rules say:"), "{report}");
    }

    /// As `PROPTEST_CASES=0` asks for.
    #[test]
    fn a_check_of_no_case_does_not_pass() {
        let config =
            |cases| ProptestConfig { failure_persistence: None, cases, ..Default::default() };
        let ran = |cases| run_cases(Standard, config(cases), Core, strategy::cases());
        assert!(ran(0).unwrap_err().to_string().starts_with("ALARM cases-missing: "));
        ran(3).unwrap();
    }

    #[test]
    fn a_judge_speaks_at_the_first_wrong_step() {
        let (policy, mut checker) = (Policy::DEFAULT, StepChecker::default());
        let step = policy.step(State::INITIAL, Event::StartRequested);
        let right =
            checker.observe(Moment::ORIGIN, &policy, State::INITIAL, Event::StartRequested, step);
        right.unwrap();
        let again =
            checker.observe(Moment::ORIGIN, &policy, step.state, Event::StartRequested, step);
        assert!(again.unwrap_err().to_string().contains("\n> "), "two spawns, one marked");
    }
}
