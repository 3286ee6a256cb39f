//! A ring in memory with the last lines of streams.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::by_identity::ByIdentity;
use crate::output::line::Line;

/// The last lines of one or several streams, in a bounded number of bytes.
///
/// Lines are numbered from 0 without a gap. Clones share one ring. A ring allocates nothing before
/// the first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRing(ByIdentity<RingState>);

#[derive(Debug)]
struct RingState {
    retained: Mutex<RetainedLines>,
    /// The number of the next line.
    end: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct RetainedLines {
    bytes_max: usize,
    lines: VecDeque<Line>,
    bytes: usize,
    /// The number of the first retained line.
    first: u64,
}

impl LogRing {
    /// Makes a ring that retains at most `bytes_max` bytes: the text, and some 64 bytes for each
    /// line.
    ///
    /// The last line is retained whatever its length.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        let retained = Mutex::new(RetainedLines { bytes_max, ..RetainedLines::default() });
        Self(ByIdentity::new(RingState { retained, end: watch::Sender::new(0) }))
    }

    /// Sets the bound on retained bytes, and drops lines above it.
    pub fn resize(&self, bytes_max: usize) {
        let mut retained = self.retained();
        retained.bytes_max = bytes_max;
        retained.drop_old();
    }

    /// The number of the first retained line.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.retained().first
    }

    /// The number of the next line.
    #[must_use]
    pub fn end(&self) -> u64 {
        *self.0.end.borrow()
    }

    /// The line with this number; `None` if it is not retained.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<Line> {
        let retained = self.retained();
        let index = usize::try_from(number.checked_sub(retained.first)?).ok()?;
        retained.lines.get(index).cloned()
    }

    /// The retained lines, the oldest first.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.retained().lines.iter().cloned().collect()
    }

    /// Completes when a line of this number or a later one exists; never if none comes.
    pub fn reaches(&self, number: u64) -> impl Future<Output = ()> + Send + use<> {
        let mut end = self.0.end.subscribe();
        let ring = self.clone();
        async move {
            // The sender lives in the ring, so there is no error.
            end.wait_for(|&end| end > number).await.ok();
            drop(ring);
        }
    }

    pub(crate) fn push(&self, line: Line) {
        let mut retained = self.retained();
        retained.bytes += cost(&line);
        retained.lines.push_back(line);
        retained.drop_old();
    }

    /// Wakes the waiters for all lines up to now.
    pub(crate) fn notify(&self) {
        let retained = self.retained();
        let end = retained.first + retained.lines.len() as u64;
        drop(retained);
        self.0.end.send_if_modified(|told| std::mem::replace(told, end) != end);
    }

    /// A panic of another thread leaves the lines consistent.
    fn retained(&self) -> MutexGuard<'_, RetainedLines> {
        self.0.retained.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RetainedLines {
    fn drop_old(&mut self) {
        while self.bytes > self.bytes_max && self.lines.len() > 1 {
            let dropped = self.lines.pop_front();
            self.bytes -= dropped.as_ref().map_or(0, cost);
            self.first += 1;
        }
    }
}

fn cost(line: &Line) -> usize {
    size_of::<Line>() + line.text.len()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use monitor_core::RunId;

    use super::*;
    use crate::block_on;
    use crate::output::line::Stream;

    fn line(text: &str) -> Line {
        Line {
            at: SystemTime::UNIX_EPOCH,
            run: RunId::new(1),
            stream: Stream::Stdout,
            text: text.as_bytes().into(),
            ends: true,
        }
    }

    #[test]
    fn last_lines_are_kept_under_their_numbers() {
        let ring = LogRing::new(3 * cost(&line("0")));
        for number in 0..10 {
            ring.push(line(&number.to_string()));
        }
        ring.notify();
        assert_eq!((ring.first(), ring.end()), (7, 10));
        assert_eq!(ring.get(6), None);
        assert_eq!(ring.get(7), Some(line("7")));
        assert_eq!(ring.get(10), None);
        assert_eq!(ring.lines(), [line("7"), line("8"), line("9")]);
        ring.resize(2 * cost(&line("0")));
        assert_eq!(ring.lines(), [line("8"), line("9")]);
        let long = line(&"x".repeat(1000));
        ring.push(long.clone());
        assert_eq!(ring.lines(), [long]);
    }

    #[test]
    fn who_waits_for_a_line_is_told() {
        let ring = LogRing::new(1000);
        let (waits, other) = (ring.reaches(0), ring.clone());
        let writer = std::thread::spawn(move || {
            other.push(line("x"));
            other.notify();
        });
        block_on(waits);
        assert_eq!(ring.lines().len(), 1);
        writer.join().unwrap();
    }
}
