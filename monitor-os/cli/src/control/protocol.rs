//! The control protocol: one request, then its replies, each one line of JSON.
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
    /// The name of the unit; without it all units are meant, or the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
    pub(crate) ask: Operation,
}

/// The operations. `request.rs` has the type of the replies to each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Operation {
    /// The status of a unit, or an overview of all.
    Status,
    /// To be up.
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
    /// To be down.
    Stop {
        /// Whether to answer when it is over.
        wait: bool,
    },
    /// The lines that it printed.
    Logs {
        /// Whether to go on with what is printed until the monitor ends.
        follow: bool,
        /// With how many of the last lines to begin; with all that are kept if it is absent.
        last: Option<u32>,
        /// `stdout` or `stderr`; both if it is absent.
        stream: Option<StreamName>,
    },
    /// Its events.
    Events {
        /// Whether to go on with what happens until the monitor ends.
        follow: bool,
    },
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
    pub(crate) const fn new(unit: Option<String>, ask: Operation) -> Self {
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
