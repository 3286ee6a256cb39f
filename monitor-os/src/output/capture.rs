//! The targets of the lines of one captured stream.

use std::fmt;

use crate::by_identity::ByIdentity;
use crate::output::line::Line;
use crate::output::log_file::LogFile;
use crate::output::pattern::LinePattern;
use crate::output::ring::LogRing;
use crate::output::sink::LogSink;
use crate::output::slow_sink::SlowSink;

/// The targets of the lines of one captured stream.
///
/// One thread reads all captured streams of a supervisor. The supervisor never waits for the end of
/// a program's output. A run is over when its processes have ended and all output up to that moment
/// was read and passed on. That wait lasts at most 5 s while the sinks take bytes, and at most 1 s
/// while they take none. A kill does not wait for the output.
///
/// A newline ends a line. The last line of a run counts without a newline. A line of more than 16
/// KiB is cut into pieces. Bytes that are no UTF-8 stay unchanged.
///
/// # Crash of the monitor
/// The stream of a stored unit (see [`Supervisor::restore`](crate::Supervisor::restore)) is a named
/// pipe in the state directory. The program has the pipe open for reading too. If the monitor dies,
/// the program can write 64 KiB more and then waits. The next monitor reads all of it. The output
/// is lost only if all processes that have the pipe open end before that. The program of a unit
/// that is not stored gets a SIGPIPE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// Boxed, because every stream has room for it and most streams are not captured.
    pub(crate) targets: Box<CaptureTargets>,
}

/// Targets of captured output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CaptureTargets {
    pub(crate) sinks: Vec<LogSink>,
    pub(crate) ring: Option<LogRing>,
    pub(crate) callback: Option<LineCallback>,
    pub(crate) ready_pattern: Option<LinePattern>,
    pub(crate) slow: SlowSink,
}

impl Capture {
    /// Reads the stream and discards it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes the stream to a sink, which several streams may share.
    #[must_use]
    pub fn to_sink(mut self, sink: LogSink) -> Self {
        self.targets.sinks.push(sink);
        self
    }

    /// Keeps the last lines of the stream in a ring, which several streams may share.
    #[must_use]
    pub fn to_ring(mut self, ring: LogRing) -> Self {
        self.targets.ring = Some(ring);
        self
    }

    /// Calls `listener` with each line.
    ///
    /// The call is made on the thread that reads all streams: it must neither block nor panic.
    #[must_use]
    pub fn to_listener(mut self, listener: impl Fn(&Line) + Send + Sync + 'static) -> Self {
        self.targets.callback = Some(LineCallback(ByIdentity::new(Box::new(listener))));
        self
    }

    /// Takes the first line of a run that contains `pattern` as the signal of readiness.
    ///
    /// The policy decides whether the monitor waits for readiness (`readiness=notify`). Each run
    /// has a pipe of its own with this setting, so that output of an earlier run does not count.
    /// Output from before the end of a run is handled before that end. The end is reported up to 5
    /// s later while a sink takes bytes, and up to 1 s later while it takes none.
    #[must_use]
    pub fn ready_at(mut self, pattern: LinePattern) -> Self {
        self.targets.ready_pattern = Some(pattern);
        self
    }

    /// Whether a printed line is the signal of readiness.
    pub(crate) const fn has_ready_pattern(&self) -> bool {
        self.targets.ready_pattern.is_some()
    }

    /// The first file among the sinks; `None` if there is none.
    pub(crate) fn log_file(&self) -> Option<LogFile> {
        self.targets.sinks.iter().find_map(LogSink::log_file)
    }

    /// Sets the behaviour while a sink takes nothing.
    #[must_use]
    pub fn when_slow(mut self, slow: SlowSink) -> Self {
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
