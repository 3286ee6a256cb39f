//! The requests that a client makes, each with the type of its replies.

use serde::de::DeserializeOwned;

use super::protocol::Operation;
use super::reply::{ChangeReply, EventsReply, LogsReply, StatusReply, StopReply, UnitReply};
use crate::report::log_line::StreamName;

/// A request, and the type of its replies.
pub(crate) trait Request {
    type Reply: DeserializeOwned;

    /// The request on the wire.
    fn operation(self) -> Operation;
}

/// Asks for the status of one unit, or for an overview of all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatusRequest;

impl Request for StatusRequest {
    type Reply = StatusReply;

    fn operation(self) -> Operation {
        Operation::Status
    }
}

/// Changes what one unit, or each of all, is to do. The monitor replies when the machine has
/// handled it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeRequest {
    Start,
    Restart,
    Reset,
    Stop,
}

impl Request for ChangeRequest {
    type Reply = ChangeReply;

    fn operation(self) -> Operation {
        match self {
            Self::Start => Operation::Start,
            Self::Restart => Operation::Restart,
            Self::Reset => Operation::Reset,
            Self::Stop => Operation::Stop { wait: false },
        }
    }
}

/// Changes one unit, which must be named where there are many.
#[derive(Clone, Debug)]
pub(crate) enum UnitRequest {
    /// Sends a signal, by name or number, to the main process.
    Signal(String),
    /// Changes rules of the policy, in the text form.
    Set(Vec<String>),
}

impl Request for UnitRequest {
    type Reply = UnitReply;

    fn operation(self) -> Operation {
        match self {
            Self::Signal(signal) => Operation::Signal { signal },
            Self::Set(rules) => Operation::Set { rules },
        }
    }
}

/// Stops one unit or all. The monitor replies when the stop is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StopRequest;

impl Request for StopRequest {
    type Reply = StopReply;

    fn operation(self) -> Operation {
        Operation::Stop { wait: true }
    }
}

/// Asks for the lines that a unit printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogsRequest {
    pub(crate) follow: bool,
    pub(crate) last: Option<u32>,
    pub(crate) stream: Option<StreamName>,
}

impl Request for LogsRequest {
    type Reply = LogsReply;

    fn operation(self) -> Operation {
        let Self { follow, last, stream } = self;
        Operation::Logs { follow, last, stream }
    }
}

/// Asks for the events of one unit or of all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventsRequest {
    pub(crate) follow: bool,
}

impl Request for EventsRequest {
    type Reply = EventsReply;

    fn operation(self) -> Operation {
        Operation::Events { follow: self.follow }
    }
}
