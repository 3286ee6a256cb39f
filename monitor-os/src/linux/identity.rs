//! How a process is recognised that an earlier monitor has started.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::str::FromStr;

use rustix::fs::{fstat, fstatfs};
use rustix::io::Errno;
use rustix::param::clock_ticks_per_second;
use rustix::process::{PidfdFlags, pidfd_open};
use rustix::time::{ClockId, clock_gettime};

use super::group::LeaderPid;
use super::kernel_features::KernelFeatures;

/// One process, told apart from every other since the boot.
///
/// A number alone proves nothing: it is given to the next process when its bearer is reaped. Number and
/// start time come round together only if the machine is set back to the same tick (10 ms); the inode of
/// a pidfd, where the kernel has it, never does before a boot.
///
/// # Source
/// `proc_pid_stat(5)`, field 22; `pidfd_open(2)` on pidfs, Linux 6.9. BB-82 of the bug bank: a recorded
/// number was believed, and a stranger killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Identity {
    pub(super) pid: LeaderPid,
    /// Clock ticks from the boot to its start.
    start: u64,
    /// The inode of its pidfds.
    inode: Option<u64>,
}

impl Identity {
    /// Identifies the unreaped process behind a pidfd.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(super) fn of(
        pid: LeaderPid,
        pidfd: impl AsFd,
        features: KernelFeatures,
    ) -> io::Result<Self> {
        let inode = if features.pidfs_inode { inode(pidfd)? } else { None };
        Ok(Self { pid, start: start_time(pid.as_raw())?, inode })
    }

    /// Finds the process if it is still there, maybe as a zombie. The descriptor then holds it: what was
    /// proved cannot change.
    ///
    /// # Errors
    /// No descriptor left, or `/proc` cannot be read; nothing is known then.
    pub(super) fn find(&self, features: KernelFeatures) -> io::Result<Option<OwnedFd>> {
        let pidfd = match pidfd_open(self.pid.to_pid(), PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            // EINVAL is the number of a thread that leads no process.
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let found = if features.pidfs_inode { inode(&pidfd)? } else { None };
        let same = match (self.inode, found) {
            (Some(recorded), Some(found)) => recorded == found,
            // Read after the opening: whoever bears the number now is the one that is held.
            (_, None) | (None, _) => match start_time(self.pid.as_raw()) {
                Ok(found) => found == self.start,
                // Reaped since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => false,
                Err(error) => return Err(error),
            },
        };
        Ok(same.then_some(pidfd))
    }
}

/// Prints `pid=1234 start=5566 inode=78`.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid={} start={}", self.pid.as_raw(), self.start)?;
        self.inode.map_or(Ok(()), |inode| write!(f, " inode={inode}"))
    }
}

impl FromStr for Identity {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        fn number<T: FromStr>(word: Option<&str>, name: &str) -> Result<T, InvalidIdentity> {
            let value = word.and_then(|word| word.strip_prefix(name));
            value.and_then(|value| value.parse().ok()).ok_or(InvalidIdentity)
        }
        let mut words = text.split(' ');
        let pid = LeaderPid::new(number(words.next(), "pid=")?).ok_or(InvalidIdentity)?;
        let start = number(words.next(), "start=")?;
        let inode = words.next().map(|word| number(Some(word), "inode=")).transpose()?;
        if words.next().is_some() {
            return Err(InvalidIdentity);
        }
        Ok(Self { pid, start, inode })
    }
}

/// A text is not the form of an [`Identity`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct InvalidIdentity;

/// The identity of the running system: a random number that every boot makes anew.
///
/// # Source
/// `proc_sys_kernel(5)`, `random/boot_id`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct BootId(u128);

impl BootId {
    /// Reads it.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(super) fn current() -> io::Result<Self> {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        text.trim().parse().map_err(|InvalidIdentity| io::ErrorKind::InvalidData.into())
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The form of the file: groups of hexadecimal digits, as in RFC 9562.
        let digits = format!("{:032x}", self.0);
        let mut rest = digits.as_str();
        for (separator, length) in [("", 8), ("-", 4), ("-", 4), ("-", 4), ("-", 12)] {
            let (group, after) = rest.split_at(length);
            write!(f, "{separator}{group}")?;
            rest = after;
        }
        Ok(())
    }
}

impl FromStr for BootId {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        let id = u128::from_str_radix(&text.replace('-', ""), 16)
            .map(Self)
            .map_err(|_| InvalidIdentity)?;
        if id.to_string() == text { Ok(id) } else { Err(InvalidIdentity) }
    }
}

