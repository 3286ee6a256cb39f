//! The thread that reads what programs print.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use humantime::format_rfc3339_micros;
use monitor_core::RunId;
use rustix::io::Errno;

use crate::driver::kernel::UnitId;
use crate::linux::clock::{monotonic_nanos, wall};
use crate::linux::epoll::{Epoll, Trigger};
use crate::linux::timer::Timer;
use crate::linux::wake::{Notifier, Wake};
use crate::output::capture::Capture;
use crate::output::line::{Line, Stream};
use crate::output::lines::{Piece, Splitter};
use crate::output::sink::{Flushed, LogSink};
use crate::output::slow::Slow;
use crate::telemetry;

/// The other end of the thread. Dropped, it drains all streams, for at most [`END_LIMIT`], and ends the thread.
#[derive(Debug)]
pub(crate) struct LogThread {
    commands: Sender<ReadCommand>,
    notifier: Notifier,
    events: Receiver<LogEvent>,
    ended: Receiver<()>,
    step: Arc<Step>,
    next_stream: u64,
}

/// What the thread has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogEvent {
    /// What [`LogThread::drain`] has asked for with this number is done, as far as the sinks took it.
    Drained(u64),
    /// A run has printed the line by which it says that it serves.
    Ready(UnitId, RunId),
}

/// Which stream: a number that is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamId(u64);

#[derive(Debug)]
enum ReadCommand {
    /// Read this, which does not block.
    Attach { id: StreamId, source: OwnedFd, capture: Capture, stream: Stream },
    /// What comes now goes there.
    Redirect { id: StreamId, capture: Capture },
    /// What comes now is of this run.
    Begin { id: StreamId, unit: UnitId, run: RunId },
    /// Say the number when all that is there by now is read and passed on, or a sink has stalled.
    Drain { ids: Vec<StreamId>, number: u64 },
    /// No drain waits for these until their next run begins.
    Hurry { ids: Vec<StreamId> },
    /// Drain all, and end.
    End,
}

impl LogThread {
    /// Starts the thread. `reactor` is notified when there is news.
    ///
    /// # Errors
    /// No descriptor, thread or memory left; nothing was started.
    pub(crate) fn start(reactor: Notifier) -> io::Result<Self> {
        let (wake, notifier) = Wake::new()?;
        let (commands, received) = mpsc::channel();
        let (event_sender, events) = mpsc::channel();
        let (ends, ended) = mpsc::channel();
        let (epoll, timer) = (Epoll::new()?, Timer::new()?);
        epoll.add(&wake, WAKE_KEY, Trigger::Level)?;
        epoll.add(&timer, TIMER_KEY, Trigger::Level)?;
        let step = Arc::<Step>::default();
        let mut reader = LogReader {
            step: Arc::clone(&step),
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
            reader.step.end();
            drop(reader);
            drop(ends);
        })?;
        Ok(Self { commands, notifier, events, ended, step, next_stream: FIRST_STREAM })
    }

    /// Begins to read a stream, of which `source` must not block.
    pub(crate) fn attach(&mut self, source: OwnedFd, capture: Capture, stream: Stream) -> StreamId {
        let id = StreamId(self.next_stream);
        self.next_stream += 1;
        self.send(ReadCommand::Attach { id, source, capture, stream });
        id
    }

    /// Says what becomes of what comes now.
    pub(crate) fn redirect(&self, id: StreamId, capture: Capture) {
        self.send(ReadCommand::Redirect { id, capture });
    }

    /// Says to which run belongs what comes now.
    pub(crate) fn begin(&self, id: StreamId, unit: UnitId, run: RunId) {
        self.send(ReadCommand::Begin { id, unit, run });
    }

    /// Asks for [`LogEvent::Drained`] with the number when all that was printed so far is read and passed on.
    ///
    /// The thread waits as long as the sinks take bytes, and for [`DRAIN_STALL`] while they take none. A sink that
    /// has stalled once is not waited for again before it takes bytes.
    pub(crate) fn drain(&self, ids: Vec<StreamId>, number: u64) {
        self.send(ReadCommand::Drain { ids, number });
    }

    /// Ends the wait of drains for these streams, until their next run begins. What is there is still written when the
    /// sinks take it.
    pub(crate) fn hurry(&self, ids: Vec<StreamId>) {
        self.send(ReadCommand::Hurry { ids });
    }

    /// Whether the thread has ended, or has been in one step for [`DRAIN_STALL`], as where a disk hangs.
    fn is_stuck(&self) -> bool {
        self.step.is_stuck()
    }

    /// What there is to say since the last call, in the order in which it happened.
    pub(crate) fn take_events(&self) -> impl Iterator<Item = LogEvent> {
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
        while self.ended.recv_timeout(DRAIN_STALL) == Err(RecvTimeoutError::Timeout) {
            // A disk that hangs keeps the thread, and nobody else.
            if self.is_stuck() {
                return;
            }
        }
    }
}

