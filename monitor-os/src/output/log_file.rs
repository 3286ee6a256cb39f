//! A log file of a program, and its rotated predecessors.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{self, Path, PathBuf};

use monitor_core::whole_number;

use crate::output::line::Stream;
use crate::output::log_format::LogFormat;
use crate::output::rotation::numbered;

/// A log file of a program, and its rotated predecessors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// The absolute path by which the file was opened; symbolic links are not resolved.
    pub path: PathBuf,
    /// The most rotated files that may exist, by its [`Rotation`](crate::Rotation); 0 without one.
    pub kept: u16,
    /// The format of its lines; raw if the program itself writes the file.
    pub form: LogFormat,
}

impl LogFile {
    /// Resolves a path against the working directory of this process.
    pub(crate) fn new(path: &Path, kept: u16, form: LogFormat) -> Self {
        // Fails for an empty path, which was not opened, or without a working directory.
        Self { path: path::absolute(path).unwrap_or_else(|_| path.into()), kept, form }
    }

    /// The names of all possible files, the newest first; any of them may be missing.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        (0..=self.kept).map(|number| numbered(&self.path, number))
    }
}

/// The text form in a journal, which is lines of text; a path may contain any byte.
impl LogFile {
    /// Encodes such as `kept=5 form=lines /var/log/web.log`.
    ///
    /// A byte of the path that is not printable ASCII, or `%`, becomes `%` and two hexadecimal
    /// digits.
    pub(crate) fn to_text(&self) -> String {
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

    /// Decodes the text form; `None` for any other text.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
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
pub(crate) type StreamFiles = [Option<LogFile>; 2];

pub(crate) const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

#[cfg(test)]
mod tests {
    use super::*;

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
        let file = LogFile { path: "/x/log".into(), kept: 2, form: LogFormat::Raw };
        let names = ["/x/log", "/x/log.1", "/x/log.2"].map(PathBuf::from);
        assert!(file.files().eq(names));
    }
}
