//! The suite as tests with names, for a test file with a `main` of its own.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use monitor_os::Kernel;

use super::hunt::{HuntResult, hunt};
use super::mutant::mutants;
use super::scenarios::scenarios;
use super::setup::BackendSetup;
use super::suite::check_scenario;
use crate::real;

/// Makes `main` of a test file of a backend: a test for each scenario and for each mutant.
///
/// The argument is a function from [`BackendSetup`] to the backend. The test file needs
/// `harness = false`.
#[macro_export]
macro_rules! backend_tests {
    ($make:expr) => {
        fn main() -> std::process::ExitCode {
            $crate::conform::backend::run_trials($make)
        }
    };
}

/// Runs a test for each scenario and for each mutant, by the words of the command line.
///
/// Call it first of all in `main`: in a scripted child it does not return. The words are those of
/// every test: a part of a name, `--exact`, `--skip` and `--list`. The tests run one after another.
#[must_use]
pub fn run_trials<K: Kernel + 'static>(
    make: impl Fn(&BackendSetup) -> K + Clone + Send + 'static,
) -> ExitCode {
    real::enter();
    let mut trials = Vec::new();
    for scenario in scenarios() {
        let make = make.clone();
        let name = format!("scenario::{}", scenario.id());
        trials.push(Trial::ignorable_test(name, move || {
            let verdict = check_scenario(&scenario, make)?;
            if !verdict.findings.is_empty() {
                return Err(Failed::from(format!("{}\n{verdict}", scenario.sentence())));
            }
            Ok(verdict.skipped.map_or(Completion::Completed, Completion::ignored_with))
        }));
    }
    for mutant in mutants() {
        let make = make.clone();
        let name = format!("mutant::{}", mutant.id());
        trials.push(Trial::ignorable_test(name, move || match hunt(mutant, make)? {
            HuntResult::Found(_) => Ok(Completion::Completed),
            HuntResult::Missed => Err(format!("not found: {}", mutant.sentence()).into()),
            HuntResult::Skipped(reason) => Ok(Completion::ignored_with(reason)),
        }));
    }
    // A scenario looks for the zombies of the whole process.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials).exit_code()
}
