//! A unit as the reactor's thread knows it.

use std::sync::Arc;

use monitor_core::{Event, Millis, Phase, Remains, RunId, SaveRule, State};
use tokio::sync::oneshot;

use super::command::Command;
use super::events::Listener;
use super::hearing::NotifyStatus;
use super::inbox::Joining;
use super::memory::Memory;
use super::recovery::Recovered;
use super::shown::Showing;
use super::status::{Facts, Notice, Status, StopResult};
use super::stdio::Channels;
use crate::kernel::Report;
use crate::telemetry;

/// The kernel's side of a unit: what it runs, what is known of it, and who wants to hear of it.
#[derive(Debug)]
pub(super) struct Unit {
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
    /// What is shown with the next step, if that is not what is shown now.
    next: Option<Box<Facts>>,
    shown: Showing,
    /// `None` if there is nobody, as with most.
    audience: Option<Box<Audience>>,
}

/// Who wants to hear of a unit.
#[derive(Debug, Default)]
struct Audience {
    listeners: Vec<Listener>,
    /// Who waits for the end of which run.
    stoppers: Vec<(RunId, oneshot::Sender<StopResult>)>,
}

impl Unit {
    pub(super) fn new(joining: Joining) -> Self {
        let Joining { command, memory, recovered, shown, unit: _, policy: _ } = joining;
        Self {
            command,
            memory,
            channels: None,
            recovered,
            run: None,
            killed: false,
            next: None,
            shown,
            audience: None,
        }
    }

    /// Whether it is down, as its status shows.
    pub(super) fn is_down(&self) -> bool {
        self.shown.ask(Status::is_down)
    }

    /// Whether its policy lets no program run that could not be recorded.
    pub(super) fn must_save(&self) -> bool {
        self.shown.ask(|status| status.policy.rules().save) == SaveRule::Required
    }

    /// Its phase, as its status shows.
    pub(super) fn phase(&self) -> Phase {
        self.shown.ask(Status::phase)
    }

    pub(super) fn name(&self) -> &str {
        &self.shown.name
    }

    /// How long its policy lets the program be silent.
    pub(super) fn watchdog(&self) -> Option<Millis> {
        self.shown.ask(|status| status.policy.rules().watchdog).map(|watchdog| watchdog.period)
    }

    /// What is known of it, and shown with the next step.
    pub(super) fn facts(&mut self) -> &mut Facts {
        let Self { next, shown, .. } = self;
        next.get_or_insert_with(|| Box::new(shown.ask(|status| status.facts.clone())))
    }

    /// What its program has said of itself.
    pub(super) fn notify_status(&self) -> Arc<NotifyStatus> {
        let shown = || self.shown.ask(|status| Arc::clone(&status.facts.notify_status));
        self.next.as_ref().map_or_else(shown, |next| Arc::clone(&next.notify_status))
    }

    /// Shows what is known of it, though nothing has happened that the machine knows of.
    pub(super) fn show_facts(&mut self) {
        if let Some(facts) = self.next.take() {
            self.shown.change(|status| status.facts = *facts);
        }
    }

    /// Shows that one more wish was handled.
    pub(super) fn count_wish(&self) {
        self.shown.change(|status| status.wishes += 1);
    }

    /// Shows the state after a step, and tells those who listen to it or to all units.
    pub(super) fn show(&mut self, report: &Report<'_>, of_all: &mut Vec<Listener>) {
        let after = report.step.state;
        let next = self.next.take();
        self.shown.change(|status| {
            if status.state.phase() != after.phase() || status.state.run() != after.run() {
                status.since = report.at;
            }
            status.deadlines.follow(report);
            status.state = after;
            if let Some(facts) = next {
                status.facts = *facts;
            }
            status.policy = Arc::clone(report.policy);
            status.saved = report.saved;
        });
        let status = self.shown.status();
        telemetry::told(&self.shown.name, report, &status);
        let own = self.audience.as_mut().map(|audience| &mut audience.listeners);
        if own.as_ref().is_none_or(|own| own.is_empty()) && of_all.is_empty() {
            return;
        }
        let notice = Notice {
            at: report.at,
            unit: report.unit,
            name: Arc::clone(&self.shown.name),
            before: report.before,
            event: report.event,
            step: report.step,
            delay: report.delay,
            status,
            missed: 0,
        };
        for listeners in own.into_iter().chain([of_all]) {
            listeners.retain(|listener| listener.notify(&notice));
        }
    }

    /// Takes note of who wants to hear of every event.
    pub(super) fn take_listener(&mut self, listener: Listener) {
        self.audience.get_or_insert_default().listeners.push(listener);
    }

    /// Takes note of who stopped the unit in the state `before`, to be answered when that run is over.
    pub(super) fn take_stopper(&mut self, before: State, reply: oneshot::Sender<StopResult>) {
        if is_going_on(before) {
            self.audience.get_or_insert_default().stoppers.push((before.run(), reply));
        } else {
            answer(reply, StopResult::NotRunning);
        }
    }

    /// Answers those who wait for the end of a run that is over.
    pub(super) fn answer_stoppers(&mut self, report: &Report<'_>) {
        let Some(mut audience) = self.audience.take() else {
            return;
        };
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
        let goes_on = |run| run == after.run() && is_going_on(after);
        let stoppers = &mut audience.stoppers;
        stoppers
            .extract_if(.., |(run, _)| !goes_on(*run))
            .for_each(|(_, reply)| answer(reply, result));
        self.audience = audience.into_some();
    }
}

impl Audience {
    fn into_some(self: Box<Self>) -> Option<Box<Self>> {
        let nobody = self.listeners.is_empty() && self.stoppers.is_empty();
        (!nobody).then_some(self)
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
#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::run::Run;
    use crate::linux::shown::Shown;
    use crate::linux::stdio::Streams;

    /// Goal: what there is of each of a thousand units stays small. The bounds are what was measured; whoever raises one
    /// measures the whole (ARCHITECTURE.md, memory of a unit).
    #[test]
    fn what_a_unit_takes_is_bounded() {
        for (what, size, bound) in [
            ("unit", size_of::<Unit>(), 104),
            ("shown", size_of::<Shown>(), 224),
            ("run", size_of::<Run>(), 248),
            ("memory", size_of::<Memory>(), 192),
            ("streams", size_of::<Streams>(), 80),
            ("command", size_of::<Command>(), 32),
        ] {
            assert!(size <= bound, "{what} takes {size} bytes, more than {bound}");
        }
    }
}
