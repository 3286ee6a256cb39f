//! The name of a run, which identifies its control group, its socket and its processes; and the identity of its monitor.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::linux::procfs::{has_ended, start_time};

/// The identity of a monitor process, unique since the boot. A dead monitor holds nothing.
///
/// Prints `pid=12 start=345 namespace=7`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct MonitorIdentity {
    pid: i32,
    /// When it was started, for its number is given to others after it.
    start: u64,
    /// The PID namespace in which its number means something (`pid_namespaces(7)`), by its inode, which is of 32 bits: a
    /// container may share control groups and directories with another.
    namespace: u32,
}

impl MonitorIdentity {
    /// This process.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(crate) fn own() -> io::Result<Self> {
        let pid = getpid().as_raw_nonzero().get();
        Ok(Self { pid, start: start_time(pid)?, namespace: pid_namespace()? })
    }

    pub(crate) const fn pid(self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// Whether it is dead; a zombie is. Of one in another PID namespace nothing can be known here.
    pub(crate) fn is_dead(self) -> bool {
        if !self.is_of_this_namespace() {
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

impl MonitorIdentity {
    fn is_of_this_namespace(self) -> bool {
        Some(self.namespace) == pid_namespace().ok()
    }
}

impl fmt::Display for MonitorIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid={} start={} namespace={}", self.pid, self.start, self.namespace)
    }
}

impl FromStr for MonitorIdentity {
    type Err = InvalidRunName;

    fn from_str(text: &str) -> Result<Self, InvalidRunName> {
        let mut words = text.split(' ');
        let mut next = |name| words.next()?.strip_prefix(name);
        let identity = (|| {
            let (pid, start) = (next("pid=")?.parse().ok()?, next("start=")?.parse().ok()?);
            Some(Self { pid, start, namespace: next("namespace=")?.parse().ok()? })
        })();
        identity.filter(|identity| identity.to_string() == text).ok_or(InvalidRunName)
    }
}

/// 128 random bits. A name that has them is neither guessed nor taken before by anybody.
///
/// Prints 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Token([u64; 2]);

impl Token {
    /// Draws one.
    ///
    /// # Errors
    /// EAGAIN: the machine has just been started, and has nothing random yet; it passes.
    ///
    /// # Source
    /// `getrandom(2)`.
    pub(crate) fn random() -> io::Result<Self> {
        let mut halves = [[0; 8]; 2];
        for half in &mut halves {
            // So few bytes come at once or not at all.
            if getrandom(&mut half[..], GetRandomFlags::NONBLOCK)? != half.len() {
                return Err(Errno::AGAIN.into());
            }
        }
        Ok(Self(halves.map(u64::from_ne_bytes)))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [high, low] = self.0;
        write!(f, "{high:016x}{low:016x}")
    }
}

impl FromStr for Token {
    type Err = InvalidRunName;

    fn from_str(text: &str) -> Result<Self, InvalidRunName> {
        let half = |half: Option<&str>| u64::from_str_radix(half?, 16).ok();
        let halves = text
            .split_at_checked(16)
            .and_then(|(high, low)| Some(Self([half(Some(high))?, half(Some(low))?])));
        halves.filter(|token| token.to_string() == text).ok_or(InvalidRunName)
    }
}

/// Tries another name where one is taken, a few times. With [`Token`]s nobody can take them all, and no chance does.
///
/// # Errors
/// Those of the last attempt.
pub(crate) fn with_free_name<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut outcome = attempt();
    for _ in 1..ATTEMPTS {
        let taken = matches!(&outcome, Err(error) if is_taken(error));
        if !taken {
            break;
        }
        outcome = attempt();
    }
    outcome
}

fn is_taken(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::ADDRINUSE | Errno::EXIST))
}

/// A name that no other run has. It is kept for each run, so it is numbers and no text.
///
/// In the environment of a process it is the proof that this is of the run: only who may read that environment, or the
/// journal, knows it. (The name of a control group can be read by everybody; there the group itself is the proof.)
///
/// Prints `monitor-12-345-00112233445566778899aabbccddeeff-7`: number and start of the monitor, the token, and its PID
/// namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RunName {
    monitor: MonitorIdentity,
    token: Token,
}

impl RunName {
    /// The name of the next run.
    ///
    /// # Errors
    /// `/proc` cannot be read, or [`Token::random`].
    pub(crate) fn next() -> io::Result<Self> {
        Ok(Self { monitor: MonitorIdentity::own()?, token: Token::random()? })
    }

    /// Whether the numbers of processes that its monitor has written down mean anything here.
    pub(crate) fn is_of_this_namespace(self) -> bool {
        self.monitor.is_of_this_namespace()
    }

    /// Whether the monitor that made it is dead.
    pub(crate) fn is_abandoned(self) -> bool {
        self.monitor.is_dead()
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { monitor: MonitorIdentity { pid, start, namespace }, token } = self;
        write!(f, "{PREFIX}{pid}-{start}-{token}-{namespace}")
    }
}

