//! The monitor's side of the control socket: one thread, one `poll(2)`, no lock.
//!
//! It is a thread of its own, beside the supervisor's: nothing that a client does, or that is done for one
//! (looking through `/proc`, writing JSON), is in the way of a deadline or an exit. It uses nothing but the
//! handle that any other part of the program has.
//!
//! What a client can take is bounded: [`CLIENTS_MAX`] connections, [`REQUEST_MAX`] bytes of request, one
//! request each, and [`OUTPUT_MAX`] bytes of answer that it has not read. Who follows what happens reads from
//! the history at its own pace, and learns how much it missed.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle};

use monitor_core::{Event, Note, Policy, Signal};
use monitor_os::{Events, LogRing, Moment, Notice, StateDir, Stopping, Unit, UnitId, now};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use rustix::process::geteuid;

use super::protocol::{
    Answer, Ask, ControlRequest, HandledRequest, REQUEST_MAX, Refusal, RefusalKind, Reply, VERSION,
    json_line,
};
use super::socket::{SOCKET, address};
use crate::config::policy::changed;
use crate::report::event_formatter::EventFormatter;
use crate::report::history::History;
use crate::report::log_line::{LogLine, StreamName};
use crate::report::status_report::{ClientCounts, MonitorInfo, Overview, StatusReport};
use crate::report::stop_outcome::Stopped;
use crate::report::unit_mode::UnitMode;
use crate::units::{Units, choice};

/// A control socket that is served. Its thread ends with the supervisor of its units.
#[derive(Debug)]
pub(crate) struct Control {
    thread: JoinHandle<()>,
}

impl Control {
    /// Makes the socket, for the user of this process alone, in the place of one that a killed monitor left, and
    /// serves it. `events` are those of the units from their beginning.
    ///
    /// # Errors
    /// [`ControlError`]; nothing is served.
    pub(crate) fn begin(
        state: &StateDir,
        units: Units,
        events: Events,
    ) -> Result<Self, ControlError> {
        let path = state.path().join(SOCKET);
        let error = |source| ControlError { path: path.clone(), source };
        let server = Server::open(state, path.clone(), units, events).map_err(error)?;
        let thread = thread::Builder::new().name("monitor-control".into());
        let thread = thread.spawn(move || server.run()).map_err(error)?;
        Ok(Self { thread })
    }

    /// Waits until all who wait have their answer, as far as they take it at once, and the socket is gone. The
    /// supervisor of the units must have ended.
    pub(crate) fn finish(self) {
        // An error is a panic of the thread, which has been printed.
        drop(self.thread.join());
    }
}

/// Why a monitor cannot be controlled.
#[derive(Debug)]
pub(crate) struct ControlError {
    path: PathBuf,
    source: io::Error,
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot listen at {}: {}; correct what is there, or give another directory",
            self.path.display(),
            self.source
        )
    }
}

impl std::error::Error for ControlError {}

/// Opens the socket and the eventfd. The lock of the state directory says that no other monitor has them.
fn open(directory: &File, path: &PathBuf) -> io::Result<(UnixListener, WakeFd)> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Before it has a name, so that there is no moment at which others may connect.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &address(directory)?)?;
    listen(&socket, BACKLOG)?;
    let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    Ok((UnixListener::from(socket), WakeFd(wake)))
}

/// Wakes the thread when a future is ready.
#[derive(Debug)]
struct WakeFd(OwnedFd);

impl WakeFd {
    /// Clears the wake-ups. Poll the futures after it, or a wake-up is lost.
    fn drain(&self) {
        // Nothing pending is fine.
        rustix::io::read(&self.0, &mut [0_u8; 8]).ok();
    }
}

impl Wake for WakeFd {
    fn wake(self: Arc<Self>) {
        // A full counter is the one possible failure, and a full counter is readable.
        rustix::io::write(&self.0, &1_u64.to_ne_bytes()).ok();
    }
}

