//! What the world is going to do by itself, in the order of time.

use monitor_core::{Exit, RunId};
use monitor_os::Moment;

/// Something that the world does by itself, and to which run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) unit: usize,
    pub(super) run: RunId,
    pub(super) deed: Deed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Acknowledge,
    FailStart,
    Die(Exit),
    LeftoverDies,
    OutputEnds,
    Notice,
    Ready,
    Ping,
    Extend,
    Unhealthy,
}

/// A queue in the order of time, and of planning where the time is the same.
///
/// It holds a handful of turns, so it is an array with the next turn at its end.
#[derive(Clone, Debug, Default)]
pub(super) struct Agenda(Vec<(Moment, Turn)>);

impl Agenda {
    pub(super) fn plan(&mut self, at: Moment, turn: Turn) {
        let later = self.0.iter().rposition(|&(other, _)| other > at);
        self.0.insert(later.map_or(0, |index| index + 1), (at, turn));
    }

    pub(super) fn next(&self) -> Option<Moment> {
        self.0.last().map(|&(at, _)| at)
    }

    pub(super) fn pop(&mut self) -> Option<(Moment, Turn)> {
        self.0.pop()
    }

    /// Takes the next turn if it is a death at this moment: the kernel tells of such deaths once.
    pub(super) fn pop_death(&mut self, at: Moment) -> Option<Turn> {
        let &(next, turn) = self.0.last()?;
        (next == at && matches!(turn.deed, Deed::Die(_))).then(|| {
            self.0.pop();
            turn
        })
    }
}
