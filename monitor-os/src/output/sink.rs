//! A sink of lines: a file or a descriptor, and the bytes that wait for it.

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
use crate::output::slow_sink::SlowSink;
use crate::telemetry;

/// A file or a descriptor to which the lines of captured streams are written.
///
/// Clones share one sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSink(ByIdentity<SinkState>);

#[derive(Debug)]
struct SinkState {
    form: LogFormat,
    /// The text before each line.
    label: Box<str>,
    /// The path of a file and its number of old files.
    ///
    /// It is outside of the writer's lock, because a hung disk may hold that lock.
    file: Option<(Arc<Path>, u16)>,
    writer: Mutex<SinkWriter>,
    lost_lines: AtomicU64,
    failed_writes: AtomicU64,
}

/// The failures of a sink up to now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SinkCounts {
    /// Lines that were dropped, by [`SlowSink::DropNewest`] or because the reader is gone.
    pub lost_lines: u64,
    /// Writes that failed; each try counts.
    pub failed_writes: u64,
}

impl LogSink {
    /// Appends to a regular file or a character device, of which this sink must be the only writer.
    ///
    /// A missing file is made (mode 0666 less the umask). A file that ends in the middle of a line,
    /// because a monitor died there, gets a newline first. A pipe is accepted if it is the
    /// monitor's own, such as `/dev/stdout`.
    ///
    /// `trust` names the accounts that may write the directories of the path, in addition to root
    /// and the monitor. Each later open, at a rotation, repeats this check.
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

    /// Writes to a pipe, a terminal, a socket or a file, such as the standard output of this
    /// process.
    ///
    /// If the reader is gone, the sink goes on: its lines are lost and counted.
    ///
    /// A write never blocks. The flags of the descriptor stay unchanged, because other processes
    /// share them. A pipe or a terminal is opened anew. If that fails, as with the terminal of
    /// another user, a thread of its own writes behind a pipe of 64 KiB.
    ///
    /// # Errors
    /// No descriptor, thread or memory left for that thread; nothing was started.
    pub fn descriptor(descriptor: OwnedFd, form: LogFormat) -> io::Result<Self> {
        Self::labelled(descriptor, form, "")
    }

    /// Writes to a descriptor, as [`LogSink::descriptor`], with a label before each line.
    ///
    /// The label tells the lines of several programs apart. [`LogFormat::Raw`] has no lines, and no
    /// label.
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

    /// The failures of the sink up to now.
    #[must_use]
    pub fn counts(&self) -> SinkCounts {
        SinkCounts {
            lost_lines: self.0.lost_lines.load(Ordering::Relaxed),
            failed_writes: self.0.failed_writes.load(Ordering::Relaxed),
        }
    }

    /// The file with its lines; `None` if the sink is no file.
    pub(crate) fn log_file(&self) -> Option<LogFile> {
        let (path, kept) = self.0.file.as_ref()?;
        Some(LogFile::new(path, *kept, self.0.form))
    }

    /// Takes over from another sink, which may have written the file until now.
    pub(crate) fn reopen(&self) {
        if let SinkTarget::File(file) = &mut self.writer().target {
            file.reopen();
        }
    }

    /// Takes a portion of bytes, if the format is raw.
    pub(crate) fn write_raw(&self, bytes: &[u8], slow: SlowSink) {
        if self.0.form == LogFormat::Raw {
            self.append(slow, bytes.last(), |pending| pending.extend_from_slice(bytes));
        }
    }