#[derive(Debug)]
struct Server {
    path: PathBuf,
    /// The directory, to be shown.
    directory: String,
    _open: File,
    listener: UnixListener,
    wake: Arc<WakeFd>,
    units: Units,
    events: Events,
    /// The policies that were requested last and are not in force yet.
    policies: BTreeMap<UnitId, Policy>,
    began: Moment,
    formatter: EventFormatter,
    history: History,
    /// In the order in which they connected.
    clients: BTreeMap<u64, Client>,
    next_client: u64,
    /// The clients that wait for the next report of an event. Requests are handled in the order in which they are
    /// made, so the first of two equal reports answers the first client, also if that client has gone.
    awaited: VecDeque<(u64, UnitId, Event)>,
    counts: ClientCounts,
    listener_state: ListenerState,
}

/// Whether the listener accepts clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListenerState {
    Open,
    /// No descriptor is left for another client; accepting is tried again after a pause.
    Paused,
}

/// One connection.
#[derive(Debug)]
struct Client {
    stream: UnixStream,
    input: Vec<u8>,
    /// What it has not taken yet.
    output: Vec<u8>,
    stage: ClientStage,
}

#[derive(Debug)]
enum ClientStage {
    /// It has not asked yet.
    Asking,
    /// It waits for the report of its request.
    Awaiting,
    /// It waits for the reports of its request to all units, of which so many are missing.
    AwaitingAll(usize),
    /// It waits for the end of a stop.
    Stopping(Unit, Stopping),
    /// It waits for the end of the stops of all units, by their names.
    StoppingAll(Vec<(Unit, Stopping)>),
    /// It reads the entries from this number on, up to one number or for ever, of one unit or of all.
    Events { next: u64, until: Option<u64>, unit: Option<String> },
    /// It reads log lines of a unit.
    Logs(LogCursor),
    /// It has its answer, and is disconnected when it has read it.
    Answered,
    /// It is to be disconnected.
    Gone,
}

/// The position of a client in the log lines of a unit.
#[derive(Debug)]
struct LogCursor {
    ring: LogRing,
    /// The number of the next line.
    next: u64,
    /// Up to which number; for ever if it is absent.
    until: Option<u64>,
    /// Of one stream, or of both.
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

impl Server {
    /// Opens the socket at `path`.
    fn open(state: &StateDir, path: PathBuf, units: Units, events: Events) -> io::Result<Self> {
        let directory = File::open(state.path())?;
        let (listener, wake) = open(&directory, &path)?;
        Ok(Self {
            path,
            directory: state.path().display().to_string(),
            _open: directory,
            policies: BTreeMap::new(),
            listener,
            wake: Arc::new(wake),
            units,
            events,
            began: now(),
            formatter: EventFormatter::default(),
            history: History::default(),
            clients: BTreeMap::new(),
            next_client: 0,
            awaited: VecDeque::new(),
            counts: ClientCounts::default(),
            listener_state: ListenerState::Open,
        })
    }

    fn run(mut self) {
        let waker = Waker::from(Arc::clone(&self.wake));
        loop {
            self.wake.drain();
            let ended = self.read_events(&waker);
            if ended {
                self.supervisor_ended();
            }
            if self.serve(&waker) {
                waker.wake_by_ref();
            }
            if ended {
                while self.serve(&waker) {}
                // Whoever asks by then finds nobody, and not somebody who does not answer.
                fs::remove_file(&self.path).ok();
                return;
            }
            let ready = self.wait();
            for id in ready {
                if let Some(mut client) = self.clients.remove(&id) {
                    self.read(id, &mut client);
                    self.clients.insert(id, client);
                }
            }
            self.accept();
        }
    }

    /// Reads the pending events; returns whether the supervisor has ended.
    fn read_events(&mut self, waker: &Waker) -> bool {
        let mut context = Context::from_waker(waker);
        loop {
            let next = pin!(self.events.next()).poll(&mut context);
            match next {
                Poll::Ready(Some(notice)) => self.handle_notice(&notice),
                Poll::Ready(None) => return true,
                Poll::Pending => return false,
            }
        }
    }

