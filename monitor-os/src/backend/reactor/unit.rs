//! The reactor's side of a unit.

use std::sync::Arc;

use monitor_core::{Event, Millis, Remains, RunId, SaveRule, State};
use tokio::sync::oneshot;

use crate::backend::reactor::inbox::NewUnit;
use crate::backend::reactor::step_log;
use crate::backend::readiness::notifications::NotifyStatus;
use crate::backend::run::recovery::Recovered;
use crate::backend::start::stdio::{Channels, UnitStreams};
use crate::backend::status::events::Subscriber;
use crate::backend::status::published::StatusWriter;
use crate::backend::status::unit_status::{Facts, Status, StopResult, UnitEvent};
use crate::backend::store::unit_store::UnitStore;
use crate::command::Command;
use crate::driver::kernel::{Report, SaveStatus};

/// The reactor's side of a unit: its command, its known facts, and the callers that wait for it.
#[derive(Debug)]
pub(crate) struct ReactorUnit {
    pub(crate) command: Command,
    pub(crate) store: Option<Box<UnitStore>>,
    /// The captured streams and the standard input of its runs, if it has any.
    pub(crate) channels: Option<Box<Channels>>,
    /// The run of an earlier monitor, until the machine has its event.
    pub(crate) recovered: Option<Box<Recovered>>,
    /// The key of the run that is not released.
    pub(crate) run: Option<u64>,
    /// Whether the last run was sent the kill.
    pub(crate) killed: bool,
    /// The facts to publish with the next step, if they differ from those published.
    next: Option<Box<Facts>>,
    status: StatusWriter,
    /// `None` if nobody waits, as for most units.
    waiters: Option<Box<Waiters>>,
}

/// The callers that wait for events and stops of a unit.
#[derive(Debug, Default)]
struct Waiters {
    subscribers: Vec<Subscriber>,
    /// The replies to stops, each with the run that it stops.
    stop_waiters: Vec<(RunId, oneshot::Sender<StopResult>)>,
}

impl ReactorUnit {
    pub(crate) fn new(new_unit: NewUnit) -> Self {
        let NewUnit { command, store, recovered, status, unit: _, policy: _ } = new_unit;
        Self {
            command,
            store,
            channels: None,
            recovered,
            run: None,
            killed: false,
            next: None,
            status,
            waiters: None,
        }
    }

