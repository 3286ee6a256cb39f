//! Log files of a run, for `monitor logs` without a running monitor.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{self, Path, PathBuf};
use std::sync::Arc;

use monitor_core::whole_number;

use super::output::{LogFormat, Stream, numbered};
use super::stdio::Streams;

/// A log file of a program, and its rotated predecessors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// The file, absolute, as it was opened: nothing is declared of symbolic links.
    pub path: PathBuf,
    /// How many older files there may be beside it, by its [`Rotation`](super::Rotation); 0 if the monitor puts none aside.
    pub kept: u16,
    /// In which form its lines are; raw, if the program itself writes them.
    pub form: LogFormat,
}

impl LogFile {
    /// The place that a path has in the directory of this process.
    pub(super) fn new(path: &Path, kept: u16, form: LogFormat) -> Self {
        // Fails for an empty path, which was not opened, or without a working directory.
        Self { path: path::absolute(path).unwrap_or_else(|_| path.into()), kept, form }
    }

    /// The names of all of its files, the newest first, whether or not they are there.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        (0..=self.kept).map(|number| numbered(&self.path, number))
    }
}

/// How it is written in a journal, which is a text of lines: a path may be neither.
impl LogFile {
    /// Such as `kept=5 form=lines /var/log/web.log`. What is no printable ASCII of a path, and `%`, are two digits after `%`.
    pub(super) fn to_text(&self) -> String {
        let form = match self.form {
            LogFormat::Raw => "raw",
            LogFormat::Lines => "lines",
            LogFormat::Prefixed => "prefixed",
        };
        let mut text = format!("kept={} form={form} ", self.kept);
        for &byte in self.path.as_os_str().as_bytes() {
            match byte {
                b'%' | ..b' ' | 0x7f.. => text.push_str(&format!("%{byte:02x}")),
                byte => text.push(char::from(byte)),
            }
        }
        text
    }

    /// `None` if it is no such text.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let (kept, rest) = text.strip_prefix("kept=")?.split_once(' ')?;
        let (form, path) = rest.strip_prefix("form=")?.split_once(' ')?;
        let form = match form {
            "raw" => LogFormat::Raw,
            "lines" => LogFormat::Lines,
            "prefixed" => LogFormat::Prefixed,
            _ => return None,
        };
        let mut parts = path.split('%');
        let mut bytes = parts.next()?.as_bytes().to_vec();
        for part in parts {
            let (code, plain) = part.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(code, 16).ok()?);
            bytes.extend_from_slice(plain.as_bytes());
        }
        let path = PathBuf::from(OsString::from_vec(bytes));
        path.is_absolute().then_some(Self { path, kept: whole_number(kept)?, form })
    }
}

/// The log files of the two output streams of the last run, in the order of [`STREAMS`].
pub(super) type StreamFiles = [Option<LogFile>; 2];

pub(super) const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

/// The log files of a run in its record. For a run of this monitor they are the streams of its command, shared with it,
/// so that no path is in memory twice.
#[derive(Clone, Debug)]
pub(super) enum LogFiles {
    /// Declared by the streams of a command; `None` if they are the monitor's.
    Declared(Option<Arc<Streams>>),
    /// Recorded by an earlier monitor.
    Recorded(Box<StreamFiles>),
}

impl LogFiles {
    pub(super) fn files(&self) -> StreamFiles {
        match self {
            Self::Declared(streams) => {
                streams.as_ref().map_or_else(StreamFiles::default, |s| s.log_files())
            }
            Self::Recorded(files) => StreamFiles::clone(files),
        }
    }

    /// Shares the streams of a command, if they declare equal files.
    pub(super) fn share(&mut self, streams: Option<&Arc<Streams>>) {
        let declared = Self::Declared(streams.cloned());
        if declared == *self {
            *self = declared;
        }
    }

    /// Sets the log file of a stream from now on; returns whether it has changed.
    pub(super) fn redirect(&mut self, stream: Stream, to: Option<LogFile>) -> bool {
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
    use std::num::{NonZeroU16, NonZeroU64};

    use tempfile::tempdir;

    use super::*;
    use crate::linux::command::Command;
    use crate::linux::guarded::PathTrust;
    use crate::linux::output::{Capture, LogSink, Output, Rotation};

    fn file(path: &str) -> LogFile {
        LogFile { path: path.into(), kept: 0, form: LogFormat::Raw }
    }

    #[test]
    fn files_round_trip_and_garbage_is_none() {
        let odd = PathBuf::from(OsString::from_vec(b"/a b/%0a\n\xff\xc3\xa4".to_vec()));
        for path in ["/x".into(), odd] {
            for form in [LogFormat::Raw, LogFormat::Lines, LogFormat::Prefixed] {
                let file = LogFile { path: path.clone(), kept: 7, form };
                let text = file.to_text();
                assert!(text.is_ascii() && !text.contains('\n'), "{text:?}");
                assert_eq!(LogFile::from_text(&text), Some(file), "{text}");
            }
        }
        for text in [
            "",
            "/x",
            "kept=x form=raw /x",
            "kept=+1 form=raw /x",
            "kept=0 form=json /x",
            "kept=0 form=raw x",
            "kept=0 form=raw /x%0",
            "kept=0 form=raw /x%zz",
        ] {
            assert_eq!(LogFile::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn files_are_named_from_the_newest() {
        let file = LogFile { kept: 2, ..file("/x/log") };
        let names = ["/x/log", "/x/log.1", "/x/log.2"].map(PathBuf::from);
        assert!(file.files().eq(names));
    }

    /// Goal: what a command says of its streams is found, as far as it leads to a file.
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
