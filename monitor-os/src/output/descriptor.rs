//! A shared descriptor that is written without ever blocking.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, Mode, OFlags, fcntl_setfl, fstat, open};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use rustix::pipe::{PipeFlags, pipe_with};

/// Target of a sink that is not a file of its own.
#[derive(Debug)]
pub(crate) struct Descriptor {
    route: Route,
    /// Whether the descriptor has no reader any more.
    closed: bool,
}

/// Ways to write to a descriptor without blocking.
///
/// `O_NONBLOCK` cannot be set on the descriptor, because it belongs to the open file. Every process
/// that shares the open file, such as a shell, would see the change.
#[derive(Debug)]
enum Route {
    /// A file, or a pipe or terminal that was opened anew with `O_NONBLOCK`.
    Direct(File),
    /// A socket; each call asks not to block (`MSG_DONTWAIT`).
    Socket(OwnedFd),
    /// The thread of a relay, and the relay's total of bytes at this sink's last write.
    Relay(Arc<Relay>, u64),
}

impl Descriptor {
    /// Chooses the way by the kind of the descriptor.
    ///
    /// # Errors
    /// No descriptor, thread or memory left for a relay; nothing was started.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let kind = fstat(&fd).map(|stat| FileType::from_raw_mode(stat.st_mode));
        let route = match kind {
            Ok(FileType::RegularFile | FileType::BlockDevice) => Route::Direct(fd.into()),
            Ok(FileType::Socket) => Route::Socket(fd),
            Ok(FileType::Fifo | FileType::CharacterDevice) => {
                let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
                match open(path, flags, Mode::empty()) {
                    Ok(own) => Route::Direct(own.into()),
                    Err(_) => return Self::by_relay(fd),
                }
            }
            Ok(_) | Err(_) => return Self::by_relay(fd),
        };
        Ok(Self { route, closed: false })
    }

    /// Writes by a relay.
    ///
    /// # Errors
    /// No descriptor, thread or memory left; nothing was started.
    pub(crate) fn by_relay(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { route: Route::Relay(Relay::to(fd)?, 0), closed: false })
    }

    /// Writes some of `bytes`; returns how many.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if there is no room; else see `write(2)`, `send(2)`.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let written = match &mut self.route {
                Route::Direct(file) => file.write(bytes),
                Route::Socket(socket) => {
                    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                    send(socket, bytes, flags).map_err(io::Error::from)
                }
                Route::Relay(relay, sent) => relay.write(bytes, sent),
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Err(error) => {
                    // A full disk may get room again; every other error is permanent.
                    self.closed = error.kind() != io::ErrorKind::StorageFull;
                    return Err(error);
                }
                Ok(written) => return Ok(written),
            }
        }
    }

    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// A descriptor that becomes writable when there is room again.
    pub(crate) fn waiter(&self) -> Option<OwnedFd> {
        let fd = match &self.route {
            Route::Direct(file) => file.as_fd(),
            Route::Socket(socket) => socket.as_fd(),
            Route::Relay(relay, _) => relay.pipe.as_fd(),
        };
        fd.try_clone_to_owned().ok()
    }

    /// Whether all written bytes have reached the target.
    pub(crate) fn is_settled(&self) -> bool {
        match &self.route {
            Route::Direct(_) | Route::Socket(_) => true,
            Route::Relay(_, sent) => self.relayed() >= *sent,
        }
    }

    /// The number of bytes that the relay has passed on, for all of its sinks.
    pub(crate) fn relayed(&self) -> u64 {
        match &self.route {
            Route::Direct(_) | Route::Socket(_) => 0,
            Route::Relay(relay, _) => relay.passed_on.load(Ordering::Acquire),
        }
    }
}

/// A thread that writes to a descriptor which may block, from a pipe which does not.
///
/// All sinks of one file or terminal share it, so that a thousand units need one thread. Sharing
/// keeps their lines whole. The thread ends with its last sink, or when the descriptor fails for
/// good.
#[derive(Debug)]
struct Relay {
    /// The device and the inode of the descriptor.
    target: (u64, u64),
    pipe: File,
    /// The number of bytes that went into the pipe.
    sent: Mutex<u64>,
    /// The number of these bytes that were written; [`u64::MAX`] after the last one.
    passed_on: Arc<AtomicU64>,
}

