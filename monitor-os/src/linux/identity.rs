//! The identity of a process across monitors, and the identity of a boot.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::str::FromStr;

use rustix::io::Errno;
use rustix::process::{PidfdFlags, pidfd_open};

use crate::linux::kernel_features::KernelFeatures;
use crate::linux::leader_pid::LeaderPid;
use crate::linux::procfs::{inode, start_time};

/// The identity of one process, distinct from every other since the boot.
///
/// A number alone proves nothing: the kernel reuses it once its process is reaped. Number and start
/// time repeat together only if the machine is set back to the tick (10 ms) of the start. The inode
/// of a pidfd, if the kernel has it, never repeats within a boot.
///
/// # Source
/// `proc_pid_stat(5)`, field 22; `pidfd_open(2)` on pidfs, Linux 6.9. BB-82 of the bug bank: a
/// recorded number was trusted, and a foreign process killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Identity {
    pub(crate) pid: LeaderPid,
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
    pub(crate) fn of(
        pid: LeaderPid,
        pidfd: impl AsFd,
        features: KernelFeatures,
    ) -> io::Result<Self> {
        let inode = if features.pidfs_inode { inode(pidfd)? } else { None };
        Ok(Self { pid, start: start_time(pid.as_raw())?, inode })
    }

    /// Finds the process if it still exists, maybe as a zombie.
    ///
    /// The descriptor then holds the process, so the proved identity cannot change.
    ///
    /// # Errors
    /// No descriptor left, or `/proc` cannot be read; the result is unknown then.
    pub(crate) fn find(&self, features: KernelFeatures) -> io::Result<Option<OwnedFd>> {
        let pidfd = match pidfd_open(self.pid.to_pid(), PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            // EINVAL: the number is that of a thread that leads no process.
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let found = if features.pidfs_inode { inode(&pidfd)? } else { None };
        let same = match (self.inode, found) {
            (Some(recorded), Some(found)) => recorded == found,
            // Read after the opening, so that the start time is that of the held process.
            (_, None) | (None, _) => match start_time(self.pid.as_raw()) {
                Ok(found) => found == self.start,
                // The process was reaped after the opening.
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

/// Error of a text that is not the form of an [`Identity`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct InvalidIdentity;

/// The identity of the running system: a random number that every boot draws anew.
///
/// # Source
/// `proc_sys_kernel(5)`, `random/boot_id`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BootId(u128);

impl BootId {
    /// Reads the identity of this boot.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(crate) fn current() -> io::Result<Self> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{available_features, finish, sleeper, wait_readable};

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

    /// Goal: a foreign process of equal number is refused, by each proof alone. Method: the
    /// recorded values are changed, as if the number had been reused.
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
        // A kernel without such inodes uses the start time.
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
}
