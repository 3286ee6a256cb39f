//! The name of a run: by it a control group, a socket and a process say which run they are of. And that of its monitor.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};

use super::group::has_ended;
use super::identity::start_time;

/// A process that supervises, told apart from every other since the boot. One that is dead holds nothing any more.
///
/// Prints `pid=12 start=345 namespace=7`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Keeper {
    pid: i32,
    /// When it was started, for its number is given to others after it.
    start: u64,
    /// The PID namespace in which its number means something (`pid_namespaces(7)`): a container may share control groups
    /// and directories with another.
    namespace: u64,
}

impl Keeper {
    /// This process.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(super) fn own() -> io::Result<Self> {
        let pid = getpid().as_raw_nonzero().get();
        Ok(Self { pid, start: start_time(pid)?, namespace: pid_namespace()? })
    }

    pub(super) const fn pid(self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// Whether it is dead; a zombie is. Of one in another PID namespace nothing can be known here.
    pub(super) fn is_dead(self) -> bool {
        if Some(self.namespace) != pid_namespace().ok() {
            return false;
        }
        let Some(pid) = Pid::from_raw(self.pid) else { return true };
        match pidfd_open(pid, PidfdFlags::empty()) {
            // Read after the opening: whoever bears the number now is the one that is held. If he cannot be read, it is
            // because he ends just now, or because others are hidden here (`hidepid` of `proc(5)`).
            Ok(held) => start_time(self.pid).is_ok_and(|it| it != self.start) || has_ended(&held),
            // EINVAL is the number of a thread that leads no process.
            Err(errno) => matches!(errno, Errno::SRCH | Errno::INVAL),
        }
    }
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid={} start={} namespace={}", self.pid, self.start, self.namespace)
    }
}

impl FromStr for Keeper {
    type Err = NoRunName;

    fn from_str(text: &str) -> Result<Self, NoRunName> {
        let mut words = text.split(' ');
        let mut next = |name| words.next()?.strip_prefix(name);
        let keeper = (|| {
            let (pid, start) = (next("pid=")?.parse().ok()?, next("start=")?.parse().ok()?);
            Some(Self { pid, start, namespace: next("namespace=")?.parse().ok()? })
        })();
        keeper.filter(|keeper| keeper.to_string() == text).ok_or(NoRunName)
    }
}

/// A name that no other run has since the boot. It is kept for each run, so it is four numbers and no text.
///
/// Prints `monitor-12-345-6-7`: number and start of the monitor, which of its runs, and its PID namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct RunName {
    monitor: Keeper,
    /// Which of its runs.
    number: u64,
}

impl RunName {
    /// The name of the next run.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(super) fn next() -> io::Result<Self> {
        let monitor = Keeper::own()?;
        // All supervisors of a process count together.
        Ok(Self { monitor, number: MADE.fetch_add(1, Ordering::Relaxed) })
    }

    /// Whether the monitor that made it is dead.
    pub(super) fn is_abandoned(self) -> bool {
        self.monitor.is_dead()
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { monitor: Keeper { pid, start, namespace }, number } = self;
        write!(f, "{PREFIX}{pid}-{start}-{number}-{namespace}")
    }
}

impl FromStr for RunName {
    type Err = NoRunName;

    fn from_str(text: &str) -> Result<Self, NoRunName> {
        fn next<'a, T: FromStr>(numbers: &mut impl Iterator<Item = &'a str>) -> Option<T> {
            numbers.next()?.parse().ok()
        }
        let mut numbers = text.strip_prefix(PREFIX).ok_or(NoRunName)?.split('-');
        let name = (|| {
            let (pid, start) = (next(&mut numbers)?, next(&mut numbers)?);
            let (number, namespace) = (next(&mut numbers)?, next(&mut numbers)?);
            Some(Self { monitor: Keeper { pid, start, namespace }, number })
        })();
        // What is read is the name of something to be killed, so it is this one and not one that is like it.
        name.filter(|name| name.to_string() == text).ok_or(NoRunName)
    }
}

/// A text is not the form of a [`RunName`] or of a [`Keeper`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NoRunName;

fn pid_namespace() -> io::Result<u64> {
    Ok(fs::metadata("/proc/self/ns/pid")?.ino())
}

static MADE: AtomicU64 = AtomicU64::new(0);
const PREFIX: &str = "monitor-";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::testing::{finish, sleeper, wait_readable};

    #[test]
    fn names_tell_whose_they_are() {
        let monitor = Keeper { pid: 12, start: 345, namespace: 7 };
        assert_eq!("monitor-12-345-6-7".parse(), Ok(RunName { monitor, number: 6 }));
        for foreign in
            ["monitor", "monitor-", "monitor-1-2-3", "monitor-x-1-2-3", "monitor-01-2-3-4", "web"]
        {
            assert_eq!(foreign.parse::<RunName>(), Err(NoRunName), "{foreign}");
        }
        assert!("monitor-1-2-3-4-5".parse::<RunName>().is_err());
        let own = RunName::next().unwrap();
        assert_ne!(RunName::next().unwrap(), own);
        assert!(!own.is_abandoned());

        assert_eq!("pid=12 start=345 namespace=7".parse(), Ok(monitor));
        for foreign in ["", "12", "pid=12 start=345", "pid=012 start=345 namespace=7"] {
            assert_eq!(foreign.parse::<Keeper>(), Err(NoRunName), "{foreign}");
        }
    }

    /// Goal: who is dead, reaped or not, is so, and nobody else. Bug-bank BB-82 is a stranger of the same number.
    #[test]
    fn dead_is_who_has_ended_and_whose_number_another_has() {
        let own = Keeper::own().unwrap();
        assert!(!own.is_dead());
        assert!(Keeper { start: own.start - 1, ..own }.is_dead());
        assert!(Keeper { pid: i32::MAX, ..own }.is_dead());
        // In another container the same number is another's.
        assert!(!Keeper { start: own.start - 1, namespace: 1, ..own }.is_dead());
        let process = sleeper();
        let pid = process.pid().as_raw();
        let other = Keeper { pid, start: start_time(pid).unwrap(), ..own };
        assert!(!other.is_dead());
        process.stop_group(9).unwrap();
        wait_readable(&process);
        assert!(other.is_dead(), "a zombie");
        finish(process);
        assert!(other.is_dead());
    }
}
