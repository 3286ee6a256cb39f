//! The listening socket, and the descriptor that wakes the thread.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::task::Wake;

use rustix::event::{EventfdFlags, PollFlags, Timespec, eventfd};
use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

use super::socket::address;

/// The socket to which clients connect.
#[derive(Debug)]
pub(super) struct Listener {
    socket: UnixListener,
    state: ListenerState,
}

/// Whether the listener accepts clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListenerState {
    Open,
    /// No descriptor is left for another client. The listener tries to accept again after a pause.
    Paused,
}

impl Listener {
    /// Makes the socket in a directory, in the place of one that a killed monitor left. The lock of
    /// the state directory says that no other monitor has it.
    pub(super) fn open(directory: &File, path: &Path) -> io::Result<Self> {
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
        Ok(Self { socket: UnixListener::from(socket), state: ListenerState::Open })
    }

    /// Tries to accept clients again.
    pub(super) const fn reopen(&mut self) {
        self.state = ListenerState::Open;
    }

    /// The next client that is waiting, if there is one and a descriptor for it.
    pub(super) fn accept(&mut self) -> Option<UnixStream> {
        loop {
            match self.socket.accept() {
                Ok((stream, _)) if stream.set_nonblocking(true).is_ok() => return Some(stream),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => {
                    self.state = ListenerState::Paused;
                    return None;
                }
            }
        }
    }

    /// The events to poll for: none while paused, because the socket would be ready all the time.
    pub(super) const fn interest(&self) -> PollFlags {
        match self.state {
            ListenerState::Open => PollFlags::IN,
            ListenerState::Paused => PollFlags::empty(),
        }
    }

    /// The longest time to poll.
    pub(super) const fn pause(&self) -> Option<&'static Timespec> {
        match self.state {
            ListenerState::Open => None,
            ListenerState::Paused => Some(&PAUSE),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Wakes the thread when a future is ready.
#[derive(Debug)]
pub(super) struct WakeFd(OwnedFd);

impl WakeFd {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Clears the wake-ups. Poll the futures after it, or a wake-up is lost.
    pub(super) fn drain(&self) {
        // Nothing pending is fine.
        rustix::io::read(&self.0, &mut [0_u8; 8]).ok();
    }
}

impl AsFd for WakeFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Wake for WakeFd {
    fn wake(self: Arc<Self>) {
        // A full counter is the one possible failure, and a full counter is readable.
        rustix::io::write(&self.0, &1_u64.to_ne_bytes()).ok();
    }
}

/// The pause before the listener tries again.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
const BACKLOG: i32 = 16;
