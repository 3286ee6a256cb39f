//! The thread that reads the captured output of programs.

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
use crate::output::slow_sink::SlowSink;
use crate::telemetry;

/// The handle of the thread; its drop drains all streams for at most [`END_LIMIT`] and ends the
/// thread.
#[derive(Debug)]
pub(crate) struct LogThread {
    commands: Sender<ReadCommand>,
    notifier: Notifier,
    events: Receiver<LogEvent>,
    ended: Receiver<()>,
    step: Arc<Step>,
    next_stream: u64,
}

/// An event that the thread reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogEvent {
    /// The drain with this number is done, as far as the sinks took the output.
    Drained(u64),
    /// A run has printed its readiness line.
    Ready(UnitId, RunId),
}

/// The number of a stream, which is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamId(u64);

#[derive(Debug)]
enum ReadCommand {
    /// Reads this descriptor, which does not block.
    Attach { id: StreamId, source: OwnedFd, capture: Capture, stream: Stream },
    /// Sets the targets of the following output.
    Redirect { id: StreamId, capture: Capture },
    /// Sets the run of the following output.
    Begin { id: StreamId, unit: UnitId, run: RunId },
    /// Reports the number when all present output is read and passed on, or a sink has stalled.
    Drain { ids: Vec<StreamId>, number: u64 },
    /// Ends the wait of drains for these streams until their next run begins.
    Hurry { ids: Vec<StreamId> },
    /// Drains all streams and ends the thread.
    End,
}

impl LogThread {
    /// Starts the thread; it notifies `reactor` of each event.
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
            // From now on no caller may wait for the thread.
            reader.step.end();
            drop(reader);
            drop(ends);
        })?;
        Ok(Self { commands, notifier, events, ended, step, next_stream: FIRST_STREAM })
    }

    /// Starts to read a stream, whose `source` must not block.
    pub(crate) fn attach(&mut self, source: OwnedFd, capture: Capture, stream: Stream) -> StreamId {
        let id = StreamId(self.next_stream);
        self.next_stream += 1;
        self.send(ReadCommand::Attach { id, source, capture, stream });
        id
    }

    /// Sets the targets of a stream's output from now on.
    pub(crate) fn redirect(&self, id: StreamId, capture: Capture) {
        self.send(ReadCommand::Redirect { id, capture });
    }

    /// Sets the run of a stream's output from now on.
    pub(crate) fn begin(&self, id: StreamId, unit: UnitId, run: RunId) {
        self.send(ReadCommand::Begin { id, unit, run });
    }

    /// Requests [`LogEvent::Drained`] with the number when all earlier output is read and passed
    /// on.
    ///
    /// The thread waits while the sinks take bytes, and for [`DRAIN_STALL`] while they take none.
    /// It does not wait again for a stalled sink until the sink takes bytes.
    pub(crate) fn drain(&self, ids: Vec<StreamId>, number: u64) {
        self.send(ReadCommand::Drain { ids, number });
    }

    /// Ends the wait of drains for these streams, until their next run begins.
    ///
    /// Pending output is still written when the sinks take it.
    pub(crate) fn hurry(&self, ids: Vec<StreamId>) {
        self.send(ReadCommand::Hurry { ids });
    }

    /// Whether the thread has ended, or has been in one step for [`DRAIN_STALL`], as with a hung
    /// disk.
    fn is_stuck(&self) -> bool {
        self.step.is_stuck()
    }

    /// The events since the last call, in their order.
    pub(crate) fn take_events(&self) -> impl Iterator<Item = LogEvent> {
        self.events.try_iter()
    }

    fn send(&self, command: ReadCommand) {
        // A thread that has ended by an error, which it logged, takes no commands.
        if self.commands.send(command).is_ok() {
            self.notifier.notify();
        }
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        self.send(ReadCommand::End);
        while self.ended.recv_timeout(DRAIN_STALL) == Err(RecvTimeoutError::Timeout) {
            // A hung disk holds up the thread alone, not the drop.
            if self.is_stuck() {
                return;
            }
        }
    }
}

/// The start of the thread's current step, in monotonic nanoseconds; 0 while it waits for events.
#[derive(Debug, Default)]
struct Step(AtomicU64);

impl Step {
    fn begin(&self) {
        self.0.store(monotonic_nanos(), Ordering::Release);
    }

    fn wait(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// The time of a step that counts as stuck: no step follows.
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
    /// The streams to write and read in this turn.
    due: BTreeSet<StreamId>,
    /// The drains in progress, by their streams and their number.
    drains: Vec<(BTreeSet<StreamId>, u64)>,
    /// The time at which blocked sinks are retried.
    retry_at: Option<u64>,
    step: Arc<Step>,
    /// The time at which the thread ends, drained or not.
    end: Option<u64>,
    /// Shared by all streams: the bytes of a read are passed on before the next read.
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
    /// The progress that a drain has observed, until the sinks have taken all.
    stall: Option<Stall>,
    /// Whether no drain waits for the stream before its next run.
    hurried: bool,
    /// The prefix of a line: the time of the last portion, and the stream.
    prefix: String,
}

/// The progress of a stream's drain at the end of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drain {
    /// No drain waits for the stream.
    Unasked,
    /// The stream is read until it is empty, or for this many bytes.
    ///
    /// A process that writes without end produced the later bytes after the request.
    Reading(usize),
    /// All output was read, and the sinks have not taken all of it.
    Writing,
}

