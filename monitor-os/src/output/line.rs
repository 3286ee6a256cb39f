//! A line that a program printed, and its stream.

use std::fmt;
use std::time::SystemTime;

use monitor_core::RunId;

/// An output stream of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Standard output; includes everything that a program prints on a terminal of its own.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// `stdout` or `stderr`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A line that a program printed, or a piece of one that is very long.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// The time of the read, by the wall clock, which may be set back.
    pub at: SystemTime,
    /// The run that was live at the read.
    pub run: RunId,
    /// The stream of the line.
    pub stream: Stream,
    /// The bytes without the newline.
    pub text: Box<[u8]>,
    /// Whether the line ends here. If not, the next piece of the stream continues it.
    pub ends: bool,
}
