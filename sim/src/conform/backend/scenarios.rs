//! The fixed suite of scenarios.

use monitor_core::{Event, Exit, Phase, Signal};

use super::scenario::Cue::{Armed, Down, DownWith, Ended, InPhase, MemberReceived, Received};
use super::scenario::Scenario;

/// All scenarios, in the order of a run.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    [ends(), stops(), groups(), restarts(), several()].concat()
}

const ONCE: &str = "restart=no";
/// No deadline ends a wait that fails, so that the kit sees what is missing.
const PATIENT: &str = "restart=no stop-timeout=never";
/// The same, and only the main process is signalled.
const PROCESS: &str = "restart=no stop-timeout=never scope=process";

/// Programs that end by themselves, and one that does not exist.
fn ends() -> Vec<Scenario> {
    vec![
        Scenario::new("starts-and-exits", "A program starts, ends with code 0, and is released.")
            .unit(ONCE, &["lives=20ms"])
            .start(0)
            .until(DownWith(0, Exit::Code(0))),
        Scenario::new(
            "exit-code-is-true",
            "The backend reports the exit code that the program had.",
        )
        .unit(ONCE, &["lives=20ms exits=code=7"])
        .start(0)
        .until(DownWith(0, Exit::Code(7))),
        Scenario::new("killed-by-signal", "The backend reports the signal that ended the program.")
            .unit(ONCE, &["lives=20ms exits=signal=ABRT"])
            .start(0)
            .until(DownWith(0, Exit::Signal(Signal::ABRT))),
        Scenario::new("exit-before-ack", "A program that ends at once is reported as any other.")
            .unit(ONCE, &["lives=0ms exits=code=3"])
            .start(0)
            .until_unread(Ended(0))
            .until(DownWith(0, Exit::Code(3))),
        Scenario::new(
            "start-fails",
            "A program that does not exist is a failed start, not an exit.",
        )
        .missing_program("restart=no first-start=never")
        .start(0)
        .until(Down(0)),
        Scenario::new("ready-before-exit", "A report of readiness comes before the exit after it.")
            .unit("restart=no readiness=notify start-timeout=none", &["lives=0ms ready=0ms"])
            .with_notify()
            .start(0)
            .until(Down(0)),
    ]
}

/// Stops and signals of a single process.
fn stops() -> Vec<Scenario> {
    vec![
        Scenario::new("stop-in-grace", "A stop reaches the program, which ends of the signal.")
            .unit(PATIENT, &["term=10ms"])
            .start(0)
            .until(Armed(0, 1))
            .stop(0)
            .until(Received(0, Signal::TERM))
            .until(DownWith(0, Exit::Signal(Signal::TERM))),
        Scenario::new(
            "stop-escalates",
            "A program that ignores the stop is killed after its grace.",
        )
        .unit("restart=no stop-timeout=300ms", &["term=ignored"])
        .start(0)
        .until(Armed(0, 1))
        .stop(0)
        .until(DownWith(0, Exit::Signal(Signal::KILL))),
        Scenario::new(
            "signals-in-order",
            "Signals reach the program in the order of the requests.",
        )
        .unit(PATIENT, &["term=10ms"])
        .start(0)
        .until(Armed(0, 1))
        .request(0, Event::SignalRequested { signal: Signal::HUP })
        .until(Received(0, Signal::HUP))
        .request(0, Event::SignalRequested { signal: USR1 })
        .until(Received(0, USR1))
        .stop(0)
        .until(DownWith(0, Exit::Signal(Signal::TERM))),
        Scenario::new(
            "signal-to-the-gone",
            "A stop of a process that has ended changes no status.",
        )
        .unit(PATIENT, &["lives=30ms exits=code=9"])
        .start(0)
        .until(InPhase(0, Phase::Running))
        .until_unread(Ended(0))
        .stop(0)
        .until(DownWith(0, Exit::Code(9))),
        Scenario::new("kill-at-once", "A kill right after the start leaves nothing.")
            .unit(ONCE, &["term=ignored"])
            .start(0)
            .request(0, Event::kill())
            .until(Down(0)),
    ]
}

