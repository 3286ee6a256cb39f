//! The name of a run, which identifies its control group, its socket and its processes.
//!
//! The identity of the monitor is a part of the name.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::linux::procfs::{has_ended, start_time};

/// The identity of a monitor process, unique since the boot; a dead monitor holds no lock and no
/// name.
///
/// Prints `pid=12 start=345 namespace=7`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct MonitorIdentity {
    pid: i32,
    /// The tick of its start, because its number may be reused later.
    start: u64,
    /// The PID namespace of its number (`pid_namespaces(7)`), by its inode, which has 32 bits.
    ///
    /// A container may share control groups and directories with another.
    namespace: u32,
}

impl MonitorIdentity {
    /// The identity of this process.
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

    /// Whether the monitor is dead, which includes a zombie; false if it is in another PID
    /// namespace.
    pub(crate) fn is_dead(self) -> bool {
        if !self.is_of_this_namespace() {
            return false;
        }
        let Some(pid) = Pid::from_raw(self.pid) else { return true };
        match pidfd_open(pid, PidfdFlags::empty()) {
            // Read after the opening, so that the start time is that of the held process. An error
            // means that the process ends just now, or that others are hidden here (`hidepid` of
            // `proc(5)`).
            Ok(held) => start_time(self.pid).is_ok_and(|it| it != self.start) || has_ended(&held),
            // EINVAL: the number is that of a thread that leads no process.
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

/// 128 random bits, by which a name is neither guessed nor taken in advance.
///
/// Prints 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Token([u64; 2]);

impl Token {
    /// Draws a token.
    ///
    /// # Errors
    /// EAGAIN: the machine has just been started and has no random numbers yet; the error passes.
    ///
    /// # Source
    /// `getrandom(2)`.
    pub(crate) fn random() -> io::Result<Self> {
        let mut halves = [[0; 8]; 2];
        for half in &mut halves {
            // The kernel returns this few bytes at once or not at all.
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

/// Retries with another name if one is taken, a few times.
///
/// With [`Token`]s no process can take all names, and no chance does.
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

/// The name of a run, unique among all runs; every run has one, so it is numbers and no text.
///
/// In the environment of a process the name proves that the process belongs to the run. Only
/// processes that may read that environment, or the journal, know it. Every process can read the
/// name of a control group; there the group itself is the proof.
///
/// Prints `monitor-12-345-00112233445566778899aabbccddeeff-7`: number and start of the monitor, the
/// token, and its PID namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RunName {
    monitor: MonitorIdentity,
    token: Token,
}

impl RunName {
    /// Draws the name of the next run.
    ///
    /// # Errors
    /// `/proc` cannot be read, or an error of [`Token::random`].
    pub(crate) fn next() -> io::Result<Self> {
        Ok(Self { monitor: MonitorIdentity::own()?, token: Token::random()? })
    }

    /// Whether the process ids that its monitor recorded are valid in this PID namespace.
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
        // The text names a target of kills, so only its exact form is accepted.
        name.filter(|name| name.to_string() == text).ok_or(InvalidRunName)
    }
}

/// Error of a text that is not the form of a [`RunName`], a [`Token`] or a [`MonitorIdentity`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct InvalidRunName;

fn pid_namespace() -> io::Result<u32> {
    let inode = fs::metadata("/proc/self/ns/pid")?.ino();
    u32::try_from(inode).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The beginning of the names of runs, and of their sockets.
pub(crate) const PREFIX: &str = "monitor-";
/// The number of names to try; the first is free unless the kernel's random numbers repeat.
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

    /// Goal: a taken name is replaced by another, a few times; no other error causes a retry.
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

    /// Goal: exactly dead monitors, reaped or not, count as dead. BB-82 is a foreign process of
    /// equal number.
    #[test]
    fn dead_is_who_has_ended_and_whose_number_another_has() {
        let own = MonitorIdentity::own().unwrap();
        assert!(!own.is_dead());
        assert!(MonitorIdentity { start: own.start - 1, ..own }.is_dead());
        assert!(MonitorIdentity { pid: i32::MAX, ..own }.is_dead());
        // In another container the number belongs to another process.
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
