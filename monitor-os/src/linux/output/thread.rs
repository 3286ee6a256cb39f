//! The thread that reads what programs print.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use humantime::format_rfc3339_micros;
use monitor_core::RunId;
use rustix::io::Errno;

use super::lines::{Piece, Splitter};
use super::sink::Flushed;
use super::{Capture, Line, LogSink, Slow, Stream};
use crate::kernel::UnitId;
use crate::linux::clock::{monotonic_nanos, wall};
use crate::linux::epoll::{Epoll, Trigger};
use crate::linux::timer::Timer;
use crate::linux::wake::{Notifier, Wake};
use crate::telemetry;

/// The other end of the thread. Dropped, it reads what was printed so far, for at most [`END_LIMIT`], and ends it.
#[derive(Debug)]
pub(in crate::linux) struct LogThread {
    commands: Sender<ReadCommand>,
    notifier: Notifier,
    events: Receiver<LogEvent>,
    ended: Receiver<()>,
    next_stream: u64,
}

/// What the thread has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::linux) enum LogEvent {
    /// What [`LogThread::drain`] has asked for with this number is done.
    Drained(u64),
    /// A run has printed the line by which it says that it serves.
    Ready(UnitId, RunId),
}

/// Which stream: a number that is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::linux) struct StreamId(u64);

#[derive(Debug)]
enum ReadCommand {
    /// Read this, which does not block.
    Attach { id: StreamId, source: OwnedFd, capture: Capture, stream: Stream },
    /// What comes now goes there.
    Redirect { id: StreamId, capture: Capture },
    /// What comes now is of this run.
    Begin { id: StreamId, unit: UnitId, run: RunId },
    /// Say the number when all that is there by now is read and passed on.
    Drain { ids: Vec<StreamId>, number: u64 },
    /// Drain all, and end.
    End,
}

impl LogThread {
    /// Starts the thread. `reactor` is notified when there is news.
    ///
    /// # Errors
    /// No descriptor, thread or memory left; nothing was started.
    pub(in crate::linux) fn start(reactor: Notifier) -> io::Result<Self> {
        let (wake, notifier) = Wake::new()?;
        let (commands, received) = mpsc::channel();
        let (event_sender, events) = mpsc::channel();
        let (ends, ended) = mpsc::channel();
        let (epoll, timer) = (Epoll::new()?, Timer::new()?);
        epoll.add(&wake, WAKE_KEY, Trigger::Level)?;
        epoll.add(&timer, TIMER_KEY, Trigger::Level)?;
        let mut reader = LogReader {
            epoll,
            timer,
            wake,
            commands: received,
            reactor,
            event_sender,
            streams: BTreeMap::new(),
            due: BTreeSet::new(),
            drains: Vec::new(),
            retry_at: None,
            end: None,
            buffer: vec![0; BUFFER].into_boxed_slice(),
        };
        thread::Builder::new().name("monitor-log".into()).spawn(move || {
            nix::sys::signal::SigSet::all().thread_block().ok();
            if let Err(error) = reader.run() {
                telemetry::log_ended(&error);
            }
            // Nobody may be waited for any more.
            drop(reader);
            drop(ends);
        })?;
        Ok(Self { commands, notifier, events, ended, next_stream: FIRST_STREAM })
    }

    /// Begins to read a stream, of which `source` must not block.
    pub(in crate::linux) fn attach(
        &mut self,
        source: OwnedFd,
        capture: Capture,
        stream: Stream,
    ) -> StreamId {
        let id = StreamId(self.next_stream);
        self.next_stream += 1;
        self.send(ReadCommand::Attach { id, source, capture, stream });
        id
    }

    /// Says what becomes of what comes now.
    pub(in crate::linux) fn redirect(&self, id: StreamId, capture: Capture) {
        self.send(ReadCommand::Redirect { id, capture });
    }

    /// Says to which run belongs what comes now.
    pub(in crate::linux) fn begin(&self, id: StreamId, unit: UnitId, run: RunId) {
        self.send(ReadCommand::Begin { id, unit, run });
    }

