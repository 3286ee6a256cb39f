//! The control protocol: one request, then its replies, each one line of JSON.
//!
//! ```text
//! -> {"version":2,"ask":{"stop":{"wait":true}}}
//! <- {"version":2,"answer":{"stopped":"graceful"}}
//! ```
//!
//! A monitor of many units takes `"unit":"web"` beside the version. A request without it goes to
//! all units. The monitor answers with a line for each, in which `unit` is the name, and then
//! `"end"`.
//!
//! An unknown field refuses a request, so that no request is obeyed in part. Replies may gain
//! fields within a version.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::report::log_line::StreamName;

/// The version of the protocol, in every line.
pub(crate) const VERSION: u32 = 2;

/// The longest request, in bytes, with its line end.
pub(crate) const REQUEST_MAX: usize = 16 * 1024;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ControlRequest {
    pub(crate) version: u32,
    /// The name of the unit; without it the request goes to all units, or to the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
    pub(crate) ask: Operation,
}

/// The operations. `request.rs` has the type of the replies to each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Operation {
    /// Reports the status of a unit, or an overview of all.
    Status,
    /// Starts a unit.
    Start,
    /// Stops a unit and starts it again.
    Restart,
    /// Forgets earlier failures.
    Reset,
    /// Sends a signal to the main process.
    Signal {
        /// By name or number.
        signal: String,
    },
    /// Changes rules of the policy, all of them or none.
    Set {
        /// In the text form, such as `restart=always`.
        rules: Vec<String>,
    },
    /// Stops a unit.
    Stop {
        /// Whether to reply when the stop is over.
        wait: bool,
    },
    /// Reports the lines that a unit printed.
    Logs {
        /// Whether to go on with new lines until the monitor ends.
        follow: bool,
        /// How many of the last lines to begin with; all that are kept if absent.
        last: Option<u32>,
        /// `stdout` or `stderr`; both if absent.
        stream: Option<StreamName>,
    },
    /// Reports events.
    Events {
        /// Whether to go on with new events until the monitor ends.
        follow: bool,
    },
}

/// The reason for which a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) kind: RefusalKind,
    /// What is wrong, where, and how to correct it.
    pub(crate) message: String,
}

/// The kinds of refusals, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RefusalKind {
    /// The request is of a version that this monitor does not speak.
    Version,
    /// The line is no request.
    Malformed,
    /// The line is longer than [`REQUEST_MAX`].
    TooLong,
    /// A value in the request cannot be read.
    Value,
    /// There is no such unit, or one must be named.
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
    pub(crate) const fn new(unit: Option<String>, ask: Operation) -> Self {
        Self { version: VERSION, unit, ask }
    }

    /// Reads a line without its end.
    ///
    /// # Errors
    /// [`RefusalKind::Version`], [`RefusalKind::Malformed`].
    pub(crate) fn read(line: &[u8]) -> Result<Self, Refusal> {
        /// The field that requests of all versions have.
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
                "the request has the version {version} and this monitor speaks {VERSION}; use the \
                 `monitor` of its release"
            );
            return Err(Refusal::new(RefusalKind::Version, message));
        }
        serde_json::from_slice(line).map_err(malformed)
    }
}

/// A value as one line.
pub(crate) fn json_line(value: &impl Serialize) -> Vec<u8> {
    // No type has a map with keys other than texts, or a fallible `Serialize`.
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
            Operation::Status,
            Operation::Start,
            Operation::Restart,
            Operation::Reset,
            Operation::Signal { signal: "HUP".into() },
            Operation::Set { rules },
            Operation::Stop { wait: true },
            Operation::Events { follow: false },
            Operation::Logs { follow: true, last: Some(3), stream: Some(StreamName::Stderr) },
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
