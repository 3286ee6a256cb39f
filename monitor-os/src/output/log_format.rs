//! The formats in which a sink writes.

/// Format in which a sink writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// Bytes as they come, without waiting for the end of a line; nothing is added.
    #[default]
    Raw,
    /// Whole lines, so that the lines of several streams do not mix; a missing newline is added.
    Lines,
    /// Whole lines after the time, the stream and `F`: `2026-01-31T23:59:59.123456Z stdout F text`.
    ///
    /// `P` stands in place of `F` if the next line of the stream continues the line. Logs of
    /// Kubernetes (CRI) have this format.
    Prefixed,
}