    fn handle_notice(&mut self, notice: &Notice) {
        if notice.missed > 0 {
            self.refuse_awaited();
        }
        for entry in self.formatter.format(notice) {
            self.history.push(notice.at, entry);
        }
        if notice.event == Event::PolicyChanged
            && self.policies.get(&notice.unit) == Some(notice.status.policy())
        {
            self.policies.remove(&notice.unit);
        }
        let awaited = self
            .awaited
            .iter()
            .position(|(_, unit, event)| (*unit, *event) == (notice.unit, notice.event));
        if let Some((id, ..)) = awaited.and_then(|index| self.awaited.remove(index))
            && let Some(client) = self.clients.get_mut(&id)
        {
            let left = match client.stage {
                ClientStage::Awaiting => None,
                ClientStage::AwaitingAll(left) => Some(left.saturating_sub(1)),
                ClientStage::Asking
                | ClientStage::Stopping(..)
                | ClientStage::StoppingAll(_)
                | ClientStage::Events { .. }
                | ClientStage::Logs(_)
                | ClientStage::Answered
                | ClientStage::Gone => return,
            };
            let status = &notice.status;
            client.put(Reply::Handled(HandledRequest {
                unit: left.is_some().then(|| notice.name.to_string()),
                counted: notice.step.note == Note::Applied,
                was_down: notice.before.phase().is_down(),
                phase: status.phase().name().into(),
                pid: status.pid(),
                explain: status.explain().to_string(),
                policy: status.policy().to_string(),
            }));
            client.stage = match left {
                None => ClientStage::Answered,
                Some(0) => client.ended(),
                Some(left) => ClientStage::AwaitingAll(left),
            };
        }
    }

    /// Notices were missed. The answers to any requests may be among them, so no client goes on waiting.
    fn refuse_awaited(&mut self) {
        self.policies.clear();
        for (id, ..) in std::mem::take(&mut self.awaited) {
            if let Some(client) = self.clients.get_mut(&id)
                && matches!(client.stage, ClientStage::Awaiting | ClientStage::AwaitingAll(_))
            {
                let message = "the monitor had too much to do to see what came of the request, \
                               which was made; ask by `monitor status`";
                client.answer(Reply::Refused(Refusal::new(RefusalKind::Busy, message)));
            }
        }
    }

    /// The supervisor has ended: nobody is to wait any more.
    fn supervisor_ended(&mut self) {
        for client in self.clients.values_mut() {
            match &mut client.stage {
                ClientStage::Awaiting | ClientStage::AwaitingAll(_) => {
                    client.answer(Reply::Refused(ending()));
                }
                ClientStage::Events { until, .. } => *until = until.or(Some(self.history.end())),
                ClientStage::Logs(LogCursor { ring, until, .. }) => {
                    *until = until.or_else(|| Some(ring.end()));
                }
                // A stop has its answer; a client without a request is disconnected.
                ClientStage::Asking
                | ClientStage::Stopping(..)
                | ClientStage::StoppingAll(_)
                | ClientStage::Answered
                | ClientStage::Gone => {}
            }
        }
    }

    /// Gives everybody a portion of what there is to give, as far as they take it. Returns whether somebody who
    /// took all may take more: the others are not to wait for one who reads as fast as lines come.
    fn serve(&mut self, waker: &Waker) -> bool {
        let mut context = Context::from_waker(waker);
        let mut more = false;
        for client in self.clients.values_mut() {
            client.poll_stops(&mut context);
            self.counts.missed += client.fill(&self.history);
            if client.output.is_empty() {
                client.poll_next_line(&mut context);
            } else if client.write() == WriteProgress::All {
                more = true;
            }
            if client.output.is_empty() && matches!(client.stage, ClientStage::Answered) {
                client.stage = ClientStage::Gone;
            }
        }
        self.clients.retain(|_, client| !matches!(client.stage, ClientStage::Gone));
        more
    }

