//! A bounded queue of lines for a stream that may block, and the thread that writes them.
//!
//! A caller puts a line into the queue and never waits. A full pipe, a stopped terminal or a disk
//! that hangs therefore blocks no stop, no signal and no reload, and costs at most [`QUEUE_MAX`]
//! bytes.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use monitor_core::Millis;
use monitor_os::{Moment, now};
use nix::sys::signal::{SigSet, SigmaskHow};
use rustix::event::{PollFd, PollFlags, poll};

/// A queue of whole lines. Its thread ends with the program.
#[derive(Debug)]
pub(crate) struct LineQueue {
    shared: Arc<QueueShared>,
}

/// What happens to lines that the stream does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The queue drops and counts them. A line in their place says how many.
    Mark,
    /// The queue drops and counts them. An object of JSON in their place says how many.
    MarkJson,
    /// The queue writes nothing more, so that the written lines have no gap.
    End,
}

#[derive(Debug)]
struct QueueShared {
    loss: Loss,
    state: Mutex<QueueState>,
    /// Signals that there is something to write.
    filled: Condvar,
    /// Signals that something was written.
    written: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    lines: VecDeque<Vec<u8>>,
    /// The bytes of the lines, with [`LINE_COST`] for each.
    size: usize,
    /// How many lines were dropped since the queue was full. The queued lines came before them.
    dropped: u64,
    /// Since when the thread has been writing a line, which is not in the queue any more.
    writing: Option<Moment>,
    /// Counts writes, with and without success.
    steps: u64,
    /// With [`Loss::End`]: the error after which nothing is written.
    failed: Option<io::Error>,
}

/// The next write of the thread.
enum NextWrite {
    Write(Vec<u8>),
    /// A mark that so many lines are missing.
    Mark(u64),
}

impl LineQueue {
    /// Starts the thread, which writes to `to` and blocks all signals.
    ///
    /// # Errors
    /// No thread or memory left; nothing was started.
    pub(crate) fn begin(name: &str, to: OwnedFd, loss: Loss) -> io::Result<Self> {
        let shared = Arc::new(QueueShared {
            loss,
            state: Mutex::default(),
            filled: Condvar::new(),
            written: Condvar::new(),
        });
        let writer = Arc::clone(&shared);
        let to = File::from(to);
        // Blocked before it begins: no signal is to find a thread that does not block it, and a
        // write to a terminal from the background is to stop nobody (SIGTTOU).
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let thread = thread::Builder::new().name(name.into()).spawn(move || writer.write_all(&to));
        before.thread_set_mask()?;
        thread.map(|_| Self { shared })
    }

    /// Takes a line with its newline, unless there is no room for it.
    ///
    /// # Errors
    /// The queue is full; or, once, the error after which nothing is written. The line is lost.
    pub(crate) fn offer(&self, line: Vec<u8>) -> io::Result<()> {
        let mut state = self.shared.lock();
        if let Some(error) = state.failed.take() {
            return Err(error);
        }
        if !state.push(line) {
            let words = "nobody reads it, and no more lines are kept";
            return Err(io::Error::new(io::ErrorKind::WouldBlock, words));
        }
        drop(state);
        self.shared.filled.notify_one();
        Ok(())
    }

    /// Takes a line with its newline, or counts it as lost.
    pub(crate) fn put(&self, line: Vec<u8>) {
        let mut state = self.shared.lock();
        if !state.push(line) {
            state.dropped += 1;
        }
        drop(state);
        self.shared.filled.notify_one();
    }

    /// Waits until everything is written, as long as the stream takes a line in each [`STALL`], and
    /// at most [`FLUSH_LIMIT`]. A stream that was already stuck for [`STALL`] gets no more time.
    ///
    /// # Errors
    /// The stream did not take all; or the error after which nothing is written.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let end = now().after(FLUSH_LIMIT);
        let mut state = self.shared.lock();
        loop {
            if let Some(error) = state.failed.take() {
                return Err(error);
            }
            if state.is_written() {
                return Ok(());
            }
            let left = Duration::from_nanos(end.nanos_since(now()));
            let steps = state.steps;
            let stuck = |state: &mut QueueState| state.steps == steps && !state.is_written();
            let stuck_for = state.writing.map_or(0, |since| now().nanos_since(since));
            let stall = STALL.saturating_sub(Duration::from_nanos(stuck_for));
            let waited = self.shared.written.wait_timeout_while(state, left.min(stall), stuck);
            let (next, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = next;
            if timeout.timed_out() && !state.is_written() {
                let words = "nobody reads it, and the end is lost";
                return Err(io::Error::new(io::ErrorKind::TimedOut, words));
            }
        }
    }
}

impl QueueState {
    /// Takes a line if there is room for it; returns whether there is. After one that was dropped
    /// there is none until all that wait are written.
    fn push(&mut self, line: Vec<u8>) -> bool {
        let size = self.size.saturating_add(line.len()).saturating_add(LINE_COST);
        // One that is larger than the queue goes alone.
        let has_room = self.dropped == 0 && (size <= QUEUE_MAX || self.lines.is_empty());
        if has_room {
            self.size = size;
            self.lines.push_back(line);
        }
        has_room
    }

    fn is_written(&self) -> bool {
        self.lines.is_empty() && self.dropped == 0 && self.writing.is_none()
    }
}

