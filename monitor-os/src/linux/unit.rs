//! A unit as the reactor's thread knows it.

use std::sync::Arc;

use monitor_core::{Event, Millis, Phase, Remains, RunId, SaveRule, State};
use tokio::sync::{mpsc, oneshot, watch};

use super::command::Command;
use super::inbox::Joining;
use super::memory::Memory;
use super::recovery::Recovered;
use super::status::{Facts, Notice, Status, StopResult};
use super::stdio::Channels;
use crate::kernel::Report;
use crate::telemetry;

/// The kernel's side of a unit: what it runs, what is known of it, and who wants to hear of it.
#[derive(Debug)]
pub(super) struct Unit {
    name: Arc<str>,
    pub(super) command: Command,
    pub(super) memory: Option<Box<Memory>>,
    /// What is captured of its runs and fed to them, if anything is.
    pub(super) channels: Option<Box<Channels>>,
    /// What an earlier monitor left, until the machine is told.
    pub(super) recovered: Option<Box<Recovered>>,
    /// The key of the run that is not released.
    pub(super) run: Option<u64>,
    /// Whether the last run was sent the kill.
    pub(super) killed: bool,
    /// What is shown with the next step.
    pub(super) facts: Facts,
    status: watch::Sender<Status>,
    pub(super) listeners: Vec<mpsc::UnboundedSender<Notice>>,
    /// Who waits for the end of which run.
    stoppers: Vec<(RunId, oneshot::Sender<StopResult>)>,
}

impl Unit {
    pub(super) fn new(joining: Joining) -> Self {
        let Joining { name, command, memory, recovered, status, unit: _, policy: _ } = joining;
        Self {
            name,
            command,
            memory,
            channels: None,
            recovered,
            run: None,
            killed: false,
            facts: Facts::new(),
            status,
            listeners: Vec::new(),
            stoppers: Vec::new(),
        }
    }

    /// Whether it is down, as its status shows.
    pub(super) fn is_down(&self) -> bool {
        self.status.borrow().is_down()
    }

    /// Whether its policy lets no program run that could not be recorded.
    pub(super) fn must_save(&self) -> bool {
        self.status.borrow().policy.rules().save == SaveRule::Required
    }

    /// Its phase, as its status shows.
    pub(super) fn phase(&self) -> Phase {
        self.status.borrow().phase()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How long its policy lets the program be silent.
    pub(super) fn watchdog(&self) -> Option<Millis> {
        self.status.borrow().policy.rules().watchdog.map(|watchdog| watchdog.period)
    }

    /// Shows what is known of it, though nothing has happened that the machine knows of.
    pub(super) fn show_facts(&self) {
        self.status.send_modify(|status| status.facts = self.facts.clone());
    }

    /// Shows that one more wish was handled.
    pub(super) fn count_wish(&self) {
        self.status.send_modify(|status| status.wishes += 1);
    }

    /// Shows the state after a step, and tells those who listen to it or to all units.
    pub(super) fn show(
        &mut self,
        report: &Report<'_>,
        of_all: &mut Vec<mpsc::UnboundedSender<Notice>>,
    ) {
        let after = report.step.state;
        self.status.send_modify(|status| {
            if status.state.phase() != after.phase() || status.state.run() != after.run() {
                status.since = report.at;
            }
            status.deadlines.follow(report);
            status.state = after;
            status.facts = self.facts.clone();
            status.policy = *report.policy;
            status.saved = report.saved;
        });
        let status = self.status.borrow().clone();
        telemetry::told(&self.name, report, &status);
        if self.listeners.is_empty() && of_all.is_empty() {
            return;
        }
        let notice = Notice {
            at: report.at,
            unit: report.unit,
            name: Arc::clone(&self.name),
            before: report.before,
            event: report.event,
            step: report.step,
            delay: report.delay,
            status,
        };
        for listeners in [&mut self.listeners, of_all] {
            listeners.retain(|listener| listener.send(notice.clone()).is_ok());
        }
    }

    /// Takes note of who stopped the unit in the state `before`, to be answered when that run is over.
    pub(super) fn take_stopper(&mut self, before: State, reply: oneshot::Sender<StopResult>) {
        if is_going_on(before) {
            self.stoppers.push((before.run(), reply));
        } else {
            answer(reply, StopResult::NotRunning);
        }
    }

    /// Answers those who wait for the end of a run that is over.
    pub(super) fn answer_stoppers(&mut self, report: &Report<'_>) {
        let (before, after) = (report.before, report.step.state);
        // By a timer, a run ends only if the machine gives up on what survived the kill.
        let leaked = matches!(
            report.event,
            Event::TimerFired { .. } | Event::Released { remains: Remains::Leaked, .. }
        );
        let result = match (leaked, before.exit(), self.killed) {
            (true, ..) => StopResult::Leaked,
            (false, None, _) => StopResult::NotRunning,
            (false, Some(_), true) => StopResult::Killed,
            (false, Some(_), false) => StopResult::Graceful,
        };
        for (run, reply) in std::mem::take(&mut self.stoppers) {
            if run == after.run() && is_going_on(after) {
                self.stoppers.push((run, reply));
            } else {
                answer(reply, result);
            }
        }
    }
}

/// Whether a process, or what it left, is there or being made.
pub(super) const fn is_going_on(state: State) -> bool {
    state.phase().is_live() || matches!(state.phase(), Phase::Releasing | Phase::Purging)
}

/// Nobody listens any more: that is the asker's choice.
fn answer(reply: oneshot::Sender<StopResult>, result: StopResult) {
    reply.send(result).ok();
}
