//! Sources and targets of the standard streams of a program.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use crate::by_identity::ByIdentity;
use crate::command::file_streams::FileStreams;
use crate::linux::pty::Terminal;
use crate::output::capture::Capture;
use crate::output::log_file::{LogFile, StreamFiles};
use crate::output::log_format::LogFormat;

/// Sources and targets of the standard streams of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Streams {
    pub(crate) input: Input,
    pub(crate) output: Output,
    /// `None` if the standard error leads to the target of the output.
    pub(crate) error: Option<Output>,
    pub(crate) terminal: Option<Terminal>,
}

/// All streams are those of the monitor.
impl Default for Streams {
    fn default() -> Self {
        Self {
            input: Input::Inherit,
            output: Output::Inherit,
            error: Some(Output::Inherit),
            terminal: None,
        }
    }
}

impl Streams {
    /// Whether a printed line is the signal of readiness.
    pub(crate) fn have_ready_pattern(&self) -> bool {
        [Some(&self.output), self.error.as_ref()].into_iter().flatten().any(|output| match output {
            Output::Captured(capture) => capture.has_ready_pattern(),
            Output::Inherit | Output::Null | Output::File(_) => false,
        })
    }

    /// The log files of the output and of the error, where they exist.
    pub(crate) fn log_files(&self) -> StreamFiles {
        let output = self.output.log_file();
        let error = self.error.as_ref().map_or_else(|| output.clone(), Output::log_file);
        [output, error]
    }

    /// The streams that the helper opens.
    pub(crate) fn files(&self) -> FileStreams {
        let input = match &self.input {
            Input::File(path) => Some(path),
            Input::Inherit | Input::Null | Input::Piped(_) => None,
        };
        let file = |output: &Output| match output {
            Output::File(path) => Some(path.clone()),
            Output::Inherit | Output::Null | Output::Captured(_) => None,
        };
        if self.terminal.is_some() {
            return FileStreams::default();
        }
        let output = file(&self.output);
        let joined = self.error.is_none() && output.is_some();
        FileStreams {
            input: input.cloned(),
            output,
            error: self.error.as_ref().and_then(file),
            joined,
        }
    }

    /// The capture of the output; an uncaptured output gets a capture that discards.
    pub(crate) fn capture(&self) -> Capture {
        match &self.output {
            Output::Captured(capture) => capture.clone(),
            Output::Inherit | Output::Null | Output::File(_) => Capture::new(),
        }
    }
}

/// Source of the standard input of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Input {
    /// The standard input of the monitor.
    #[default]
    Inherit,
    /// An empty input.
    Null,
    /// Each run reads this file from its beginning.
    ///
    /// The helper of a [`Launcher`](crate::Launcher) opens it, as with [`Output::File`].
    File(PathBuf),
    /// Each run has a pipe of its own, which is closed when its process has ended.
    Piped(InputSource),
}

/// Source that is copied into the standard input of successive runs, for [`Input::Piped`].
///
/// The monitor reads it only while a run can take bytes. Bytes that are in the pipe when a run ends
/// are lost. Bytes that did not fit go to the next run. At the end of the source, the input of this
/// run and of all later runs ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputSource(pub(crate) ByIdentity<OwnedFd>);

impl InputSource {
    /// Copies from a descriptor: a pipe, a terminal, a socket or a file.
    #[must_use]
    pub fn new(source: OwnedFd) -> Self {
        Self(ByIdentity::new(source))
    }
}

/// Target of the standard output or the standard error of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// The stream of the monitor.
    #[default]
    Inherit,
    /// The output is discarded.
    Null,
    /// The end of this file, which is made if it is missing (mode 0666 less the umask).
    ///
    /// The program itself writes the file, which costs the monitor nothing and does not end with
    /// it. The helper of a [`Launcher`](crate::Launcher) opens it for each run, so no other process
    /// waits for its disk. The user of the program cannot redirect the path: see
    /// [`PathFault`](crate::PathFault).
    ///
    /// A FIFO is opened in both directions, so the open does not wait for a peer. Without the right
    /// to read it, the start is retried until the FIFO has a reader.
    File(PathBuf),
    /// The monitor, which reads the stream.
    Captured(Capture),
}

impl Output {
    /// The log file, if the output has one.
    pub(crate) fn log_file(&self) -> Option<LogFile> {
        match self {
            Self::Inherit | Self::Null => None,
            Self::File(path) => Some(LogFile::new(path, 0, LogFormat::Raw)),
            Self::Captured(capture) => capture.log_file(),
        }
    }
}
