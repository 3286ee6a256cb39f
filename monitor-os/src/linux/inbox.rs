//! What the handles send to the reactor's thread.

use std::sync::Arc;

use monitor_core::{Event, Policy};
use tokio::sync::oneshot;

use super::command::Command;
use super::events::Listener;
use super::memory::Memory;
use super::recovery::Recovered;
use super::shown::Showing;
use super::status::StopResult;
use crate::kernel::{DriverInput, UnitId};

/// One message.
#[derive(Debug)]
pub(super) enum Message {
    /// A unit joins.
    Join(Joining),
    /// Somebody wishes something of a unit.
    Wish { unit: UnitId, wish: Wish, reply: Option<oneshot::Sender<StopResult>> },
    /// Somebody wants to be told what happens to a unit.
    Listen { unit: UnitId, listener: Listener },
    /// Somebody wants to be told what happens to any unit.
    ListenToAll { listener: Listener },
    /// The next run of a unit is to be of another command.
    Command { unit: UnitId, command: Box<Command> },
    /// Everything is to be brought down, and the thread to end.
    ShutDown,
}

/// A unit that joins.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) unit: UnitId,
    pub(super) command: Command,
    pub(super) policy: Arc<Policy>,
    pub(super) shown: Showing,
    pub(super) memory: Option<Box<Memory>>,
    /// What an earlier monitor left of it; `None` if it was never started.
    pub(super) recovered: Option<Box<Recovered>>,
}

/// What can be wished of a unit.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    Event(Event),
    Policy(Arc<Policy>),
    /// To go on from what an earlier monitor left, or to start if there is nothing.
    Resume,
}

impl Wish {
    /// Whether it would bring the unit up.
    pub(super) const fn brings_up(&self) -> bool {
        matches!(
            self,
            Self::Resume
                | Self::Event(
                    Event::StartRequested | Event::RestartRequested { .. } | Event::RetryRequested
                )
        )
    }

    pub(super) fn input(&self, unit: UnitId) -> DriverInput {
        match self {
            Self::Event(_) | Self::Resume => DriverInput::Event(unit, self.event()),
            Self::Policy(policy) => DriverInput::PolicyChanged(unit, Arc::clone(policy)),
        }
    }

    /// The event by which the driver reports that it has handled the wish.
    pub(super) const fn event(&self) -> Event {
        match self {
            Self::Event(event) => *event,
            Self::Policy(_) => Event::PolicyChanged,
            // Nothing was left: the reactor puts what was in the place of this wish.
            Self::Resume => Event::StartRequested,
        }
    }
}
