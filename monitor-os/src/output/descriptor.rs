//! A descriptor of somebody else that is written without ever blocking.

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

/// Where a sink writes that is no file of its own.
#[derive(Debug)]
pub(crate) struct Descriptor {
    route: Route,
    /// Nobody reads it any more.
    closed: bool,
}

/// How bytes get there without blocking.
///
/// `O_NONBLOCK` cannot be set: it belongs to all who share the open file, such as a shell and the programs beside us.
#[derive(Debug)]
enum Route {
    /// A file, or a pipe or terminal that was opened anew with `O_NONBLOCK`.
    Direct(File),
    /// A socket, which takes the wish not to block with each call (`MSG_DONTWAIT`).
    Socket(OwnedFd),
    /// By the thread of a relay, and how many bytes it had been given with our last one.
    Relay(Arc<Relay>, u64),
}

impl Descriptor {
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

    /// # Errors
    /// No descriptor, thread or memory left; nothing was started.
    pub(crate) fn by_relay(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { route: Route::Relay(Relay::to(fd)?, 0), closed: false })
    }

    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where there is no room; else see `write(2)`, `send(2)`.
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
                    // A full disk passes; everything else is the end of this descriptor.
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

    /// A descriptor that says when there is room again.
    pub(crate) fn waiter(&self) -> Option<OwnedFd> {
        let fd = match &self.route {
            Route::Direct(file) => file.as_fd(),
            Route::Socket(socket) => socket.as_fd(),
            Route::Relay(relay, _) => relay.pipe.as_fd(),
        };
        fd.try_clone_to_owned().ok()
    }

    /// Whether all that was written has got there.
    pub(crate) fn is_settled(&self) -> bool {
        match &self.route {
            Route::Direct(_) | Route::Socket(_) => true,
            Route::Relay(_, sent) => self.relayed() >= *sent,
        }
    }

    /// How many bytes the relay has passed on, of all who use it.
    pub(crate) fn relayed(&self) -> u64 {
        match &self.route {
            Route::Direct(_) | Route::Socket(_) => 0,
            Route::Relay(relay, _) => relay.passed_on.load(Ordering::Acquire),
        }
    }
}

/// A thread that writes to a descriptor which may block, from a pipe that does not.
///
/// All sinks of one file or terminal share it, so that a thousand units take one thread and their lines stay whole.
/// The thread ends with the last of them, or when the descriptor takes nothing for good.
#[derive(Debug)]
struct Relay {
    /// The device and the inode of the descriptor.
    target: (u64, u64),
    pipe: File,
    /// How many bytes went into the pipe.
    sent: Mutex<u64>,
    /// How many of them were written; [`u64::MAX`] when no more will be.
    passed_on: Arc<AtomicU64>,
}

impl Relay {
    /// The relay to a descriptor, which is started if there is none.
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
            // A write to a terminal from the background is to stop nobody (SIGTTOU).
            nix::sys::signal::SigSet::all().thread_block().ok();
            pass_on(&source, &File::from(fd), &counter);
            counter.store(u64::MAX, Ordering::Release);
        })?;
        let relay = Arc::new(Self { target, pipe: pipe.into(), sent: Mutex::new(0), passed_on });
        relays.push(Arc::downgrade(&relay));
        Ok(relay)
    }

    /// Puts bytes into the pipe; `position` is how many it had been given with them.
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
                // Another process may have made it non-blocking. An error is told by the next write.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(to, PollFlags::OUT)], None).ok();
                }
                // The pipe loses its reader, by which its writers learn it.
                Err(_) => return,
            }
        }
    }
}

/// A panic elsewhere leaves the value whole.
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

    /// Goal: no kind of descriptor blocks when it is full, nor is it changed for the others who have it.
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

    /// Goal: all sinks of one descriptor share a relay, which says when it has written all and ends with the reader.
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
        // What it has given to the relay by then is lost.
        while one.write(b"c\n").is_ok() {
            thread::yield_now();
        }
        until(|| one.is_settled());
        assert!(one.is_closed() && one.write(b"d\n").is_err());
    }
}
