//! The last lines of a log file and of its rotated files.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// How many lines to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Lines(u32),
    /// As many whole lines as so many bytes have, and at least one.
    Bytes(u64),
}

/// Decides by the begin of a line whether it counts.
type Wanted<'a> = dyn Fn(&[u8]) -> bool + 'a;

/// A part of a file, up to its end: whole lines but for the last, which may have no newline.
#[derive(Debug)]
pub(crate) struct Part {
    file: File,
    at: u64,
    end: u64,
}

/// Finds the last lines, or the last lines that are `wanted`. Returns parts of files, the oldest
/// first, that begin with the first of these lines.
///
/// `files` are the names of the files, the newest first. Missing files are ignored. Each file is
/// read from its end, and only as far as necessary. `wanted` gets the begin of a line, at most
/// [`HEAD`] bytes.
///
/// # Errors
/// A file cannot be read, or all are missing.
pub(crate) fn last(
    files: impl IntoIterator<Item = PathBuf>,
    last: Last,
    wanted: Option<&Wanted<'_>>,
) -> Result<Vec<Part>, NotRead> {
    let (mut lines, mut bytes) = match last {
        Last::Lines(lines) => (u64::from(lines), u64::MAX),
        Last::Bytes(bytes) => (u64::MAX, bytes),
    };
    let mut parts = Vec::new();
    let mut found = 0_u64;
    let mut missing = None;
    for path in files {
        let failed = |error| NotRead { path: path.clone(), error };
        let file = match open(&path) {
            Ok(file) => file,
            // There are not that many yet, or the monitor was killed between two renames.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing.get_or_insert_with(|| failed(error));
                continue;
            }
            Err(error) => return Err(failed(error)),
        };
        let end = file.metadata().map_err(failed)?.len();
        let mut seeker = Seeker { file: &file, chunk: Vec::new(), from: 0 };
        let (mut at, mut before) = (end, end);
        while before > 0 && lines > 0 && bytes > 0 {
            let start = seeker.line_start(before).map_err(failed)?;
            let length = before - start;
            let counts = match wanted {
                Some(wanted) => wanted(&seeker.head(start, before).map_err(failed)?),
                None => true,
            };
            if counts {
                if length > bytes && found > 0 {
                    bytes = 0;
                    break;
                }
                (lines, bytes) = (lines - 1, bytes.saturating_sub(length));
                found += 1;
                at = start;
            }
            before = start;
        }
        parts.push(Part { file, at, end });
        if lines == 0 || bytes == 0 {
            break;
        }
    }
    parts.reverse();
    match missing {
        Some(missing) if parts.is_empty() => Err(missing),
        Some(_) | None => Ok(parts),
    }
}

/// A file that cannot be read, and the error.
#[derive(Debug)]
pub(crate) struct NotRead {
    pub(crate) path: PathBuf,
    pub(crate) error: io::Error,
}

impl fmt::Display for NotRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read {}: {}", self.path.display(), self.error)
    }
}

/// Opens a regular file. A log that is a pipe or a device has nothing that could be read again.
fn open(path: &Path) -> io::Result<File> {
    // Without O_NONBLOCK the call would wait for a writer of a pipe.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
    }
}

/// Reads a file from its end, no part of it twice.
struct Seeker<'a> {
    file: &'a File,
    chunk: Vec<u8>,
    /// Where the chunk begins.
    from: u64,
}

impl Seeker<'_> {
    /// The begin of the line that ends at `end`, with its newline or without one. `end` is above 0.
    fn line_start(&mut self, end: u64) -> io::Result<u64> {
        let mut to = end - 1;
        while to > 0 {
            let length = self.chunk.len() as u64;
            if !(self.from + 1..=self.from + length).contains(&to) {
                self.from = to.saturating_sub(CHUNK);
                self.chunk = read(self.file, self.from, to)?;
            }
            let known = usize::try_from(to - self.from).unwrap_or(usize::MAX);
            let known = self.chunk.get(..known).unwrap_or(&self.chunk);
            if let Some(newline) = memchr::memrchr(b'\n', known) {
                return Ok(self.from + newline as u64 + 1);
            }
            to = self.from;
        }
        Ok(0)
    }

    /// The begin of the line from `start` to `end`.
    fn head(&self, start: u64, end: u64) -> io::Result<Vec<u8>> {
        read(self.file, start, end.min(start + HEAD))
    }
}

