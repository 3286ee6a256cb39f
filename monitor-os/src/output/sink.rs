//! Where lines are written, and what waits there.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use crate::by_identity::ByIdentity;
use crate::linux::path_error::PathError;
use crate::linux::path_trust::PathTrust;
use crate::output::descriptor::Descriptor;
use crate::output::lines::Piece;
use crate::output::log_file::LogFile;
use crate::output::log_format::LogFormat;
use crate::output::rotation::{RotatingFile, Rotation};
use crate::output::slow::Slow;
use crate::telemetry;

/// A file or a descriptor to which the lines of captured streams are written. Clones are the same sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSink(ByIdentity<SinkState>);

#[derive(Debug)]
struct SinkState {
    form: LogFormat,
    /// What stands before each line.
    label: Box<str>,
    /// The file and how many older ones are kept, if it is one. Beside the writer, which a disk that hangs may hold.
    file: Option<(Arc<Path>, u16)>,
    writer: Mutex<SinkWriter>,
    lost_lines: AtomicU64,
    failed_writes: AtomicU64,
}

/// What a sink could not do so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkCounts {
    /// Lines that were dropped, by [`Slow::DropNewest`] or because the reader is gone.
    pub lost_lines: u64,
    /// Writes that failed, each try counted.
    pub failed_writes: u64,
}

impl LogSink {
    /// Appends to a regular file or a character device, of which this sink must be the only writer. The file is made
    /// where it is missing (mode 0666 less the umask). One that ends in the middle of a line, because a monitor died
    /// there, gets a newline first. A pipe is taken if it is the monitor's own, as `/dev/stdout`.
    ///
    /// `trust` says who beside root and the monitor may be able to write the directories on the way. What is opened
    /// later, at a rotation, is checked in the same way.
    ///
    /// # Errors
    /// See [`PathError`]; nothing changed.
    pub fn file(
        path: impl Into<PathBuf>,
        trust: PathTrust,
        rotation: Option<Rotation>,
        form: LogFormat,
    ) -> Result<Self, PathError> {
        let path = Arc::<Path>::from(path.into());
        let file = match RotatingFile::open(Arc::clone(&path), trust, rotation)?.into_pipe() {
            Ok(pipe) => {
                let failed = |error: io::Error| PathError {
                    path: path.to_path_buf(),
                    fault: Errno::from_io_error(&error).unwrap_or(Errno::IO).into(),
                };
                return Self::descriptor(pipe, form).map_err(failed);
            }
            Err(file) => file,
        };
        let mut pending = Vec::new();
        if form != LogFormat::Raw && file.in_a_line() {
            pending.push(b'\n');
        }
        let kept = rotation.map_or(0, |rotation| rotation.kept.get());
        Ok(Self::new(form, Box::default(), Some((path, kept)), SinkTarget::File(file), pending))
    }

    /// Writes to a pipe, a terminal, a socket or a file, such as the standard output of this process. A reader
    /// that is gone is no reason to end: what would be written is lost and counted.
    ///
    /// A write never blocks, and the flags of the descriptor stay as they are, because other processes share them.
    /// A pipe or a terminal is opened anew. One that cannot be, such as the terminal of another user, is written by
    /// a thread of its own, behind 64 KiB.
    ///
    /// # Errors
    /// No descriptor, thread or memory left for that thread; nothing was started.
    pub fn descriptor(descriptor: OwnedFd, form: LogFormat) -> io::Result<Self> {
        Self::labelled(descriptor, form, "")
    }

    /// The same with a text before each line, which says whose it is where several programs print. [`LogFormat::Raw`] has no
    /// lines, and none.
    ///
    /// # Errors
    /// See [`LogSink::descriptor`].
    pub fn labelled(
        descriptor: OwnedFd,
        form: LogFormat,
        label: impl Into<Box<str>>,
    ) -> io::Result<Self> {
        let target = SinkTarget::Descriptor(Descriptor::new(descriptor)?);
        Ok(Self::new(form, label.into(), None, target, Vec::new()))
    }

