//! Log files of a run, for `monitor logs` without a running monitor.

use std::sync::Arc;

use crate::command::streams::Streams;
use crate::output::line::Stream;
use crate::output::log_file::{LogFile, StreamFiles};

/// The log files of a run in its record.
///
/// For a run of this monitor they are the streams of its command. The record shares them, so that
/// no path is in memory twice.
#[derive(Clone, Debug)]
pub(crate) enum LogFiles {
    /// Declared by the streams of a command; `None` if they are the monitor's.
    Declared(Option<Arc<Streams>>),
    /// Recorded by an earlier monitor.
    Recorded(Box<StreamFiles>),
}

impl LogFiles {
    pub(crate) fn files(&self) -> StreamFiles {
        match self {
            Self::Declared(streams) => {
                streams.as_ref().map_or_else(StreamFiles::default, |s| s.log_files())
            }
            Self::Recorded(files) => StreamFiles::clone(files),
        }
    }

    /// Shares the streams of a command, if they declare equal files.
    pub(crate) fn share(&mut self, streams: Option<&Arc<Streams>>) {
        let declared = Self::Declared(streams.cloned());
        if declared == *self {
            *self = declared;
        }
    }

    /// Sets the log file of a stream from now on; returns whether it changed.
    pub(crate) fn redirect(&mut self, stream: Stream, to: Option<LogFile>) -> bool {
        let mut files = self.files();
        let [stdout, stderr] = &mut files;
        let file = match stream {
            Stream::Stdout => stdout,
            Stream::Stderr => stderr,
        };
        let elsewhere = *file != to;
        if elsewhere {
            *file = to;
            *self = Self::Recorded(Box::new(files));
        }
        elsewhere
    }
}

impl Default for LogFiles {
    fn default() -> Self {
        Self::Declared(None)
    }
}

/// Equal if the files are equal.
impl PartialEq for LogFiles {
    fn eq(&self, other: &Self) -> bool {
        self.files() == other.files()
    }
}

impl Eq for LogFiles {}

#[cfg(test)]
mod tests {
    use crate::output::log_format::LogFormat;
    use std::num::{NonZeroU16, NonZeroU64};

    use tempfile::tempdir;

    use super::*;
    use crate::command::Command;
    use crate::command::streams::Output;
    use crate::linux::path_trust::PathTrust;
    use crate::output::capture::Capture;
    use crate::output::rotation::Rotation;
    use crate::output::sink::LogSink;

    fn file(path: &str) -> LogFile {
        LogFile { path: path.into(), kept: 0, form: LogFormat::Raw }
    }

    /// Goal: the streams of a command declare a log file exactly where they lead to one.
    #[test]
    fn streams_declare_their_log_files() {
        let directory = tempdir().unwrap();
        let log = directory.path().join("log");
        let rotation =
            Rotation { size_bytes: NonZeroU64::new(9).unwrap(), kept: NonZeroU16::new(5).unwrap() };
        let sink =
            LogSink::file(&log, PathTrust::MONITOR, Some(rotation), LogFormat::Prefixed).unwrap();
        let kept = Some(LogFile { path: log, kept: 5, form: LogFormat::Prefixed });
        let own =
            LogSink::descriptor(tempfile::tempfile().unwrap().into(), LogFormat::Raw).unwrap();
        let captured = Output::Captured(Capture::new().to_sink(own.clone()).to_sink(sink));
        let here = std::env::current_dir().unwrap().join("out");
        let command = || Command::new("x", [""; 0]).unwrap();
        for (command, expected) in [
            (command(), [None, None]),
            (command().with_output(captured.clone()), [kept.clone(), None]),
            (command().with_output(captured).with_joined_error(), [kept.clone(), kept]),
            (command().with_output(Output::Captured(Capture::new().to_sink(own))), [None, None]),
            (
                command().with_output(Output::File("out".into())).with_error(Output::Null),
                [Some(file(here.to_str().unwrap())), None],
            ),
        ] {
            let streams = command.shared_streams().cloned();
            assert_eq!(LogFiles::Declared(streams).files(), expected);
        }
    }

    #[test]
    fn equal_files_are_shared_with_the_command() {
        let command = Command::new("x", [""; 0]).unwrap().with_output(Output::File("/x".into()));
        let read = || LogFiles::Recorded(Box::new([Some(file("/x")), None]));
        let mut kept = read();
        kept.share(command.shared_streams());
        assert!(matches!(kept, LogFiles::Declared(Some(_))));
        assert!(!kept.redirect(Stream::Stdout, Some(file("/x"))));
        assert!(matches!(kept, LogFiles::Declared(Some(_))));
        assert!(kept.redirect(Stream::Stderr, Some(file("/y"))));
        assert_eq!(kept.files(), [Some(file("/x")), Some(file("/y"))]);
        let mut other = read();
        other.share(None);
        assert_eq!(other, read());
    }
}