    /// Waits for news of anybody; returns who has something to read, or has gone.
    fn wait(&self) -> Vec<u64> {
        let interest = |client: &Client| {
            let mut flags = PollFlags::empty();
            if matches!(client.stage, ClientStage::Asking) {
                flags |= PollFlags::IN;
            }
            if !client.output.is_empty() {
                flags |= PollFlags::OUT;
            }
            flags
        };
        // A listener that cannot be heard would be ready for ever.
        let (listens, pause) = match self.listener_state {
            ListenerState::Open => (PollFlags::IN, None),
            ListenerState::Paused => (PollFlags::empty(), Some(&PAUSE)),
        };
        let own = [(self.wake.0.as_fd(), PollFlags::IN), (self.listener.as_fd(), listens)];
        let own = own.into_iter().map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags));
        let theirs = self.clients.values();
        let theirs =
            theirs.map(|client| PollFd::from_borrowed_fd(client.stream.as_fd(), interest(client)));
        let mut fds: Vec<PollFd<'_>> = own.chain(theirs).collect();
        match poll(&mut fds, pause) {
            Ok(_) | Err(Errno::INTR) => {}
            // No memory for the call: it is there again, or nothing else works either.
            Err(_) => return Vec::new(),
        }
        let gone = PollFlags::HUP | PollFlags::ERR;
        let ready = fds.iter().skip(2).zip(self.clients.keys());
        let ready = ready.filter(|(fd, _)| fd.revents().intersects(PollFlags::IN | gone));
        ready.map(|(_, &id)| id).collect()
    }

    fn accept(&mut self) {
        self.listener_state = ListenerState::Open;
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.listener_state = ListenerState::Paused;
                    return;
                }
            };
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            let mut client = Client {
                stream,
                input: Vec::new(),
                output: Vec::new(),
                stage: ClientStage::Asking,
            };
            if let Err(refusal) = self.admit(&client.stream) {
                self.counts.turned_away += 1;
                client.answer(Reply::Refused(refusal));
                // What it does not take at once it does not get.
                client.write();
                continue;
            }
            let id = self.next_client;
            self.next_client += 1;
            self.read(id, &mut client);
            self.clients.insert(id, client);
        }
    }

    /// Whether there is room for a client, and it may ask.
    fn admit(&mut self, stream: &UnixStream) -> Result<(), Refusal> {
        let allowed = sockopt::socket_peercred(stream)
            .is_ok_and(|peer| peer.uid == geteuid() || peer.uid.is_root());
        if !allowed {
            let message = "only the user of this monitor and root may ask it";
            return Err(Refusal::new(RefusalKind::NotAllowed, message));
        }
        if self.clients.len() < CLIENTS_MAX {
            return Ok(());
        }
        // Who says nothing must not keep others out.
        let silent =
            self.clients.iter().find(|(_, client)| matches!(client.stage, ClientStage::Asking));
        if let Some(id) = silent.map(|(&id, _)| id) {
            self.counts.turned_away += 1;
            self.clients.remove(&id);
            return Ok(());
        }
        let message = format_args!(
            "{CLIENTS_MAX} clients wait for this monitor already; end one, such as a `monitor events -f`"
        );
        Err(Refusal::new(RefusalKind::Busy, message))
    }

    /// Reads what a client has sent, up to its request, which is then obeyed.
    fn read(&mut self, id: u64, client: &mut Client) {
        if !matches!(client.stage, ClientStage::Asking) {
            // Nothing is awaited of it, so it has gone.
            client.stage = ClientStage::Gone;
            return;
        }
        let mut buffer = [0; 4096];
        loop {
            let read = match client.stream.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    client.stage = ClientStage::Gone;
                    return;
                }
            };
            let Some(new) = buffer.get(..read).filter(|new| !new.is_empty()) else {
                client.stage = ClientStage::Gone;
                if !client.input.is_empty() {
                    let message = "the request has no line end, so it may be cut";
                    client.answer(Reply::Refused(Refusal::new(RefusalKind::Malformed, message)));
                }
                return;
            };
            client.input.extend_from_slice(new);
            let end = client.input.iter().take(REQUEST_MAX).position(|&byte| byte == b'\n');
            if let Some(line) = end.and_then(|end| client.input.get(..end)) {
                let request = ControlRequest::read(line);
                client.input = Vec::new();
                match request.and_then(|request| self.handle_request(id, client, request)) {
                    Ok(()) => {}
                    Err(refusal) => client.answer(Reply::Refused(refusal)),
                }
                return;
            }
            if client.input.len() >= REQUEST_MAX {
                let message = format_args!(
                    "the request is longer than {REQUEST_MAX} bytes; write less, on one line"
                );
                client.input = Vec::new();
                client.answer(Reply::Refused(Refusal::new(RefusalKind::TooLong, message)));
                return;
            }
        }
    }

    /// Handles a request, or refuses it.
    fn handle_request(
        &mut self,
        id: u64,
        client: &mut Client,
        request: ControlRequest,
    ) -> Result<(), Refusal> {
        let value = |error: &dyn fmt::Display| Refusal::new(RefusalKind::Value, error);
        let (units, selection) = self.select(request.unit)?;
        let all = matches!(selection, UnitSelection::All);
        match request.ask {
            Ask::Status => {
                let connected = u32::try_from(self.clients.len()).unwrap_or(u32::MAX);
                let clients =
                    ClientCounts { connected: connected.saturating_add(1), ..self.counts };
                let monitor = MonitorInfo::new(self.directory.clone(), self.began, clients);
                client.answer(match units.as_slice() {
                    [unit] if !all => {
                        let ring = self.units.ring(unit.name());
                        let report = StatusReport::of(unit, ring.as_ref(), &self.history, monitor);
                        Reply::Status(Box::new(report))
                    }
                    _ => Reply::Overview(Box::new(Overview::of(&self.units.visible(), monitor))),
                });
            }
            Ask::Events { follow } => {
                let until = (!follow).then_some(self.history.end());
                let unit = match selection {
                    UnitSelection::All => None,
                    UnitSelection::One(name) => Some(name),
                };
                client.stage = ClientStage::Events { next: 0, until, unit };
            }
            Ask::Logs { follow, last, stream } => {
                let [unit] = self.single(&units, all)?;
                let ring = self.units.ring(unit.name()).ok_or_else(|| {
                    let message = "what it prints is not captured: what leads to file:PATH is in that file; else start it with --log FILE, or with --stdout log";
                    Refusal::new(RefusalKind::Value, message)
                })?;
                let end = ring.end();
                let next =
                    last.map_or_else(|| ring.first(), |last| from_last(&ring, end, last, stream));
                let until = (!follow).then_some(end);
                let next_line = NextLine(None);
                client.stage =
                    ClientStage::Logs(LogCursor { ring, next, until, stream, next_line });
            }
            Ask::Stop { wait } => {
                let stops = units.iter().map(|unit| (unit.clone(), unit.stop()));
                let mut stops: Vec<_> = stops.collect();
                if !wait {
                    self.await_reports(id, client, &units, all, Event::stop());
                } else if all {
                    client.stage = ClientStage::StoppingAll(stops);
                } else if let Some((unit, stopping)) = stops.pop() {
                    client.stage = ClientStage::Stopping(unit, stopping);
                }
                if wait {
                    // The reports are nobody's, so that they answer no other's stop.
                    let reports = units.iter().map(|unit| (id, unit.id(), Event::stop()));
                    self.awaited.extend(reports);
                }
            }
            Ask::Start => {
                units.iter().for_each(Unit::start);
                self.await_reports(id, client, &units, all, Event::StartRequested);
            }
            Ask::Restart => {
                units.iter().for_each(Unit::restart);
                self.await_reports(id, client, &units, all, Event::restart());
            }
            Ask::Reset => {
                units.iter().for_each(Unit::reset);
                self.await_reports(id, client, &units, all, Event::ResetRequested);
            }
            Ask::Signal { signal } => {
                let [unit] = self.single(&units, all)?;
                let signal: Signal = signal.parse().map_err(|error| value(&error))?;
                unit.signal(signal);
                self.await_reports(id, client, &units, all, Event::SignalRequested { signal });
            }
            Ask::Set { rules } => {
                let [unit] = self.single(&units, all)?;
                let base = self.policies.get(&unit.id()).copied();
                let base = base.unwrap_or_else(|| *unit.state().policy());
                let policy = changed(&base, &rules).map_err(|error| value(&error))?;
                self.policies.insert(unit.id(), policy);
                unit.set_policy(policy);
                self.await_reports(id, client, &units, all, Event::PolicyChanged);
            }
        }
        Ok(())
    }

    /// The units that a request means.
    fn select(&self, name: Option<String>) -> Result<(Vec<Unit>, UnitSelection), Refusal> {
        match (name, self.units.mode()) {
            (Some(name), _) => match self.units.get(&name).filter(|entry| entry.configured) {
                Some(entry) => Ok((vec![entry.unit.clone()], UnitSelection::One(name))),
                None => {
                    let message =
                        format_args!("there is no unit {name:?} here; {}", self.unit_names());
                    Err(Refusal::new(RefusalKind::Unit, message))
                }
            },
            (None, UnitMode::Many) => Ok((self.units.configured(), UnitSelection::All)),
            (None, UnitMode::One) => {
                let units = self.units.configured();
                let name = units.first().map(|unit| unit.name().to_owned());
                Ok((units, UnitSelection::One(name.unwrap_or_default())))
            }
        }
    }

    /// The one unit that is meant, for operations that are not done to all.
    fn single<'a>(&self, units: &'a [Unit], all: bool) -> Result<&'a [Unit; 1], Refusal> {
        <&[Unit; 1]>::try_from(units).ok().filter(|_| !all).ok_or_else(|| {
            let message = format_args!(
                "this is done to one unit at a time, NAME/UNIT; {}",
                self.unit_names()
            );
            Refusal::new(RefusalKind::Unit, message)
        })
    }

    /// The names of the units.
    fn unit_names(&self) -> String {
        choice(&self.units.configured().iter().map(Unit::name).collect::<Vec<_>>())
    }

    /// Notes that the next reports of an event answer this client.
    fn await_reports(
        &mut self,
        id: u64,
        client: &mut Client,
        units: &[Unit],
        all: bool,
        event: Event,
    ) {
        self.awaited.extend(units.iter().map(|unit| (id, unit.id(), event)));
        client.stage = match (all, units.len()) {
            (false, _) => ClientStage::Awaiting,
            (true, 0) => client.ended(),
            (true, left) => ClientStage::AwaitingAll(left),
        };
    }
}

