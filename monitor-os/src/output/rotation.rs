//! A log file that is rotated when it is full.

use std::fs::File;
use std::io::{self, Write};
use std::num::{NonZeroU16, NonZeroU64};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::linux::guarded::{OpenParent, Purpose};
use crate::linux::path_error::PathError;
use crate::linux::path_trust::PathTrust;
use crate::telemetry;

/// The size at which a log file is rotated, and the number of old files.
///
/// The file `log` becomes `log.1`, that file becomes `log.2`, and so on. Rotation happens between
/// two lines, and the file has no other writer, so no line is lost or cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The longest file, in bytes; only a single line that is longer exceeds it.
    pub size_bytes: NonZeroU64,
    /// The number of old files that are retained, without the current one.
    pub kept: NonZeroU16,
}

/// The one writer of a log file.
#[derive(Debug)]
pub(crate) struct RotatingFile {
    path: Arc<Path>,
    trust: PathTrust,
    file: File,
    rotation: Option<Rotation>,
    length: u64,
    /// Whether the last byte ended a line.
    line_ended: bool,
    /// The length at which a failed rotation is retried.
    again_at: u64,
}

impl RotatingFile {
    /// Opens the file for appending, and makes it if it is missing.
    ///
    /// # Errors
    /// See [`PathError`]; nothing changed.
    pub(crate) fn open(
        path: Arc<Path>,
        trust: PathTrust,
        rotation: Option<Rotation>,
    ) -> Result<Self, PathError> {
        let file = File::from(OpenParent::of(&path, &trust)?.open(Purpose::Log)?);
        // No error is known for a descriptor of this process.
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let mut last = [b'\n'];
        if let Some(at) = length.checked_sub(1)
            // Only a regular file has a last byte.
            && file.read_exact_at(&mut last, at).is_err()
        {
            last = [b'\n'];
        }
        let line_ended = last == [b'\n'];
        Ok(Self { path, trust, file, rotation, length, line_ended, again_at: 0 })
    }

    /// Opens the path again, because another writer may have written or rotated the file.
    ///
    /// If that fails, the writer keeps the file that it has open.
    pub(crate) fn reopen(&mut self) {
        match Self::open(Arc::clone(&self.path), self.trust.clone(), self.rotation) {
            Ok(file) => *self = file,
            Err(error) => telemetry::log_not_written(&error.into()),
        }
    }

    /// Returns the pipe behind the path, such as the monitor's own output behind `/dev/stdout`.
    pub(crate) fn into_pipe(self) -> Result<OwnedFd, Self> {
        let is_pipe = self.file.metadata().is_ok_and(|it| it.file_type().is_fifo());
        if is_pipe { Ok(self.file.into()) } else { Err(self) }
    }

    /// Whether the file ends in the middle of a line.
    pub(crate) const fn in_a_line(&self) -> bool {
        !self.line_ended
    }

    /// Writes some of `bytes`, which are not empty; returns how many.
    ///
    /// # Errors
    /// See `write(2)`; nothing was written.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut share = self.share(bytes);
        if share == 0 {
            self.rotate();
            share = self.share(bytes);
        }
        let share = bytes.get(..share).filter(|share| !share.is_empty()).unwrap_or(bytes);
        let written = loop {
            match self.file.write(share) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => break written?,
            }
        };
        if let Some(last) = written.checked_sub(1).and_then(|last| share.get(last)) {
            self.line_ended = *last == b'\n';
        }
        self.length += written as u64;
        Ok(written)
    }

    /// The number of `bytes` that belong into this file; 0 if a rotation is due first.
    fn share(&self, bytes: &[u8]) -> usize {
        let Some(rotation) = self.rotation else {
            return bytes.len();
        };
        let room = rotation.size_bytes.get().max(self.again_at).saturating_sub(self.length);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let Some(fits) = bytes.get(..room) else {
            return bytes.len();
        };
        if let Some(end) = memchr::memrchr(b'\n', fits) {
            return end + 1;
        }
        if self.line_ended && self.length > 0 {
            return 0;
        }
        // The line is longer than a file may be, or continues one that the file has.
        memchr::memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1)
    }

    /// Rotates the file and opens a new one.
    ///
    /// After a failure the old file is written on. The next try comes when it has grown by a
    /// quarter of the configured size.
    fn rotate(&mut self) {
        let Some(rotation) = self.rotation else {
            return;
        };
        match put_aside(&self.path, &self.trust, rotation.kept.get()) {
            Ok(next) => {
                self.file = next;
                self.length = 0;
                self.again_at = 0;
                self.line_ended = true;
            }
            Err(error) => {
                telemetry::not_rotated(&self.path, &error);
                self.again_at = self.length.saturating_add(rotation.size_bytes.get().div_ceil(4));
            }
        }
    }
}