impl Relay {
    /// Returns the relay to a descriptor, and starts it if there is none.
    ///
    /// # Errors
    /// No descriptor, thread or memory left; nothing was started.
    fn to(fd: OwnedFd) -> io::Result<Arc<Self>> {
        let stat = fstat(&fd)?;
        let target = (stat.st_dev, stat.st_ino);
        let mut relays = locked(&RELAYS);
        relays.retain(|relay| relay.strong_count() > 0);
        if let Some(found) =
            relays.iter().filter_map(Weak::upgrade).find(|relay| relay.target == target)
        {
            return Ok(found);
        }
        let (source, pipe) = pipe_with(PipeFlags::CLOEXEC)?;
        fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        let passed_on = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&passed_on);
        thread::Builder::new().name("monitor-relay".into()).spawn(move || {
            // A write to a terminal from the background must not stop this process (SIGTTOU).
            nix::sys::signal::SigSet::all().thread_block().ok();
            pass_on(&source, &File::from(fd), &counter);
            counter.store(u64::MAX, Ordering::Release);
        })?;
        let relay = Arc::new(Self { target, pipe: pipe.into(), sent: Mutex::new(0), passed_on });
        relays.push(Arc::downgrade(&relay));
        Ok(relay)
    }

    /// Puts bytes into the pipe, and stores the new total in `position`.
    fn write(&self, bytes: &[u8], position: &mut u64) -> io::Result<usize> {
        let mut sent = locked(&self.sent);
        let written = (&self.pipe).write(bytes)?;
        *sent += written as u64;
        *position = *sent;
        Ok(written)
    }
}

/// Copies until the pipe has no writer, or the descriptor fails.
fn pass_on(source: &OwnedFd, mut to: &File, passed_on: &AtomicU64) {
    let mut buffer = [0; PORTION];
    loop {
        let mut rest = match rustix::io::read(source, &mut buffer) {
            Ok(0) => return,
            Ok(count) => buffer.get(..count).unwrap_or_default(),
            Err(Errno::INTR) => continue,
            Err(_) => return,
        };
        while !rest.is_empty() {
            match to.write(rest) {
                Ok(count) => {
                    rest = rest.get(count..).unwrap_or_default();
                    passed_on.fetch_add(count as u64, Ordering::Release);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Another process may have set `O_NONBLOCK`. The next write reports any error of
                // the poll.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(to, PollFlags::OUT)], None).ok();
                }
                // The pipe loses its reader, so its writers get the error.
                Err(_) => return,
            }
        }
    }
}

/// A panic of another thread leaves the value consistent.
fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

static RELAYS: Mutex<Vec<Weak<Relay>>> = Mutex::new(Vec::new());
const PORTION: usize = 4096;

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use rustix::fs::fcntl_getfl;

    use super::*;
    use crate::testing::until;

    fn fill(descriptor: &mut Descriptor) {
        let error = loop {
            if let Err(error) = descriptor.write(&[b'x'; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    /// Goal: a full descriptor of any kind never blocks, and its flags do not change for other
    /// holders.
    #[test]
    fn full_descriptor_refuses_and_still_blocks_others() {
        let (_reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (socket, _peer) = UnixStream::pair().unwrap();
        for fd in [writer, socket.into()] {
            for new in [Descriptor::new, Descriptor::by_relay] {
                let mut descriptor = new(fd.try_clone().unwrap()).unwrap();
                fill(&mut descriptor);
                assert!(!descriptor.is_closed());
            }
            assert!(!fcntl_getfl(&fd).unwrap().contains(OFlags::NONBLOCK));
        }
    }

    /// Goal: all sinks of one descriptor share a relay, which reports its progress and ends with
    /// the reader.
    #[test]
    fn relay_is_shared_settles_and_ends() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let [mut one, mut other] =
            [0, 1].map(|_| Descriptor::by_relay(writer.try_clone().unwrap()).unwrap());
        assert_eq!(one.write(b"a\n").unwrap(), 2);
        assert_eq!(other.write(b"b\n").unwrap(), 2);
        until(|| other.is_settled());
        let mut buffer = [0; 8];
        let count = rustix::io::read(&reader, &mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"a\nb\n");
        drop((reader, writer));
        // Bytes that the relay still holds are lost.
        while one.write(b"c\n").is_ok() {
            thread::yield_now();
        }
        until(|| one.is_settled());
        assert!(one.is_closed() && one.write(b"d\n").is_err());
    }
}