/// The units that a request means.
#[derive(Clone, Debug, PartialEq, Eq)]
enum UnitSelection {
    One(String),
    All,
}

/// How much of its output was written to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteProgress {
    All,
    Part,
}

impl Client {
    /// Reports the stops that it waits for and that are over.
    fn poll_stops(&mut self, context: &mut Context<'_>) {
        let outcome = |unit: &Unit, result| {
            let stopped = Stopped::of(result, unit.state().survivors());
            stopped.ok_or_else(|| Reply::Refused(ending()))
        };
        self.stage = match std::mem::replace(&mut self.stage, ClientStage::Gone) {
            ClientStage::Stopping(unit, mut stopping) => {
                match Pin::new(&mut stopping).poll(context) {
                    Poll::Pending => ClientStage::Stopping(unit, stopping),
                    Poll::Ready(result) => {
                        self.put(
                            outcome(&unit, result).map_or_else(|refused| refused, Reply::Stopped),
                        );
                        ClientStage::Answered
                    }
                }
            }
            ClientStage::StoppingAll(mut stops) => {
                stops.retain_mut(|(unit, stopping)| match Pin::new(stopping).poll(context) {
                    Poll::Pending => true,
                    Poll::Ready(result) => {
                        let name = unit.name().to_owned();
                        let stopped = outcome(unit, result);
                        let stopped = stopped.map(|how| Reply::StoppedUnit { unit: name, how });
                        self.put(stopped.unwrap_or_else(|refused| refused));
                        false
                    }
                });
                if stops.is_empty() { self.ended() } else { ClientStage::StoppingAll(stops) }
            }
            stage @ (ClientStage::Asking
            | ClientStage::Awaiting
            | ClientStage::AwaitingAll(_)
            | ClientStage::Events { .. }
            | ClientStage::Logs(_)
            | ClientStage::Answered
            | ClientStage::Gone) => stage,
        };
    }

