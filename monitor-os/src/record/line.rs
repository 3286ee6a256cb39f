//! The lines of a record.

use std::borrow::Cow;

use monitor_core::{Event, Millis, Phase, Policy, State};

use crate::driver::kernel::{SaveStatus, UnitId};

/// The version of the format, in every head.
pub const VERSION: u64 = 1;

/// One line of a record, which borrows from its reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordLine<'a> {
    /// The head of a unit.
    Head {
        /// The unit.
        unit: UnitId,
        /// The name of the unit.
        name: Cow<'a, str>,
        /// The initial policy of the unit.
        policy: Policy,
        /// The state with which the unit begins: the saved one, or the initial one.
        state: State,
    },
    /// The unit has another policy from here on; its `policy-changed` event follows.
    PolicyChanged {
        /// The time of the change, in microseconds since the first event.
        at_us: u64,
        /// The unit.
        unit: UnitId,
        /// The policy.
        policy: Policy,
    },
    /// An event and its effects.
    Step(RecordedStep<'a>),
}

/// An event and its effects, as they were recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedStep<'a> {
    /// The time at which the event was observed, in microseconds since the first event.
    pub at_us: u64,
    /// The unit.
    pub unit: UnitId,
    /// The event.
    pub event: Event,
    /// The phase after the event.
    pub phase: Phase,
    /// The delay that was drawn, if the phase's timer was armed.
    pub delay: Option<Millis>,
    /// Whether the last state of the unit is saved.
    pub save: SaveStatus,
    /// The commands, in their text form and order.
    pub actions: Vec<Cow<'a, str>>,
}

/// The name of a status in a record.
pub(super) const fn save_name(save: SaveStatus) -> &'static str {
    match save {
        SaveStatus::Saved => "saved",
        SaveStatus::Pending => "pending",
        SaveStatus::Failed => "failed",
    }
}