    /// The parts that make up its streams.
    pub(crate) fn streams(&mut self) -> UnitStreams<'_> {
        let Self { command, store, channels, .. } = self;
        UnitStreams { command, store: store.as_deref_mut(), channels }
    }

    /// Whether it is down, by its status.
    pub(crate) fn is_down(&self) -> bool {
        self.status.read(Status::is_down)
    }

    /// Whether its policy forbids a program that could not be recorded.
    pub(crate) fn must_save(&self) -> bool {
        self.status.read(|status| status.policy.rules().save) == SaveRule::Required
    }

    pub(crate) fn name(&self) -> &str {
        &self.status.name
    }

    /// The longest silence of the program that its policy permits.
    pub(crate) fn watchdog(&self) -> Option<Millis> {
        self.status.read(|status| status.policy.rules().watchdog).map(|watchdog| watchdog.period)
    }

    /// Its facts, which are published with the next step.
    pub(crate) fn facts(&mut self) -> &mut Facts {
        let Self { next, status, .. } = self;
        next.get_or_insert_with(|| Box::new(status.read(|status| status.facts.clone())))
    }

    /// The notify status of its program.
    pub(crate) fn notify_status(&self) -> Arc<NotifyStatus> {
        let published = || self.status.read(|status| Arc::clone(&status.facts.notify_status));
        self.next.as_ref().map_or_else(published, |next| Arc::clone(&next.notify_status))
    }

    /// Publishes its facts without a step of the machine.
    pub(crate) fn publish_facts(&mut self) {
        if let Some(facts) = self.next.take() {
            self.status.change(|status| status.facts = *facts);
        }
    }

    /// Publishes whether its last state is saved.
    pub(crate) fn publish_save(&self, save: SaveStatus) {
        self.status.change(|status| status.save = save);
    }

    /// Publishes that one more request was handled.
    pub(crate) fn count_request(&self) {
        self.status.change(|status| status.requests += 1);
    }

    /// Publishes the state after a step, and notifies the subscribers of the unit and of all units.
    pub(crate) fn publish(&mut self, report: &Report<'_>, of_all: &mut Vec<Subscriber>) {
        let after = report.step.state;
        let next = self.next.take();
        self.status.change(|status| {
            if status.state.phase() != after.phase() || status.state.run() != after.run() {
                status.since = report.at;
            }
            status.deadlines.follow(report);
            status.state = after;
            if let Some(facts) = next {
                status.facts = *facts;
            }
            status.policy = Arc::clone(report.policy);
            status.save = report.save;
        });
        let status = self.status.status();
        step_log::step(&self.status.name, report, &status);
        let own = self.waiters.as_mut().map(|waiters| &mut waiters.subscribers);
        if own.as_ref().is_none_or(|own| own.is_empty()) && of_all.is_empty() {
            return;
        }
        let notice = UnitEvent {
            at: report.at,
            unit: report.unit,
            name: Arc::clone(&self.status.name),
            before: report.before,
            event: report.event,
            step: report.step,
            delay: report.delay,
            status,
            missed: 0,
        };
        for subscribers in own.into_iter().chain([of_all]) {
            subscribers.retain(|subscriber| subscriber.notify(&notice));
        }
    }

    /// Adds a subscriber to every event.
    pub(crate) fn add_subscriber(&mut self, subscriber: Subscriber) {
        self.waiters.get_or_insert_default().subscribers.push(subscriber);
    }

    /// Adds the reply to a stop in the state `before`; it is sent when that run is over.
    pub(crate) fn add_stop_waiter(&mut self, before: State, reply: oneshot::Sender<StopResult>) {
        if before.phase().has_run() {
            self.waiters.get_or_insert_default().stop_waiters.push((before.run(), reply));
        } else {
            answer(reply, StopResult::NotRunning);
        }
    }

    /// Sends the replies to stops of a run that is over.
    pub(crate) fn answer_stop_waiters(&mut self, report: &Report<'_>) {
        let Some(mut waiters) = self.waiters.take() else {
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
        let goes_on = |run| run == after.run() && after.phase().has_run();
        let stop_waiters = &mut waiters.stop_waiters;
        stop_waiters
            .extract_if(.., |(run, _)| !goes_on(*run))
            .for_each(|(_, reply)| answer(reply, result));
        self.waiters = waiters.into_some();
    }
}

impl Waiters {
    fn into_some(self: Box<Self>) -> Option<Box<Self>> {
        let nobody = self.subscribers.is_empty() && self.stop_waiters.is_empty();
        (!nobody).then_some(self)
    }
}

/// A caller may have dropped its reply.
fn answer(reply: oneshot::Sender<StopResult>, result: StopResult) {
    reply.send(result).ok();
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::run::supervised_run::Run;
    use crate::backend::status::published::StatusReader;
    use crate::command::streams::Streams;

    /// Goal: what there is of each of a thousand units stays small. The bounds are what was measured; whoever raises one
    /// measures the whole (ARCHITECTURE.md, memory of a unit).
    #[test]
    fn what_a_unit_takes_is_bounded() {
        for (what, size, bound) in [
            ("unit", size_of::<ReactorUnit>(), 104),
            ("status", size_of::<StatusReader>(), 224),
            ("run", size_of::<Run>(), 248),
            ("store", size_of::<UnitStore>(), 192),
            ("streams", size_of::<Streams>(), 80),
            ("command", size_of::<Command>(), 32),
        ] {
            assert!(size <= bound, "{what} takes {size} bytes, more than {bound}");
        }
    }
}