    /// Asks for [`LogEvent::Drained`] with the number when all that was printed so far is read and passed on.
    pub(in crate::linux) fn drain(&self, ids: Vec<StreamId>, number: u64) {
        self.send(ReadCommand::Drain { ids, number });
    }

    /// What there is to say since the last call, in the order in which it happened.
    pub(in crate::linux) fn take_events(&self) -> impl Iterator<Item = LogEvent> {
        self.events.try_iter()
    }

    fn send(&self, command: ReadCommand) {
        // A thread that has ended by an error, which it told, does nothing any more.
        if self.commands.send(command).is_ok() {
            self.notifier.notify();
        }
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        self.send(ReadCommand::End);
        // A disk that hangs for longer keeps the thread, and nobody else.
        self.ended.recv_timeout(END_LIMIT + END_LIMIT).ok();
    }
}

#[derive(Debug)]
struct LogReader {
    epoll: Epoll,
    timer: Timer,
    wake: Wake,
    commands: Receiver<ReadCommand>,
    reactor: Notifier,
    event_sender: Sender<LogEvent>,
    streams: BTreeMap<StreamId, CapturedStream>,
    /// What is to be written and read now.
    due: BTreeSet<StreamId>,
    /// What is to be drained, and under which number that is told.
    drains: Vec<(BTreeSet<StreamId>, u64)>,
    /// When sinks that took nothing are tried again.
    retry_at: Option<u64>,
    /// When the thread ends, drained or not.
    end: Option<u64>,
    /// For all streams: what was read is passed on before the next read.
    buffer: Box<[u8]>,
}

/// A stream that is read.
#[derive(Debug)]
struct CapturedStream {
    fd: OwnedFd,
    capture: Capture,
    stream: Stream,
    run: RunId,
    pattern: PatternState,
    splitter: Splitter,
    flow: Flow,
    drain: Drain,
    /// The time of the last portion and the stream, as they stand before a line.
    prefix: String,
}

/// How far it is with what it had to say when its run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drain {
    /// Nobody waits for it.
    Unasked,
    /// It is read until it is dry, or for so many bytes: who writes without end was not there before.
    Reading(usize),
    /// It was read, and its sinks have not taken all.
    Writing,
}

/// Whether the line by which its run says that it serves is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PatternState {
    Unasked,
    Awaited(UnitId),
    /// It has come, and is to be told.
    Matched(UnitId),
}

impl PatternState {
    fn match_line(&mut self, capture: &Capture, piece: Piece<'_>) {
        if let Self::Awaited(unit) = *self
            && capture
                .to
                .ready_pattern
                .as_ref()
                .is_some_and(|ready_pattern| ready_pattern.is_in(piece.text))
        {
            *self = Self::Matched(unit);
        }
    }
}

#[derive(Debug)]
enum Flow {
    /// It is waited for in the epoll.
    Reading,
    /// A sink is full: its descriptor is waited for, or the timer.
    Held(Option<OwnedFd>),
}

/// How far a stream was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    /// There may be more.
    Portion,
    /// All that was there.
    Dry,
    /// Everything that will ever be there.
    End,
}

impl LogReader {
    fn run(&mut self) -> io::Result<()> {
        let mut ready = Vec::new();
        loop {
            let deadline = [self.retry_at, self.end].into_iter().flatten().min();
            self.timer.set(deadline)?;
            self.epoll.wait(&mut ready)?;
            for &key in &ready {
                match key {
                    WAKE_KEY => self.wake.drain(),
                    TIMER_KEY => {
                        self.timer.drain()?;
                    }
                    key => {
                        self.due.insert(StreamId(key));
                    }
                }
            }
            self.run_commands();
            self.retry();
            while let Some(id) = self.due.pop_first() {
                self.advance(id);
            }
            self.report_drained();
            let over = |end: u64| self.drains.is_empty() || end <= monotonic_nanos();
            if self.end.is_some_and(over) {
                return Ok(());
            }
        }
    }

