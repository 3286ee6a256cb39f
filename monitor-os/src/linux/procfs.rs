//! Facts about a process from `/proc` and from a pidfd.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{fstat, fstatfs};
use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

/// Reads the group and the session out of `/proc/PID/stat`.
///
/// The second field is the name in parentheses. The process chooses it and may use spaces,
/// parentheses and bytes that are no text. The fields are therefore counted from the last closing
/// parenthesis.
pub(crate) fn group_and_session(stat: &[u8]) -> Option<(i32, i32)> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let mut fields = str::from_utf8(stat.get(name_end + 1..)?).ok()?.split_ascii_whitespace();
    // The state, the parent, the group and the session follow the name.
    let group = fields.nth(2)?.parse().ok()?;
    let session = fields.next()?.parse().ok()?;
    Some((group, session))
}

/// Reads the session out of `/proc/PID/stat`.
pub(crate) fn session_of(stat: &[u8]) -> Option<i32> {
    group_and_session(stat).map(|(_, session)| session)
}

/// Whether the process behind a pidfd has ended.
pub(crate) fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1..))
}

/// The inode of a pidfd; `None` if all pidfds share one (before Linux 6.9).
pub(crate) fn inode(pidfd: impl AsFd) -> io::Result<Option<u64>> {
    let pidfd = pidfd.as_fd();
    let of_pidfs = u64::try_from(fstatfs(pidfd)?.f_type) == Ok(PIDFS_MAGIC);
    Ok(if of_pidfs { Some(fstat(pidfd)?.st_ino) } else { None })
}

/// Clock ticks from the boot to the start of a process.
pub(crate) fn start_time(pid: i32) -> io::Result<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat"))?;
    start_time_in(&stat).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Clock ticks from the boot to this moment, counted like [`start_time`].
///
/// A process with a smaller start time was started before. One with an equal start time may have
/// been started before or after.
///
/// # Source
/// `proc_pid_stat(5)`, field 22; `CLOCK_BOOTTIME` of `clock_gettime(2)`. Both are of the reader's
/// time namespace (`time_namespaces(7)`).
pub(crate) fn ticks_now() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let [seconds, nanos] = [now.tv_sec, now.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
    let per_second = clock_ticks_per_second();
    seconds * per_second + nanos * per_second / 1_000_000_000
}

/// Reads field 22 of `/proc/PID/stat`, counted from the end of the name.
pub(crate) fn start_time_in(stat: &[u8]) -> Option<u64> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = str::from_utf8(stat.get(name_end + 1..)?).ok()?;
    // The field after the name is the third.
    rest.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

const PIDFS_MAGIC: u64 = 0x5049_4446;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{finish, sleeper};

    #[test]
    fn stat_is_read_after_the_last_parenthesis() {
        assert_eq!(group_and_session(b"7 (sh) S 1 5 6 0 -1"), Some((5, 6)));
        assert_eq!(group_and_session(b"7 (a) S 1 2 (b) R 1 5 6 0"), Some((5, 6)));
        assert_eq!(group_and_session(b"7 (\xff\xfe) S 1 5 6 0"), Some((5, 6)));
        assert_eq!(group_and_session(b"7 (sh"), None);
        assert_eq!(group_and_session(b"7 (sh) S 1"), None);
        assert_eq!(group_and_session(b""), None);
    }

    /// Goal: the ticks are those by which the kernel reports the start of a process.
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