/// Since when the thread has been in its present step, in monotonic nanoseconds; 0 while it waits for events.
#[derive(Debug, Default)]
struct Step(AtomicU64);

impl Step {
    fn begin(&self) {
        self.0.store(monotonic_nanos(), Ordering::Release);
    }

    fn wait(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// There is no other.
    fn end(&self) {
        self.0.store(1, Ordering::Release);
    }

    fn is_stuck(&self) -> bool {
        let began = self.0.load(Ordering::Acquire);
        let limit = u64::try_from(DRAIN_STALL.as_nanos()).unwrap_or(u64::MAX);
        began != 0 && monotonic_nanos().saturating_sub(began) >= limit
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
    step: Arc<Step>,
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
    /// What a drain has seen of its sinks, until they have taken all.
    stall: Option<Stall>,
    /// Whether no drain waits for it before its next run.
    hurried: bool,
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

/// How long a drain waits for the sinks of a stream.
#[derive(Clone, Copy, Debug)]
struct Stall {
    /// What the sinks had taken when they were last seen to take anything.
    progress: u64,
    /// When they have stalled, unless they take something before.
    at: u64,
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
                .targets
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
            let deadline = [self.retry_at, self.end, self.next_stall()].into_iter().flatten().min();
            self.timer.set(deadline)?;
            self.step.wait();
            self.epoll.wait(&mut ready)?;
            self.step.begin();
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
                capture.targets.sinks.iter().for_each(LogSink::reopen);
                let source = CapturedStream {
                    fd: source,
                    capture,
                    stream,
                    run: RunId::NONE,
                    pattern: PatternState::Unasked,
                    splitter: Splitter::default(),
                    flow: Flow::Reading,
                    drain: Drain::Unasked,
                    stall: None,
                    hurried: false,
                    prefix: String::new(),
                };
                source.watch(&self.epoll, id);
                self.streams.insert(id, source);
            }
            ReadCommand::Redirect { id, capture } => {
                if let Some(source) = self.streams.get_mut(&id)
                    && source.capture != capture
                {
                    capture.targets.sinks.iter().for_each(LogSink::reopen);
                    source.capture = capture;
                    // A sink that held it up has no say any more.
                    self.due.insert(id);
                }
            }
            ReadCommand::Begin { id, unit, run } => {
                if let Some(source) = self.streams.get_mut(&id) {
                    source.run = run;
                    source.hurried = false;
                    source.pattern = match source.capture.targets.ready_pattern {
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
                        source.update_stall();
                    }
                    self.due.insert(id);
                }
            }
            ReadCommand::Hurry { ids } => {
                for id in ids {
                    if let Some(source) = self.streams.get_mut(&id) {
                        source.hurried = true;
                    }
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
        self.step.begin();
        let Some(source) = self.streams.get_mut(&id) else {
            return SinkRoom::Some;
        };
        // At the end of a run the last bytes of a sink that may drop lines are waited for too.
        let drains = source.drain == Drain::Writing;
        let waits = drains || source.capture.targets.slow == Slow::Block;
        // Of the sinks that hold it up: a descriptor that tells of room, if there is one.
        let mut held = None;
        let mut retry_after = RETRY_AFTER;
        for sink in &source.capture.targets.sinks {
            match (sink.flush(&source.prefix), waits) {
                (Flushed::All, _) if drains && !sink.is_settled() => {
                    held = held.or(Some(None));
                    retry_after = SETTLE_PAUSE;
                }
                (Flushed::All, _) => {}
                (Flushed::Full, true) => held = Some(sink.waiter()),
                (Flushed::Failed, true) => held = held.or(Some(None)),
                // Also tried again by the next line.
                (Flushed::Full | Flushed::Failed, false) => {
                    self.retry_at.get_or_insert_with(|| after(RETRY_AFTER));
                }
            }
        }
        if let Some(ring) = &source.capture.targets.ring {
            ring.notify();
        }
        let was_held = matches!(source.flow, Flow::Held(_));
        let Some(waiter) = held else {
            if was_held {
                source.flow = Flow::Reading;
                source.watch(&self.epoll, id);
            }
            if drains {
                source.stall = None;
                self.end_drain(id);
            }
            return SinkRoom::Some;
        };
        if !was_held {
            self.epoll.remove(&source.fd);
        }
        let waiter = waiter.filter(|fd| self.epoll.add(fd, id.0, Trigger::Room).is_ok());
        if waiter.is_none() {
            let at = after(retry_after);
            self.retry_at = Some(self.retry_at.map_or(at, |before| before.min(at)));
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

    /// No drain waits for a stream any more.
    fn end_drain(&mut self, id: StreamId) {
        if let Some(source) = self.streams.get_mut(&id) {
            source.drain = Drain::Unasked;
        }
        for (ids, _) in &mut self.drains {
            ids.remove(&id);
        }
    }

    /// The streams that a drain waits for.
    fn draining(&self) -> impl Iterator<Item = (StreamId, &CapturedStream)> {
        let ids = self.drains.iter().flat_map(|(ids, _)| ids);
        ids.filter_map(|id| Some((*id, self.streams.get(id)?)))
    }

    /// When a drain looks whether sinks have stalled.
    fn next_stall(&self) -> Option<u64> {
        self.draining().filter_map(|(_, source)| Some(source.stall?.at)).min()
    }

    /// Ends the wait for sinks that have stalled, and for streams that are not to be waited for.
    fn end_stalled_drains(&mut self) {
        let now = monotonic_nanos();
        let due = |source: &CapturedStream| {
            source.hurried || source.stall.is_some_and(|stall| stall.at <= now)
        };
        let due: Vec<_> =
            self.draining().filter(|(_, source)| due(source)).map(|(id, _)| id).collect();
        for id in due {
            let Some(source) = self.streams.get_mut(&id) else {
                continue;
            };
            if !source.hurried {
                source.update_stall();
                if source.stall.is_some_and(|stall| stall.at > now) {
                    continue;
                }
                telemetry::not_drained();
            }
            self.end_drain(id);
            // Only its rule for slow sinks holds it up now.
            self.write(id);
        }
    }

    fn report_drained(&mut self) {
        self.end_stalled_drains();
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
        if drained || reached == Reached::End {
            self.drain = Drain::Writing;
        }
    }

    /// Notes whether its sinks have taken anything.
    fn update_stall(&mut self) {
        let sinks = self.capture.targets.sinks.iter();
        let progress = sinks.fold(0, |sum: u64, sink| sum.wrapping_add(sink.progress()));
        if self.stall.is_none_or(|stall| stall.progress != progress) {
            self.stall = Some(Stall { progress, at: after(DRAIN_STALL) });
        }
    }

    fn distribute(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let Self { splitter, capture, run, pattern, stream, prefix, .. } = self;
        *prefix = format!("{} {stream}", format_rfc3339_micros(wall()));
        for sink in &capture.targets.sinks {
            sink.write_raw(bytes, capture.targets.slow);
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
        for sink in &self.targets.sinks {
            sink.write_line(piece, prefix, self.targets.slow);
        }
        if self.targets.ring.is_none() && self.targets.callback.is_none() {
            return;
        }
        let line = Line { at: wall(), run, stream, text: piece.text.into(), ends: piece.ends };
        if let Some(listener) = &self.targets.callback {
            (listener.0)(&line);
        }
        if let Some(ring) = &self.targets.ring {
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
/// How often a drain looks whether a relay has written all.
const SETTLE_PAUSE: Duration = Duration::from_millis(10);
/// How long a drain waits for sinks that take nothing.
const DRAIN_STALL: Duration = Duration::from_secs(1);
/// How long the end of the thread waits in all.
const END_LIMIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::Mutex;

    use rustix::fs::{OFlags, fcntl_setfl};
    use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

    use super::*;
    use crate::output::log_format::LogFormat;
    use crate::output::ring::LogRing;
    use crate::testing::until;

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

    /// Waits for the end of a drain.
    fn drained(thread: &LogThread, number: u64) {
        until(|| thread.take_events().any(|event| event == LogEvent::Drained(number)));
    }

    fn full_pipe() -> (OwnedFd, OwnedFd) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        fcntl_setpipe_size(&writer, 4096).unwrap();
        std::fs::File::from(writer.try_clone().unwrap()).write_all(&[b'x'; 4096]).unwrap();
        (reader, writer)
    }

    /// Goal: the thread itself ends the wait for a sink that takes nothing, by either rule for slow sinks.
    #[test]
    fn drain_ends_when_a_sink_has_stalled() {
        for slow in [Slow::Block, Slow::DropNewest] {
            for new in [
                |fd| LogSink::descriptor(fd, LogFormat::Raw).unwrap(),
                |fd| LogSink::by_relay(fd, LogFormat::Raw),
            ] {
                let (_wake, reactor) = Wake::new().unwrap();
                let mut thread = LogThread::start(reactor).unwrap();
                let (_reader, writer) = full_pipe();
                let capture = Capture::new().to_sink(new(writer)).when_slow(slow);
                let (id, mut program) = attached(&mut thread, capture);
                program.write_all(b"never taken\n").unwrap();
                thread.drain(vec![id], 1);
                drained(&thread, 1);
                thread.drain(vec![id], 2);
                drained(&thread, 2);
            }
        }
    }

    /// Goal: a drain has nothing left that a reader would take: not in a relay, nor of a sink that may drop lines.
    #[test]
    fn drain_waits_for_what_a_reader_takes() {
        let text = b"0123456789abcdef\n".repeat(3000);
        let whole = text.len();
        for new in [
            |fd| LogSink::descriptor(fd, LogFormat::Raw).unwrap(),
            |fd| LogSink::by_relay(fd, LogFormat::Raw),
        ] {
            let (_wake, reactor) = Wake::new().unwrap();
            let mut thread = LogThread::start(reactor).unwrap();
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            fcntl_setpipe_size(&writer, 4096).unwrap();
            let capture = Capture::new().to_sink(new(writer)).when_slow(Slow::DropNewest);
            let (id, mut program) = attached(&mut thread, capture);
            program.write_all(&text).unwrap();
            thread.drain(vec![id], 1);
            let (began, begins) = mpsc::channel();
            let reading = thread::spawn(move || {
                let mut reader = std::fs::File::from(reader);
                let (mut count, mut page) = (0, [0; 4096]);
                while count < whole {
                    count += reader.read(&mut page).unwrap();
                    began.send(count).unwrap();
                    thread::yield_now();
                }
            });
            drained(&thread, 1);
            // A page may wait in the pipe, and one is on its way from the reader to here.
            let read = begins.try_iter().last().unwrap();
            assert!(read + 2 * 4096 >= whole, "{read} of {whole}");
            reading.join().unwrap();
        }
    }
}