    fn run_commands(&mut self) {
        // What is ordered after an end is of nobody.
        while self.end.is_none()
            && let Ok(command) = self.commands.try_recv()
        {
            self.run_command(command);
        }
    }

    fn run_command(&mut self, command: ReadCommand) {
        match command {
            ReadCommand::Attach { id, source, capture, stream } => {
                capture.to.sinks.iter().for_each(LogSink::reopen);
                let source = CapturedStream {
                    fd: source,
                    capture,
                    stream,
                    run: RunId::NONE,
                    pattern: PatternState::Unasked,
                    splitter: Splitter::default(),
                    flow: Flow::Reading,
                    drain: Drain::Unasked,
                    prefix: String::new(),
                };
                source.watch(&self.epoll, id);
                self.streams.insert(id, source);
            }
            ReadCommand::Redirect { id, capture } => {
                if let Some(source) = self.streams.get_mut(&id)
                    && source.capture != capture
                {
                    capture.to.sinks.iter().for_each(LogSink::reopen);
                    source.capture = capture;
                    // A sink that held it up has no say any more.
                    self.due.insert(id);
                }
            }
            ReadCommand::Begin { id, unit, run } => {
                if let Some(source) = self.streams.get_mut(&id) {
                    source.run = run;
                    source.pattern = match source.capture.to.ready_pattern {
                        Some(_) => PatternState::Awaited(unit),
                        None => PatternState::Unasked,
                    };
                }
            }
            ReadCommand::Drain { ids, number } => {
                let ids: BTreeSet<_> = ids.into_iter().collect();
                self.drains.push((ids.clone(), number));
                for id in ids {
                    if let Some(source) = self.streams.get_mut(&id) {
                        source.drain = Drain::Reading(DRAIN_BYTES);
                    }
                    self.due.insert(id);
                }
            }
            ReadCommand::End => {
                self.end = Some(after(END_LIMIT));
                let all = self.streams.keys().copied().collect();
                // Nobody listens to the number any more.
                self.run_command(ReadCommand::Drain { ids: all, number: 0 });
            }
        }
    }

    /// Writes what is held of a stream, then reads it.
    fn advance(&mut self, id: StreamId) {
        let Some(source) = self.streams.get_mut(&id) else {
            return;
        };
        if let Flow::Held(waiter) = &mut source.flow {
            if let Some(waiter) = waiter.take() {
                self.epoll.remove(&waiter);
            }
            if self.write(id) == SinkRoom::None {
                return;
            }
        }
        for _ in 0..READS_PER_TURN {
            let Some(source) = self.streams.get_mut(&id) else {
                return;
            };
            let (reached, count) = source.read(&mut self.buffer);
            if reached == Reached::Portion {
                // Whose it is was ordered before it could be printed, maybe only just now. Not so what comes to an end
                // here: a drain that is ordered after it asks for one more look.
                self.run_commands();
            }
            let Some(source) = self.streams.get_mut(&id) else {
                return;
            };
            source.receive(&self.buffer[..count], reached);
            if let PatternState::Matched(unit) = source.pattern {
                source.pattern = PatternState::Unasked;
                let run = source.run;
                self.send_event(LogEvent::Ready(unit, run));
            }
            let room = self.write(id);
            if reached == Reached::End && room == SinkRoom::Some {
                // A terminal that nobody has open any more.
                self.streams.remove(&id);
            }
            if reached != Reached::Portion || room == SinkRoom::None {
                return;
            }
        }
    }