/// The bound on a drain's wait for the sinks of a stream.
#[derive(Clone, Copy, Debug)]
struct Stall {
    /// The progress of the sinks at the last observed change.
    progress: u64,
    /// The time at which the sinks count as stalled, unless they make progress before.
    at: u64,
}

/// The state of the search for a run's readiness line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PatternState {
    Unasked,
    Awaited(UnitId),
    /// The line was found, and is not reported yet.
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
    /// The epoll waits for the stream.
    Reading,
    /// A sink is full: the epoll waits for its descriptor, or the timer is set.
    Held(Option<OwnedFd>),
}

/// The result of a read of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    /// There may be more bytes.
    Portion,
    /// No more bytes are available now.
    Dry,
    /// The end of the stream.
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
        // Commands after an end have no sender that needs them.
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
                    // The old sinks do not hold up the stream any more.
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
                // The number of this drain is never reported.
                self.run_command(ReadCommand::Drain { ids: all, number: 0 });
            }
        }
    }

    /// Writes the pending output of a stream, then reads the stream.
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
                // The command that names the run was sent before the run could print, maybe just
                // now. The end of a stream needs no such check: a drain that is requested later
                // polls the stream once more.
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
                // A terminal that no process has open any more.
                self.streams.remove(&id);
            }
            if reached != Reached::Portion || room == SinkRoom::None {
                return;
            }
        }
    }

    /// Writes the pending output of a stream to its sinks.
    ///
    /// If bytes remain that must not be dropped, the stream is not read until they are taken.
    fn write(&mut self, id: StreamId) -> SinkRoom {
        self.step.begin();
        let Some(source) = self.streams.get_mut(&id) else {
            return SinkRoom::Some;
        };
        // At the end of a run the drain waits for the last bytes even of sinks that may drop lines.
        let drains = source.drain == Drain::Writing;
        let waits = drains || source.capture.targets.slow == SlowSink::Block;
        // The descriptor of a full sink that reports room, if there is one.
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
                // The next line retries it too.
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

    /// Retries blocked sinks if their time has come.
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

    /// Removes a stream from all drains.
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

    /// The next time at which a drain checks for stalled sinks.
    fn next_stall(&self) -> Option<u64> {
        self.draining().filter_map(|(_, source)| Some(source.stall?.at)).min()
    }

    /// Ends the wait for stalled sinks and hurried streams.
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
            // From now on only its rule for slow sinks can hold it up.
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
        // A reactor that has ended needs no events.
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

    /// Reads a portion; the second value is its number of bytes.
    fn read(&self, buffer: &mut [u8]) -> (Reached, usize) {
        match rustix::io::read(&self.fd, buffer) {
            Ok(0) => (Reached::End, 0),
            Ok(count) => (Reached::Portion, count),
            Err(Errno::AGAIN) => (Reached::Dry, 0),
            Err(Errno::INTR) => (Reached::Portion, 0),
            // EIO: no process has the terminal open any more.
            Err(_) => (Reached::End, 0),
        }
    }

    /// Passes bytes on to the sinks, which hold them until they are written.
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

    /// Updates the observed progress of the sinks.
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
    /// Passes a line on to all targets that take lines.
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
/// Portions of one stream before the other streams have their turn.
const READS_PER_TURN: usize = 4;
const BUFFER: usize = 64 * 1024;
/// More bytes than a pipe holds, unless root enlarged it (`pipe(7)`).
const DRAIN_BYTES: usize = 1024 * 1024;
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The pause of a drain between two checks whether a relay has written all.
const SETTLE_PAUSE: Duration = Duration::from_millis(10);
/// The longest wait of a drain for sinks that take nothing.
const DRAIN_STALL: Duration = Duration::from_secs(1);
/// The longest wait of the thread's end in all.
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

    /// Makes a pipe whose reading end the thread has; returns the other end.
    fn attached(thread: &mut LogThread, capture: Capture) -> (StreamId, std::fs::File) {
        let (source, program) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        fcntl_setfl(&source, OFlags::NONBLOCK).unwrap();
        (thread.attach(source, capture, Stream::Stdout), program.into())
    }

    /// Goal: a run's output is attributed to that run and goes to its targets, however late the
    /// command arrives. Method: two streams are due in one turn. The listener of the first, which
    /// runs after the commands of that turn, blocks until the second has a run that has printed.
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

    /// Goal: the thread itself ends the wait for a sink that takes nothing, by either rule for slow
    /// sinks.
    #[test]
    fn drain_ends_when_a_sink_has_stalled() {
        for slow in [SlowSink::Block, SlowSink::DropNewest] {
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

    /// Goal: a drain leaves no bytes that a reader would take, neither in a relay nor in a dropping
    /// sink.
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
            let capture = Capture::new().to_sink(new(writer)).when_slow(SlowSink::DropNewest);
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
            // A page may wait in the pipe, and one is on its way from the reader to the test.
            let read = begins.try_iter().last().unwrap();
            assert!(read + 2 * 4096 >= whole, "{read} of {whole}");
            reading.join().unwrap();
        }
    }
}