/// The inode of a pidfd; `None` where all pidfds share one (before Linux 6.9).
pub(super) fn inode(pidfd: impl AsFd) -> io::Result<Option<u64>> {
    let pidfd = pidfd.as_fd();
    let of_pidfs = u64::try_from(fstatfs(pidfd)?.f_type) == Ok(PIDFS_MAGIC);
    Ok(if of_pidfs { Some(fstat(pidfd)?.st_ino) } else { None })
}

/// Clock ticks from the boot to the start of a process.
pub(super) fn start_time(pid: i32) -> io::Result<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat"))?;
    start_time_in(&stat).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Clock ticks from the boot to this moment, counted as [`start_time`] counts: a process of a smaller number was started
/// before, and one of the same number may have been started before or after.
///
/// # Source
/// `proc_pid_stat(5)`, field 22; `CLOCK_BOOTTIME` of `clock_gettime(2)`. Both are of the reader's time namespace
/// (`time_namespaces(7)`).
pub(super) fn ticks_now() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let [seconds, nanos] = [now.tv_sec, now.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
    let per_second = clock_ticks_per_second();
    seconds * per_second + nanos * per_second / 1_000_000_000
}

/// Reads field 22 of `/proc/PID/stat`, counted from the end of the name, which may hold anything.
pub(super) fn start_time_in(stat: &[u8]) -> Option<u64> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = str::from_utf8(stat.get(name_end + 1..)?).ok()?;
    // The field after the name is the third.
    rest.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

const PIDFS_MAGIC: u64 = 0x5049_4446;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::testing::{available_features, finish, sleeper, wait_readable};

    #[test]
    fn found_while_it_is_there_and_not_after() {
        let process = sleeper();
        let identity = Identity::of(process.pid(), &process, available_features()).unwrap();
        assert!(identity.find(available_features()).unwrap().is_some());
        process.stop_group(9).unwrap();
        wait_readable(&process);
        let zombie = identity.find(available_features()).unwrap();
        assert!(zombie.is_some());
        finish(process);
        assert!(identity.find(available_features()).unwrap().is_none());
    }

    /// Goal: a stranger of the same number is refused, by each proof alone. Method: the recorded values are
    /// changed, as if the number had gone round.
    #[test]
    fn stranger_of_the_same_number_is_refused() {
        let process = sleeper();
        let identity = Identity::of(process.pid(), &process, available_features()).unwrap();
        let other = Identity { inode: identity.inode.map(|inode| inode + 1), ..identity };
        assert_eq!(other.find(available_features()).unwrap().is_some(), identity.inode.is_none());
        let other = Identity { inode: None, start: identity.start + 1, ..identity };
        assert!(other.find(available_features()).unwrap().is_none());
        let same = Identity { inode: None, ..identity };
        assert!(same.find(available_features()).unwrap().is_some());
        // A kernel without such inodes goes by the start time.
        assert!(identity.find(KernelFeatures::NONE).unwrap().is_some());
        assert!(other.find(KernelFeatures::NONE).unwrap().is_none());
        process.stop_group(9).unwrap();
        finish(process);
    }

    #[test]
    fn text_goes_round() {
        for text in ["pid=2 start=0", "pid=32768 start=18446744073709551615 inode=7"] {
            assert_eq!(text.parse::<Identity>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "pid=1 start=0",
            "pid=2",
            "pid=2 start=x",
            "pid=2 start=1 inode=",
            "pid=2 start=1 inode=1 x",
        ] {
            assert_eq!(text.parse::<Identity>(), Err(InvalidIdentity), "{text}");
        }
        let boot = BootId::current().unwrap();
        assert_eq!(boot.to_string().parse(), Ok(boot));
        assert_eq!("x".parse::<BootId>(), Err(InvalidIdentity));
    }

    /// Goal: the clock is the one by which the kernel says when a process was started.
    #[test]
    fn ticks_are_those_of_start_times() {
        let before = ticks_now();
        let process = sleeper();
        let after = ticks_now();
        let start = start_time(process.pid().as_raw()).unwrap();
        assert!((before..=after).contains(&start), "{before} {start} {after}");
        process.stop_group(9).unwrap();
        finish(process);
    }

    #[test]
    fn start_time_is_field_22() {
        let stat = b"7 (a) b) S 1 7 7 0 -1 6 7 8 9 10 11 12 13 14 15 16 17 18 1234 20 21";
        assert_eq!(start_time_in(stat), Some(1234));
        assert_eq!(start_time_in(b"7 (sh) S 1"), None);
    }
}
