//! The monitor's side of the control socket: one thread, one `poll(2)`, no lock.
//!
//! It is a thread of its own, beside the supervisor's: nothing that a client does, or that is done for one
//! (looking through `/proc`, writing JSON), is in the way of a deadline or an exit. It uses nothing but the
//! handle that any other part of the program has.
//!
//! What a client can take is bounded: [`CLIENTS_MAX`] connections, [`REQUEST_MAX`] bytes of request, one
//! request each, and [`OUTPUT_MAX`] bytes of answer that it has not read. Who follows what happens reads from
//! the history at its own pace, and is told how much it missed.

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
use monitor_os::{Events, Moment, Notice, StateDir, Stopping, Unit, now};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use rustix::process::geteuid;

use super::history::History;
use super::protocol::{
    Answer, Ask, Heard, REQUEST_MAX, Refusal, RefusalKind, Reply, Request, Stopped, VERSION, line,
};
use super::report::{About, Clients, Report};
use super::{SOCKET, address};
use crate::policy::changed;
use crate::told::Teller;

/// A control socket that is served. Its thread ends with the supervisor of its unit.
#[derive(Debug)]
pub(crate) struct Control {
    thread: JoinHandle<()>,
}

impl Control {
    /// Makes the socket, for the user of this process alone, in the place of one that a killed monitor left, and
    /// serves it. `events` are those of the unit from its beginning.
    ///
    /// # Errors
    /// [`ControlError`]; nothing is served.
    pub(crate) fn begin(
        state: &StateDir,
        unit: Unit,
        events: Events,
    ) -> Result<Self, ControlError> {
        let path = state.path().join(SOCKET);
        let error = |source| ControlError { path: path.clone(), source };
        let directory = File::open(state.path()).map_err(error)?;
        let (listener, bell) = open(&directory, &path).map_err(error)?;
        let server = Server {
            path: path.clone(),
            directory: state.path().display().to_string(),
            _open: directory,
            policy: *unit.state().policy(),
            listener,
            bell: Arc::new(bell),
            unit,
            events,
            began: now(),
            teller: Teller::default(),
            history: History::default(),
            clients: BTreeMap::new(),
            next_client: 0,
            awaited: VecDeque::new(),
            counts: Clients::default(),
            door: Door::Open,
        };
        let thread = thread::Builder::new().name("monitor-control".into());
        let thread = thread.spawn(move || server.run()).map_err(error)?;
        Ok(Self { thread })
    }

    /// Waits until all who wait have their answer, as far as they take it at once, and the socket is gone. The
    /// supervisor of the unit must have ended.
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

/// Opens the socket and the bell. The lock of the state directory says that no other monitor has them.
fn open(directory: &File, path: &PathBuf) -> io::Result<(UnixListener, Bell)> {
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
    let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    Ok((UnixListener::from(socket), Bell(bell)))
}

/// Wakes the thread for a future that has news.
#[derive(Debug)]
struct Bell(OwnedFd);

impl Bell {
    /// Takes all that has rung; look at the futures after it, or news is lost.
    fn drain(&self) {
        // Nothing pending is fine.
        rustix::io::read(&self.0, &mut [0_u8; 8]).ok();
    }
}

impl Wake for Bell {
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
    bell: Arc<Bell>,
    unit: Unit,
    events: Events,
    /// The policy that was wished last, which may not be in force yet.
    policy: Policy,
    began: Moment,
    teller: Teller,
    history: History,
    /// In the order in which they connected.
    clients: BTreeMap<u64, Client>,
    next_client: u64,
    /// Whose wish is answered by the next report of which event. Wishes are handled in the order in which they
    /// are made, so of two that are alike the first report is the first's, also if that client has gone.
    awaited: VecDeque<(u64, Event)>,
    counts: Clients,
    door: Door,
}

/// Whether new clients can come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Open,
    /// There is no descriptor for another; it is tried again after a pause.
    Stuck,
}

/// One connection.
#[derive(Debug)]
struct Client {
    stream: UnixStream,
    input: Vec<u8>,
    /// What it has not taken yet.
    output: Vec<u8>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// It has not asked yet.
    Asking,
    /// It waits for the report of its wish.
    Awaiting,
    /// It waits for the end of a stop.
    Stopping(Stopping),
    /// It is told the entries from this number on, up to one number or for ever.
    Told { next: u64, until: Option<u64> },
    /// It has its answer, and is let go when it has taken it.
    Answered,
    /// It is let go.
    Gone,
}