/// Processes that a program leaves behind.
fn groups() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "group-is-signalled",
            "A stop reaches each process that the run has started.",
        )
        .unit(PATIENT, &["term=10ms leaves=10ms"])
        .start(0)
        .until(Armed(0, 1))
        .stop(0)
        .until(MemberReceived(0, Signal::TERM))
        .until(DownWith(0, Exit::Signal(Signal::TERM))),
        Scenario::new(
            "group-is-emptied",
            "A member that ignores TERM is killed before the release.",
        )
        .unit("restart=no stop-timeout=300ms", &["lives=20ms exits=code=4 leaves=ignored"])
        .start(0)
        .until(DownWith(0, Exit::Code(4))),
        Scenario::new("process-alone", "With the scope of the process no signal reaches a member.")
            .unit(PROCESS, &["term=10ms leaves=10ms"])
            .start(0)
            .until(Armed(0, 1))
            .stop(0)
            .until(DownWith(0, Exit::Signal(Signal::TERM))),
        Scenario::new(
            "grandchild-holds-output",
            "The exit does not wait for the output that a member holds open.",
        )
        .unit(PROCESS, &["lives=20ms exits=code=5 leaves=ignored"])
        .start(0)
        .until(DownWith(0, Exit::Code(5))),
        Scenario::new("released-twice", "A release that is called twice is answered once.")
            .unit("restart=no stop-timeout=300ms", &["lives=20ms leaves=ignored"])
            .with_doubled_releases()
            .start(0)
            .until(Down(0)),
    ]
}

/// Runs one after another.
fn restarts() -> Vec<Scenario> {
    vec![
        Scenario::new("restart-loop", "Each restart makes one process, after the one before it.")
            .unit(
                "restart=always retries=3 backoff=constant:50ms jitter=50% healthy-after=none",
                &["lives=10ms exits=code=1", "lives=0ms exits=code=2", "lives=10ms exits=code=3"],
            )
            .start(0)
            .until(Down(0)),
        Scenario::new(
            "restart-on-request",
            "A requested restart stops the run, and makes another.",
        )
        .unit(PATIENT, &["term=10ms leaves=10ms"])
        .start(0)
        .until(Armed(0, 1))
        .request(0, Event::restart())
        .until(Armed(0, 2))
        .stop(0)
        .until(Down(0)),
        Scenario::new("late-stop-in-backoff", "A stop between two runs makes no further process.")
            .unit("restart=always backoff=constant:1m", &["lives=10ms exits=code=1"])
            .start(0)
            .until(InPhase(0, Phase::BackingOff))
            .stop(0)
            .until(Down(0)),
        Scenario::new(
            "saved-before-the-spawn",
            "A spawn that needs a save comes after its answer.",
        )
        .unit("restart=no save=required first-start=never", &["lives=10ms exits=code=6"])
        .start(0)
        .until(DownWith(0, Exit::Code(6))),
    ]
}

/// Several units at a time.
fn several() -> Vec<Scenario> {
    vec![
        Scenario::new("two-units-do-not-mix", "Runs of equal numbers do not meet across units.")
            .unit(PATIENT, &["term=10ms"])
            .unit(PATIENT, &["term=10ms"])
            .unit(ONCE, &["lives=20ms exits=code=8"])
            .start(0)
            .start(1)
            .start(2)
            .until(Armed(0, 1))
            .until(Armed(1, 1))
            .until(DownWith(2, Exit::Code(8)))
            .stop(1)
            .until(Received(1, Signal::TERM))
            .until(DownWith(1, Exit::Signal(Signal::TERM)))
            .stop(0)
            .until(DownWith(0, Exit::Signal(Signal::TERM))),
        Scenario::new("one-start-fails", "A failed start does not touch the run of another unit.")
            .unit(PATIENT, &["term=10ms"])
            .missing_program("restart=no first-start=never")
            .start(0)
            .until(Armed(0, 1))
            .start(1)
            .until(Down(1))
            .stop(0)
            .until(DownWith(0, Exit::Signal(Signal::TERM))),
    ]
}

const USR1: Signal = match Signal::new(10) {
    Some(signal) => signal,
    None => Signal::HUP,
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use monitor_core::Policy;

    use super::*;
    use crate::case::script::Script;

    #[test]
    fn each_scenario_can_be_read_and_has_an_id_of_its_own() {
        let scenarios = scenarios();
        let ids: BTreeSet<_> = scenarios.iter().map(Scenario::id).collect();
        assert_eq!(ids.len(), scenarios.len());
        for scenario in &scenarios {
            assert!(scenario.sentence().ends_with('.'), "{}", scenario.id());
            for unit in &scenario.units {
                unit.policy.parse::<Policy>().unwrap();
                for script in unit.scripts {
                    script.parse::<Script>().unwrap();
                }
            }
        }
    }
}
