//! The events that the world has planned, in the order of time.

use monitor_core::{Exit, RunId};
use monitor_os::Moment;

/// An event of the world and the run that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlannedEvent {
    pub(super) unit: usize,
    pub(super) run: RunId,
    pub(super) event: WorldEvent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorldEvent {
    Acknowledge,
    FailStart,
    Die(Exit),
    LeftoverDies,
    OutputEnds,
    UnitEvent,
    Ready,
    Ping,
    Extend,
    Unhealthy,
    /// The save with this number is done.
    SaveDone(u64),
}

/// A queue in the order of time, and of planning where the time is the same.
///
/// It holds a handful of events, so it is an array with the next event at its end.
#[derive(Clone, Debug, Default)]
pub(super) struct EventQueue(Vec<(Moment, PlannedEvent)>);

impl EventQueue {
    pub(super) fn plan(&mut self, at: Moment, planned: PlannedEvent) {
        let later = self.0.iter().rposition(|&(other, _)| other > at);
        self.0.insert(later.map_or(0, |index| index + 1), (at, planned));
    }

    pub(super) fn next(&self) -> Option<Moment> {
        self.0.last().map(|&(at, _)| at)
    }

    pub(super) fn pop(&mut self) -> Option<(Moment, PlannedEvent)> {
        self.0.pop()
    }

    /// Takes the next event if it is a death at this moment: the kernel reports such deaths once.
    pub(super) fn pop_death(&mut self, at: Moment) -> Option<PlannedEvent> {
        let &(next, planned) = self.0.last()?;
        (next == at && matches!(planned.event, WorldEvent::Die(_))).then(|| {
            self.0.pop();
            planned
        })
    }
}