    /// Takes a line, if the format has lines. `prefix` is the time and the stream.
    pub(crate) fn write_line(&self, piece: Piece<'_>, prefix: &str, slow: SlowSink) {
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

    fn append(&self, slow: SlowSink, last: Option<&u8>, add: impl FnOnce(&mut Vec<u8>)) {
        let mut writer = self.writer();
        if (writer.blocked && slow == SlowSink::DropNewest) || writer.target.is_closed() {
            self.0.lost_lines.fetch_add(1, Ordering::Relaxed);
        } else {
            if writer.line_ended && self.0.form != LogFormat::Raw {
                writer.pending.extend_from_slice(self.0.label.as_bytes());
            }
            add(&mut writer.pending);
            writer.line_ended = last == Some(&b'\n');
        }
    }

    /// Writes the pending bytes, as many as the target takes.
    ///
    /// After lost lines, one line reports their number as soon as there is room.
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
            // A burst's memory is released.
            writer.pending.clear();
            writer.pending.shrink_to(PENDING_KEPT);
        } else {
            writer.pending.drain(..written);
        }
        flushed
    }

    /// A descriptor that becomes writable when there is room; `None` for a file.
    pub(crate) fn waiter(&self) -> Option<OwnedFd> {
        match &self.writer().target {
            SinkTarget::File(_) => None,
            SinkTarget::Descriptor(descriptor) => descriptor.waiter(),
        }
    }

    /// Whether every byte that the sink took has reached its target.
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

    /// A panic of another thread leaves the writer consistent.
    fn writer(&self) -> MutexGuard<'_, SinkWriter> {
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Result of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// All bytes are written, or lost for good.
    All,
    /// Some bytes have no room.
    Full,
    /// Some bytes could not be written and are still pending.
    Failed,
}

#[derive(Debug)]
struct SinkWriter {
    target: SinkTarget,
    /// The bytes that are not written yet: at most a portion, its prefixes and label.
    pending: Vec<u8>,
    /// Whether the last flush left bytes.
    blocked: bool,
    /// The number of lost lines that were already reported.
    marked_at: u64,
    /// Whether the last byte that was taken ended a line.
    line_ended: bool,
    /// The number of bytes that the target has taken.
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
            sink.write_raw(b"raw", SlowSink::Block);
            for piece in [line("a"), long("lo\u{0}"), line("ng"), line("b")] {
                sink.write_line(piece, "T", SlowSink::Block);
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
            sink.write_raw(b"raw", SlowSink::Block);
            for piece in [line("whole"), Piece { ends: false, ..line("lo") }, line("ng")] {
                sink.write_line(piece, "T stdout", SlowSink::Block);
            }
            assert_eq!(sink.flush("T stdout"), Flushed::All);
            assert_eq!(read(&reader), expected);
        }
    }

    /// Goal: lines that a slow reader misses are counted, and reported in their place.
    #[test]
    fn dropped_lines_are_counted_and_marked() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let sink = LogSink::descriptor(writer, LogFormat::Lines).unwrap();
        let long = "x".repeat(100_000);
        sink.write_line(line(&long), "", SlowSink::DropNewest);
        assert_eq!(sink.flush(""), Flushed::Full);
        sink.write_line(line("lost"), "", SlowSink::DropNewest);
        sink.write_line(line("lost"), "", SlowSink::DropNewest);
        assert_eq!(sink.flush(""), Flushed::Full);
        assert_eq!(sink.counts(), SinkCounts { lost_lines: 2, failed_writes: 0 });
        let mut got = read(&reader);
        assert_eq!(sink.flush(""), Flushed::All);
        sink.write_line(line("next"), "", SlowSink::DropNewest);
        assert_eq!(sink.flush(""), Flushed::All);
        got += &read(&reader);
        assert_eq!(got, format!("{long}\n[monitor: 2 lines lost]\nnext\n"));
    }

    #[test]
    fn full_disk_is_counted_and_nothing_is_dropped() {
        let full = LogSink::file("/dev/full", PathTrust::MONITOR, None, LogFormat::Lines).unwrap();
        full.write_line(line("kept"), "", SlowSink::Block);
        for tries in 1..4 {
            assert_eq!(full.flush(""), Flushed::Failed);
            assert_eq!(full.counts(), SinkCounts { lost_lines: 0, failed_writes: tries });
        }
    }

    #[test]
    fn reader_that_is_gone_disturbs_nobody() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let other = writer.try_clone().unwrap();
        // A pipe must be opened before its reader goes.
        let sink = LogSink::descriptor(writer, LogFormat::Lines).unwrap();
        drop(reader);
        wait_unread(other);
        for lost in 1..4 {
            sink.write_line(line("x"), "", SlowSink::Block);
            assert_eq!(sink.flush(""), Flushed::All);
            assert_eq!(sink.counts(), SinkCounts { lost_lines: lost, failed_writes: 1 });
        }
    }
}