    /// Writes what waits for the sinks of a stream. If something stays that may not be dropped, nothing more is
    /// read until it is taken.
    fn write(&mut self, id: StreamId) -> SinkRoom {
        let Some(source) = self.streams.get_mut(&id) else {
            return SinkRoom::Some;
        };
        // Of the sinks that hold it up: a descriptor that tells of room, if there is one.
        let mut held = None;
        for sink in &source.capture.to.sinks {
            match (sink.flush(&source.prefix), source.capture.to.slow) {
                (Flushed::All, _) => {}
                (Flushed::Full, Slow::Block) => held = Some(sink.waiter()),
                (Flushed::Failed, Slow::Block) => held = held.or(Some(None)),
                // Also tried again by the next line.
                (Flushed::Full | Flushed::Failed, Slow::DropNewest) => {
                    self.retry_at.get_or_insert_with(|| after(RETRY_AFTER));
                }
            }
        }
        if let Some(ring) = &source.capture.to.ring {
            ring.notify();
        }
        let was_held = matches!(source.flow, Flow::Held(_));
        let Some(waiter) = held else {
            if was_held {
                source.flow = Flow::Reading;
                source.watch(&self.epoll, id);
            }
            if source.drain == Drain::Writing {
                source.drain = Drain::Unasked;
                for (ids, _) in &mut self.drains {
                    ids.remove(&id);
                }
            }
            return SinkRoom::Some;
        };
        if !was_held {
            self.epoll.remove(&source.fd);
        }
        let waiter = waiter.filter(|fd| self.epoll.add(fd, id.0, Trigger::Room).is_ok());
        if waiter.is_none() {
            self.retry_at.get_or_insert_with(|| after(RETRY_AFTER));
        }
        source.flow = Flow::Held(waiter);
        SinkRoom::None
    }

    /// Tries sinks again that took nothing, if it is time.
    fn retry(&mut self) {
        if self.retry_at.is_none_or(|at| at > monotonic_nanos()) {
            return;
        }
        self.retry_at = None;
        let all: Vec<_> = self.streams.keys().copied().collect();
        for id in all {
            let held = |source: &CapturedStream| matches!(source.flow, Flow::Held(_));
            if self.streams.get(&id).is_some_and(held) {
                self.advance(id);
            } else {
                self.write(id);
            }
        }
    }

    fn report_drained(&mut self) {
        let streams = &self.streams;
        let over = |(ids, _): &mut (BTreeSet<_>, _)| !ids.iter().any(|id| streams.contains_key(id));
        let over: Vec<_> = self.drains.extract_if(.., over).collect();
        over.into_iter().for_each(|(_, number)| self.send_event(LogEvent::Drained(number)));
    }

    fn send_event(&self, event: LogEvent) {
        // A reactor that has ended needs to hear nothing.
        if self.event_sender.send(event).is_ok() {
            self.reactor.notify();
        }
    }
}

/// Whether the sinks of a stream take more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SinkRoom {
    Some,
    None,
}

impl CapturedStream {
    fn watch(&self, epoll: &Epoll, id: StreamId) {
        if let Err(error) = epoll.add(&self.fd, id.0, Trigger::Level) {
            telemetry::log_ended(&error);
        }
    }

    /// Reads a portion; returns how many bytes it has as well.
    fn read(&self, buffer: &mut [u8]) -> (Reached, usize) {
        match rustix::io::read(&self.fd, buffer) {
            Ok(0) => (Reached::End, 0),
            Ok(count) => (Reached::Portion, count),
            Err(Errno::AGAIN) => (Reached::Dry, 0),
            Err(Errno::INTR) => (Reached::Portion, 0),
            // EIO: nobody has the terminal open any more.
            Err(_) => (Reached::End, 0),
        }
    }

    /// Gives what was read to the sinks, where it waits to be written.
    fn receive(&mut self, bytes: &[u8], reached: Reached) {
        self.distribute(bytes);
        if let Drain::Reading(left) = &mut self.drain {
            *left = left.saturating_sub(bytes.len());
        }
        let drained = match self.drain {
            Drain::Reading(left) => left == 0 || reached != Reached::Portion,
            Drain::Unasked | Drain::Writing => false,
        };
        if drained || reached == Reached::End {
            let Self { splitter, capture, run, pattern, stream, prefix, .. } = self;
            splitter.finish(|piece| {
                pattern.match_line(capture, piece);
                capture.deliver(piece, *run, *stream, prefix);
            });
        }
        if drained {
            self.drain = Drain::Writing;
        }
    }

