//! The connection of one client: its request, and the replies that it has not read.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use monitor_os::{LogRing, StopResult, Stopping, Unit, UnitEvent};
use rustix::event::PollFlags;

use super::protocol::{ControlRequest, REQUEST_MAX, Refusal, RefusalKind};
use super::reply::{
    ChangeReply, EventsReply, HandledRequest, LogsReply, Refused, Reply, StopReply,
};
use crate::report::history::History;
use crate::report::log_line::{LogLine, StreamName};
use crate::report::stop_outcome::StopOutcome;

/// One connection.
#[derive(Debug)]
pub(super) struct Session {
    stream: UnixStream,
    input: Vec<u8>,
    /// The lines that the client has not taken yet.
    output: Vec<u8>,
    stage: SessionStage,
}

#[derive(Debug)]
pub(super) enum SessionStage {
    /// The client has sent no request yet.
    Asking,
    /// The client waits for the report of its request.
    Awaiting,
    /// The client waits for the reports of its request to all units, of which so many are missing.
    AwaitingAll(usize),
    /// The client waits for the end of a stop.
    Stopping(Unit, Stopping),
    /// The client waits for the end of the stops of all units.
    StoppingAll(Vec<(Unit, Stopping)>),
    /// The client reads events.
    Events(EventCursor),
    /// The client reads log lines of a unit.
    Logs(LogCursor),
    /// The client has its answer, and is disconnected when it has read it.
    Answered,
    /// The client is to be disconnected.
    Gone,
}

/// The position of a client in the events.
#[derive(Debug)]
pub(super) struct EventCursor {
    /// The number of the next entry.
    pub(super) next: u64,
    /// The number at which to end; none to go on for ever.
    pub(super) until: Option<u64>,
    /// The unit; none for all.
    pub(super) unit: Option<String>,
}

/// The position of a client in the log lines of a unit.
#[derive(Debug)]
pub(super) struct LogCursor {
    ring: LogRing,
    /// The number of the next line.
    next: u64,
    /// The number at which to end; none to go on for ever.
    until: Option<u64>,
    /// The stream; none for both.
    stream: Option<StreamName>,
    next_line: NextLine,
}

/// The wait for the next line, if there is one.
struct NextLine(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl fmt::Debug for NextLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NextLine")
    }
}

impl LogCursor {
    /// Begins with the last lines of a stream or of both. With `follow` it goes on for ever.
    pub(super) fn new(
        ring: LogRing,
        follow: bool,
        last: Option<u32>,
        stream: Option<StreamName>,
    ) -> Self {
        let end = ring.end();
        let next = last.map_or_else(|| ring.first(), |last| from_last(&ring, end, last, stream));
        let until = (!follow).then_some(end);
        Self { ring, next, until, stream, next_line: NextLine(None) }
    }
}

/// The number of the line at which the last `count` lines of a stream begin.
fn from_last(ring: &LogRing, end: u64, count: u32, stream: Option<StreamName>) -> u64 {
    let mut left = count;
    let mut at = end;
    while left > 0
        && let Some(line) = at.checked_sub(1).and_then(|before| ring.get(before))
    {
        at -= 1;
        left -= u32::from(stream.is_none_or(|wanted| wanted == line.stream.into()));
    }
    at
}

/// How much of its output was written to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteProgress {
    All,
    Part,
}

impl Session {
    pub(super) const fn new(stream: UnixStream) -> Self {
        Self { stream, input: Vec::new(), output: Vec::new(), stage: SessionStage::Asking }
    }

    pub(super) const fn stream(&self) -> &UnixStream {
        &self.stream
    }

    pub(super) const fn stage(&self) -> &SessionStage {
        &self.stage
    }

    pub(super) fn enter(&mut self, stage: SessionStage) {
        self.stage = stage;
    }

