//! A process that an earlier monitor has started: no child of ours, and yet ours to watch and to stop.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use monitor_core::{Scope, Signal};
use rustix::process::{Pid, Signal as NativeSignal};

use crate::linux::group::Remainder;
use crate::linux::kernel_features::KernelFeatures;
use crate::linux::leader_pid::LeaderPid;
use crate::linux::mark::Mark;
use crate::linux::process::Ended;
use crate::linux::procfs::has_ended;
use crate::linux::signal::{SignalError, asks_to_end, named, send};
use crate::linux::sys::exit_status;

/// A process of which identity was proved while this pidfd held it.
///
/// It is reaped by whoever is its parent now, at any time, so its numbers prove nothing: every signal goes
/// through a pidfd. How it ended is known only from a kernel that tells it of strangers (Linux 6.15).
#[derive(Debug)]
pub(crate) struct Adopted {
    group: Remainder,
    pidfd: OwnedFd,
    /// Whether the kernel tells of the end of strangers.
    is_told: bool,
    /// How often the zombie is looked at before its status counts as lost.
    patience: u8,
}

/// What has become of an [`Adopted`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdoptedStatus {
    Alive,
    /// It has ended, and its parent has not asked how.
    Unreaped,
    Ended(Ended),
}

impl Adopted {
    /// Takes a process over, with the group that it leads, and what bears its mark.
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
        Ok(Self { group, pidfd, is_told: features.pidfd_info, patience: PATIENCE })
    }

    /// Looks what has become of it. A zombie that nobody reaps is given up after some seconds.
    pub(crate) fn poll(&mut self) -> AdoptedStatus {
        if !has_ended(&self.pidfd) {
            return AdoptedStatus::Alive;
        }
        if !self.is_told {
            return AdoptedStatus::Ended(Ended::Lost);
        }
        match exit_status(&self.pidfd) {
            Ok(Some(status)) => AdoptedStatus::Ended(Ended::from_wait_status(status)),
            Ok(None) if self.patience > 0 => {
                self.patience -= 1;
                AdoptedStatus::Unreaped
            }
            Ok(None) | Err(_) => AdoptedStatus::Ended(Ended::Lost),
        }
    }

    /// Sends a signal, and SIGCONT after it where a stopped process would keep it pending.
    ///
    /// # Errors
    /// See [`SignalError`].
    pub(crate) fn signal(&mut self, signal: Signal, scope: Scope) -> Result<(), SignalError> {
        let native = named(signal.number())?;
        match scope {
            Scope::Group if self.group.rescan().is_ok() => self.group.stop(signal.number()),
            Scope::Group | Scope::Process => {
                send(&self.pidfd, native)?;
                if asks_to_end(signal) { send(&self.pidfd, NativeSignal::CONT) } else { Ok(()) }
            }
        }
    }

    /// Its number, which proves nothing.
    pub(crate) fn pid(&self) -> Pid {
        self.group.leader().to_pid()
    }

    /// Whether the number is its own still: it lives, or nobody has reaped it.
    pub(crate) fn has_its_number(&self) -> bool {
        self.group.is_led()
    }

    /// The group, once the process has ended.
    pub(crate) fn into_group(self) -> Remainder {
        self.group
    }
}

impl AsFd for Adopted {
    /// The pidfd: readable when the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// With pauses of up to 100 ms, some 5 s: an init that reaps by a timer takes up to two.
const PATIENCE: u8 = 50;
