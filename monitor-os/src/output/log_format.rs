//! The form in which a sink writes.

/// In which form a sink writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// Bytes as they come, without waiting for the end of a line. Nothing is added.
    #[default]
    Raw,
    /// Whole lines, so that those of several streams do not mix. One without a newline gets it.
    Lines,
    /// Whole lines after the time, the stream, and `F`, or `P` where the line goes on in the next of its stream:
    /// `2026-01-31T23:59:59.123456Z stdout F text`. It is the form of the logs of Kubernetes (CRI).
    Prefixed,
}