    /// Writes to a descriptor by a relay, as to the terminal of another user.
    #[cfg(test)]
    pub(crate) fn by_relay(descriptor: OwnedFd, form: LogFormat) -> Self {
        let target = SinkTarget::Descriptor(Descriptor::by_relay(descriptor).unwrap());
        Self::new(form, Box::default(), None, target, Vec::new())
    }

    fn new(
        form: LogFormat,
        label: Box<str>,
        file: Option<(Arc<Path>, u16)>,
        target: SinkTarget,
        pending: Vec<u8>,
    ) -> Self {
        let writer = SinkWriter {
            target,
            pending,
            blocked: false,
            marked_at: 0,
            line_ended: true,
            written: 0,
        };
        Self(ByIdentity::new(SinkState {
            form,
            label,
            file,
            writer: Mutex::new(writer),
            lost_lines: AtomicU64::new(0),
            failed_writes: AtomicU64::new(0),
        }))
    }

    /// What it could not do so far.
    #[must_use]
    pub fn counts(&self) -> SinkCounts {
        SinkCounts {
            lost_lines: self.0.lost_lines.load(Ordering::Relaxed),
            failed_writes: self.0.failed_writes.load(Ordering::Relaxed),
        }
    }

    /// Where its lines can be read again; `None` if nowhere.
    pub(crate) fn log_file(&self) -> Option<LogFile> {
        let (path, kept) = self.0.file.as_ref()?;
        Some(LogFile::new(path, *kept, self.0.form))
    }

    /// Takes over from another sink, which may have written the same file until now.
    pub(crate) fn reopen(&self) {
        if let SinkTarget::File(file) = &mut self.writer().target {
            file.reopen();
        }
    }

    /// Takes a portion as it came, if it writes in that form.
    pub(crate) fn write_raw(&self, bytes: &[u8], slow: Slow) {
        if self.0.form == LogFormat::Raw {
            self.append(slow, bytes.last(), |pending| pending.extend_from_slice(bytes));
        }
    }

    /// Takes a line, if it writes lines. `prefix` is the time and the stream.
    pub(crate) fn write_line(&self, piece: Piece<'_>, prefix: &str, slow: Slow) {
        match self.0.form {
            LogFormat::Raw => {}
            LogFormat::Lines => self.append(slow, Some(&b'\n').filter(|_| piece.ends), |pending| {
                pending.extend_from_slice(piece.text);
                if piece.ends {
                    pending.push(b'\n');
                }
            }),
            LogFormat::Prefixed => self.append(slow, Some(&b'\n'), |pending| {
                pending.extend_from_slice(prefix.as_bytes());
                pending.extend_from_slice(if piece.ends { b" F " } else { b" P " });
                pending.extend_from_slice(piece.text);
                pending.push(b'\n');
            }),
        }
    }

    fn append(&self, slow: Slow, last: Option<&u8>, add: impl FnOnce(&mut Vec<u8>)) {
        let mut writer = self.writer();
        if (writer.blocked && slow == Slow::DropNewest) || writer.target.is_closed() {
            self.0.lost_lines.fetch_add(1, Ordering::Relaxed);
        } else {
            if writer.line_ended && self.0.form != LogFormat::Raw {
                writer.pending.extend_from_slice(self.0.label.as_bytes());
            }
            add(&mut writer.pending);
            writer.line_ended = last == Some(&b'\n');
        }
    }

