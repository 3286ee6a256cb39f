//! The callers: who has wished something, what they wait for, and whether they are answered.
//!
//! A caller waits for a state and not for a change: a stop for the end of the run that it met, a start for
//! a process that serves or for the end of the attempt.

use monitor_core::{Event, Phase, RunId, State};
use monitor_os::{Report, UnitId};

use super::flaw::Flaw;
use super::is_wish;
use crate::watch::Property;

#[derive(Debug)]
pub(super) struct Desk {
    flaw: Option<Flaw>,
    tickets: Vec<Ticket>,
    /// Wishes that were made, and wishes that were handled.
    asked: u64,
    heard: u64,
}

#[derive(Clone, Copy, Debug)]
struct Ticket {
    unit: UnitId,
    awaits: Awaits,
    /// Whether the backend has forgotten it.
    forgotten: bool,
    /// Whether it was answered; then it is kept to see whether it is answered again.
    answered: bool,
}

#[derive(Clone, Copy, Debug)]
enum Awaits {
    /// It serves, or it is down.
    Settled,
    /// This run is over.
    EndOf(RunId),
}

impl Awaits {
    fn is_met(self, state: State) -> bool {
        match self {
            Self::Settled => {
                state.phase().is_down() || matches!(state.phase(), Phase::Running | Phase::Healthy)
            }
            Self::EndOf(run) => state.run() != run || !is_going_on(state),
        }
    }
}

/// Whether a process, or what it left, is there or being made.
const fn is_going_on(state: State) -> bool {
    state.phase().is_live() || matches!(state.phase(), Phase::Releasing | Phase::Purging)
}

impl Desk {
    pub(super) const fn new(flaw: Option<Flaw>) -> Self {
        Self { flaw, tickets: Vec::new(), asked: 0, heard: 0 }
    }

    /// Somebody makes a wish.
    pub(super) const fn ask(&mut self) {
        self.asked += 1;
    }

    /// The monitor has died: all callers know.
    pub(super) fn close(&mut self) {
        self.tickets.clear();
        self.heard = self.asked;
    }

    pub(super) const fn has_heard_everybody(&self) -> bool {
        self.heard >= self.asked
    }

    /// Whether anybody waits, or the step is about a wish.
    pub(super) const fn concerns(&self, report: &Report<'_>) -> bool {
        !self.tickets.is_empty() || is_wish(report.event)
    }

    /// Serves the callers after a step; returns what is wrong with that.
    pub(super) fn serve(&mut self, report: &Report<'_>) -> Option<Property> {
        let registered = self.register(report);
        if self.tickets.is_empty() {
            return None;
        }
        let state = report.step.state;
        let changed = state.phase() != report.before.phase();
        let told = report.step.actions.emit.is_some();
        let newest = self.tickets.len() - 1;
        let mut wrong = None;
        for (place, ticket) in self.tickets.iter_mut().enumerate() {
            if ticket.unit != report.unit {
                continue;
            }
            let met = ticket.awaits.is_met(state);
            let fresh = registered && place == newest;
            let wakes = match self.flaw {
                Some(Flaw::WakesByEdge) => met && changed && !fresh,
                Some(Flaw::RegistersLate) => met && !fresh,
                Some(Flaw::WakesByAnything) => told && !fresh || met,
                _ => met,
            };
            let wakes = wakes && !ticket.forgotten;
            let again = ticket.answered && changed;
            wrong = wrong.or(match (wakes, met) {
                (true, false) => Some(Property::WokenByCondition),
                (false, true) if !ticket.answered => Some(Property::OneReply),
                _ if again => Some(Property::OneReply),
                _ => None,
            });
            ticket.answered = wakes;
        }
        if self.flaw != Some(Flaw::AnswersTwice) {
            self.tickets.retain(|ticket| !ticket.answered);
        }
        wrong
    }

    /// Takes note of a caller if the step is about a wish; returns whether one waits now.
    fn register(&mut self, report: &Report<'_>) -> bool {
        let awaits = match report.event {
            Event::StartRequested | Event::RestartRequested { .. } => Awaits::Settled,
            Event::StopRequested { .. } => Awaits::EndOf(report.before.run()),
            Event::SignalRequested { .. } | Event::ResetRequested | Event::RetryRequested => {
                self.heard += 1;
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
        self.heard += 1;
        if self.flaw == Some(Flaw::OneCaller) {
            for ticket in self.tickets.iter_mut().filter(|ticket| ticket.unit == report.unit) {
                ticket.forgotten = true;
            }
        }
        let unit = report.unit;
        self.tickets.push(Ticket { unit, awaits, forgotten: false, answered: false });
        true
    }
}