    /// Reports that the answer is complete.
    fn ended(&mut self) -> ClientStage {
        self.put(Reply::End);
        ClientStage::Answered
    }

    /// Gives the one answer that there is.
    fn answer(&mut self, reply: Reply) {
        self.put(reply);
        self.stage = ClientStage::Answered;
    }

    fn put(&mut self, answer: Reply) {
        self.output.append(&mut json_line(&Answer { version: VERSION, answer }));
    }

    /// Fills the output of a client that has read what was there; returns how many entries or lines were lost.
    fn fill(&mut self, history: &History) -> u64 {
        if !self.output.is_empty() {
            return 0;
        }
        match std::mem::replace(&mut self.stage, ClientStage::Gone) {
            ClientStage::Events { next, until, unit } => {
                self.fill_events(history, next, until, unit)
            }
            ClientStage::Logs(cursor) => self.fill_logs(cursor),
            stage @ (ClientStage::Asking
            | ClientStage::Awaiting
            | ClientStage::AwaitingAll(_)
            | ClientStage::Stopping(..)
            | ClientStage::StoppingAll(_)
            | ClientStage::Answered
            | ClientStage::Gone) => {
                self.stage = stage;
                0
            }
        }
    }

    fn fill_logs(&mut self, cursor: LogCursor) -> u64 {
        let LogCursor { ring, next, until, stream, .. } = cursor;
        let end = until.unwrap_or_else(|| ring.end());
        let (mut at, mut missed) = (next, 0);
        while self.output.len() < OUTPUT_MAX && at < end {
            match ring.get(at) {
                Some(line) => {
                    if stream.is_none_or(|wanted| wanted == line.stream.into()) {
                        self.put(Reply::LogLine(Box::new(LogLine::new(line))));
                    }
                    at += 1;
                }
                None => {
                    let first = ring.first().min(end);
                    missed += first - at;
                    self.put(Reply::Missed(first - at));
                    at = first;
                }
            }
        }
        let over = until.is_some_and(|until| at >= until);
        self.stage = ClientStage::Logs(LogCursor {
            ring,
            next: at,
            until,
            stream,
            next_line: NextLine(None),
        });
        if over {
            self.answer(Reply::End);
        }
        missed
    }

