//! Where the standard streams of a program lead, and what becomes of what it prints.
//!
//! A file is given to the program itself: nothing of ours is in between. Everything else is captured: `thread`
//! reads the pipes of all units on a thread of its own, so that a disk that hangs is in the way of no deadline;
//! `lines` cuts what comes into lines; `sink` writes them, `rotation` changes files; `ring` keeps the last ones
//! in memory; `pattern` finds the line by which a program shows that it serves.

mod descriptor;
mod lines;
mod pattern;
mod ring;
mod rotation;
mod sink;
pub(super) mod thread;

use std::fmt;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use monitor_core::RunId;

use super::log_files::LogFile;

pub use pattern::{LinePattern, PatternError};
pub use ring::LogRing;
pub use rotation::Rotation;
pub(super) use rotation::numbered;
pub use sink::{LogFormat, LogSink, SinkCounts};

/// Where the standard input of a program comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Input {
    /// It is that of the monitor.
    #[default]
    Inherit,
    /// There is nothing to read.
    Null,
    /// Each run reads this file from its beginning. The helper of a [`Launcher`](super::Launcher) opens it, as it does
    /// an [`Output::File`].
    File(PathBuf),
    /// Each run has a pipe of its own, which is closed when its process has ended.
    Piped(InputSource),
}

/// What is copied into the standard input of one run after the other; for [`Input::Piped`].
///
/// It is read only while a run can take it. What a run has in its pipe when it ends is gone with it; what did not
/// go in is for the next run. At its end, the input of this run and of those that follow ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputSource(pub(super) ByIdentity<OwnedFd>);

impl InputSource {
    /// Copies what can be read from a descriptor: a pipe, a terminal, a socket or a file.
    #[must_use]
    pub fn new(source: OwnedFd) -> Self {
        Self(ByIdentity::new(source))
    }
}

/// Where a standard output or a standard error of a program leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// To that of the monitor.
    #[default]
    Inherit,
    /// To nowhere.
    Null,
    /// To the end of this file, which is made where it is missing (mode 0666 less the umask). The program itself
    /// writes it: it costs the monitor nothing, and does not end with it.
    ///
    /// The helper of a [`Launcher`](super::Launcher) opens it for each run, so that nobody else waits for its disk. The
    /// user of the program cannot lead it elsewhere: see [`PathFault`](super::PathFault). A FIFO is opened in both
    /// directions and has no peer to wait for; without the right to read it, the start is tried again until it has a
    /// reader.
    File(PathBuf),
    /// To the monitor, which reads it.
    Captured(Capture),
}

impl Output {
    /// The log file, if there is one.
    pub(super) fn log_file(&self) -> Option<LogFile> {
        match self {
            Self::Inherit | Self::Null => None,
            Self::File(path) => Some(LogFile::new(path, 0, LogFormat::Raw)),
            Self::Captured(capture) => capture.log_file(),
        }
    }
}

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
/// The stream of a stored unit (see [`Supervisor::restore`](super::Supervisor::restore)) is a named pipe
/// in the state directory, which the program has open to read as well. If the monitor dies, the program can go on
/// writing 64 KiB, then waits for the next monitor, which reads all of it. It is lost only if all processes that have
/// the pipe open end before. The program of a unit that is not stored gets a SIGPIPE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// Boxed, since most streams are not captured, and each has room for it.
    to: Box<CaptureTargets>,
}

/// Where captured output goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct CaptureTargets {
    sinks: Vec<LogSink>,
    ring: Option<LogRing>,
    callback: Option<LineCallback>,
    ready_pattern: Option<LinePattern>,
    slow: Slow,
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
        self.to.sinks.push(sink);
        self
    }

    /// Keeps its last lines in a ring, which several streams may have in common.
    #[must_use]
    pub fn to_ring(mut self, ring: LogRing) -> Self {
        self.to.ring = Some(ring);
        self
    }

    /// Calls `listener` with each line, on the thread that reads all streams: it must neither block nor panic.
    #[must_use]
    pub fn to_listener(mut self, listener: impl Fn(&Line) + Send + Sync + 'static) -> Self {
        self.to.callback = Some(LineCallback(ByIdentity::new(Box::new(listener))));
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
        self.to.ready_pattern = Some(pattern);
        self
    }

    /// Whether it waits for a line of each run.
    pub(super) const fn has_ready_pattern(&self) -> bool {
        self.to.ready_pattern.is_some()
    }

    /// The first file to which it is written; `None` if there is none.
    pub(super) fn log_file(&self) -> Option<LogFile> {
        self.to.sinks.iter().find_map(LogSink::log_file)
    }

    /// What happens while a sink takes nothing.
    #[must_use]
    pub fn when_slow(mut self, slow: Slow) -> Self {
        self.to.slow = slow;
        self
    }
}

/// What happens while a sink takes nothing: its reader is slow, or its disk is full.
///
/// A disk that hangs in the middle of a write holds up all captured streams of the supervisor, and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Slow {
    /// Nothing is read, so that the program waits when its pipe is full (64 KiB). A write that failed is tried
    /// again every second.
    #[default]
    Block,
    /// What comes is dropped for that sink and counted, and a line says how many are missing when it takes
    /// something again.
    DropNewest,
}

/// Which of the two output streams of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Standard output; also what a program prints on a terminal of its own.
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
pub struct Line {
    /// When it was read, by the clock on the wall, which may be set back.
    pub at: SystemTime,
    /// The run that was going on.
    pub run: RunId,
    /// Where it was printed.
    pub stream: Stream,
    /// The bytes without the newline.
    pub text: Box<[u8]>,
    /// Whether the line ends here. If not, the next one of the stream goes on with it.
    pub ends: bool,
}

#[derive(Clone, PartialEq, Eq)]
struct LineCallback(ByIdentity<Box<LineFn>>);

type LineFn = dyn Fn(&Line) + Send + Sync;

impl fmt::Debug for LineCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LineCallback")
    }
}

/// A shared value that is compared by identity.
#[derive(Debug)]
pub(super) struct ByIdentity<T: ?Sized>(Arc<T>);

impl<T> ByIdentity<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T: ?Sized> Clone for ByIdentity<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: ?Sized> Deref for ByIdentity<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> PartialEq for ByIdentity<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T: ?Sized> Eq for ByIdentity<T> {}
