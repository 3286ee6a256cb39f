//! Orphans: children that the kernel gives to this process because their parents have ended.

use std::fs;
use std::io;
use std::num::NonZeroI32;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use monitor_core::Scope;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, WaitId, WaitIdOptions, getpid, pidfd_open, set_child_subreaper, waitid,
};

use crate::linux::leader_pid::LeaderPid;
use crate::linux::mark::mark_of;
use crate::linux::procfs::{has_ended, session_of, start_time_in, ticks_now};
use crate::linux::run_name::RunName;
use crate::linux::signal::{SignalError, send_and_continue};

/// The role of the parent of all orphans among this process's descendants, which must reap them.
///
/// # Source
/// `PR_SET_CHILD_SUBREAPER` of `prctl(2)`. The first process of a container has this role in any
/// case.
#[derive(Debug)]
pub(crate) struct Orphans {
    signals: SignalFd,
}

impl Orphans {
    /// Makes this process the parent of orphans, and blocks SIGCHLD in the calling thread.
    ///
    /// # Errors
    /// No descriptor left, or no memory (`signalfd(2)`).
    pub(crate) fn begin() -> io::Result<Self> {
        let signals = SigSet::from(Signal::SIGCHLD);
        signals.thread_block()?;
        let signals =
            SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        set_child_subreaper(Some(getpid()))?;
        Ok(Self { signals })
    }

    /// Takes the pending signals of ended children; several ends may share one signal.
    pub(crate) fn drain(&self) {
        // Any result other than a signal ends the list.
        while let Ok(Some(_)) = self.signals.read_signal() {}
    }
}

impl AsFd for Orphans {
    /// Readable when a child has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}

/// An orphan that belongs to a run.
#[derive(Debug)]
pub(crate) struct Orphan {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Orphan {
    /// Holds a child of this process, which no other code reaps.
    pub(crate) fn hold(pid: Pid) -> Result<Self, Errno> {
        Ok(Self { pid, pidfd: pidfd_open(pid, PidfdFlags::empty())? })
    }

    pub(crate) const fn pid(&self) -> Pid {
        self.pid
    }

    pub(crate) fn has_ended(&self) -> bool {
        has_ended(&self.pidfd)
    }

    /// Sends a signal, then SIGCONT unless it is SIGKILL.
    pub(crate) fn signal(&self, signal: u8) -> Result<(), SignalError> {
        send_and_continue(&self.pidfd, signal, Scope::Group)
    }
}

/// Lists the children of this process, in the order of `/proc`.
///
/// # Errors
/// `/proc` cannot be read, or the kernel does not list children (`CONFIG_PROC_CHILDREN`).
pub(crate) fn children() -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        let thread = thread?.path();
        let text = match fs::read_to_string(thread.join("children")) {
            Ok(text) => text,
            // The thread has ended, before or after the opening, and its children went to another
            // thread.
            Err(error)
                if Errno::from_io_error(&error) == Some(Errno::SRCH)
                    || matches!(thread.try_exists(), Ok(false)) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        let numbers = text.split_ascii_whitespace().filter_map(|number| number.parse().ok());
        children.extend(numbers.filter_map(Pid::from_raw));
    }
    Ok(children)
}

/// Reaps a child if it has ended; returns whether it has.
///
/// `waitid(P_ALL)` could return an unrelated zombie, so each child is waited for by its number
/// (pitfall 4).
pub(crate) fn reap(pid: Pid) -> bool {
    !matches!(waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG), Ok(None))
}

/// The evidence of the run that an orphan belongs to.
///
/// That it belongs to a run of this process is certain, because an orphan is a descendant.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Origin {
    /// The mark in its environment, which it may have removed.
    mark: Option<RunName>,
    /// Its session, which it may have left.
    session: Option<i32>,
    /// The tick of its start.
    start: Option<u64>,
}

impl Origin {
    pub(crate) fn of(pid: Pid) -> Self {
        let stat = fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok();
        Self {
            mark: mark_of(pid),
            session: stat.as_deref().and_then(session_of),
            start: stat.as_deref().and_then(start_time_in),
        }
    }

    /// Whether the orphan belongs to the run with this mark and this session.
    pub(crate) fn is(&self, mark: Option<RunName>, session: Option<OwnSession>) -> bool {
        match (self.mark, mark) {
            (Some(own), Some(mark)) => own == mark,
            (None, _) | (_, None) => session.is_some_and(|OwnSession { number, until }| {
                self.session == Some(number.get()) && self.start.is_some_and(|start| start < until)
            }),
        }
    }
}

/// The session that the main process of a run has made, by its number, which is that process's
/// number.
///
/// A process is in the session that its parent was in at its start, unless it leads one itself. It
/// is therefore in this session if the session had the number at that start. That holds if it was
/// started before the reaping of the main process, which freed the number. A start in the tick of
/// the reaping is in doubt, so such a process does not count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct OwnSession {
    number: NonZeroI32,
    /// The tick of the reaping; a later one than any until then.
    until: u64,
}

impl OwnSession {
    /// The session of a main process that was not reaped.
    pub(crate) fn of_unreaped(leader: LeaderPid) -> Self {
        Self { number: leader.to_pid().as_raw_nonzero(), until: u64::MAX }
    }

    /// Ends the session's time at the reaping of its process, or just before; the first call
    /// counts.
    pub(crate) fn end(&mut self) {
        self.until = self.until.min(ticks_now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{finish, sleeper, until};

    #[test]
    fn children_are_listed_and_reaped_one_by_one() {
        let process = sleeper();
        let pid = process.pid().to_pid();
        assert!(children().unwrap().contains(&pid));
        assert!(!reap(pid));
        let orphan = Orphan::hold(pid).unwrap();
        assert!(!orphan.has_ended());
        orphan.signal(15).unwrap();
        until(|| orphan.has_ended());
        assert!(reap(pid) && reap(pid));
        assert!(!children().unwrap().contains(&pid));
        assert_eq!(orphan.signal(15), Err(SignalError::Gone));
    }

    #[test]
    fn origin_is_the_mark_and_then_the_session() {
        let process = sleeper();
        let leader = process.pid().as_raw();
        let found = Origin::of(process.pid().to_pid());
        let start = found.start.unwrap();
        assert_eq!(found, Origin { mark: None, session: Some(leader), start: Some(start) });
        let [own, other] = [(); 2].map(|()| RunName::next().unwrap());
        let session = OwnSession::of_unreaped(process.pid());
        let other_session = OwnSession::of_unreaped(LeaderPid::new(leader + 1).unwrap());
        assert!(found.is(Some(own), Some(session)));
        assert!(!found.is(None, Some(other_session)) && !found.is(None, None));
        let marked = Origin { mark: Some(own), ..found };
        assert!(marked.is(Some(own), None) && !marked.is(Some(other), Some(session)));
        // Goal: a process that started after the number became free, or in that tick, may be
        // foreign.
        let found = Origin::of(process.pid().to_pid());
        let ended = |until| Some(OwnSession { until, ..session });
        assert!(found.is(None, ended(start + 1)) && !found.is(None, ended(start)));
        process.stop_group(9).unwrap();
        finish(process);
    }
}
