//! An adopted process: started by an earlier monitor, no child of this one, watched by a pidfd.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use monitor_core::{Scope, Signal};
use rustix::process::Pid;

use crate::linux::group::Remainder;
use crate::linux::kernel_features::KernelFeatures;
use crate::linux::leader_pid::LeaderPid;
use crate::linux::mark::Mark;
use crate::linux::process::WaitStatus;
use crate::linux::procfs::has_ended;
use crate::linux::signal::{SignalError, send_and_continue};
use crate::linux::sys::exit_status;

/// A process whose identity was verified while this pidfd held it.
///
/// Its current parent reaps it at any time, so its numbers prove nothing. Every signal goes through
/// a pidfd. Its exit is known only if the kernel reports it for foreign processes (Linux 6.15).
#[derive(Debug)]
pub(crate) struct Adopted {
    group: Remainder,
    pidfd: OwnedFd,
    /// Whether the kernel reports the exit of foreign processes.
    is_told: bool,
    /// The number of polls of the zombie that are left before its exit counts as lost.
    polls_left: u8,
}

/// The state of an [`Adopted`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdoptedStatus {
    Alive,
    /// The process has ended, and its parent has not reaped it.
    Unreaped,
    Ended(WaitStatus),
}

impl Adopted {
    /// Adopts a process, with the group that it leads and the processes with its mark.
    ///
    /// # Errors
    /// No descriptor left.
    pub(crate) fn new(
        pid: LeaderPid,
        pidfd: OwnedFd,
        mark: Option<Mark>,
        features: KernelFeatures,
    ) -> std::io::Result<Self> {
        let group = Remainder::led_by(pid, pidfd.try_clone()?, mark);
        Ok(Self { group, pidfd, is_told: features.pidfd_info, polls_left: ZOMBIE_POLLS })
    }

    /// Polls the process; a zombie that is not reaped is given up after some seconds.
    pub(crate) fn poll(&mut self) -> AdoptedStatus {
        if !has_ended(&self.pidfd) {
            return AdoptedStatus::Alive;
        }
        if !self.is_told {
            return AdoptedStatus::Ended(WaitStatus::Lost);
        }
        match exit_status(&self.pidfd) {
            Ok(Some(status)) => AdoptedStatus::Ended(WaitStatus::from_wait_status(status)),
            Ok(None) if self.polls_left > 0 => {
                self.polls_left -= 1;
                AdoptedStatus::Unreaped
            }
            Ok(None) | Err(_) => AdoptedStatus::Ended(WaitStatus::Lost),
        }
    }

    /// Sends a signal, then SIGCONT if a stopped process would keep the signal pending.
    ///
    /// # Errors
    /// See [`SignalError`].
    pub(crate) fn signal(&mut self, signal: Signal, scope: Scope) -> Result<(), SignalError> {
        match scope {
            Scope::Group if self.group.rescan().is_ok() => self.group.stop(signal.number()),
            Scope::Group | Scope::Process => {
                send_and_continue(&self.pidfd, signal.number(), Scope::Process)
            }
        }
    }

    /// The number of the process, which proves nothing.
    pub(crate) fn pid(&self) -> Pid {
        self.group.leader().to_pid()
    }

    /// Whether the number is still its own: the process lives or is a zombie.
    pub(crate) fn has_its_number(&self) -> bool {
        self.group.is_led()
    }

    /// The group, once the process has ended.
    pub(crate) fn into_group(self) -> Remainder {
        self.group
    }
}

impl AsFd for Adopted {
    /// The pidfd, which is readable when the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Some 5 s with pauses of up to 100 ms, because an init that reaps by a timer takes up to 2 s.
const ZOMBIE_POLLS: u8 = 50;