    /// Wakes the thread when there is another line for a client that follows and has read all before.
    fn poll_next_line(&mut self, context: &mut Context<'_>) {
        if let ClientStage::Logs(LogCursor {
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

    fn fill_events(
        &mut self,
        history: &History,
        next: u64,
        until: Option<u64>,
        unit: Option<String>,
    ) -> u64 {
        let from = next.max(history.first());
        let missed = from - next;
        if missed > 0 {
            self.put(Reply::Missed(missed));
        }
        let mut at = from;
        while self.output.len() < OUTPUT_MAX
            && until.is_none_or(|until| at < until)
            && let Some(entry) = history.get(at)
        {
            if unit.as_ref().is_none_or(|unit| *unit == entry.unit) {
                self.put(Reply::Event(Box::new(entry.clone())));
            }
            at += 1;
        }
        self.stage = ClientStage::Events { next: at, until, unit };
        if until.is_some_and(|until| at >= until) {
            self.answer(Reply::End);
        }
        missed
    }

    /// Writes what it takes at once.
    fn write(&mut self) -> WriteProgress {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(written) => drop(self.output.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return WriteProgress::Part;
                }
                Err(_) => {
                    self.output.clear();
                    self.stage = ClientStage::Gone;
                }
            }
        }
        WriteProgress::All
    }
}

/// The number of the line with which the last `count` of a stream begin.
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

fn ending() -> Refusal {
    Refusal::new(RefusalKind::Ending, "the monitor is going down with what it supervised")
}

/// How long it is waited for a descriptor.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
const BACKLOG: i32 = 16;
const CLIENTS_MAX: usize = 16;
/// Where an answer to who follows is cut, in bytes; the rest follows when that is taken.
const OUTPUT_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use monitor_os::{Command, Supervisor, block_on};

    use super::*;
    use crate::config::options::UnitOptions;
    use crate::config::spec::Spec;
    use crate::report::event_entry::EventEntry;
    use crate::units::UnitEntry;

