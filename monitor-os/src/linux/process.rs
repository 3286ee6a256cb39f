//! A child of this process, from its start until it is reaped.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use monitor_core::Scope;
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, waitid};

use crate::linux::group::ReapedGroup;
use crate::linux::leader_pid::LeaderPid;
use crate::linux::signal::{SignalError, continue_follows, named, send_and_continue};

/// A child that was not reaped yet: running, stopped, or a zombie.
///
/// It leads a session and a process group that have its number. While this value lives, the number
/// belongs to the child, which makes [`Process::signal_group`] safe. [`Process::reap`] ends both. A
/// dropped value leaves the process alone, and its zombie stays until the monitor ends.
#[derive(Debug)]
#[must_use = "a child that is not reaped stays a zombie"]
pub(crate) struct Process {
    pid: LeaderPid,
    pidfd: OwnedFd,
}

impl Process {
    /// Takes over a child; `pidfd` must have been opened for `pid` before any code could reap it.
    pub(crate) const fn new(pid: LeaderPid, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd }
    }

    /// The process id, for logs and records.
    pub(crate) const fn pid(&self) -> LeaderPid {
        self.pid
    }

    /// Sends `signal` to this process alone, then SIGCONT unless it is SIGKILL.
    ///
    /// # Errors
    /// See [`SignalError`]; nothing was sent. A zombie takes every signal without an error.
    ///
    /// # Source
    /// `pidfd_send_signal(2)`: a pidfd cannot reach another process that got the number.
    pub(crate) fn signal(&self, signal: u8) -> Result<(), SignalError> {
        send_and_continue(&self.pidfd, signal, Scope::Group)
    }

    /// Sends `signal` to the process group: this process and its descendants that have not left the
    /// group.
    ///
    /// # Errors
    /// See [`SignalError`]; nothing was sent. One signalled member is enough for success.
    ///
    /// # Source
    /// `killpg(3)`. A group's number is reused only after the leader was reaped, and then there is
    /// no `Process`. The exception is a leader that other code reaped ([`WaitStatus::Lost`]). Its group
    /// is not signalled.
    pub(crate) fn signal_group(&self, signal: u8) -> Result<(), SignalError> {
        let signal = named(signal)?;
        if self.peek() == Some(WaitStatus::Lost) {
            return Err(SignalError::Gone);
        }
        kill_process_group(self.pid.into(), signal).map_err(|e| SignalError::new(e, signal))
    }

    /// Requests the end of the process group: sends `signal`, then SIGCONT.
    ///
    /// A stopped process keeps the signal pending until it is continued, and would use up its grace
    /// period. SIGKILL needs no SIGCONT, so none follows it.
    ///
    /// # Errors
    /// See [`SignalError`]; nothing was sent.
    pub(crate) fn stop_group(&self, signal: u8) -> Result<(), SignalError> {
        self.signal_group(signal)?;
        if continue_follows(signal, Scope::Group) {
            self.signal_group(CONT)?;
        }
        Ok(())
    }

    /// Returns the exit if the process has ended, and leaves the zombie, which holds its numbers.
    ///
    /// The result can be `None` for a readable pidfd, if a tracer holds the zombie. Poll again
    /// later, by a timer.
    ///
    /// # Source
    /// `waitid(2)` with `WNOWAIT`.
    pub(crate) fn peek(&self) -> Option<WaitStatus> {
        self.wait(WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT)
    }

    /// Reaps the process, which frees its number, and returns its exit.
    ///
    /// # Errors
    /// The process itself, if it has not ended; nothing changed.
    pub(crate) fn reap(self) -> Result<Reaped, Self> {
        match self.wait(WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Some(ended) => Ok(Reaped { ended, group: ReapedGroup::new(self.pid) }),
            None => Err(self),
        }
    }

    fn wait(&self, options: WaitIdOptions) -> Option<WaitStatus> {
        loop {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
                Ok(status) => return status.map(|status| WaitStatus::from_status(&status)),
                Err(Errno::INTR) => {}
                // ECHILD; no other error is possible for this descriptor and these options.
                Err(_) => return Some(WaitStatus::Lost),
            }
        }
    }
}

impl AsFd for Process {
    /// The pidfd, which is readable when the process has ended with all its threads.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// The result of the reaping of a [`Process`].
#[derive(Debug)]
pub(crate) struct Reaped {
    /// The exit of the process.
    pub(crate) ended: WaitStatus,
    /// Its group, in which other processes may still run.
    pub(crate) group: ReapedGroup,
}

/// The end of a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WaitStatus {
    /// It exited with this code, 0 to 255; codes of 128 and above are no signals.
    Exited(u8),
    /// A signal killed it.
    Signaled {
        /// The number of the signal.
        signal: u8,
        /// Whether the kernel reports that it wrote a core file.
        core_dumped: bool,
    },
    /// The process is gone, and its exit is unknown.
    ///
    /// Other code in this process waited for it, or SIGCHLD is ignored (see
    /// [`ChildrenUnwaitable`](crate::ChildrenUnwaitable)). Or an earlier monitor had started it,
    /// and the kernel reports such an exit only to its parent.
    Lost,
}

