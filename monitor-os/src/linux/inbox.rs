//! What the handles send to the reactor's thread.

use std::sync::Arc;

use monitor_core::{Event, Policy};
use tokio::sync::{mpsc, oneshot, watch};

use super::command::Command;
use super::status::{Notice, Status, StopResult};
use crate::kernel::{Happening, UnitId};

/// One message.
#[derive(Debug)]
pub(super) enum Message {
    /// A unit joins, never started.
    Join {
        unit: UnitId,
        name: Arc<str>,
        command: Command,
        policy: Policy,
        status: watch::Sender<Status>,
    },
    /// Somebody wishes something of a unit.
    Wish { unit: UnitId, wish: Wish, reply: Option<oneshot::Sender<StopResult>> },
    /// Somebody wants to be told what happens to a unit.
    Listen { unit: UnitId, listener: mpsc::UnboundedSender<Notice> },
    /// Everything is to be brought down, and the thread to end.
    ShutDown,
}

/// What can be wished of a unit.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wish {
    Event(Event),
    Policy(Policy),
}

impl Wish {
    /// Whether it would bring the unit up.
    pub(super) const fn brings_up(self) -> bool {
        matches!(
            self,
            Self::Event(
                Event::StartRequested | Event::RestartRequested { .. } | Event::RetryRequested
            )
        )
    }

    pub(super) const fn happening(self, unit: UnitId) -> Happening {
        match self {
            Self::Event(event) => Happening::Told(unit, event),
            Self::Policy(policy) => Happening::Amended(unit, policy),
        }
    }

    /// The event by which the driver reports that it has handled the wish.
    pub(super) const fn event(self) -> Event {
        match self {
            Self::Event(event) => event,
            Self::Policy(_) => Event::PolicyChanged,
        }
    }
}