    /// Goal: of what happened no more is put aside for a client than it may leave unread, and one entry beyond that; the rest
    /// follows without a gap.
    #[test]
    fn entries_for_who_has_not_read_are_bounded() {
        let mut history = History::default();
        let error = Some("e".repeat(OUTPUT_MAX / 10));
        for run in 0..40 {
            let entry = EventEntry { run, error: error.clone(), ..EventEntry::default() };
            history.push(Moment::ORIGIN, entry);
        }
        let (stream, _other) = UnixStream::pair().unwrap();
        let stage = ClientStage::Events { next: 0, until: Some(history.end()), unit: None };
        let mut client = Client { stream, input: Vec::new(), output: Vec::new(), stage };
        let mut runs = Vec::new();
        while !matches!(client.stage, ClientStage::Answered) {
            assert_eq!(client.fill(&history), 0);
            let put = client.output.len();
            assert!(put < OUTPUT_MAX + OUTPUT_MAX / 8, "{put} bytes are put aside");
            // What is not read yet is not added to.
            assert_eq!((client.fill(&history), client.output.len()), (0, put));
            let output = String::from_utf8(std::mem::take(&mut client.output)).unwrap();
            let answers = output.lines().map(|line| serde_json::from_str::<Answer>(line).unwrap());
            for answer in answers {
                if let Reply::Event(entry) = answer.answer {
                    runs.push(entry.run);
                }
            }
        }
        assert!(runs.into_iter().eq(0..40));
    }

    /// Goal: a client whose report is among missed notices learns so, and does not wait for ever.
    #[test]
    fn missed_report_is_told() {
        let place = tempfile::tempdir().unwrap();
        let state = StateDir::open(place.path().join("state")).unwrap();
        let supervisor = Supervisor::new().unwrap();
        let command = Command::new("true", [""; 0]).unwrap();
        let unit = supervisor.add("test", command.clone(), Policy::DEFAULT);
        let (policy, events) = (Arc::new(Policy::DEFAULT), unit.events());
        let spec = Spec::new(&UnitOptions::default(), vec!["true".into()], UnitMode::One).unwrap();
        let (streams, ring, echoed, configured) = (spec.streams, None, false, true);
        let entry =
            UnitEntry { unit: unit.clone(), command, policy, streams, ring, echoed, configured };
        let path = state.path().join(SOCKET);
        let mut server = Server::open(&state, path, Units::one(entry), events).unwrap();
        let (stream, _other) = UnixStream::pair().unwrap();
        let stage = ClientStage::Asking;
        let mut client = Client { stream, input: Vec::new(), output: Vec::new(), stage };
        server.handle_request(0, &mut client, ControlRequest::new(None, Ask::Reset)).unwrap();
        server.clients.insert(0, client);
        (0..Events::CAPACITY).for_each(|_| unit.reset());
        block_on(unit.wait_until(|_| true)).unwrap();
        let waker = Waker::from(Arc::clone(&server.wake));
        assert!(!server.read_events(&waker));
        let output =
            String::from_utf8(std::mem::take(&mut server.clients.get_mut(&0).unwrap().output));
        let answer = serde_json::from_str::<Answer>(&output.unwrap()).unwrap();
        let busy = |refusal: &Refusal| refusal.kind == RefusalKind::Busy;
        assert!(matches!(&answer.answer, Reply::Refused(refusal) if busy(refusal)), "{answer:?}");
        assert!(server.awaited.is_empty());
    }

    /// Goal: also what is missing is said only when all before it is read, and once, so that who reads nothing costs nothing
    /// more.
    #[test]
    fn who_reads_nothing_costs_nothing_more() {
        let mut history = History::default();
        let (stream, _other) = UnixStream::pair().unwrap();
        let stage = ClientStage::Events { next: 0, until: None, unit: None };
        let mut client = Client { stream, input: Vec::new(), output: Vec::new(), stage };
        history.push(Moment::ORIGIN, EventEntry::default());
        assert_eq!(client.fill(&history), 0);
        let put = client.output.len();
        for _ in 0..1_000 {
            history.push(Moment::ORIGIN, EventEntry::default());
            assert_eq!((client.fill(&history), client.output.len()), (0, put));
        }
        client.output.clear();
        let missed = history.first() - 1;
        assert_eq!(client.fill(&history), missed);
        let output = String::from_utf8(client.output).unwrap();
        let first = serde_json::from_str::<Answer>(output.lines().next().unwrap()).unwrap();
        assert!(matches!(first.answer, Reply::Missed(count) if count == missed), "{first:?}");
    }
}