    /// Writes what waits, as far as it goes. With `slow` at [`Slow::DropNewest`] a line says first how many are
    /// missing, as soon as there is room.
    pub(crate) fn flush(&self, prefix: &str) -> Flushed {
        let mut writer = self.writer();
        let mut flushed = self.write(&mut writer);
        let lost = self.0.lost_lines.load(Ordering::Relaxed);
        if flushed == Flushed::All && lost > writer.marked_at && !writer.target.is_closed() {
            let count = lost - writer.marked_at;
            let lines = if count == 1 { "line" } else { "lines" };
            let text = format!("[monitor: {count} {lines} lost]\n");
            if !writer.line_ended {
                writer.pending.push(b'\n');
            }
            writer.pending.extend_from_slice(self.0.label.as_bytes());
            if self.0.form == LogFormat::Prefixed {
                writer.pending.extend_from_slice(prefix.as_bytes());
                writer.pending.extend_from_slice(b" F ");
            }
            writer.pending.extend_from_slice(text.as_bytes());
            writer.line_ended = true;
            writer.marked_at = lost;
            flushed = self.write(&mut writer);
        }
        writer.blocked = flushed != Flushed::All;
        flushed
    }

    fn write(&self, writer: &mut SinkWriter) -> Flushed {
        let mut written = 0;
        let flushed = loop {
            let Some(rest) = writer.pending.get(written..).filter(|rest| !rest.is_empty()) else {
                break Flushed::All;
            };
            match writer.target.write(rest) {
                Ok(count) => {
                    written += count;
                    writer.written += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Flushed::Full,
                Err(error) => {
                    self.0.failed_writes.fetch_add(1, Ordering::Relaxed);
                    telemetry::log_not_written(&error);
                    if writer.target.is_closed() {
                        let lost = memchr::memchr_iter(b'\n', rest).count().max(1);
                        self.0.lost_lines.fetch_add(lost as u64, Ordering::Relaxed);
                        written = writer.pending.len();
                        break Flushed::All;
                    }
                    break Flushed::Failed;
                }
            }
        };
        if flushed == Flushed::All {
            // Memory of a burst is given back.
            writer.pending.clear();
            writer.pending.shrink_to(PENDING_KEPT);
        } else {
            writer.pending.drain(..written);
        }
        flushed
    }

    /// A descriptor that says when there is room again; `None` if no descriptor says it.
    pub(crate) fn waiter(&self) -> Option<OwnedFd> {
        match &self.writer().target {
            SinkTarget::File(_) => None,
            SinkTarget::Descriptor(descriptor) => descriptor.waiter(),
        }
    }

    /// Whether everything that the sink has taken is where it leads.
    pub(crate) fn is_settled(&self) -> bool {
        let writer = self.writer();
        let on_the_way = match &writer.target {
            SinkTarget::File(_) => false,
            SinkTarget::Descriptor(descriptor) => !descriptor.is_settled(),
        };
        writer.pending.is_empty() && !on_the_way
    }

    /// A count that grows whenever bytes leave the sink.
    pub(crate) fn progress(&self) -> u64 {
        let writer = self.writer();
        let relayed = match &writer.target {
            SinkTarget::File(_) => 0,
            SinkTarget::Descriptor(descriptor) => descriptor.relayed(),
        };
        writer.written.wrapping_add(relayed)
    }

    /// A panic elsewhere leaves the writer whole.
    fn writer(&self) -> MutexGuard<'_, SinkWriter> {
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has become of the bytes that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// They are written, or lost for good.
    All,
    /// There is no room for some of them.
    Full,
    /// Some could not be written; they are still there.
    Failed,
}

#[derive(Debug)]
struct SinkWriter {
    target: SinkTarget,
    /// What is not written yet: a portion and what is put around it, or less.
    pending: Vec<u8>,
    /// Whether the last flush left something.
    blocked: bool,
    /// How many lost lines the marks have reported.
    marked_at: u64,
    /// Whether the last byte that was taken ended a line.
    line_ended: bool,
    /// How many bytes the target has taken so far.
    written: u64,
}

#[derive(Debug)]
enum SinkTarget {
    File(RotatingFile),
    Descriptor(Descriptor),
}

impl SinkTarget {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Descriptor(descriptor) => descriptor.write(bytes),
        }
    }

    const fn is_closed(&self) -> bool {
        match self {
            Self::File(_) => false,
            Self::Descriptor(descriptor) => descriptor.is_closed(),
        }
    }
}

const PENDING_KEPT: usize = 4096;

#[cfg(test)]
mod tests {
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;
    use crate::testing::wait_unread;

