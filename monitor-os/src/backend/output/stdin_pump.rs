//! The standard input of successive runs: a thread copies a source into the input of the current
//! run.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::command::streams::InputSource;
use crate::linux::wake::{Notifier, Wake};

/// Copies one source; dropping it ends the copy, and the input of the run.
#[derive(Debug)]
pub(crate) struct StdinPump {
    state: Arc<Mutex<PumpState>>,
    notifier: Notifier,
}

#[derive(Debug, Default)]
struct PumpState {
    /// The non-blocking input of the run; a pipe is closed at the end of the source.
    sink: Option<StdinSink>,
    closed: bool,
}

/// The input of a run.
#[derive(Clone, Debug)]
pub(crate) enum StdinSink {
    Pipe(Arc<OwnedFd>),
    /// A terminal, whose end of input is the character `^D`.
    Terminal(Arc<OwnedFd>),
}

impl StdinSink {
    const fn fd(&self) -> &Arc<OwnedFd> {
        match self {
            Self::Pipe(fd) | Self::Terminal(fd) => fd,
        }
    }
}

impl StdinPump {
    /// Starts the thread, which reads nothing before it has a sink.
    ///
    /// # Errors
    /// No descriptor, thread or memory left; nothing was started.
    pub(crate) fn start(source: InputSource) -> io::Result<Self> {
        let (wake, notifier) = Wake::new()?;
        let state = Arc::<Mutex<PumpState>>::default();
        let own = Arc::clone(&state);
        thread::Builder::new().name("monitor-input".into()).spawn(move || {
            nix::sys::signal::SigSet::all().thread_block().ok();
            copy(&source, &wake, &own);
        })?;
        Ok(Self { state, notifier })
    }

    /// Sets the run that gets the input from now on, or none.
    pub(crate) fn set_sink(&self, sink: Option<StdinSink>) {
        locked(&self.state).sink = sink;
        self.notifier.notify();
    }
}

impl Drop for StdinPump {
    fn drop(&mut self) {
        *locked(&self.state) = PumpState { sink: None, closed: true };
        // The drop does not wait: another reader of the terminal may have taken the bytes of a
        // blocked read.
        self.notifier.notify();
    }
}

fn copy(source: &InputSource, wake: &Wake, state: &Mutex<PumpState>) {
    let mut buffer = [0; PORTION];
    // The number of bytes that were read, and the number of these that were written.
    let (mut read, mut given) = (0, 0);
    let mut source = Some(source);
    loop {
        wake.drain();
        let sink = {
            let mut state = locked(state);
            if state.closed {
                return;
            }
            if source.is_none() && read == given {
                end(state.sink.take());
            }
            state.sink.clone()
        };
        let mut fds = vec![PollFd::new(wake, PollFlags::IN)];
        let full = read > given;
        if let Some(sink) = &sink {
            let flags = if full { PollFlags::OUT } else { PollFlags::empty() };
            fds.push(PollFd::from_borrowed_fd(sink.fd().as_fd(), flags));
            if let Some(source) = source.filter(|_| !full) {
                fds.push(PollFd::from_borrowed_fd(source.0.as_fd(), PollFlags::IN));
            }
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            // ENOMEM: memory becomes free again, or the monitor cannot continue anyway.
            Err(_) => continue,
        }
        let ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
        let (sink_ready, source_ready) = (ready(1), ready(2));
        let Some(sink) = sink else {
            continue;
        };
        if sink_ready {
            let gone = match buffer.get(given..read).filter(|_| full) {
                Some(rest) => match rustix::io::write(sink.fd(), rest) {
                    Ok(count) => {
                        given += count;
                        false
                    }
                    Err(Errno::AGAIN | Errno::INTR) => false,
                    Err(_) => true,
                },
                // Without a requested event, `poll` reports only that the reader is gone.
                None => true,
            };
            if gone {
                locked(state).sink.take_if(|now| Arc::ptr_eq(now.fd(), sink.fd()));
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

/// Reports the end of input to a run.
fn end(sink: Option<StdinSink>) {
    match sink {
        Some(StdinSink::Terminal(fd)) => {
            // A terminal that takes no character has failed otherwise, so the error is ignored.
            rustix::io::write(&fd, &[END_OF_INPUT]).ok();
        }
        // The last owner closes the pipe by dropping it.
        Some(StdinSink::Pipe(_)) | None => {}
    }
}

/// A panic of another thread leaves the sink consistent.
fn locked(state: &Mutex<PumpState>) -> MutexGuard<'_, PumpState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

const PORTION: usize = 4096;
/// `VEOF` of a terminal with default settings.
const END_OF_INPUT: u8 = 4;
