//! An own child, from its start to the moment it is reaped.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, waitid};

use crate::linux::group::ReapedGroup;
use crate::linux::leader_pid::LeaderPid;
use crate::linux::signal::{SignalError, continue_follows, named, send};

/// A child that was not reaped yet: running, stopped, or a zombie.
///
/// It leads a session and a process group that bear its number. As long as this value lives, the number
/// belongs to it, which is what makes [`Process::signal_group`] safe; [`Process::reap`] ends both. A value
/// that is dropped leaves the process alone, and its zombie stays until the monitor ends.
#[derive(Debug)]
#[must_use = "a child that is not reaped stays a zombie"]
pub(crate) struct Process {
    pid: LeaderPid,
    pidfd: OwnedFd,
}

impl Process {
    /// Takes over a child; `pidfd` must have been opened for `pid` before anybody could reap it.
    pub(crate) const fn new(pid: LeaderPid, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd }
    }

    /// The process id, for logs and records.
    pub(crate) const fn pid(&self) -> LeaderPid {
        self.pid
    }

    /// Sends `signal` to this process alone.
    ///
    /// # Errors
    /// See [`SignalError`]; nothing was sent. A zombie takes every signal without an error.
    ///
    /// # Source
    /// `pidfd_send_signal(2)`: a pidfd cannot hit a stranger that got the same number.
    pub(crate) fn signal(&self, signal: u8) -> Result<(), SignalError> {
        send(&self.pidfd, named(signal)?)
    }

    /// Sends `signal` to this process alone, then SIGCONT unless it is SIGKILL.
    ///
    /// # Errors
    /// See [`Process::signal`].
    pub(crate) fn ask(&self, signal: u8) -> Result<(), SignalError> {
        self.signal(signal)?;
        if continue_follows(signal) { send(&self.pidfd, Signal::CONT) } else { Ok(()) }
    }

    /// Sends `signal` to the process group: this process and what it started and has not detached.
    ///
    /// # Errors
    /// See [`SignalError`]; nothing was sent. It is enough that one member could be signalled.
    ///
    /// # Source
    /// `killpg(3)`. A group's number can be given to a stranger only after the leader was reaped, and
    /// then there is no `Process` to call this on. The exception is a leader that somebody else reaped
    /// ([`Ended::Lost`]), which is gone, and its group is not touched.
    pub(crate) fn signal_group(&self, signal: u8) -> Result<(), SignalError> {
        let signal = named(signal)?;
        if self.peek() == Some(Ended::Lost) {
            return Err(SignalError::Gone);
        }
        kill_process_group(self.pid.into(), signal).map_err(|e| SignalError::new(e, signal))
    }

    /// Asks the process group to end: sends `signal`, then SIGCONT.
    ///
    /// A stopped process keeps the signal pending until it is continued, and would sit out its grace
    /// period. SIGKILL needs no SIGCONT, so it is not followed by one.
    ///
    /// # Errors
    /// See [`SignalError`]; nothing was sent.
    pub(crate) fn stop_group(&self, signal: u8) -> Result<(), SignalError> {
        self.signal_group(signal)?;
        if continue_follows(signal) {
            self.signal_group(CONT)?;
        }
        Ok(())
    }

    /// Looks whether the process has ended, and leaves the zombie, which holds its numbers.
    ///
    /// `None` can be the answer for a readable pidfd: a tracer holds the zombie. Ask again later, by a
    /// timer, not at once.
    ///
    /// # Source
    /// `waitid(2)` with `WNOWAIT`.
    pub(crate) fn peek(&self) -> Option<Ended> {
        self.wait(WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT)
    }

    /// Frees the zombie and its number, and says how the process ended.
    ///
    /// # Errors
    /// The process itself, if it has not ended; nothing changed.
    pub(crate) fn reap(self) -> Result<Reaped, Self> {
        match self.wait(WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Some(ended) => Ok(Reaped { ended, group: ReapedGroup::new(self.pid) }),
            None => Err(self),
        }
    }

    fn wait(&self, options: WaitIdOptions) -> Option<Ended> {
        loop {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
                Ok(status) => return status.map(|status| Ended::from_status(&status)),
                Err(Errno::INTR) => {}
                // ECHILD. No other error is possible: the descriptor is a pidfd and the options are ours.
                Err(_) => return Some(Ended::Lost),
            }
        }
    }
}

impl AsFd for Process {
    /// The pidfd: readable when the process has ended, all its threads included.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// What is left of a [`Process`] that was reaped.
#[derive(Debug)]
pub(crate) struct Reaped {
    /// How it ended.
    pub(crate) ended: Ended,
    /// Its group, in which others may still run.
    pub(crate) group: ReapedGroup,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    /// It exited with this code, 0 to 255. 128 and above are codes like any other, not signals.
    Exited(u8),
    /// A signal killed it.
    Signaled {
        /// The number of the signal.
        signal: u8,
        /// Whether the kernel says that it wrote a core file.
        core_dumped: bool,
    },
    /// It is gone and nobody can tell how: other code in this process waited for it, SIGCHLD is ignored
    /// (see [`ChildrenUnwaitable`](crate::ChildrenUnwaitable)), or an earlier monitor had started it and the
    /// kernel tells such an end to nobody else.
    Lost,
}

impl Ended {
    /// Reads the status of `wait(2)`.
    pub(crate) const fn from_wait_status(status: i32) -> Self {
        let [low, high, ..] = status.to_le_bytes();
        match low & 0x7f {
            0 => Self::Exited(high),
            // Only stops and continuations are left.
            0x7f => Self::Lost,
            signal => Self::Signaled { signal, core_dumped: low & 0x80 != 0 },
        }
    }

