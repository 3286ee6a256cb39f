//! The monitor's side of the control socket: one thread, one `poll(2)`, no lock.
//!
//! The thread is not the supervisor's, so that nothing that it does for a client (reading `/proc`,
//! writing JSON) delays a deadline or an exit. It uses the same handles as any other part of the
//! program.
//!
//! The resources of clients are bounded: [`CLIENTS_MAX`] connections, one request each of bounded
//! length, and bounded output that is not read. A client that follows events reads from the history
//! at its own pace, and learns how many it missed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};

use monitor_os::{Events, StateDir, UnitEvent};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::process::geteuid;

use super::handler::RequestHandler;
use super::listener::{Listener, WakeFd};
use super::protocol::{Refusal, RefusalKind};
use super::session::{Session, SessionStage, WriteProgress};
use super::socket::SOCKET;
use crate::report::status_report::ClientCounts;
use crate::units::Units;

/// A control socket with the thread that serves it. The thread ends with the supervisor of the
/// units.
#[derive(Debug)]
pub(crate) struct Control {
    thread: JoinHandle<()>,
}

impl Control {
    /// Makes the socket, for the user of this process alone, and serves it. It replaces a socket
    /// that a killed monitor left. `events` are those of the units from their beginning.
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

    /// Waits until all clients have their replies, as far as they take them at once, and the socket
    /// is gone. The supervisor of the units must have ended.
    pub(crate) fn finish(self) {
        // An error is a panic of the thread, which was printed.
        drop(self.thread.join());
    }
}

/// The reason for which a monitor cannot be controlled.
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

#[derive(Debug)]
struct Server {
    path: PathBuf,
    _open: File,
    listener: Listener,
    wake: Arc<WakeFd>,
    events: Events,
    handler: RequestHandler,
    /// In the order in which they connected.
    sessions: BTreeMap<u64, Session>,
    next_session: u64,
    counts: ClientCounts,
}

impl Server {
    /// Opens the socket at `path`.
    fn open(state: &StateDir, path: PathBuf, units: Units, events: Events) -> io::Result<Self> {
        let directory = File::open(state.path())?;
        Ok(Self {
            listener: Listener::open(&directory, &path)?,
            wake: Arc::new(WakeFd::new()?),
            path,
            _open: directory,
            events,
            handler: RequestHandler::new(units, state.path().display().to_string()),
            sessions: BTreeMap::new(),
            next_session: 0,
            counts: ClientCounts::default(),
        })
    }

