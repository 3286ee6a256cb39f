//! Children that the kernel gives to this process because their parents have ended.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal as NativeSignal, WaitId, WaitIdOptions, getpid, pidfd_open,
    set_child_subreaper, waitid,
};

use super::group::{has_ended, session_of};
use super::process::{SignalError, continue_follows, named, send};
use super::run_name::RunName;

/// The right to all orphans of this process's descendants, and the duty to reap them.
///
/// # Source
/// `PR_SET_CHILD_SUBREAPER` of `prctl(2)`. As the first process of a container, a process has both anyway.
#[derive(Debug)]
pub(super) struct Orphans {
    signals: SignalFd,
}

impl Orphans {
    /// Makes this process the parent of orphans, and blocks SIGCHLD in the calling thread.
    ///
    /// # Errors
    /// No descriptor left, or no memory (`signalfd(2)`).
    pub(super) fn begin() -> io::Result<Self> {
        let signals = SigSet::from(Signal::SIGCHLD);
        signals.thread_block()?;
        let signals =
            SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        set_child_subreaper(Some(getpid()))?;
        Ok(Self { signals })
    }

    /// Takes the notices that children have ended, of which there are fewer than ends.
    pub(super) fn drain(&self) {
        // Nothing pending, and every other outcome, is an end of the list.
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
pub(super) struct Orphan {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Orphan {
    /// Holds a child of this process, which nobody else reaps.
    pub(super) fn hold(pid: Pid) -> Result<Self, Errno> {
        Ok(Self { pid, pidfd: pidfd_open(pid, PidfdFlags::empty())? })
    }

    pub(super) const fn pid(&self) -> Pid {
        self.pid
    }

    pub(super) fn has_ended(&self) -> bool {
        has_ended(&self.pidfd)
    }

    /// Sends a signal, then SIGCONT unless it is SIGKILL.
    pub(super) fn ask(&self, signal: u8) -> Result<(), SignalError> {
        send(&self.pidfd, named(signal)?)?;
        if continue_follows(signal) { send(&self.pidfd, NativeSignal::CONT) } else { Ok(()) }
    }
}

/// The children of this process, in the order in which `/proc` lists them.
///
/// # Errors
/// `/proc` cannot be read, or the kernel does not list children (`CONFIG_PROC_CHILDREN`).
pub(super) fn children() -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        let thread = thread?.path();
        let text = match fs::read_to_string(thread.join("children")) {
            Ok(text) => text,
            // A thread that has ended, after that was opened or before, which has given its children to another.
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
/// By its own number: a look at all at once is stuck at the first zombie, which may not be meant (facts, pitfall 4).
pub(super) fn reap(pid: Pid) -> bool {
    !matches!(waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG), Ok(None))
}

/// By what an orphan says which run it is of.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Origin {
    /// The mark in its environment, which it may have thrown away.
    mark: Option<RunName>,
    /// Its session, which it may have left.
    session: Option<i32>,
}

impl Origin {
    pub(super) fn of(pid: Pid) -> Self {
        let pid = pid.as_raw_nonzero();
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut variables = environment.split(|&byte| byte == 0);
        let mark = variables.find_map(|variable| variable.strip_prefix(MARK.as_bytes()));
        let mark = mark.and_then(|mark| str::from_utf8(mark).ok()?.parse().ok());
        let stat = fs::read(format!("/proc/{pid}/stat")).ok();
        Self { mark, session: stat.as_deref().and_then(session_of) }
    }

    /// Whether it is of the run with this mark and this main process.
    pub(super) fn is(&self, mark: Option<RunName>, leader: Option<i32>) -> bool {
        match (self.mark, mark) {
            (Some(own), Some(mark)) => own == mark,
            (None, _) | (_, None) => leader.is_some() && self.session == leader,
        }
    }
}

/// The variable that marks what a run starts.
pub(super) fn mark(name: RunName) -> Option<CString> {
    CString::new(format!("{MARK}{name}")).ok()
}

const MARK: &str = "MONITOR_RUN=";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::testing::{finish, sleeper, until};

    #[test]
    fn children_are_listed_and_reaped_one_by_one() {
        let process = sleeper();
        let pid = process.pid().to_pid();
        assert!(children().unwrap().contains(&pid));
        assert!(!reap(pid));
        let orphan = Orphan::hold(pid).unwrap();
        assert!(!orphan.has_ended());
        orphan.ask(15).unwrap();
        until(|| orphan.has_ended());
        assert!(reap(pid) && reap(pid));
        assert!(!children().unwrap().contains(&pid));
        assert_eq!(orphan.ask(15), Err(SignalError::Gone));
    }

    #[test]
    fn origin_is_the_mark_and_then_the_session() {
        let process = sleeper();
        let leader = process.pid().as_raw();
        let found = Origin::of(process.pid().to_pid());
        assert_eq!(found, Origin { mark: None, session: Some(leader) });
        let [own, other] = [(); 2].map(|()| RunName::next().unwrap());
        assert!(found.is(Some(own), Some(leader)));
        assert!(!found.is(None, Some(1)) && !found.is(None, None));
        let marked = Origin { mark: Some(own), session: Some(leader) };
        assert!(marked.is(Some(own), None) && !marked.is(Some(other), Some(leader)));
        process.stop_group(9).unwrap();
        finish(process);
    }
}
