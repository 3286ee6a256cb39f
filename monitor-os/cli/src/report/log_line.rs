//! A line that a command printed, as the control protocol has it.

use humantime::format_rfc3339_micros;
use monitor_os::{Line, Stream};
use serde::{Deserialize, Serialize};

/// A line that the command printed, or a piece of one that is very long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogLine {
    /// The wall clock time, in the form of RFC 3339.
    pub(crate) at: String,
    pub(crate) run: u32,
    pub(crate) stream: StreamName,
    /// Without the newline.
    pub(crate) text: Text,
    /// Whether the line ends here.
    pub(crate) ends: bool,
}

/// A text, or bytes that are not UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Text {
    Utf8(String),
    Bytes(Vec<u8>),
}

/// The stream of a line: [`Stream`] on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StreamName {
    Stdout,
    Stderr,
}

impl StreamName {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stdout => Stream::Stdout.name(),
            Self::Stderr => Stream::Stderr.name(),
        }
    }
}

impl From<Stream> for StreamName {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Stdout => Self::Stdout,
            Stream::Stderr => Self::Stderr,
        }
    }
}

impl LogLine {
    pub(crate) fn new(line: Line) -> Self {
        let text = String::from_utf8(line.text.into_vec());
        Self {
            at: format_rfc3339_micros(line.at).to_string(),
            run: line.run.as_u32(),
            stream: line.stream.into(),
            text: text.map_or_else(|error| Text::Bytes(error.into_bytes()), Text::Utf8),
            ends: line.ends,
        }
    }
}