    fn run(mut self) {
        let waker = Waker::from(Arc::clone(&self.wake));
        loop {
            self.wake.drain();
            let ended = self.read_events(&waker);
            if ended {
                let history = self.handler.history();
                self.sessions.values_mut().for_each(|session| session.supervisor_ended(history));
            }
            if self.serve(&waker) {
                waker.wake_by_ref();
            }
            if ended {
                while self.serve(&waker) {}
                // A later client finds no monitor, instead of one that does not answer.
                fs::remove_file(&self.path).ok();
                return;
            }
            let ready = self.wait();
            for id in ready {
                if let Some(session) = self.sessions.remove(&id) {
                    self.read(id, session);
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

    fn handle_notice(&mut self, notice: &UnitEvent) {
        if notice.missed > 0 {
            for id in self.handler.forget_awaited() {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.report_missed();
                }
            }
        }
        if let Some(id) = self.handler.receive(notice)
            && let Some(session) = self.sessions.get_mut(&id)
        {
            session.report(notice);
        }
    }

    /// Gives each client a portion of its output, as far as it takes it. Returns whether a client
    /// that took all may take more. Portions let no client wait for one that reads as fast as lines
    /// come.
    fn serve(&mut self, waker: &Waker) -> bool {
        let mut context = Context::from_waker(waker);
        let mut more = false;
        for session in self.sessions.values_mut() {
            session.poll_stops(&mut context);
            self.counts.missed += session.fill(self.handler.history());
            if !session.has_output() {
                session.poll_next_line(&mut context);
            } else if session.write() == WriteProgress::All {
                more = true;
            }
            if !session.has_output() && matches!(session.stage(), SessionStage::Answered) {
                session.enter(SessionStage::Gone);
            }
        }
        self.sessions.retain(|_, session| !matches!(session.stage(), SessionStage::Gone));
        more
    }

    /// Waits for clients and wake-ups; returns the clients that have sent something or have gone.
    fn wait(&self) -> Vec<u64> {
        let own =
            [(self.wake.as_fd(), PollFlags::IN), (self.listener.as_fd(), self.listener.interest())];
        let theirs = self.sessions.values().map(|session| (session.as_fd(), session.interest()));
        let fds = own.into_iter().chain(theirs);
        let mut fds: Vec<_> = fds.map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)).collect();
        match poll(&mut fds, self.listener.pause()) {
            Ok(_) | Err(Errno::INTR) => {}
            // There was no memory for the call, which may be over in the next round.
            Err(_) => return Vec::new(),
        }
        let gone = PollFlags::HUP | PollFlags::ERR;
        let ready = fds.iter().skip(2).zip(self.sessions.keys());
        let ready = ready.filter(|(fd, _)| fd.revents().intersects(PollFlags::IN | gone));
        ready.map(|(_, &id)| id).collect()
    }

    fn accept(&mut self) {
        self.listener.reopen();
        while let Some(stream) = self.listener.accept() {
            let mut session = Session::new(stream);
            if let Err(refusal) = self.admit(session.stream()) {
                self.counts.turned_away += 1;
                session.refuse(refusal);
                // The client gets what it takes at once.
                session.write();
                continue;
            }
            let id = self.next_session;
            self.next_session += 1;
            self.read(id, session);
        }
    }

    /// Checks that a client may send requests, and that there is room for it.
    fn admit(&mut self, stream: &UnixStream) -> Result<(), Refusal> {
        let allowed = sockopt::socket_peercred(stream)
            .is_ok_and(|peer| peer.uid == geteuid() || peer.uid.is_root());
        if !allowed {
            let message = "only the user of this monitor and root may ask it";
            return Err(Refusal::new(RefusalKind::NotAllowed, message));
        }
        if self.sessions.len() < CLIENTS_MAX {
            return Ok(());
        }
        // A client that sends nothing must not keep others out.
        let silent =
            self.sessions.iter().find(|(_, one)| matches!(one.stage(), SessionStage::Asking));
        if let Some(id) = silent.map(|(&id, _)| id) {
            self.counts.turned_away += 1;
            self.sessions.remove(&id);
            return Ok(());
        }
        let message = format_args!(
            "{CLIENTS_MAX} clients wait for this monitor already; end one, such as a `monitor \
             events -f`"
        );
        Err(Refusal::new(RefusalKind::Busy, message))
    }

    /// Reads from a client, carries out its request, if that is complete, and keeps the client.
    fn read(&mut self, id: u64, mut session: Session) {
        if let Some(request) = session.read() {
            let connected = u32::try_from(self.sessions.len()).unwrap_or(u32::MAX);
            let counts = ClientCounts { connected: connected.saturating_add(1), ..self.counts };
            let handled =
                request.and_then(|request| self.handler.handle(id, &mut session, request, counts));
            if let Err(refusal) = handled {
                session.refuse(refusal);
            }
        }
        self.sessions.insert(id, session);
    }
}

const CLIENTS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};

    use monitor_core::Policy;
    use monitor_os::{Command, Supervisor, block_on};

    use super::*;
    use crate::config::options::UnitOptions;
    use crate::config::spec::Spec;
    use crate::control::protocol::{ControlRequest, Operation, json_line};
    use crate::control::reply::{Answer, Refused};
    use crate::report::unit_mode::UnitMode;
    use crate::units::UnitEntry;

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
        let (stream, mut other) = UnixStream::pair().unwrap();
        other.write_all(&json_line(&ControlRequest::new(None, Operation::Reset))).unwrap();
        server.read(0, Session::new(stream));
        assert!(matches!(server.sessions[&0].stage(), SessionStage::Awaiting));
        (0..Events::CAPACITY).for_each(|_| unit.reset());
        block_on(unit.wait_until(|_| true)).unwrap();
        let waker = Waker::from(Arc::clone(&server.wake));
        assert!(!server.read_events(&waker));
        assert_eq!(server.sessions.get_mut(&0).unwrap().write(), WriteProgress::All);
        let mut line = String::new();
        BufReader::new(other).read_line(&mut line).unwrap();
        let answer = serde_json::from_str::<Answer<Refused>>(&line).unwrap().answer;
        assert_eq!(answer.refused.kind, RefusalKind::Busy, "{answer:?}");
        assert!(server.handler.forget_awaited().is_empty());
    }
}
