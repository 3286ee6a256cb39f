//! Checks each step against the true state of the virtual world.

use monitor_core::{
    Event, Grace, Lifecycle, Millis, Note, Outcome, Phase, Remains, StopMode, TimerKind,
};
use monitor_os::{Moment, Report};

use super::os::ProcessState;
use super::state::{Checks, LastWake, World, number};
use crate::case::script::{Script, SignalDelivery};
use crate::oracle::property::Property;
use crate::oracle::trace::TraceLine;

impl<'a> World<'a> {
    /// Takes note of a step and checks it.
    pub(super) fn observe(&mut self, report: &Report<'_>) {
        let number = number(report.unit);
        let Report { at, unit, before, event, step, .. } = *report;
        let policy = **report.policy;
        self.trace.push(TraceLine { at, unit, policy, event, before, step });
        let unit = &mut self.units[number];
        if matches!(event, Event::PolicyChanged) {
            unit.policy = unit.next_policy.take().unwrap_or(unit.policy);
        }
        unit.state = step.state;
        if self.checks != Checks::None && !self.machine_has_panicked() {
            self.check_step(number, report);
        }
        if self.machine_has_panicked() {
            self.violated = Some(Property::NoPanic);
        }
    }

    pub(super) fn check_step(&mut self, number: usize, report: &Report<'_>) {
        let Report { at, policy, ref before, ref event, ref step, .. } = *report;
        let unit = &mut self.units[number];
        if let Err(property) = unit.oracle.observe_step(policy, before, event, step) {
            self.violate(property);
            return;
        }
        let count = if unit.at_once.0 == at { unit.at_once.1 + 1 } else { 0 };
        unit.at_once = (at, count);
        self.require(count < STEPS_AT_ONCE_MAX, Property::NoHotLoop);
        if matches!(event, Event::TimerFired { .. }) && step.note == Note::Applied {
            self.require(self.last_wake == LastWake::Deadline, Property::ReadableFirst);
        }
        self.check_against_world(number, report);
        self.check_deadline(number, report);
        if self.pending_replies.concerns(report)
            && let Some(property) = self.pending_replies.check(report)
        {
            self.violate(property);
        }
    }

    /// Checks the reported facts against the true state of the world.
    pub(super) fn check_against_world(&mut self, unit: usize, report: &Report<'_>) {
        let state = report.step.state;
        if let Outcome::Exited(reported) = state.outcome()
            && let Some(process) = self.os.latest(unit)
            && process.run == state.run()
        {
            self.require(process.ended() == Some(reported), Property::TrueStatus);
        }
        let current = |run| run == report.before.run();
        if let Event::Started { run } = report.event
            && current(run)
        {
            let failed = self.os.find(unit, run).is_some_and(|process| process.failed);
            self.require(!failed, Property::StartFailures);
        }
        if let Event::TimerFired { timer } = report.event
            && timer.kind == TimerKind::Watchdog
            && report.step.note == Note::Applied
        {
            let reported = self.os.find(unit, timer.run).is_none_or(|run| run.watchdog.is_some());
            self.require(reported, Property::PolicyStartsNothing);
        }
        // Which of the two comes first makes no difference to where a run ends.
        if let Event::Exited { run, .. } = report.event
            && current(run)
            && report.before.phase() == Phase::Starting
        {
            let step = |state, event| self.machine.step(report.policy, state, event).state;
            let started = step(report.before, Event::Started { run });
            let same = step(started, report.event) == state;
            self.require(same, Property::EarlyEnd);
        }
        let gone = matches!(
            report.step.actions.emit,
            Some(
                Lifecycle::Stopped { remains: Remains::Nothing }
                    | Lifecycle::GaveUp { remains: Remains::Nothing }
            )
        );
        if gone {
            let there =
                self.os.latest(unit).is_some_and(|process| process.state == ProcessState::Alive);
            self.require(!there, Property::StoppedMeansGone);
        }
    }

    /// A stop is over in the time that its rule gives it, and a little for what is late. While a
    /// spawn is in flight nothing can be stopped.
    pub(super) fn check_deadline(&mut self, number: usize, report: &Report<'_>) {
        let late = self.case.timers_late;
        let unit = &mut self.units[number];
        let (before, after) = (report.before.phase(), report.step.state.phase());
        if unit.over_by.is_none() && !is_going_down(after) {
            return;
        }
        let in_flight = matches!(before, Phase::Cancelling | Phase::Aborting);
        let overdue = unit.over_by.is_some_and(|by| report.at > by) && !in_flight;
        let stop = report.policy.rules().stop;
        let asked = if let Event::StopRequested { mode: StopMode::Graceful(grace), .. }
        | Event::RestartRequested { grace } = report.event
        {
            grace
        } else {
            Grace::Policy
        };
        let first = match asked {
            Grace::Policy => stop.grace,
            Grace::After(grace) => Some(grace),
            Grace::Never => None,
        };
        let within = |first: Millis, release: Millis| {
            let lates = (0..6).fold(report.at, |at, _| at.after(late));
            let stopped = lates.after(first).after(release);
            stopped.after(stop.kill_window).after(stop.kill_window).after(SLACK)
        };
        let applied = report.step.note == Note::Applied;
        let killed = matches!(before, Phase::Killing | Phase::Purging);
        let again = matches!(report.event, Event::Recovered { .. } | Event::PolicyChanged);
        unit.over_by = match (stop.grace, first) {
            _ if !is_going_down(after) => None,
            (None, _) => None,
            (Some(release), Some(first)) if !is_going_down(before) => Some(within(first, release)),
            (Some(release), _) if again || in_flight => {
                // The grace with which it began stands, and the windows after it are those of the
                // new policy.
                let windows = |by: Moment| by.after(stop.kill_window).after(stop.kill_window);
                unit.over_by.map(|by| windows(by).max(within(release, release)))
            }
            // A second stop may end one that would not; once it is killed it adds nothing.
            (Some(release), Some(first)) if asked != Grace::Policy && applied && !killed => {
                Some(unit.over_by.unwrap_or_else(|| within(first, release)))
            }
            _ => unit.over_by,
        };
        let refused = |script: &Script| script.signals == SignalDelivery::Refused;
        if overdue && !self.case.unit(number).1.iter().any(refused) {
            self.violate(Property::StopEnds);
        }
    }
}

/// How many steps of a unit at one moment are a loop without time.
const STEPS_AT_ONCE_MAX: u32 = 100;

/// How much longer than its rules a stop may take.
const SLACK: Millis = Millis::from_secs(1);

const fn is_going_down(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Cancelling
            | Phase::Aborting
            | Phase::Stopping
            | Phase::Killing
            | Phase::Releasing
            | Phase::Purging
    )
}
