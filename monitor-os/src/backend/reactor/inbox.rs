//! The messages from the handles to the reactor's thread.

use std::sync::Arc;

use monitor_core::{Event, Policy};
use tokio::sync::oneshot;

use crate::backend::run::recovery::Recovered;
use crate::backend::status::events::Subscriber;
use crate::backend::status::published::StatusWriter;
use crate::backend::status::unit_status::StopResult;
use crate::backend::store::unit_store::UnitStore;
use crate::command::Command;
use crate::driver::kernel::{DriverInput, UnitId};

/// A message to the reactor.
#[derive(Debug)]
pub(crate) enum Message {
    /// Adds a unit.
    AddUnit(NewUnit),
    /// Sends a request to a unit.
    Request { unit: UnitId, request: Request, reply: Option<oneshot::Sender<StopResult>> },
    /// Subscribes to the events of a unit.
    Subscribe { unit: UnitId, subscriber: Subscriber },
    /// Subscribes to the events of all units.
    SubscribeToAll { subscriber: Subscriber },
    /// Sets the command of a unit's next run.
    Command { unit: UnitId, command: Box<Command> },
    /// Stops all units and ends the thread.
    ShutDown,
}

/// A unit to add.
#[derive(Debug)]
pub(crate) struct NewUnit {
    pub(crate) unit: UnitId,
    pub(crate) command: Command,
    pub(crate) policy: Arc<Policy>,
    pub(crate) status: StatusWriter,
    pub(crate) store: Option<Box<UnitStore>>,
    /// The run of an earlier monitor; `None` if the unit was never started.
    pub(crate) recovered: Option<Box<Recovered>>,
}

/// A request to a unit.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Event(Event),
    Policy(Arc<Policy>),
    /// Continues the run of an earlier monitor, or starts the unit if there is none.
    Resume,
}

impl Request {
    /// Whether it requests a start.
    pub(crate) const fn starts_unit(&self) -> bool {
        matches!(
            self,
            Self::Resume
                | Self::Event(
                    Event::StartRequested | Event::RestartRequested { .. } | Event::RetryRequested
                )
        )
    }

    pub(crate) fn input(&self, unit: UnitId) -> DriverInput {
        match self {
            Self::Event(_) | Self::Resume => DriverInput::Event(unit, self.event()),
            Self::Policy(policy) => DriverInput::PolicyChanged(unit, Arc::clone(policy)),
        }
    }

    /// The event by which the driver reports that it has handled the request.
    pub(crate) const fn event(&self) -> Event {
        match self {
            Self::Event(event) => *event,
            Self::Policy(_) => Event::PolicyChanged,
            // There was no earlier run: else the reactor replaces this request by the recovery.
            Self::Resume => Event::StartRequested,
        }
    }
}