    fn line(text: &str) -> Piece<'_> {
        Piece { text: text.as_bytes(), ends: true }
    }

    fn read(fd: &OwnedFd) -> String {
        let mut buffer = vec![0; 1 << 20];
        let count = rustix::io::read(fd, &mut buffer).unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    #[test]
    fn label_stands_before_each_line_and_in_none() {
        let long = |text| Piece { ends: false, ..line(text) };
        for (form, expected) in [
            (LogFormat::Raw, "raw"),
            (LogFormat::Lines, "web | a\nweb | lo\u{0}ng\nweb | b\n"),
            (LogFormat::Prefixed, "web | T F a\nweb | T P lo\u{0}\nweb | T F ng\nweb | T F b\n"),
        ] {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            let sink = LogSink::labelled(writer, form, "web | ").unwrap();
            sink.write_raw(b"raw", Slow::Block);
            for piece in [line("a"), long("lo\u{0}"), line("ng"), line("b")] {
                sink.write_line(piece, "T", Slow::Block);
            }
            assert_eq!(sink.flush("T"), Flushed::All);
            assert_eq!(read(&reader), expected, "{form:?}");
        }
    }

    #[test]
    fn forms_are_as_documented() {
        for (form, expected) in [
            (LogFormat::Raw, "raw"),
            (LogFormat::Lines, "whole\nlong\n"),
            (LogFormat::Prefixed, "T stdout F whole\nT stdout P lo\nT stdout F ng\n"),
        ] {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            let sink = LogSink::descriptor(writer, form).unwrap();
            sink.write_raw(b"raw", Slow::Block);
            for piece in [line("whole"), Piece { ends: false, ..line("lo") }, line("ng")] {
                sink.write_line(piece, "T stdout", Slow::Block);
            }
            assert_eq!(sink.flush("T stdout"), Flushed::All);
            assert_eq!(read(&reader), expected);
        }
    }

    /// Goal: what a slow reader does not get is counted, and said in the place where it is missing.
    #[test]
    fn dropped_lines_are_counted_and_marked() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let sink = LogSink::descriptor(writer, LogFormat::Lines).unwrap();
        let long = "x".repeat(100_000);
        sink.write_line(line(&long), "", Slow::DropNewest);
        assert_eq!(sink.flush(""), Flushed::Full);
        sink.write_line(line("lost"), "", Slow::DropNewest);
        sink.write_line(line("lost"), "", Slow::DropNewest);
        assert_eq!(sink.flush(""), Flushed::Full);
        assert_eq!(sink.counts(), SinkCounts { lost_lines: 2, failed_writes: 0 });
        let mut got = read(&reader);
        assert_eq!(sink.flush(""), Flushed::All);
        sink.write_line(line("next"), "", Slow::DropNewest);
        assert_eq!(sink.flush(""), Flushed::All);
        got += &read(&reader);
        assert_eq!(got, format!("{long}\n[monitor: 2 lines lost]\nnext\n"));
    }

    #[test]
    fn full_disk_is_counted_and_nothing_is_dropped() {
        let full = LogSink::file("/dev/full", PathTrust::MONITOR, None, LogFormat::Lines).unwrap();
        full.write_line(line("kept"), "", Slow::Block);
        for tries in 1..4 {
            assert_eq!(full.flush(""), Flushed::Failed);
            assert_eq!(full.counts(), SinkCounts { lost_lines: 0, failed_writes: tries });
        }
    }

    #[test]
    fn reader_that_is_gone_disturbs_nobody() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let other = writer.try_clone().unwrap();
        // Opened before the reader goes, as a pipe must be.
        let sink = LogSink::descriptor(writer, LogFormat::Lines).unwrap();
        drop(reader);
        wait_unread(other);
        for lost in 1..4 {
            sink.write_line(line("x"), "", Slow::Block);
            assert_eq!(sink.flush(""), Flushed::All);
            assert_eq!(sink.counts(), SinkCounts { lost_lines: lost, failed_writes: 1 });
        }
    }
}
