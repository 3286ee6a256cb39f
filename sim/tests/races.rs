//! The races that the project is named for, as properties: whatever the policy, the processes and
//! the times, no oracle speaks. A failure prints its case, its trace and the command that replays
//! it.

use std::path::Path;

use monitor_core::{Event, Exit, Monitor, Phase, Remains, RunId};
use monitor_os::Core;
use monitor_sim::bugs::{Layer, bank};
use monitor_sim::case::Case;
use monitor_sim::generate::{Race, strategy};
use monitor_sim::oracle::{TraceLine, Verdict};
use monitor_sim::report::{self, FailureReport};
use monitor_sim::search::{hunt, shrink};
use monitor_sim::world::{self, STEPS_MAX};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Runs one case; a violation is shrunk, saved as a file, and shown.
fn check(case: &Case) -> Result<Verdict, TestCaseError> {
    let verdict = world::run(case, Core, STEPS_MAX);
    let Some(property) = verdict.violated() else { return Ok(verdict) };
    let failure = shrink::shrink(case.seed, case.clone(), property, Core);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let saved = report::save(&failure, folder)
        .map_err(|error| TestCaseError::fail(format!("{}: {error}", folder.display())))?;
    let report = FailureReport { saved: Some(&saved), ..FailureReport::of(&failure) };
    Err(TestCaseError::fail(report.to_string()))
}

/// Checks cases that aim at `race`, and demands that it took place in enough of them.
fn holds(race: Race, also: impl Fn(&[TraceLine]) -> Result<(), String>) {
    let config = Config { cases: 2_000, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let occurred = std::cell::Cell::new(0);
    let result = runner.run(&strategy::races(race), |case| {
        let verdict = check(&case)?;
        occurred.set(occurred.get() + u32::from(race.occurred(&verdict)));
        also(&verdict.trace).map_err(|why| TestCaseError::fail(format!("{why}\n{case}")))
    });
    assert!(
        result.is_ok(),
        "{}",
        result.map_or_else(|error| error.to_string(), |()| String::new())
    );
    assert!(occurred.get() > 50, "{race} took place in {} of 2000 cases only", occurred.get());
}

/// Whatever comes later, at the moment of such a stop the process is down.
fn down_at_once(trace: &[TraceLine]) -> Result<(), String> {
    let stopped = trace.iter().find(|line| {
        matches!(line.event, Event::StopRequested { .. })
            && line.before.phase() == Phase::BackingOff
    });
    match stopped {
        Some(line) if line.step.state.phase() != Phase::Stopped => {
            Err(format!("a stop in the backoff leads to {}", line.step.state))
        }
        _ => Ok(()),
    }
}

#[test]
fn double_stop() {
    holds(Race::DoubleStop, |_| Ok(()));
}

#[test]
fn stop_during_backoff() {
    holds(Race::StopDuringBackoff, down_at_once);
}

#[test]
fn stop_while_starting() {
    holds(Race::StopWhileStarting, |_| Ok(()));
}

#[test]
fn exit_before_started() {
    holds(Race::ExitBeforeStarted, |_| Ok(()));
}

#[test]
fn stop_between_timer_and_spawn() {
    holds(Race::StopBetweenTimerAndSpawn, down_at_once);
}

#[test]
fn restart_during_backoff() {
    holds(Race::RestartDuringBackoff, |trace| {
        let restarted = trace.iter().position(|line| {
            matches!(line.event, Event::RestartRequested { .. })
                && line.before.phase() == Phase::BackingOff
        });
        let spawned = |at: usize| trace[at].step.state.phase() == Phase::Starting;
        match restarted {
            Some(at) if !spawned(at) => Err("a restart in the backoff did not spawn".to_owned()),
            _ => Ok(()),
        }
    });
}

#[test]
fn stale_timers() {
    holds(Race::StaleTimers, |_| Ok(()));
}

proptest! {
    #![proptest_config(Config { cases: 4_000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn anything_at_all(case in strategy::cases()) {
        check(&case)?;
    }

    #[test]
    fn a_case_survives_its_text_and_its_json(case in strategy::cases()) {
        prop_assert_eq!(Case::from_json(&case.to_json()), Ok(case.clone()));
        prop_assert_eq!(case.to_string().parse(), Ok(case));
    }

    #[test]
    fn equal_cases_have_equal_traces_whoever_judges(case in strategy::cases()) {
        let first = world::run(&case, Core, STEPS_MAX);
        let second = world::run(&case, Core, STEPS_MAX);
        prop_assert_eq!(&first.trace, &second.trace);
        prop_assert_eq!(first.trace, world::trace(&case, Core, STEPS_MAX));
    }

    /// I19: which of the two notices comes first makes no difference to where a run ends.
    #[test]
    fn an_exit_before_started_ends_like_one_after(policy in strategy::policies(), code: u8) {
        let run = RunId::new(1);
        let (started, exited) = (Event::Started { run }, Event::Exited { run, exit: Exit::Code(code) });
        let end = |events: [Event; 2]| {
            let mut monitor = Monitor::new(policy);
            let released = Event::Released { run, remains: Remains::Nothing };
            for event in [Event::StartRequested].into_iter().chain(events).chain([released]) {
                let _judged_elsewhere = monitor.handle(event);
            }
            monitor.state()
        };
        prop_assert_eq!(end([started, exited]), end([exited, started]));
    }

    #[test]
    fn any_text_is_a_case_or_an_error(text in "\\PC*") {
        if let Err(error) = text.parse::<Case>() {
            prop_assert!(error.to_string().starts_with("line "));
        }
    }
}

#[test]
fn every_bug_put_in_is_found_and_shrunk() {
    for bug in bank::self_test() {
        let hunt = hunt::hunt(bug.race, 0..20_000, bug, || {});
        let failure = hunt.failure.unwrap_or_else(|| panic!("{bug} was not found"));
        let inputs_max = if bug.layer == Layer::Core { 4 } else { 6 };
        assert!(failure.case.inputs.len() <= inputs_max, "{bug}: {}", failure.case);
        let again = world::run(&failure.case, bug, STEPS_MAX);
        assert_eq!(again.violated(), Some(failure.property), "{bug}: the replay agrees");
        let honest = world::run(&failure.case, Core, STEPS_MAX);
        assert_eq!(honest.violated(), None, "{bug}: what ships does not fail there");
    }
}