    pub(super) const fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// The events to poll its socket for.
    pub(super) fn interest(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, matches!(self.stage, SessionStage::Asking));
        flags.set(PollFlags::OUT, self.has_output());
        flags
    }

    /// Reads from the client; returns its request, or `None` as long as that is not complete.
    pub(super) fn read(&mut self) -> Option<Result<ControlRequest, Refusal>> {
        if !matches!(self.stage, SessionStage::Asking) {
            // A client sends nothing after its request, so this one has gone.
            self.stage = SessionStage::Gone;
            return None;
        }
        let mut buffer = [0; 4096];
        loop {
            let read = match self.stream.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => {
                    self.stage = SessionStage::Gone;
                    return None;
                }
            };
            let Some(new) = buffer.get(..read).filter(|new| !new.is_empty()) else {
                self.stage = SessionStage::Gone;
                let message = "the request has no line end, so it may be cut";
                let cut = Refusal::new(RefusalKind::Malformed, message);
                return (!self.input.is_empty()).then_some(Err(cut));
            };
            self.input.extend_from_slice(new);
            let end = self.input.iter().take(REQUEST_MAX).position(|&byte| byte == b'\n');
            if let Some(line) = end.and_then(|end| self.input.get(..end)) {
                let request = ControlRequest::read(line);
                self.input = Vec::new();
                return Some(request);
            }
            if self.input.len() >= REQUEST_MAX {
                let message = format_args!(
                    "the request is longer than {REQUEST_MAX} bytes; write less, on one line"
                );
                self.input = Vec::new();
                return Some(Err(Refusal::new(RefusalKind::TooLong, message)));
            }
        }
    }

    /// Gives the client its only or its last reply.
    pub(super) fn answer(&mut self, reply: impl Reply) {
        self.put(reply);
        self.stage = SessionStage::Answered;
    }

    pub(super) fn refuse(&mut self, refused: Refusal) {
        self.answer(Refused { refused });
    }

    pub(super) fn put(&mut self, reply: impl Reply) {
        self.output.append(&mut reply.line());
    }

    /// Waits for the reports of so many units, if the request was to all.
    pub(super) fn await_reports(&mut self, all: bool, units: usize) {
        match (all, units) {
            (false, _) => self.stage = SessionStage::Awaiting,
            (true, 0) => self.answer(ChangeReply::End),
            (true, left) => self.stage = SessionStage::AwaitingAll(left),
        }
    }

    /// Reports how the machine of a unit has handled the request, if the client still waits for it.
    pub(super) fn report(&mut self, notice: &UnitEvent) {
        match self.stage {
            SessionStage::Awaiting => self.answer(ChangeReply::Handled(HandledRequest::of(notice))),
            SessionStage::AwaitingAll(left) => {
                let unit = Some(notice.name.to_string());
                let handled = HandledRequest { unit, ..HandledRequest::of(notice) };
                self.put(ChangeReply::Handled(handled));
                self.await_reports(true, left.saturating_sub(1));
            }
            SessionStage::Asking
            | SessionStage::Stopping(..)
            | SessionStage::StoppingAll(_)
            | SessionStage::Events(_)
            | SessionStage::Logs(_)
            | SessionStage::Answered
            | SessionStage::Gone => {}
        }
    }

    /// Ends the wait for a report, which may be among missed notices.
    pub(super) fn report_missed(&mut self) {
        if matches!(self.stage, SessionStage::Awaiting | SessionStage::AwaitingAll(_)) {
            let message = "the monitor had too much to do to see what came of the request, \
                           which was made; ask by `monitor status`";
            self.refuse(Refusal::new(RefusalKind::Busy, message));
        }
    }

    /// Ends each wait for the supervisor, which has ended.
    pub(super) fn supervisor_ended(&mut self, history: &History) {
        match &mut self.stage {
            SessionStage::Awaiting | SessionStage::AwaitingAll(_) => self.refuse(ending()),
            SessionStage::Events(EventCursor { until, .. }) => {
                *until = until.or(Some(history.end()));
            }
            SessionStage::Logs(LogCursor { ring, until, .. }) => {
                *until = until.or_else(|| Some(ring.end()));
            }
            // A stop has its answer; a client without a request is disconnected.
            SessionStage::Asking
            | SessionStage::Stopping(..)
            | SessionStage::StoppingAll(_)
            | SessionStage::Answered
            | SessionStage::Gone => {}
        }
    }

    /// Reports the stops that the client waits for and that are over.
    pub(super) fn poll_stops(&mut self, context: &mut Context<'_>) {
        match std::mem::replace(&mut self.stage, SessionStage::Gone) {
            SessionStage::Stopping(unit, mut stopping) => {
                match Pin::new(&mut stopping).poll(context) {
                    Poll::Pending => self.stage = SessionStage::Stopping(unit, stopping),
                    Poll::Ready(result) => {
                        self.put_stop(&unit, result, StopReply::Stopped);
                        self.stage = SessionStage::Answered;
                    }
                }
            }
            SessionStage::StoppingAll(mut stops) => {
                stops.retain_mut(|(unit, stopping)| match Pin::new(stopping).poll(context) {
                    Poll::Pending => true,
                    Poll::Ready(result) => {
                        let name = unit.name().to_owned();
                        self.put_stop(unit, result, |how| StopReply::StoppedUnit {
                            unit: name,
                            how,
                        });
                        false
                    }
                });
                if stops.is_empty() {
                    self.answer(StopReply::End);
                } else {
                    self.stage = SessionStage::StoppingAll(stops);
                }
            }
            stage @ (SessionStage::Asking
            | SessionStage::Awaiting
            | SessionStage::AwaitingAll(_)
            | SessionStage::Events(_)
            | SessionStage::Logs(_)
            | SessionStage::Answered
            | SessionStage::Gone) => self.stage = stage,
        }
    }

    fn put_stop(
        &mut self,
        unit: &Unit,
        result: StopResult,
        reply: impl FnOnce(StopOutcome) -> StopReply,
    ) {
        match StopOutcome::of(result, unit.state().leftover_processes()) {
            Some(how) => self.put(reply(how)),
            None => self.put(Refused { refused: ending() }),
        }
    }

    /// Fills the output of a client that has read all before; returns how many entries or lines
    /// were lost.
    pub(super) fn fill(&mut self, history: &History) -> u64 {
        if !self.output.is_empty() {
            return 0;
        }
        match std::mem::replace(&mut self.stage, SessionStage::Gone) {
            SessionStage::Events(cursor) => self.fill_events(history, cursor),
            SessionStage::Logs(cursor) => self.fill_logs(cursor),
            stage @ (SessionStage::Asking
            | SessionStage::Awaiting
            | SessionStage::AwaitingAll(_)
            | SessionStage::Stopping(..)
            | SessionStage::StoppingAll(_)
            | SessionStage::Answered
            | SessionStage::Gone) => {
                self.stage = stage;
                0
            }
        }
    }

    fn fill_logs(&mut self, mut cursor: LogCursor) -> u64 {
        let ring = &cursor.ring;
        let end = cursor.until.unwrap_or_else(|| ring.end());
        let (mut at, mut missed) = (cursor.next, 0);
        while self.output.len() < OUTPUT_MAX && at < end {
            match ring.get(at) {
                Some(line) => {
                    if cursor.stream.is_none_or(|wanted| wanted == line.stream.into()) {
                        self.put(LogsReply::LogLine(Box::new(LogLine::new(line))));
                    }
                    at += 1;
                }
                None => {
                    let first = ring.first().min(end);
                    missed += first - at;
                    self.put(LogsReply::Missed(first - at));
                    at = first;
                }
            }
        }
        if cursor.until.is_some_and(|until| at >= until) {
            self.answer(LogsReply::End);
        } else {
            cursor.next = at;
            cursor.next_line = NextLine(None);
            self.stage = SessionStage::Logs(cursor);
        }
        missed
    }

    fn fill_events(&mut self, history: &History, mut cursor: EventCursor) -> u64 {
        let from = cursor.next.max(history.first());
        let missed = from - cursor.next;
        if missed > 0 {
            self.put(EventsReply::Missed(missed));
        }
        let mut at = from;
        while self.output.len() < OUTPUT_MAX
            && cursor.until.is_none_or(|until| at < until)
            && let Some(entry) = history.get(at)
        {
            if cursor.unit.as_ref().is_none_or(|unit| *unit == entry.unit) {
                self.put(EventsReply::Event(Box::new(entry.clone())));
            }
            at += 1;
        }
        if cursor.until.is_some_and(|until| at >= until) {
            self.answer(EventsReply::End);
        } else {
            cursor.next = at;
            self.stage = SessionStage::Events(cursor);
        }
        missed
    }

    /// Wakes the thread when there is another line for a client that follows and has read all
    /// before.
    pub(super) fn poll_next_line(&mut self, context: &mut Context<'_>) {
        if let SessionStage::Logs(LogCursor {
            ring,
            next,
            until: None,
            next_line: NextLine(next_line),
            ..
        }) = &mut self.stage
            && next_line
                .get_or_insert_with(|| Box::pin(ring.reaches(*next)))
                .as_mut()
                .poll(context)
                .is_ready()
        {
            *next_line = None;
            context.waker().wake_by_ref();
        }
    }

    /// Writes what the client takes at once.
    pub(super) fn write(&mut self) -> WriteProgress {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(written) => drop(self.output.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return WriteProgress::Part;
                }
                Err(_) => {
                    self.output.clear();
                    self.stage = SessionStage::Gone;
                }
            }
        }
        WriteProgress::All
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn ending() -> Refusal {
    Refusal::new(RefusalKind::Ending, "the monitor is going down with what it supervised")
}

