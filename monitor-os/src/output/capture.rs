//! What becomes of the lines of one captured stream.

use std::fmt;

use crate::by_identity::ByIdentity;
use crate::output::line::Line;
use crate::output::log_file::LogFile;
use crate::output::pattern::LinePattern;
use crate::output::ring::LogRing;
use crate::output::sink::LogSink;
use crate::output::slow::Slow;

/// What becomes of the lines of one stream.
///
/// One thread reads all captured streams of a supervisor. The end of a program's output is never waited for: a run
/// is over when its processes have ended and what they had written until then was read and passed on. That is waited
/// for as long as its sinks take bytes, at most 5 s, and up to 1 s while they take none. A kill does not wait for it.
///
/// A line is what ends with a newline. The last one of a run counts without it; one of more than 16 KiB is cut
/// into pieces. Bytes that are no UTF-8 stay as they are.
///
/// # Crash of the monitor
/// The stream of a stored unit (see [`Supervisor::restore`](crate::Supervisor::restore)) is a named pipe
/// in the state directory, which the program has open to read as well. If the monitor dies, the program can go on
/// writing 64 KiB, then waits for the next monitor, which reads all of it. It is lost only if all processes that have
/// the pipe open end before. The program of a unit that is not stored gets a SIGPIPE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// Boxed, since most streams are not captured, and each has room for it.
    pub(crate) targets: Box<CaptureTargets>,
}

/// Where captured output goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CaptureTargets {
    pub(crate) sinks: Vec<LogSink>,
    pub(crate) ring: Option<LogRing>,
    pub(crate) callback: Option<LineCallback>,
    pub(crate) ready_pattern: Option<LinePattern>,
    pub(crate) slow: Slow,
}

impl Capture {
    /// Reads the stream and forgets it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes it to a sink, which several streams may have in common.
    #[must_use]
    pub fn to_sink(mut self, sink: LogSink) -> Self {
        self.targets.sinks.push(sink);
        self
    }

    /// Keeps its last lines in a ring, which several streams may have in common.
    #[must_use]
    pub fn to_ring(mut self, ring: LogRing) -> Self {
        self.targets.ring = Some(ring);
        self
    }

    /// Calls `listener` with each line, on the thread that reads all streams: it must neither block nor panic.
    #[must_use]
    pub fn to_listener(mut self, listener: impl Fn(&Line) + Send + Sync + 'static) -> Self {
        self.targets.callback = Some(LineCallback(ByIdentity::new(Box::new(listener))));
        self
    }

    /// Takes the first line of a run in which `pattern` is found for its word that it serves, where its policy waits for
    /// that (`readiness=notify`).
    ///
    /// Each run has a pipe of its own then, so that nothing counts for it that an earlier one prints. What was printed
    /// before the end of a run is handled before that end, which is reported up to 5 s later while a sink takes
    /// bytes, and up to 1 s later while it takes none.
    #[must_use]
    pub fn ready_at(mut self, pattern: LinePattern) -> Self {
        self.targets.ready_pattern = Some(pattern);
        self
    }

    /// Whether it waits for a line of each run.
    pub(crate) const fn has_ready_pattern(&self) -> bool {
        self.targets.ready_pattern.is_some()
    }

    /// The first file to which it is written; `None` if there is none.
    pub(crate) fn log_file(&self) -> Option<LogFile> {
        self.targets.sinks.iter().find_map(LogSink::log_file)
    }

    /// What happens while a sink takes nothing.
    #[must_use]
    pub fn when_slow(mut self, slow: Slow) -> Self {
        self.targets.slow = slow;
        self
    }
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct LineCallback(pub(crate) ByIdentity<Box<LineFn>>);

pub(crate) type LineFn = dyn Fn(&Line) + Send + Sync;

impl fmt::Debug for LineCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LineCallback")
    }
}