    fn from_status(status: &WaitIdStatus) -> Self {
        if let Some(Ok(code)) = status.exit_status().map(u8::try_from) {
            Self::Exited(code)
        } else if let Some(Ok(signal)) = status.terminating_signal().map(u8::try_from) {
            Self::Signaled { signal, core_dumped: status.dumped() }
        } else {
            // Only stops and continuations are left, and they were not asked for.
            Self::Lost
        }
    }
}

const CONT: u8 = 18;

#[cfg(test)]
mod tests {
    use rustix::process::{WaitOptions, waitpid};

    use super::*;
    use crate::testing::{Fifo, finish, shell, sleeper, wait_readable};

    const HUP: u8 = 1;
    const INT: u8 = 2;
    const KILL: u8 = 9;
    const SEGV: u8 = 11;
    const TERM: u8 = 15;

    #[test]
    fn exit_codes_are_kept() {
        for code in [0, 1, 2, 7, 64, 125, 126, 127, 128, 129, 137, 139, 143, 254, 255] {
            assert_eq!(finish(shell(&format!("exit {code}"))), Ended::Exited(code));
        }
    }

    #[test]
    fn killing_signals_are_kept() {
        for signal in [HUP, INT, KILL, TERM] {
            let process = sleeper();
            process.signal_group(signal).unwrap();
            assert_eq!(finish(process), Ended::Signaled { signal, core_dumped: false });
        }
    }

    #[test]
    fn real_time_and_core_signals_are_kept() {
        for signal in [SEGV, 34, 64] {
            match finish(shell(&format!("ulimit -c 0; kill -{signal} $$"))) {
                Ended::Signaled { signal: seen, .. } => assert_eq!(seen, signal),
                other @ (Ended::Exited(_) | Ended::Lost) => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn exit_139_is_not_a_signal() {
        assert_eq!(finish(shell("sh -c 'kill -SEGV $$' 2>/dev/null")), Ended::Exited(139));
    }

    #[test]
    fn signal_reaches_the_process_alone() {
        let fifo = Fifo::new();
        let path = fifo.path();
        let process = shell(&format!(
            "trap 'exit 3' USR1; echo up > {}; while :; do sleep 0.01; done",
            path.display()
        ));
        fifo.wait();
        process.signal(10).unwrap();
        assert_eq!(finish(process), Ended::Exited(3));
    }

    #[test]
    fn wait_statuses_are_read() {
        let signaled = |signal, core_dumped| Ended::Signaled { signal, core_dumped };
        for (status, ended) in [
            (0, Ended::Exited(0)),
            (0xff00, Ended::Exited(255)),
            (0x0009, signaled(9, false)),
            (0x008b, signaled(11, true)),
            (0x137f, Ended::Lost),
        ] {
            assert_eq!(Ended::from_wait_status(status), ended);
        }
    }

    #[test]
    fn numbers_that_are_no_signals_are_refused() {
        let process = sleeper();
        for signal in [0, 32, 34, 64, 65, 255] {
            assert_eq!(process.signal(signal), Err(SignalError::Unknown { signal }));
            assert_eq!(process.stop_group(signal), Err(SignalError::Unknown { signal }));
        }
        assert_eq!(process.peek(), None);
        process.stop_group(KILL).unwrap();
        assert_eq!(finish(process), Ended::Signaled { signal: KILL, core_dumped: false });
    }

    #[test]
    fn peek_keeps_the_zombie_and_reap_frees_it() {
        let process = shell("exit 5");
        let pidfd = process.as_fd().try_clone_to_owned().unwrap();
        wait_readable(&process);
        for _ in 0..3 {
            assert_eq!(process.peek(), Some(Ended::Exited(5)));
            process.signal(TERM).unwrap();
            process.signal_group(TERM).unwrap();
        }
        let reaped = process.reap().unwrap();
        assert_eq!(reaped.ended, Ended::Exited(5));
        assert_eq!(send(&pidfd, Signal::TERM), Err(SignalError::Gone));
    }

    #[test]
    fn live_process_is_not_reaped() {
        let process = sleeper();
        let process = process.reap().unwrap_err();
        process.stop_group(KILL).unwrap();
        assert_eq!(finish(process), Ended::Signaled { signal: KILL, core_dumped: false });
    }

    #[test]
    fn stopped_process_ends_by_stop_group() {
        let process = shell("kill -STOP $$; sleep 100");
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::PidFd(process.as_fd()), stopped).unwrap().unwrap();
        assert!(status.stopped());
        assert_eq!(process.peek(), None);
        process.stop_group(TERM).unwrap();
        assert_eq!(finish(process), Ended::Signaled { signal: TERM, core_dumped: false });
    }

    #[test]
    fn stolen_status_is_lost() {
        let process = shell("exit 5");
        wait_readable(&process);
        waitpid(Some(process.pid().into()), WaitOptions::empty()).unwrap().unwrap();
        assert_eq!(process.peek(), Some(Ended::Lost));
        assert_eq!(process.signal(TERM), Err(SignalError::Gone));
        assert_eq!(process.reap().unwrap().ended, Ended::Lost);
    }

    #[test]
    fn errors_say_what_to_do() {
        assert_eq!(
            SignalError::new(Errno::PERM, Signal::TERM),
            SignalError::Forbidden { signal: TERM }
        );
        assert!(SignalError::Forbidden { signal: TERM }.to_string().contains("CAP_KILL"));
        let refused = SignalError::new(Errno::INVAL, Signal::TERM);
        assert!(refused.to_string().starts_with("signal not sent: Invalid argument"));
    }
}