fn read(file: &File, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(to - from).unwrap_or_default()];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}

impl io::Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let count = self.file.read_at(&mut buffer[..room], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

const CHUNK: u64 = 64 * 1024;
/// More than the prefix of a line in the prefixed form.
const HEAD: u64 = 64;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use tempfile::tempdir;

    use super::*;

    /// Goal: what is shown is what a plain reading of all files would have shown, wherever lines
    /// and files are cut.
    #[test]
    fn last_lines_are_found_over_files_and_chunks() {
        let directory = tempdir().unwrap();
        let long = "x".repeat(usize::try_from(CHUNK).unwrap());
        let lines = ["a".into(), String::new(), long.clone(), format!("{long}y"), "b".into()];
        let text = |range: std::ops::Range<usize>| -> String {
            lines[range].iter().map(|line| format!("{line}\n")).collect()
        };
        let names = ["log", "log.1", "log.2"].map(|name| directory.path().join(name));
        for cut in 0..=lines.len() {
            for newline in [true, false] {
                let mut newest = text(cut..lines.len());
                let all = text(0..lines.len());
                let mut all = all.as_str();
                if !newline && newest.pop().is_some() {
                    all = &all[..all.len() - 1];
                }
                // Between the two, one is missing.
                fs::write(&names[0], newest).unwrap();
                fs::write(&names[2], text(0..cut)).unwrap();
                for count in 0..=lines.len() + 1 {
                    let found = last(names.clone(), Last::Lines(count.try_into().unwrap()), None);
                    let expected: String =
                        all.split_inclusive('\n').skip(lines.len().saturating_sub(count)).collect();
                    assert!(read(found) == expected, "cut at {cut}, {count} of them");
                }
            }
        }
    }

    #[test]
    fn bytes_are_of_whole_lines_and_some_lines_do_not_count() {
        let directory = tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, "one\ntwo\nthree\nfour\n").unwrap();
        let found = |wanted, which: Option<&Wanted<'_>>| read(last([path.clone()], wanted, which));
        for (bytes, expected) in [
            (0, ""),
            (1, "four\n"),
            (10, "four\n"),
            (11, "three\nfour\n"),
            (99, "one\ntwo\nthree\nfour\n"),
        ] {
            assert_eq!(found(Last::Bytes(bytes), None), expected, "{bytes}");
        }
        let with_t = |head: &[u8]| head.starts_with(b"t");
        assert_eq!(found(Last::Lines(2), Some(&with_t)), "two\nthree\nfour\n");
        assert_eq!(found(Last::Lines(9), Some(&with_t)), "two\nthree\nfour\n");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let directory = tempdir().unwrap();
        let missing = directory.path().join("log");
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (path, why) in [
            (missing, "No such file"),
            (fifo, "no regular file"),
            ("/dev/null".into(), "no regular"),
        ] {
            // The pipe has no writer, for whom an opening might wait.
            let (answer, answered) = mpsc::channel();
            let files = [path.clone()];
            thread::spawn(move || answer.send(last(files, Last::Lines(1), None)).unwrap());
            let answered = answered.recv_timeout(Duration::from_secs(60));
            let error = answered.expect("an opening waits").unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()) && error.contains(why), "{error}");
        }
    }

    fn read(found: Result<Vec<Part>, NotRead>) -> String {
        let mut text = String::new();
        for mut part in found.unwrap() {
            part.read_to_string(&mut text).unwrap();
        }
        text
    }
}
