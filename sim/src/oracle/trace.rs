//! A trace: the steps of a run in order, and their text.

use monitor_core::{Event, Note, Phase, Policy, State, Step};
use monitor_os::{Moment, UnitId};

/// One step of a trace: an event, its time and its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceLine {
    /// When the event was observed.
    pub at: Moment,
    /// The unit.
    pub unit: UnitId,
    /// The policy in force.
    pub policy: Policy,
    /// The event that the machine received.
    pub event: Event,
    /// The state before.
    pub before: State,
    /// The machine's answer.
    pub step: Step,
}

impl TraceLine {
    /// The event, with the number of its unit unless that is the first: `@1 start`.
    #[must_use]
    pub fn event_text(&self) -> String {
        match self.unit.as_u32() {
            0 => self.event.to_string(),
            unit => format!("@{unit} {}", self.event),
        }
    }
}

/// `running > stopping`, or the phase alone where it stays.
pub(crate) fn phases(before: State, step: Step) -> String {
    change(before.phase(), step.state.phase())
}

pub(crate) fn change(from: Phase, to: Phase) -> String {
    if from == to { to.to_string() } else { format!("{from} > {to}") }
}

/// The actions of a step in the form of case files, or why there are none.
pub(crate) fn actions(step: Step) -> String {
    let mut actions = Vec::new();
    step.for_each(|action| actions.push(action.to_string()));
    listed(actions, step.note)
}

pub(crate) fn listed(actions: Vec<String>, note: Note) -> String {
    match (actions.is_empty(), note) {
        (false, _) => actions.join("; "),
        (true, Note::Applied) => "-".to_owned(),
        (true, Note::Stale | Note::NotApplicable) => format!("- ({})", note.name()),
    }
}