    fn distribute(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let Self { splitter, capture, run, pattern, stream, prefix, .. } = self;
        *prefix = format!("{} {stream}", format_rfc3339_micros(wall()));
        for sink in &capture.to.sinks {
            sink.write_raw(bytes, capture.to.slow);
        }
        splitter.feed(bytes, |piece| {
            pattern.match_line(capture, piece);
            capture.deliver(piece, *run, *stream, prefix);
        });
    }
}

impl Capture {
    /// Gives a line to whoever takes lines.
    fn deliver(&self, piece: Piece<'_>, run: RunId, stream: Stream, prefix: &str) {
        for sink in &self.to.sinks {
            sink.write_line(piece, prefix, self.to.slow);
        }
        if self.to.ring.is_none() && self.to.callback.is_none() {
            return;
        }
        let line = Line { at: wall(), run, stream, text: piece.text.into(), ends: piece.ends };
        if let Some(listener) = &self.to.callback {
            (listener.0)(&line);
        }
        if let Some(ring) = &self.to.ring {
            ring.push(line);
        }
    }
}

fn after(delay: Duration) -> u64 {
    let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
    monotonic_nanos().saturating_add(nanos)
}

const WAKE_KEY: u64 = 0;
const TIMER_KEY: u64 = 1;
const FIRST_STREAM: u64 = 2;
/// Portions of one stream before the others have their turn.
const READS_PER_TURN: usize = 4;
const BUFFER: usize = 64 * 1024;
/// More than a pipe holds that nobody but root can make larger (`pipe(7)`).
const DRAIN_BYTES: usize = 1024 * 1024;
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long the end of the thread waits for sinks that take nothing.
const END_LIMIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use rustix::fs::{OFlags, fcntl_setfl};
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;
    use crate::linux::output::LogRing;
    use crate::linux::testing::until;

    /// A pipe of which the thread reads one end; the other one.
    fn attached(thread: &mut LogThread, capture: Capture) -> (StreamId, std::fs::File) {
        let (source, program) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        fcntl_setfl(&source, OFlags::NONBLOCK).unwrap();
        (thread.attach(source, capture, Stream::Stdout), program.into())
    }

    /// Goal: what a run prints is its own, and goes where its command says, however late the thread hears of the run.
    /// Method: in one turn it is to look at two streams. In the listener of the first, when it has taken the commands of
    /// that turn, it is held until the second has a run and that has printed.
    #[test]
    fn run_that_was_ordered_before_it_printed_has_its_lines() {
        let (_wake, reactor) = Wake::new().unwrap();
        let mut thread = LogThread::start(reactor).unwrap();
        let (enters, entered) = mpsc::channel();
        let (go, goes) = mpsc::channel();
        let door = Mutex::new((enters, goes));
        let holding = Capture::new().to_listener(move |_| {
            let (enters, goes) = &*door.lock().unwrap();
            enters.send(()).unwrap();
            goes.recv().unwrap();
        });
        let rings = [1, 2].map(|_| LogRing::new(1000));
        let to = |ring: &LogRing| Capture::new().to_ring(ring.clone());
        let (_, mut before) = attached(&mut thread, holding.clone());
        let (_, mut first) = attached(&mut thread, holding);
        let (second, mut program) = attached(&mut thread, to(&rings[0]));
        before.write_all(b"\n").unwrap();
        entered.recv().unwrap();
        first.write_all(b"\n").unwrap();
        thread.drain(vec![second], 1);
        go.send(()).unwrap();
        entered.recv().unwrap();
        thread.redirect(second, to(&rings[1]));
        thread.begin(second, UnitId::new(0), RunId::new(7));
        program.write_all(b"x\n").unwrap();
        go.send(()).unwrap();
        until(|| rings.iter().any(|ring| ring.end() > 0));
        let lines = rings.each_ref().map(|ring| {
            let lines = ring.lines().into_iter();
            lines.map(|line| (line.run.as_u32(), line.text.to_vec())).collect::<Vec<_>>()
        });
        assert_eq!(lines, [vec![], vec![(7, b"x".to_vec())]]);
    }
}