impl QueueShared {
    /// Writes lines in their order, for as long as the program runs.
    fn write_all(&self, to: &File) {
        // How many lines are missing before the next one.
        let mut gap = 0;
        loop {
            let written = match self.next() {
                NextWrite::Write(line) => {
                    let written = self.mark(to, &mut gap).and_then(|()| write(to, &line));
                    if written.is_err() {
                        gap += 1;
                    }
                    written
                }
                NextWrite::Mark(dropped) => {
                    gap += dropped;
                    self.mark(to, &mut gap)
                }
            };
            let mut state = self.lock();
            state.writing = None;
            state.steps += 1;
            if let (Err(error), Loss::End) = (written, self.loss) {
                state.lines.clear();
                state.failed = Some(error);
                self.written.notify_all();
                return;
            }
            drop(state);
            self.written.notify_all();
        }
    }

    fn next(&self) -> NextWrite {
        let mut state = self.lock();
        loop {
            if let Some(line) = state.lines.pop_front() {
                state.size = state.size.saturating_sub(line.len() + LINE_COST);
                state.writing = Some(now());
                return NextWrite::Write(line);
            }
            if state.dropped > 0 {
                state.writing = Some(now());
                return NextWrite::Mark(std::mem::take(&mut state.dropped));
            }
            // The memory of a burst is given back.
            state.lines.shrink_to(LINES_KEPT);
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Says how many lines are missing here, if any are.
    fn mark(&self, to: &File, gap: &mut u64) -> io::Result<()> {
        if *gap > 0 {
            let lines = if *gap == 1 { "line" } else { "lines" };
            let text = match self.loss {
                Loss::MarkJson => format!("{{\"event\":\"lines-lost\",\"lines\":{gap}}}\n"),
                Loss::Mark | Loss::End => format!("[monitor: {gap} {lines} lost]\n"),
            };
            write(to, text.as_bytes())?;
            *gap = 0;
        }
        Ok(())
    }

    /// A panic elsewhere leaves the queue whole.
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all bytes, however long that takes. A stream may be non-blocking because another process
/// has set it so.
fn write(mut to: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // An error of the stream is reported by the next write.
                poll(&mut [PollFd::new(to, PollFlags::OUT)], None).ok();
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What a queue holds at most, in bytes, with [`LINE_COST`] for each line: some 5,000 lines for
/// people.
pub(crate) const QUEUE_MAX: usize = 512 * 1024;
/// What a line costs beside its bytes.
const LINE_COST: usize = 64;
const LINES_KEPT: usize = 64;
/// How long a flush waits for a stream that takes nothing.
const STALL: Duration = Duration::from_secs(1);
/// How long a flush waits for a stream that takes little.
const FLUSH_LIMIT: Millis = Millis::from_secs(5);

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};

    use rustix::fs::{OFlags, fcntl_setfl};
    use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

    use super::*;

    /// A queue that leads into a pipe of one page, and the end that is to be read.
    fn queue(loss: Loss) -> (LineQueue, OwnedFd) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        fcntl_setpipe_size(&writer, 4096).unwrap();
        (LineQueue::begin("test", writer, loss).unwrap(), reader)
    }

    fn line(number: usize) -> Vec<u8> {
        format!("{number:0100}\n").into_bytes()
    }

    /// Goal: lines that a stuck reader does not take are bounded, and counted in their place;
    /// nothing else is missing.
    #[test]
    fn gap_is_counted_in_its_place() {
        let (queue, reader) = queue(Loss::Mark);
        for number in 0..20_000 {
            queue.put(line(number));
        }
        assert!(queue.shared.lock().size <= QUEUE_MAX);
        assert_eq!(queue.flush().unwrap_err().kind(), io::ErrorKind::TimedOut);
        let mut lines = BufReader::new(File::from(reader)).lines();
        let mut next = 0;
        let mark = loop {
            let text = lines.next().unwrap().unwrap();
            match text.parse::<usize>() {
                Ok(number) => assert_eq!(number, next),
                Err(_) => break text,
            }
            next += 1;
        };
        assert_eq!(mark, format!("[monitor: {} lines lost]", 20_000 - next));
        queue.put(line(7));
        assert_eq!(lines.next().unwrap().unwrap().parse(), Ok(7));
        queue.flush().unwrap();
    }

    /// Goal: a reader that reads gets everything in order, also from a stream that others made
    /// non-blocking.
    #[test]
    fn reader_that_reads_misses_nothing() {
        for flags in [OFlags::empty(), OFlags::NONBLOCK] {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            fcntl_setpipe_size(&writer, 4096).unwrap();
            fcntl_setfl(&writer, flags).unwrap();
            let queue = LineQueue::begin("test", writer, Loss::Mark).unwrap();
            let text: Vec<u8> = (0..2_000).flat_map(line).collect();
            let size = text.len();
            let reading = thread::spawn(move || {
                let mut read = vec![0; size];
                File::from(reader).read_exact(&mut read).map(|()| read)
            });
            (0..2_000).for_each(|number| queue.put(line(number)));
            queue.flush().unwrap();
            assert!(reading.join().unwrap().unwrap() == text);
        }
    }

    /// Goal: a stream that may have no gap ends at the first line that is not taken, and says why
    /// once.
    #[test]
    fn stream_without_gaps_ends() {
        let (queue, _reader) = queue(Loss::End);
        let error = (0..).find_map(|number| queue.offer(line(number)).err()).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(queue.flush().unwrap_err().kind(), io::ErrorKind::TimedOut);
        let full = File::options().write(true).open("/dev/full").unwrap();
        let queue = LineQueue::begin("test", full.into(), Loss::End).unwrap();
        queue.offer(line(0)).unwrap();
        assert_eq!(queue.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
        queue.flush().unwrap();
    }
}
