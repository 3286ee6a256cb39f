//! The replies that callers wait for.
//!
//! A caller waits for a state, not for a change. A stop waits for the end of the run that it met. A
//! start waits for a process that serves, or for the end of the attempt.

use monitor_core::{Event, RunId, State};
use monitor_os::{Report, Ticket, UnitId};

use crate::machine::injected_bug::InjectedBug;
use crate::oracle::property::Property;

#[derive(Debug)]
pub(super) struct PendingReplies {
    injected_bug: Option<InjectedBug>,
    replies: Vec<PendingReply>,
    /// Requests that were made, and requests that were handled.
    made: u64,
    handled: u64,
}

#[derive(Clone, Copy, Debug)]
struct PendingReply {
    unit: UnitId,
    awaits: Awaits,
    /// Whether the backend has forgotten it.
    forgotten: bool,
    /// Set after the answer. The reply is kept to find a second answer.
    answered: bool,
}

#[derive(Clone, Copy, Debug)]
enum Awaits {
    /// The unit serves or is down.
    Settled,
    /// This run is over.
    EndOf(RunId),
}

impl Awaits {
    fn is_met(self, state: State) -> bool {
        match self {
            Self::Settled => state.phase().is_down() || state.phase().is_serving(),
            Self::EndOf(run) => state.run() != run || !state.phase().has_run(),
        }
    }
}

impl PendingReplies {
    pub(super) const fn new(injected_bug: Option<InjectedBug>) -> Self {
        Self { injected_bug, replies: Vec::new(), made: 0, handled: 0 }
    }

    /// Counts a request that is made, and gives it its ticket.
    pub(super) const fn note_request(&mut self) -> Ticket {
        self.made += 1;
        Ticket::new(self.made)
    }

    /// Drops all callers, because the monitor has died.
    pub(super) fn clear(&mut self) {
        self.replies.clear();
        self.handled = self.made;
    }

    pub(super) const fn has_handled_all(&self) -> bool {
        self.handled >= self.made
    }

    /// Returns whether a caller waits, or the step is about a request.
    pub(super) const fn concerns(&self, report: &Report<'_>) -> bool {
        !self.replies.is_empty() || report.ticket.is_some()
    }

    /// Checks the replies after a step; returns the violated property.
    pub(super) fn check(&mut self, report: &Report<'_>) -> Option<Property> {
        let registered = self.register(report);
        if self.replies.is_empty() {
            return None;
        }
        let state = report.step.state;
        let changed = state.phase() != report.before.phase();
        let reported = report.step.actions.emit.is_some();
        let newest = self.replies.len() - 1;
        let mut wrong = None;
        for (place, reply) in self.replies.iter_mut().enumerate() {
            if reply.unit != report.unit {
                continue;
            }
            let met = reply.awaits.is_met(state);
            let fresh = registered && place == newest;
            let wakes = match self.injected_bug {
                Some(InjectedBug::WakesByEdge) => met && changed && !fresh,
                Some(InjectedBug::RegistersLate) => met && !fresh,
                Some(InjectedBug::WakesByAnything) => reported && !fresh || met,
                _ => met,
            };
            let wakes = wakes && !reply.forgotten;
            let again = reply.answered && changed;
            wrong = wrong.or(match (wakes, met) {
                (true, false) => Some(Property::WokenByCondition),
                (false, true) if !reply.answered => Some(Property::OneReply),
                _ if again => Some(Property::OneReply),
                _ => None,
            });
            reply.answered = wakes;
        }
        if self.injected_bug != Some(InjectedBug::AnswersTwice) {
            self.replies.retain(|reply| !reply.answered);
        }
        wrong
    }

    /// Adds a caller if the step is about a request; returns whether it waits.
    fn register(&mut self, report: &Report<'_>) -> bool {
        if report.ticket.is_none() {
            return false;
        }
        let awaits = match report.event {
            Event::StartRequested | Event::RestartRequested { .. } => Awaits::Settled,
            Event::StopRequested { .. } => Awaits::EndOf(report.before.run()),
            Event::SignalRequested { .. } | Event::ResetRequested | Event::RetryRequested => {
                self.handled += 1;
                return false;
            }
            Event::PolicyChanged
            | Event::Started { .. }
            | Event::StartFailed { .. }
            | Event::Ready { .. }
            | Event::Ping { .. }
            | Event::Extended { .. }
            | Event::Unhealthy { .. }
            | Event::Exited { .. }
            | Event::Released { .. }
            | Event::TimerFired { .. }
            | Event::Recovered { .. } => return false,
        };
        self.handled += 1;
        if self.injected_bug == Some(InjectedBug::OneCaller) {
            for reply in self.replies.iter_mut().filter(|reply| reply.unit == report.unit) {
                reply.forgotten = true;
            }
        }
        let unit = report.unit;
        self.replies.push(PendingReply { unit, awaits, forgotten: false, answered: false });
        true
    }
}
