//! What one run after the other reads: a thread that copies a source into the input of the run that is going on.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::output::InputSource;
use super::wake::{Notifier, Wake};

/// The copying of one source. Dropped, it ends, and the input of the run with it.
#[derive(Debug)]
pub(super) struct Feed {
    shared: Arc<Mutex<Shared>>,
    notifier: Notifier,
}

#[derive(Debug, Default)]
struct Shared {
    /// Where the run reads, which does not block. A pipe is closed at the end of the source.
    taker: Option<Taker>,
    over: bool,
}

/// What a run reads from.
#[derive(Clone, Debug)]
pub(super) enum Taker {
    Pipe(Arc<OwnedFd>),
    /// Its end is a character, `^D`.
    Terminal(Arc<OwnedFd>),
}

impl Taker {
    const fn fd(&self) -> &Arc<OwnedFd> {
        match self {
            Self::Pipe(fd) | Self::Terminal(fd) => fd,
        }
    }
}

impl Feed {
    /// Starts the thread. Nothing is read before there is a taker.
    ///
    /// # Errors
    /// No descriptor, thread or memory left; nothing was started.
    pub(super) fn start(source: InputSource) -> io::Result<Self> {
        let (wake, notifier) = Wake::new()?;
        let shared = Arc::<Mutex<Shared>>::default();
        let own = Arc::clone(&shared);
        thread::Builder::new().name("monitor-input".into()).spawn(move || {
            nix::sys::signal::SigSet::all().thread_block().ok();
            copy(&source, &wake, &own);
        })?;
        Ok(Self { shared, notifier })
    }

    /// Gives what comes to another run from now on, or to nobody.
    pub(super) fn give(&self, taker: Option<Taker>) {
        locked(&self.shared).taker = taker;
        self.notifier.notify();
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        *locked(&self.shared) = Shared { taker: None, over: true };
        // Not waited for: whoever shares a terminal with us may have read what was there to be read.
        self.notifier.notify();
    }
}

fn copy(source: &InputSource, wake: &Wake, shared: &Mutex<Shared>) {
    let mut buffer = [0; PORTION];
    // What was read, and how much of it was given on.
    let (mut read, mut given) = (0, 0);
    let mut source = Some(source);
    loop {
        wake.drain();
        let taker = {
            let mut shared = locked(shared);
            if shared.over {
                return;
            }
            if source.is_none() && read == given {
                end(shared.taker.take());
            }
            shared.taker.clone()
        };
        let mut fds = vec![PollFd::new(wake, PollFlags::IN)];
        let full = read > given;
        if let Some(taker) = &taker {
            let flags = if full { PollFlags::OUT } else { PollFlags::empty() };
            fds.push(PollFd::from_borrowed_fd(taker.fd().as_fd(), flags));
            if let Some(source) = source.filter(|_| !full) {
                fds.push(PollFd::from_borrowed_fd(source.0.as_fd(), PollFlags::IN));
            }
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            // No memory for the call: it is there again, or nothing else works either.
            Err(_) => continue,
        }
        let ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
        let (taker_ready, source_ready) = (ready(1), ready(2));
        let Some(taker) = taker else {
            continue;
        };
        if taker_ready {
            let gone = match buffer.get(given..read).filter(|_| full) {
                Some(rest) => match rustix::io::write(taker.fd(), rest) {
                    Ok(count) => {
                        given += count;
                        false
                    }
                    Err(Errno::AGAIN | Errno::INTR) => false,
                    Err(_) => true,
                },
                // Nothing but the end of who reads is told without being asked for.
                None => true,
            };
            if gone {
                locked(shared).taker.take_if(|now| Arc::ptr_eq(now.fd(), taker.fd()));
            }
        } else if source_ready && let Some(from) = source {
            match rustix::io::read(&*from.0, &mut buffer) {
                Ok(0) => source = None,
                Ok(count) => (read, given) = (count, 0),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => source = None,
            }
        }
    }
}

/// Tells a run that there is nothing more.
fn end(taker: Option<Taker>) {
    match taker {
        Some(Taker::Terminal(fd)) => {
            // One that takes no character has other troubles.
            rustix::io::write(&fd, &[END_OF_INPUT]).ok();
        }
        // Closed by whoever drops it last.
        Some(Taker::Pipe(_)) | None => {}
    }
}

/// A panic elsewhere leaves the taker whole.
fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

const PORTION: usize = 4096;
/// `VEOF` of a terminal that nobody has set otherwise.
const END_OF_INPUT: u8 = 4;