/// The size at which output for a client is cut, in bytes. The rest follows when the client has
/// read it.
const OUTPUT_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use monitor_os::Moment;

    use super::*;
    use crate::control::reply::Answer;
    use crate::report::event_entry::EventEntry;

    fn reply(line: &str) -> EventsReply {
        serde_json::from_str::<Answer<_>>(line).unwrap().answer
    }

    /// Goal: of what happened no more is put aside for a client than it may leave unread, and one
    /// entry beyond that; the rest follows without a gap.
    #[test]
    fn entries_for_who_has_not_read_are_bounded() {
        let mut history = History::default();
        let error = Some("e".repeat(OUTPUT_MAX / 10));
        for run in 0..40 {
            let entry = EventEntry { run, error: error.clone(), ..EventEntry::default() };
            history.push(Moment::ORIGIN, entry);
        }
        let (stream, _other) = UnixStream::pair().unwrap();
        let mut session = Session::new(stream);
        let until = Some(history.end());
        session.enter(SessionStage::Events(EventCursor { next: 0, until, unit: None }));
        let mut runs = Vec::new();
        while !matches!(session.stage, SessionStage::Answered) {
            assert_eq!(session.fill(&history), 0);
            let put = session.output.len();
            assert!(put < OUTPUT_MAX + OUTPUT_MAX / 8, "{put} bytes are put aside");
            // Nothing is added to output that is not read yet.
            assert_eq!((session.fill(&history), session.output.len()), (0, put));
            let output = String::from_utf8(std::mem::take(&mut session.output)).unwrap();
            for line in output.lines() {
                if let EventsReply::Event(entry) = reply(line) {
                    runs.push(entry.run);
                }
            }
        }
        assert!(runs.into_iter().eq(0..40));
    }

    /// Goal: also what is missing is said only when all before it is read, and once, so that who
    /// reads nothing costs nothing more.
    #[test]
    fn who_reads_nothing_costs_nothing_more() {
        let mut history = History::default();
        let (stream, _other) = UnixStream::pair().unwrap();
        let mut session = Session::new(stream);
        let until = None;
        session.enter(SessionStage::Events(EventCursor { next: 0, until, unit: None }));
        history.push(Moment::ORIGIN, EventEntry::default());
        assert_eq!(session.fill(&history), 0);
        let put = session.output.len();
        for _ in 0..1_000 {
            history.push(Moment::ORIGIN, EventEntry::default());
            assert_eq!((session.fill(&history), session.output.len()), (0, put));
        }
        session.output.clear();
        let missed = history.first() - 1;
        assert_eq!(session.fill(&history), missed);
        let output = String::from_utf8(session.output).unwrap();
        let first = reply(output.lines().next().unwrap());
        assert!(matches!(first, EventsReply::Missed(count) if count == missed), "{first:?}");
    }
}
