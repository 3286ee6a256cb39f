//! Children that the kernel gives to this process because their parents have ended.

use std::ffi::CString;
use std::fs;
use std::io;
use std::num::NonZeroI32;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal as NativeSignal, WaitId, WaitIdOptions, geteuid, getpid, pidfd_open,
    set_child_subreaper, waitid,
};

use super::group::{LeaderPid, has_ended, session_of};
use super::identity::{start_time_in, ticks_now};
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
    pub(super) fn signal(&self, signal: u8) -> Result<(), SignalError> {
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

/// By what an orphan says which run it is of. That it is of one of this process is the kernel's word: an orphan is a
/// descendant.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Origin {
    /// The mark in its environment, which it may have thrown away.
    mark: Option<RunName>,
    /// Its session, which it may have left.
    session: Option<i32>,
    /// When it was started.
    start: Option<u64>,
}

impl Origin {
    pub(super) fn of(pid: Pid) -> Self {
        let stat = fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok();
        Self {
            mark: mark_of(pid),
            session: stat.as_deref().and_then(session_of),
            start: stat.as_deref().and_then(start_time_in),
        }
    }

    /// Whether it is of the run with this mark and this session.
    pub(super) fn is(&self, mark: Option<RunName>, session: Option<OwnSession>) -> bool {
        match (self.mark, mark) {
            (Some(own), Some(mark)) => own == mark,
            (None, _) | (_, None) => session.is_some_and(|OwnSession { number, until }| {
                self.session == Some(number.get()) && self.start.is_some_and(|start| start < until)
            }),
        }
    }
}

/// The session that the main process of a run has made, by its number, which is that process's.
///
/// A session that a process is in is the one in which its parent was when it was started, unless it leads one itself.
/// So it is in this one if that had the number at its start: if it was started before the main process was reaped, with
/// which the number became free. Of the same tick it is in doubt, and not of the run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct OwnSession {
    number: NonZeroI32,
    /// The tick of the reap; later than any until then.
    until: u64,
}

impl OwnSession {
    /// That of a main process that was not reaped.
    pub(super) fn of_unreaped(leader: LeaderPid) -> Self {
        Self { number: leader.to_pid().as_raw_nonzero(), until: u64::MAX }
    }

    /// The same once that is reaped, or just before. The first time counts.
    pub(super) fn end(&mut self) {
        self.until = self.until.min(ticks_now());
    }
}

/// What the environment of a process says that a run has started, for runs of which the kernel does not say it: those
/// of an earlier monitor, whose orphans went to another parent.
///
/// The token in the name is known to the run, to root, and to whoever one of them has told it. Who was told may still be a
/// stranger that holds up a stop. So a process counts only if it runs as this monitor does or as the program did: a
/// program of root that gave its rights away and left its group, its session and its parents is left alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Mark {
    pub(super) name: RunName,
    /// The real user of the program; `None` if it was not written down.
    pub(super) owner: Option<u32>,
}

impl Mark {
    /// Whether a process bears it, and may.
    pub(super) fn is_borne_by(&self, pid: Pid) -> bool {
        mark_of(pid) == Some(self.name)
            && real_user(pid)
                .is_some_and(|user| user == geteuid().as_raw() || Some(user) == self.owner)
    }
}

fn mark_of(pid: Pid) -> Option<RunName> {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
    let mut variables = environment.split(|&byte| byte == 0);
    let mark = variables.find_map(|variable| variable.strip_prefix(MARK.as_bytes()))?;
    str::from_utf8(mark).ok()?.parse().ok()
}

/// The real user of a process: what a program that others may run as its owner (`su`) cannot change.
pub(super) fn real_user(pid: Pid) -> Option<u32> {
    let status = fs::read(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    str::from_utf8(line).ok()?.split_ascii_whitespace().next()?.parse().ok()
}

/// The variable that marks what a run starts.
pub(super) fn mark(name: RunName) -> Option<CString> {
    CString::new(format!("{MARK}{name}")).ok()
}

const MARK: &str = "MONITOR_RUN=";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::command::Command;
    use crate::linux::testing::{finish, sleeper, spawn, until};

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

    /// Goal: who bears the mark and runs as another user than the monitor and the program is a stranger.
    #[test]
    fn mark_counts_with_the_user() {
        let name = RunName::next().unwrap();
        let command = Command::new("sleep", ["100"]).unwrap();
        let command = command.with_variable("MONITOR_RUN", name.to_string()).unwrap();
        let process = spawn(&command).unwrap();
        let pid = process.pid().to_pid();
        let mark = Mark { name, owner: None };
        // A program is started before its environment can be read.
        until(|| mark_of(pid) == Some(name));
        assert_eq!(real_user(pid), Some(geteuid().as_raw()));
        assert!(mark.is_borne_by(pid));
        assert!(!Mark { name: RunName::next().unwrap(), owner: None }.is_borne_by(pid));
        process.stop_group(9).unwrap();
        finish(process);

        if !geteuid().is_root() {
            eprintln!("passed over: it takes root to run a process as another user");
            return;
        }
        let arguments = ["--reuid=4000000000", "--clear-groups", "sleep", "100"];
        let command = Command::new("setpriv", arguments).unwrap();
        let command = command.with_variable("MONITOR_RUN", name.to_string()).unwrap();
        let process = spawn(&command).unwrap();
        let pid = process.pid().to_pid();
        until(|| real_user(pid) == Some(4_000_000_000) && mark_of(pid) == Some(name));
        assert!(!mark.is_borne_by(pid));
        assert!(!Mark { owner: Some(1), ..mark }.is_borne_by(pid));
        assert!(Mark { owner: Some(4_000_000_000), ..mark }.is_borne_by(pid));
        process.stop_group(9).unwrap();
        finish(process);
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
        // Goal: who was started after the number became free, or in the same tick, may be a stranger.
        let found = Origin::of(process.pid().to_pid());
        let ended = |until| Some(OwnSession { until, ..session });
        assert!(found.is(None, ended(start + 1)) && !found.is(None, ended(start)));
        process.stop_group(9).unwrap();
        finish(process);
    }
}
