//! The toy's own driver under the inputs and the oracles of `monitor-sim`; and its decisions alone.

use monitor_core::{Event, Exit, RunId, Signal};
use monitor_os::Moment;
use monitor_sim::conformance::{self, StepChecker};
use monitor_sim::generate::strategy;
use outside::{Jobs, Toy};
use proptest::prelude::*;

/// Jobs that end as soon as they are asked to.
#[derive(Default)]
struct Obedient {
    ended: Option<RunId>,
}

impl Jobs for Obedient {
    fn spawn(&mut self, _run: RunId) {}

    fn ask_to_end(&mut self, run: RunId) {
        self.ended = Some(run);
    }
}

proptest! {
    #[test]
    fn no_step_of_the_toy_is_wrong(policy in strategy::policies(), requests in strategy::requests()) {
        let mut checker = StepChecker::default();
        let mut verdict = Ok(());
        let mut steps = 0;
        let mut toy = Toy::new(policy, Obedient::default());
        let observer = &mut |at_ms, before, event, step| {
            steps += 1;
            let at = Moment::from_millis(at_ms);
            if verdict.is_ok() {
                verdict = checker.observe(at, &policy, before, event, step);
            }
        };
        toy.handle(Event::StartRequested, observer);
        for (delay, request) in requests {
            toy.pass(delay, observer);
            toy.handle(request, observer);
            if let Some(run) = toy.jobs.ended.take() {
                toy.handle(Event::Exited { run, exit: Exit::Signal(Signal::TERM) }, observer);
            }
        }
        prop_assert!(steps > 0);
        if let Err(report) = verdict {
            return Err(TestCaseError::fail(report.to_string()));
        }
    }
}

/// Decisions that differ from those of `monitor-core` are put in the place of the machine.
#[test]
fn the_decisions_alone_hold_in_the_virtual_world() {
    conformance::check(monitor_os::Core, strategy::cases()).unwrap();
}