impl FromStr for RunName {
    type Err = InvalidRunName;

    fn from_str(text: &str) -> Result<Self, InvalidRunName> {
        fn next<'a, T: FromStr>(numbers: &mut impl Iterator<Item = &'a str>) -> Option<T> {
            numbers.next()?.parse().ok()
        }
        let mut numbers = text.strip_prefix(PREFIX).ok_or(InvalidRunName)?.split('-');
        let name = (|| {
            let (pid, start) = (next(&mut numbers)?, next(&mut numbers)?);
            let (token, namespace) = (next(&mut numbers)?, next(&mut numbers)?);
            Some(Self { monitor: MonitorIdentity { pid, start, namespace }, token })
        })();
        // What is read is the name of something to be killed, so it is this one and not one that is like it.
        name.filter(|name| name.to_string() == text).ok_or(InvalidRunName)
    }
}

/// A text is not the form of a [`RunName`], of its [`Token`] or of a [`MonitorIdentity`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct InvalidRunName;

fn pid_namespace() -> io::Result<u32> {
    let inode = fs::metadata("/proc/self/ns/pid")?.ino();
    u32::try_from(inode).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// With what the names of runs, and of their sockets, begin.
pub(crate) const PREFIX: &str = "monitor-";
/// How many names are tried, of which the first is free unless the kernel's random numbers are not.
const ATTEMPTS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{finish, sleeper, wait_readable};

    #[test]
    fn names_tell_whose_they_are() {
        let monitor = MonitorIdentity { pid: 12, start: 345, namespace: 7 };
        let token = Token([0x0011_2233_4455_6677, 0x8899_aabb_ccdd_eeff]);
        let text = "monitor-12-345-00112233445566778899aabbccddeeff-7";
        assert_eq!(text.parse(), Ok(RunName { monitor, token }));
        assert_eq!(RunName { monitor, token }.to_string(), text);
        for foreign in [
            "monitor",
            "monitor-",
            "monitor-1-2-3",
            "monitor-x-1-2-3",
            "monitor-01-2-00112233445566778899aabbccddeeff-4",
            "monitor-1-2-6-4",
            "monitor-1-2-0112233445566778899aabbccddeeff-4",
            "monitor-1-2-00112233445566778899AABBCCDDEEFF-4",
            "web",
        ] {
            assert_eq!(foreign.parse::<RunName>(), Err(InvalidRunName), "{foreign}");
        }
        assert!("monitor-1-2-00112233445566778899aabbccddeeff-4-5".parse::<RunName>().is_err());
        let own = RunName::next().unwrap();
        assert_ne!(RunName::next().unwrap(), own);
        assert_eq!(own.to_string().parse(), Ok(own));
        assert!(!own.is_abandoned() && own.is_of_this_namespace());

        assert_eq!("pid=12 start=345 namespace=7".parse(), Ok(monitor));
        for foreign in ["", "12", "pid=12 start=345", "pid=012 start=345 namespace=7"] {
            assert_eq!(foreign.parse::<MonitorIdentity>(), Err(InvalidRunName), "{foreign}");
        }
    }

    /// Goal: a name that is taken gives way to another, a few times, and no other error does.
    #[test]
    fn another_name_is_tried_where_one_is_taken() {
        for (errno, free_at, attempts) in [
            (Errno::ADDRINUSE, 3, 3),
            (Errno::EXIST, 2, 2),
            (Errno::ADDRINUSE, usize::MAX, ATTEMPTS),
            (Errno::MFILE, 3, 1),
        ] {
            let mut made = 0;
            let outcome = with_free_name(|| {
                made += 1;
                if made < free_at { Err(errno.into()) } else { Ok(()) }
            });
            assert_eq!((outcome.is_ok(), made), (attempts == free_at, attempts), "{errno}");
        }
    }

    /// Goal: who is dead, reaped or not, is so, and nobody else. Bug-bank BB-82 is a stranger of the same number.
    #[test]
    fn dead_is_who_has_ended_and_whose_number_another_has() {
        let own = MonitorIdentity::own().unwrap();
        assert!(!own.is_dead());
        assert!(MonitorIdentity { start: own.start - 1, ..own }.is_dead());
        assert!(MonitorIdentity { pid: i32::MAX, ..own }.is_dead());
        // In another container the same number is another's.
        assert!(!MonitorIdentity { start: own.start - 1, namespace: 1, ..own }.is_dead());
        let process = sleeper();
        let pid = process.pid().as_raw();
        let other = MonitorIdentity { pid, start: start_time(pid).unwrap(), ..own };
        assert!(!other.is_dead());
        process.stop_group(9).unwrap();
        wait_readable(&process);
        assert!(other.is_dead(), "a zombie");
        finish(process);
        assert!(other.is_dead());
    }
}
