//! Where the standard streams of a program lead.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use crate::by_identity::ByIdentity;
use crate::command::file_streams::FileStreams;
use crate::linux::pty::Terminal;
use crate::output::capture::Capture;
use crate::output::log_file::{LogFile, StreamFiles};
use crate::output::log_format::LogFormat;

/// Where the standard streams of a command lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Streams {
    pub(crate) input: Input,
    pub(crate) output: Output,
    /// `None` if it leads where the output does.
    pub(crate) error: Option<Output>,
    pub(crate) terminal: Option<Terminal>,
}

/// All are those of the monitor.
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
    /// Whether a run says by a line that it serves.
    pub(crate) fn have_ready_pattern(&self) -> bool {
        [Some(&self.output), self.error.as_ref()].into_iter().flatten().any(|output| match output {
            Output::Captured(capture) => capture.has_ready_pattern(),
            Output::Inherit | Output::Null | Output::File(_) => false,
        })
    }

    /// Where what is printed can be read again.
    pub(crate) fn log_files(&self) -> StreamFiles {
        let output = self.output.log_file();
        let error = self.error.as_ref().map_or_else(|| output.clone(), Output::log_file);
        [output, error]
    }

    /// What of them the helper opens.
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

    /// What becomes of the output that is captured; of none, it is forgotten.
    pub(crate) fn capture(&self) -> Capture {
        match &self.output {
            Output::Captured(capture) => capture.clone(),
            Output::Inherit | Output::Null | Output::File(_) => Capture::new(),
        }
    }
}

/// Where the standard input of a program comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Input {
    /// It is that of the monitor.
    #[default]
    Inherit,
    /// There is nothing to read.
    Null,
    /// Each run reads this file from its beginning. The helper of a [`Launcher`](crate::Launcher) opens it, as it does
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
pub struct InputSource(pub(crate) ByIdentity<OwnedFd>);

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
    /// The helper of a [`Launcher`](crate::Launcher) opens it for each run, so that nobody else waits for its disk. The
    /// user of the program cannot lead it elsewhere: see [`PathFault`](crate::PathFault). A FIFO is opened in both
    /// directions and has no peer to wait for; without the right to read it, the start is tried again until it has a
    /// reader.
    File(PathBuf),
    /// To the monitor, which reads it.
    Captured(Capture),
}

impl Output {
    /// The log file, if there is one.
    pub(crate) fn log_file(&self) -> Option<LogFile> {
        match self {
            Self::Inherit | Self::Null => None,
            Self::File(path) => Some(LogFile::new(path, 0, LogFormat::Raw)),
            Self::Captured(capture) => capture.log_file(),
        }
    }
}