impl WaitStatus {
    /// Decodes the status of `wait(2)`.
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
            // Only stops and continuations are left, and they were not requested.
            Self::Lost
        }
    }
}

const CONT: u8 = 18;

#[cfg(test)]
mod tests {
    use rustix::process::{WaitOptions, waitpid};

    use rustix::process::Signal;

    use super::*;
    use crate::linux::signal::send;
    use crate::testing::{Fifo, finish, shell, sleeper, wait_readable};

    const HUP: u8 = 1;
    const INT: u8 = 2;
    const KILL: u8 = 9;
    const SEGV: u8 = 11;
    const TERM: u8 = 15;

    #[test]
    fn exit_codes_are_kept() {
        for code in [0, 1, 2, 7, 64, 125, 126, 127, 128, 129, 137, 139, 143, 254, 255] {
            assert_eq!(finish(shell(&format!("exit {code}"))), WaitStatus::Exited(code));
        }
    }

    #[test]
    fn killing_signals_are_kept() {
        for signal in [HUP, INT, KILL, TERM] {
            let process = sleeper();
            process.signal_group(signal).unwrap();
            assert_eq!(finish(process), WaitStatus::Signaled { signal, core_dumped: false });
        }
    }

    #[test]
    fn real_time_and_core_signals_are_kept() {
        for signal in [SEGV, 34, 64] {
            match finish(shell(&format!("ulimit -c 0; kill -{signal} $$"))) {
                WaitStatus::Signaled { signal: seen, .. } => assert_eq!(seen, signal),
                other @ (WaitStatus::Exited(_) | WaitStatus::Lost) => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn exit_139_is_not_a_signal() {
        assert_eq!(finish(shell("sh -c 'kill -SEGV $$' 2>/dev/null")), WaitStatus::Exited(139));
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
        assert_eq!(finish(process), WaitStatus::Exited(3));
    }

    #[test]
    fn wait_statuses_are_read() {
        let signaled = |signal, core_dumped| WaitStatus::Signaled { signal, core_dumped };
        for (status, ended) in [
            (0, WaitStatus::Exited(0)),
            (0xff00, WaitStatus::Exited(255)),
            (0x0009, signaled(9, false)),
            (0x008b, signaled(11, true)),
            (0x137f, WaitStatus::Lost),
        ] {
            assert_eq!(WaitStatus::from_wait_status(status), ended);
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
        assert_eq!(finish(process), WaitStatus::Signaled { signal: KILL, core_dumped: false });
    }

    #[test]
    fn peek_keeps_the_zombie_and_reap_frees_it() {
        let process = shell("exit 5");
        let pidfd = process.as_fd().try_clone_to_owned().unwrap();
        wait_readable(&process);
        for _ in 0..3 {
            assert_eq!(process.peek(), Some(WaitStatus::Exited(5)));
            process.signal(TERM).unwrap();
            process.signal_group(TERM).unwrap();
        }
        let reaped = process.reap().unwrap();
        assert_eq!(reaped.ended, WaitStatus::Exited(5));
        assert_eq!(send(&pidfd, Signal::TERM), Err(SignalError::Gone));
    }

    #[test]
    fn live_process_is_not_reaped() {
        let process = sleeper();
        let process = process.reap().unwrap_err();
        process.stop_group(KILL).unwrap();
        assert_eq!(finish(process), WaitStatus::Signaled { signal: KILL, core_dumped: false });
    }

    #[test]
    fn stopped_process_ends_by_stop_group() {
        let process = shell("kill -STOP $$; sleep 100");
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::PidFd(process.as_fd()), stopped).unwrap().unwrap();
        assert!(status.stopped());
        assert_eq!(process.peek(), None);
        process.stop_group(TERM).unwrap();
        assert_eq!(finish(process), WaitStatus::Signaled { signal: TERM, core_dumped: false });
    }

    #[test]
    fn stolen_status_is_lost() {
        let process = shell("exit 5");
        wait_readable(&process);
        waitpid(Some(process.pid().into()), WaitOptions::empty()).unwrap().unwrap();
        assert_eq!(process.peek(), Some(WaitStatus::Lost));
        assert_eq!(process.signal(TERM), Err(SignalError::Gone));
        assert_eq!(process.reap().unwrap().ended, WaitStatus::Lost);
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