impl Server {
    fn run(mut self) {
        let waker = Waker::from(Arc::clone(&self.bell));
        loop {
            self.bell.drain();
            let ended = self.hear(&waker);
            if ended {
                self.end();
            }
            self.serve(&waker);
            if ended {
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

    /// Takes what has happened; returns whether the supervisor has ended.
    fn hear(&mut self, waker: &Waker) -> bool {
        let mut context = Context::from_waker(waker);
        loop {
            let next = pin!(self.events.next()).poll(&mut context);
            match next {
                Poll::Ready(Some(notice)) => self.note(&notice),
                Poll::Ready(None) => return true,
                Poll::Pending => return false,
            }
        }
    }

    fn note(&mut self, notice: &Notice) {
        for told in self.teller.tell(notice) {
            self.history.push(notice.at, told);
        }
        let awaited = self.awaited.iter().position(|(_, event)| *event == notice.event);
        if let Some((id, _)) = awaited.and_then(|index| self.awaited.remove(index))
            && let Some(client) = self.clients.get_mut(&id)
            && matches!(client.stage, Stage::Awaiting)
        {
            let status = &notice.status;
            client.answer(Reply::Heard(Heard {
                counted: notice.step.note == Note::Applied,
                was_down: notice.before.phase().is_down(),
                phase: status.phase().name().into(),
                pid: status.pid(),
                explain: status.explain().to_string(),
                policy: status.policy().to_string(),
            }));
        }
    }

    /// The supervisor has ended: nobody is to wait any more.
    fn end(&mut self) {
        for client in self.clients.values_mut() {
            match &mut client.stage {
                Stage::Awaiting => client.answer(Reply::Refused(ending())),
                Stage::Told { until, .. } => *until = until.or(Some(self.history.end())),
                // A stop has its answer; who has not asked is let go.
                Stage::Asking | Stage::Stopping(_) | Stage::Answered | Stage::Gone => {}
            }
        }
    }

    /// Gives everybody what there is to give, as far as they take it.
    fn serve(&mut self, waker: &Waker) {
        let mut context = Context::from_waker(waker);
        for client in self.clients.values_mut() {
            if let Stage::Stopping(stopping) = &mut client.stage
                && let Poll::Ready(result) = Pin::new(stopping).poll(&mut context)
            {
                client.answer(
                    Stopped::of(result).map_or_else(|| Reply::Refused(ending()), Reply::Stopped),
                );
            }
            loop {
                self.counts.missed += client.fill(&self.history);
                if client.output.is_empty() || client.write() == Taken::Part {
                    break;
                }
            }
            if client.output.is_empty() && matches!(client.stage, Stage::Answered) {
                client.stage = Stage::Gone;
            }
        }
        self.clients.retain(|_, client| !matches!(client.stage, Stage::Gone));
    }

    /// Waits for news of anybody; returns who has something to read, or has gone.
    fn wait(&self) -> Vec<u64> {
        let interest = |client: &Client| {
            let mut flags = PollFlags::empty();
            if matches!(client.stage, Stage::Asking) {
                flags |= PollFlags::IN;
            }
            if !client.output.is_empty() {
                flags |= PollFlags::OUT;
            }
            flags
        };
        // A listener that cannot be heard would be ready for ever.
        let (listens, pause) = match self.door {
            Door::Open => (PollFlags::IN, None),
            Door::Stuck => (PollFlags::empty(), Some(&PAUSE)),
        };
        let own = [(self.bell.0.as_fd(), PollFlags::IN), (self.listener.as_fd(), listens)];
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
        self.door = Door::Open;
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.door = Door::Stuck;
                    return;
                }
            };
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            let mut client =
                Client { stream, input: Vec::new(), output: Vec::new(), stage: Stage::Asking };
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
        let silent = self.clients.iter().find(|(_, client)| matches!(client.stage, Stage::Asking));
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
        if !matches!(client.stage, Stage::Asking) {
            // Nothing is awaited of it, so it has gone.
            client.stage = Stage::Gone;
            return;
        }
        let mut buffer = [0; 4096];
        loop {
            let read = match client.stream.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    client.stage = Stage::Gone;
                    return;
                }
            };
            let Some(new) = buffer.get(..read).filter(|new| !new.is_empty()) else {
                client.stage = Stage::Gone;
                if !client.input.is_empty() {
                    let message = "the request has no line end, so it may be cut";
                    client.answer(Reply::Refused(Refusal::new(RefusalKind::Malformed, message)));
                }
                return;
            };
            client.input.extend_from_slice(new);
            let end = client.input.iter().take(REQUEST_MAX).position(|&byte| byte == b'\n');
            if let Some(line) = end.and_then(|end| client.input.get(..end)) {
                let request = Request::read(line);
                client.input = Vec::new();
                match request.and_then(|request| self.obey(id, client, request.ask)) {
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

    /// Does what is asked, or nothing.
    fn obey(&mut self, id: u64, client: &mut Client, ask: Ask) -> Result<(), Refusal> {
        let unit = &self.unit;
        let value = |error: &dyn fmt::Display| Refusal::new(RefusalKind::Value, error);
        let event = match ask {
            Ask::Status => {
                let connected = u32::try_from(self.clients.len()).unwrap_or(u32::MAX);
                let clients = Clients { connected: connected.saturating_add(1), ..self.counts };
                let monitor = About::new(self.directory.clone(), self.began, clients);
                client.answer(Reply::Status(Box::new(Report::of(unit, &self.history, monitor))));
                return Ok(());
            }
            Ask::Events { follow } => {
                let until = (!follow).then_some(self.history.end());
                client.stage = Stage::Told { next: 0, until };
                return Ok(());
            }
            Ask::Stop { wait } => {
                let stopping = unit.stop();
                self.awaited.push_back((id, Event::stop()));
                client.stage = if wait { Stage::Stopping(stopping) } else { Stage::Awaiting };
                return Ok(());
            }
            Ask::Start => {
                unit.start();
                Event::StartRequested
            }
            Ask::Restart => {
                unit.restart();
                Event::restart()
            }
            Ask::Reset => {
                unit.reset();
                Event::ResetRequested
            }
            Ask::Signal { signal } => {
                let signal: Signal = signal.parse().map_err(|error| value(&error))?;
                unit.signal(signal);
                Event::SignalRequested { signal }
            }
            Ask::Set { rules } => {
                self.policy = changed(&self.policy, &rules).map_err(|error| value(&error))?;
                unit.set_policy(self.policy);
                Event::PolicyChanged
            }
        };
        client.stage = Stage::Awaiting;
        self.awaited.push_back((id, event));
        Ok(())
    }
}

/// How much of its output a client has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    All,
    Part,
}

impl Client {
    /// Gives the one answer that there is.
    fn answer(&mut self, reply: Reply) {
        self.put(reply);
        self.stage = Stage::Answered;
    }

    fn put(&mut self, answer: Reply) {
        self.output.append(&mut line(&Answer { version: VERSION, answer }));
    }

    /// Puts entries into the output for who is told them, and has taken what was there; returns how many were
    /// not kept until then.
    fn fill(&mut self, history: &History) -> u64 {
        let Stage::Told { next, until } = self.stage else {
            return 0;
        };
        if !self.output.is_empty() {
            return 0;
        }
        let from = next.max(history.first());
        let missed = from - next;
        if missed > 0 {
            self.put(Reply::Missed(missed));
        }
        let mut at = from;
        while self.output.len() < OUTPUT_MAX
            && until.is_none_or(|until| at < until)
            && let Some(told) = history.get(at)
        {
            self.put(Reply::Told(Box::new(told.clone())));
            at += 1;
        }
        self.stage = Stage::Told { next: at, until };
        if until.is_some_and(|until| at >= until) {
            self.answer(Reply::End);
        }
        missed
    }

    /// Writes what it takes at once.
    fn write(&mut self) -> Taken {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(written) => drop(self.output.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Taken::Part,
                Err(_) => {
                    self.output.clear();
                    self.stage = Stage::Gone;
                }
            }
        }
        Taken::All
    }
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
