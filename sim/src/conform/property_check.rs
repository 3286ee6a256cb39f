//! Checks a machine in a property test.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::case::definition::Case;
use crate::machine::injected_bug::MachineUnderTest;
use crate::report::failure_report::FailureReport;
use crate::search::failure::Failure;
use crate::verification::canary_search::{self, CanarySearch};

pub use crate::search::alarm::{Alarm, Alarms};
use crate::search::canary::{self, Canary, Evidence};
use crate::search::harness::{Harness, Standard};
use crate::search::hunt;

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
}
