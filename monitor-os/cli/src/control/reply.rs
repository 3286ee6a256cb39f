//! The replies to requests, a type for each kind of request.

use monitor_core::Note;
use monitor_os::UnitEvent;
use serde::{Deserialize, Serialize};

use super::protocol::{Refusal, VERSION, json_line};
use crate::report::event_entry::EventEntry;
use crate::report::log_line::LogLine;
use crate::report::status_report::{Overview, StatusReport};
use crate::report::stop_outcome::StopOutcome;

/// One line of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answer<T> {
    pub(crate) version: u32,
    pub(crate) answer: T,
}

/// A reply that a monitor may send.
pub(crate) trait Reply: Serialize {
    /// The reply as a line of an answer.
    fn line(self) -> Vec<u8>
    where
        Self: Sized,
    {
        json_line(&Answer { version: VERSION, answer: self })
    }
}

/// The reply to a request that is refused, whatever it asks for. Nothing was done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) refused: Refusal,
}

/// The reply to a request for the status.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StatusReply {
    /// The status of one unit.
    Status(Box<StatusReport>),
    /// An overview of all units.
    Overview(Box<Overview>),
}

/// A reply to a request that changes one unit or all.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ChangeReply {
    /// The machine of a unit has handled the request.
    Handled(HandledRequest),
    /// The machines of all units have handled it.
    End,
}

/// The reply to a request that changes one unit.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum UnitReply {
    /// The machine of the unit has handled the request.
    Handled(HandledRequest),
}

/// A reply to a request to stop that waits for the end of the stop.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StopReply {
    /// The stop is over.
    Stopped(StopOutcome),
    /// The stop of one of all units is over.
    StoppedUnit {
        /// The name of the unit.
        unit: String,
        how: StopOutcome,
    },
    /// The stops of all units are over.
    End,
}

/// A reply to a request for events.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EventsReply {
    Event(Box<EventEntry>),
    /// So many entries are lost: the client was slower than they came, or connected too late.
    Missed(u64),
    /// The answer is complete.
    End,
}

/// A reply to a request for what was printed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogsReply {
    LogLine(Box<LogLine>),
    /// So many lines are lost: the client was slower than they came, or connected too late.
    Missed(u64),
    /// The answer is complete.
    End,
}

impl Reply for Refused {}
impl Reply for StatusReply {}
impl Reply for ChangeReply {}
impl Reply for StopReply {}
impl Reply for EventsReply {}
impl Reply for LogsReply {}

/// How the machine handled a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HandledRequest {
    /// The name of the unit, if the request went to all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
    /// Whether the request changed anything; if not, there was nothing to do.
    pub(crate) counted: bool,
    /// Whether nothing ran and nothing was pending before the request.
    pub(crate) was_down: bool,
    pub(crate) phase: String,
    pub(crate) pid: Option<u32>,
    /// The explanation of the state after the request.
    pub(crate) explain: String,
    /// The policy in force, in the text form.
    pub(crate) policy: String,
}

impl HandledRequest {
    /// How a notice reports a request, without the name of its unit.
    pub(super) fn of(notice: &UnitEvent) -> Self {
        let status = &notice.status;
        Self {
            unit: None,
            counted: notice.step.note == Note::Applied,
            was_down: notice.before.phase().is_down(),
            phase: status.phase().name().into(),
            pid: status.pid(),
            explain: status.explain().to_string(),
            policy: status.policy().to_string(),
        }
    }
}