/// Renames the files and makes a new one, all of it in one held directory.
///
/// The oldest file is renamed first, so that no name is taken twice.
fn put_aside(path: &Path, trust: &PathTrust, kept: u16) -> io::Result<File> {
    let parent = OpenParent::of(path, trust)?;
    let numbered = |number| numbered(Path::new(parent.name()), number).into_os_string();
    for number in (0..kept).rev() {
        match parent.rename(&numbered(number), &numbered(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(parent.open(Purpose::Log)?.into())
}

/// The name of a log file, or of its `number`th predecessor.
pub(crate) fn numbered(path: &Path, number: u16) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    if number > 0 {
        name.push(format!(".{number}"));
    }
    name.into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{chown, symlink};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use tempfile::tempdir;

    use super::*;
    use crate::linux::path_error::PathFault;

    fn rotation(size: u64, kept: u16) -> Rotation {
        Rotation {
            size_bytes: NonZeroU64::new(size).unwrap(),
            kept: NonZeroU16::new(kept).unwrap(),
        }
    }

    fn write_all(log: &mut RotatingFile, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let written = log.write(bytes).unwrap();
            bytes = &bytes[written..];
        }
    }

    fn read(path: &Path, number: u16) -> String {
        fs::read_to_string(numbered(path, number)).unwrap()
    }

    #[test]
    fn files_are_changed_between_lines() {
        let directory = tempdir().unwrap();
        let path = directory.path().join("log");
        for portion in 1..20 {
            let mut log =
                RotatingFile::open(path.as_path().into(), PathTrust::MONITOR, Some(rotation(8, 9)))
                    .unwrap();
            for bytes in b"aa\nbbbb\nc\ndddddddddddd\nee\n".chunks(portion) {
                write_all(&mut log, bytes);
            }
            assert_eq!(read(&path, 0), "ee\n", "portions of {portion}");
            let all: String = (0..9)
                .rev()
                .filter_map(|number| fs::read_to_string(numbered(&path, number)).ok())
                .collect();
            assert_eq!(all, "aa\nbbbb\nc\ndddddddddddd\nee\n", "portions of {portion}");
            for entry in fs::read_dir(directory.path()).unwrap() {
                fs::remove_file(entry.unwrap().path()).unwrap();
            }
        }
    }

    /// Goal: a user that may rename files beside its log cannot redirect a rotation to a root file.
    #[test]
    #[ignore = "it takes root, as which the gate runs it"]
    fn link_in_the_place_of_the_next_file_is_not_followed() {
        let directory = tempdir().unwrap();
        let (victim, logs) = (directory.path().join("victim"), directory.path().join("logs"));
        fs::write(&victim, "").unwrap();
        fs::create_dir(&logs).unwrap();
        chown(&logs, Some(65_534), Some(65_534)).unwrap();
        let path = logs.join("log");
        let trust = PathTrust::and_user(65_534, 65_534, []);
        let mut log =
            RotatingFile::open(path.as_path().into(), trust.clone(), Some(rotation(4, 1))).unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // Succeeds only in a moment in which the file is missing.
                    symlink(&victim, &path).ok();
                    if path.is_symlink() {
                        fs::remove_file(&path).ok();
                    }
                }
            });
            for _ in 0..5_000 {
                log.write(b"line\n").ok();
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(fs::read_to_string(&victim).unwrap(), "");
        // A symlink that stays is reported, and the open file is written on.
        fs::remove_file(&path).ok();
        symlink(&victim, &path).unwrap();
        let error = RotatingFile::open(path.as_path().into(), trust, None).unwrap_err();
        assert_eq!(error, PathError { path, fault: PathFault::Link });
        log.reopen();
        write_all(&mut log, b"more\n");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "");
    }

    #[test]
    fn so_many_old_files_are_kept() {
        let directory = tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log =
            RotatingFile::open(path.as_path().into(), PathTrust::MONITOR, Some(rotation(2, 2)))
                .unwrap();
        for line in ["1\n", "2\n", "3\n", "4\n", "5\n"] {
            write_all(&mut log, line.as_bytes());
        }
        assert_eq!([0, 1, 2].map(|number| read(&path, number)), ["5\n", "4\n", "3\n"]);
        assert!(!numbered(&path, 3).exists());
    }

    /// Goal: a writer that takes over appends to the current file and knows its length.
    #[test]
    fn writer_goes_on_where_another_was() {
        let directory = tempdir().unwrap();
        let path = directory.path().join("log");
        let open = || {
            RotatingFile::open(path.as_path().into(), PathTrust::MONITOR, Some(rotation(4, 2)))
                .unwrap()
        };
        let (mut before, mut after) = (open(), open());
        for line in ["1\n", "2\n", "3\n", "4\n"] {
            write_all(&mut before, line.as_bytes());
        }
        after.reopen();
        write_all(&mut after, b"5\n");
        assert_eq!([0, 1, 2].map(|number| read(&path, number)), ["5\n", "3\n4\n", "1\n2\n"]);
    }

    #[test]
    fn file_that_a_crash_cut_is_seen() {
        let directory = tempdir().unwrap();
        let path = directory.path().join("log");
        for (left, cut) in [("", false), ("whole\n", false), ("cu", true)] {
            fs::write(&path, left).unwrap();
            assert_eq!(
                RotatingFile::open(path.as_path().into(), PathTrust::MONITOR, None)
                    .unwrap()
                    .in_a_line(),
                cut
            );
        }
        RotatingFile::open(Path::new("/dev/full").into(), PathTrust::MONITOR, None)
            .unwrap()
            .write(b"x")
            .unwrap_err();
    }

    /// Goal: a file that cannot be rotated is written on, and nothing is lost.
    #[test]
    fn file_that_cannot_be_put_aside_is_written_on() {
        let directory = tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log =
            RotatingFile::open(path.as_path().into(), PathTrust::MONITOR, Some(rotation(8, 1)))
                .unwrap();
        // A file cannot replace a directory that is not empty.
        fs::create_dir_all(numbered(&path, 1).join("x")).unwrap();
        for _ in 0..5 {
            write_all(&mut log, b"line\n");
        }
        assert_eq!(read(&path, 0), "line\n".repeat(5));
        fs::remove_dir_all(numbered(&path, 1)).unwrap();
        write_all(&mut log, b"more\n");
        assert_eq!((read(&path, 1), read(&path, 0)), ("line\n".repeat(5), "more\n".into()));
    }
}
