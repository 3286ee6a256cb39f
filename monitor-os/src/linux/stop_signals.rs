//! The signals that the monitor itself is sent: those by which it is asked to end, and those that it is to give on.

use std::io;

use monitor_core::Signal;
use nix::sys::signal::Signal as NativeSignal;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::signals::{Signals, ignored};

/// `TERM`, `INT` and `HUP` to this process, and maybe others, waited for instead of handled.
///
/// Make it in the first thread before any other is started, so that all of them block the signals, and
/// wait on a thread that has nothing else to do. A signal that was ignored when the program was started
/// stays ignored: that is what `nohup` is for.
#[derive(Debug)]
pub struct StopSignals {
    signals: Signals,
    /// The bit n - 1 for the signal n.
    ignored: u64,
}

impl StopSignals {
    /// Blocks the signals in the calling thread and in those that it starts later.
    ///
    /// # Errors
    /// No descriptor left, no memory (`signalfd(2)`), or no `/proc`; the signals may be blocked all the
    /// same.
    pub fn new() -> io::Result<Self> {
        Ok(Self { ignored: ignored()?, signals: Signals::new([])? })
    }

    /// The same with those by which a program is told something else than to end: `QUIT`, `USR1`, `USR2`, `ALRM`,
    /// `CONT` and `WINCH`.
    ///
    /// The first process of a PID namespace gets no signal that it does not wait for; so this one gets them there too.
    ///
    /// # Errors
    /// As [`StopSignals::new`].
    pub fn and_others() -> io::Result<Self> {
        Ok(Self { ignored: ignored()?, signals: Signals::new(OTHERS)? })
    }

    /// Blocks the calling thread until signals have come; several of one kind can be one, and of those that
    /// are ignored the list may be empty.
    ///
    /// # Errors
    /// None is known for an own descriptor (`poll(2)`, `read(2)`).
    pub fn wait(&self) -> io::Result<Vec<Signal>> {
        match poll(&mut [PollFd::new(&self.signals, PollFlags::IN)], None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let numbers = self.signals.drain()?;
        let heard = numbers.into_iter().filter_map(Signal::new);
        Ok(heard.filter(|signal| self.ignored >> (signal.number() - 1) & 1 == 0).collect())
    }
}

const OTHERS: [NativeSignal; 6] = [
    NativeSignal::SIGQUIT,
    NativeSignal::SIGUSR1,
    NativeSignal::SIGUSR2,
    NativeSignal::SIGALRM,
    NativeSignal::SIGCONT,
    NativeSignal::SIGWINCH,
];
