//! The control protocol: one request, then answers, each one line of JSON.
//!
//! ```text
//! -> {"version":2,"ask":{"stop":{"wait":true}}}
//! <- {"version":2,"answer":{"stopped":"graceful"}}
//! ```
//!
//! A monitor of many units takes `"unit":"web"` beside the version. Without it, a request is one to all units, and is
//! answered by a line for each, in which `unit` says of which, and then `"end"`.
//!
//! A field that a request should not have refuses it: what is not understood is not half obeyed. Answers may
//! gain fields within a version.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::report::event_entry::EventEntry;
use crate::report::log_line::{LogLine, StreamName};
use crate::report::status_report::{Overview, StatusReport};
use crate::report::stop_outcome::Stopped;

/// The version of the protocol, in every line.
pub(crate) const VERSION: u32 = 2;

/// The longest request, in bytes, with its line end.
pub(crate) const REQUEST_MAX: usize = 16 * 1024;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ControlRequest {
    pub(crate) version: u32,
    /// The name of the unit; without it all units are meant, or the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
    pub(crate) ask: Ask,
}

/// The operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Ask {
    /// How it is; answered by [`Reply::Status`], or of many units by [`Reply::Overview`].
    Status,
    /// To be up; answered by [`Reply::Handled`], as the next four are.
    Start,
    /// To be down and up again.
    Restart,
    /// Earlier failures to be forgotten.
    Reset,
    /// A signal to the main process.
    Signal {
        /// By name or number.
        signal: String,
    },
    /// Rules of the policy to be changed, all of them or none.
    Set {
        /// In the text form, such as `restart=always`.
        rules: Vec<String>,
    },
    /// To be down; answered by [`Reply::Handled`], or with `wait` by [`Reply::Stopped`] when it is over.
    Stop {
        /// Whether to answer when it is over.
        wait: bool,
    },
    /// What it printed; answered by any number of [`Reply::LogLine`] and [`Reply::Missed`], then [`Reply::End`].
    Logs {
        /// Whether to go on with what is printed until the monitor ends.
        follow: bool,
        /// With how many of the last lines to begin; with all that are kept if it is absent.
        last: Option<u32>,
        /// `stdout` or `stderr`; both if it is absent.
        stream: Option<StreamName>,
    },
    /// What happened; answered by any number of [`Reply::Event`] and [`Reply::Missed`], then [`Reply::End`].
    Events {
        /// Whether to go on with what happens until the monitor ends.
        follow: bool,
    },
}

/// One line of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) version: u32,
    pub(crate) answer: Reply,
}

/// The contents of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply {
    /// How it is.
    Status(Box<StatusReport>),
    /// How all units are.
    Overview(Box<Overview>),
    /// The machine has handled the request.
    Handled(HandledRequest),
    /// The stop is over.
    Stopped(Stopped),
    /// The stop of one of all units is over.
    StoppedUnit {
        /// Its name.
        unit: String,
        /// How.
        how: Stopped,
    },
    /// An event.
    Event(Box<EventEntry>),
    /// A line that the command printed.
    LogLine(Box<LogLine>),
    /// So many entries are lost: the client was slower than they came, or connected too late.
    Missed(u64),
    /// The answer is complete.
    End,
    /// Nothing was done.
    Refused(Refusal),
}

/// How the machine handled a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HandledRequest {
    /// The name of the unit, if all were meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
    /// Whether it changed anything; if not, there was nothing to do.
    pub(crate) counted: bool,
    /// Whether nothing ran and nothing was pending before it.
    pub(crate) was_down: bool,
    pub(crate) phase: String,
    pub(crate) pid: Option<u32>,
    /// The explanation of the state after the request.
    pub(crate) explain: String,
    /// The policy in force, in the text form.
    pub(crate) policy: String,
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) kind: RefusalKind,
    /// What, where, and how to mend it.
    pub(crate) message: String,
}

/// The kinds of refusals, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RefusalKind {
    /// The request is of a version that this monitor does not speak.
    Version,
    /// It is no request.
    Malformed,
    /// It is longer than [`REQUEST_MAX`].
    TooLong,
    /// A value in it cannot be read.
    Value,
    /// The unit is not there, or one must be named.
    Unit,
    /// The client belongs to another user.
    NotAllowed,
    /// Too many clients are connected.
    Busy,
    /// The monitor is going down.
    Ending,
}

impl Refusal {
    pub(crate) fn new(kind: RefusalKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string() }
    }
}

impl ControlRequest {
    pub(crate) const fn new(unit: Option<String>, ask: Ask) -> Self {
        Self { version: VERSION, unit, ask }
    }

    /// Reads a line without its end.
    ///
    /// # Errors
    /// [`RefusalKind::Version`], [`RefusalKind::Malformed`].
    pub(crate) fn read(line: &[u8]) -> Result<Self, Refusal> {
        /// What lines of all versions have.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let malformed = |error| {
            Refusal::new(
                RefusalKind::Malformed,
                format_args!(
                    r#"the request is not understood: {error}; write a line such as {{"version":{VERSION},"ask":"status"}}"#
                ),
            )
        };
        let Versioned { version } = serde_json::from_slice(line).map_err(malformed)?;
        if version != VERSION {
            let message = format_args!(
                "the request has the version {version} and this monitor speaks {VERSION}; use the `monitor` of its release"
            );
            return Err(Refusal::new(RefusalKind::Version, message));
        }
        serde_json::from_slice(line).map_err(malformed)
    }
}

/// A value as one line.
pub(crate) fn json_line(value: &impl Serialize) -> Vec<u8> {
    // None of the types has a map with other keys than texts, nor a fallible `Serialize`.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_round() {
        let rules = vec!["restart=always".to_owned()];
        for ask in [
            Ask::Status,
            Ask::Start,
            Ask::Restart,
            Ask::Reset,
            Ask::Signal { signal: "HUP".into() },
            Ask::Set { rules },
            Ask::Stop { wait: true },
            Ask::Events { follow: false },
            Ask::Logs { follow: true, last: Some(3), stream: Some(StreamName::Stderr) },
        ] {
            let request = ControlRequest::new(Some("web".into()), ask);
            let line = json_line(&request);
            assert_eq!(ControlRequest::read(line.trim_ascii_end()), Ok(request));
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_by_kind() {
        for (text, kind, word) in [
            ("", RefusalKind::Malformed, "EOF"),
            ("stop", RefusalKind::Malformed, r#"{"version":2,"ask":"status"}"#),
            (r#"{"version":2,"ask":"sta"#, RefusalKind::Malformed, "EOF"),
            (r#"{"version":2,"ask":"halt"}"#, RefusalKind::Malformed, "halt"),
            (r#"{"version":2,"ask":"status","now":1}"#, RefusalKind::Malformed, "now"),
            (
                r#"{"version":2,"ask":{"stop":{"wait":true,"kill":1}}}"#,
                RefusalKind::Malformed,
                "kill",
            ),
            (r#"{"version":2,"ask":{"stop":{}}}"#, RefusalKind::Malformed, "wait"),
            (r#"{"version":2,"ask":"start"} x"#, RefusalKind::Malformed, "trailing"),
            (r#"{"ask":"status"}"#, RefusalKind::Malformed, "version"),
            (r#"{"version":3,"tell":"all"}"#, RefusalKind::Version, "speaks 2"),
        ] {
            let refusal = ControlRequest::read(text.as_bytes()).unwrap_err();
            assert_eq!(refusal.kind, kind, "{text}: {refusal:?}");
            assert!(refusal.message.contains(word), "{text}: {refusal:?}");
        }
        assert!(ControlRequest::read(b"\xff").is_err());
    }
}
