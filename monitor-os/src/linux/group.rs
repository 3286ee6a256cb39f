//! The process group of a run, once its leader is reaped.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, test_kill_process_group};

use super::orphans::Origin;
use super::process::{SignalError, continue_follows, named, send};
use super::run_name::RunName;

/// The process id of a child that leads a session; also the number of that session and of its group.
///
/// Always greater than 1: the other values mean "everybody", "my own group" and "init" to the kernel.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct LeaderPid(i32);

impl LeaderPid {
    /// Checks a number that the kernel gave.
    pub(super) fn new(raw: i32) -> Option<Self> {
        (raw > 1).then_some(Self(raw))
    }

    /// The number, for logs and records.
    pub(crate) const fn as_raw(self) -> i32 {
        self.0
    }

    pub(super) fn to_pid(self) -> Pid {
        // The number is positive, so the fallback is never taken; init is the harmless way to say so.
        Pid::from_raw(self.0).unwrap_or(Pid::INIT)
    }
}

/// The group of a leader that was reaped: nothing holds its number any more but the members that are left.
#[derive(Debug)]
#[must_use = "members may still run"]
pub(crate) struct ReapedGroup {
    leader: LeaderPid,
    mark: Mark,
}

/// The mark of what a run has started, of a run that an earlier monitor began. Boxed: most runs have none.
type Mark = Option<Box<RunName>>;

impl ReapedGroup {
    pub(super) const fn new(leader: LeaderPid) -> Self {
        Self { leader, mark: None }
    }

    /// The same, with whoever bears this mark, wherever it went.
    pub(super) fn marked(self, mark: Option<RunName>) -> Self {
        Self { mark: mark.map(Box::new), ..self }
    }

    /// Finds the members that still run. Call it right after the reap.
    ///
    /// If there are none it costs one system call, else a walk through `/proc`.
    ///
    /// # Errors
    /// `/proc` cannot be read, or no descriptor is left for a member; members may run. Nothing changed, and
    /// the group comes back to be asked again.
    pub(crate) fn remainder(self) -> Result<Remainder, (Self, io::Error)> {
        let Self { leader, mark } = self;
        let mut remainder = Remainder { leader, held: None, mark, members: Vec::new() };
        match remainder.rescan() {
            Ok(()) => Ok(remainder),
            Err(error) => Err((Self { leader, mark: remainder.mark }, error)),
        }
    }
}

/// What runs on in the group of a reaped leader, each member held by a pidfd.
///
/// Members are signalled by their pidfds and never by a number, since the number of the group is free for
/// a stranger from the moment the last member ends. A process that left the session (`setsid(2)`) or the
/// group before it was found is seen if it bears a mark that is looked for; one that `/proc` hides (`hidepid`) never is.
#[derive(Debug)]
pub(crate) struct Remainder {
    leader: LeaderPid,
    /// The leader, if it is not ours to reap.
    held: Option<OwnedFd>,
    /// What the environment of everybody says that the run has started, unless they have thrown it away.
    mark: Mark,
    members: Vec<Member>,
}

impl Remainder {
    /// The group of a leader that is no child of ours, and may live. Nobody is found before the first scan.
    pub(super) fn led_by(leader: LeaderPid, held: OwnedFd, mark: Option<RunName>) -> Self {
        Self { leader, held: Some(held), mark: mark.map(Box::new), members: Vec::new() }
    }

    pub(super) const fn leader(&self) -> LeaderPid {
        self.leader
    }

    /// Whether no member was running at the last scan.
    pub(crate) const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The numbers of the members.
    pub(super) fn pids(&self) -> impl Iterator<Item = Pid> {
        self.members.iter().map(|member| member.pid)
    }

    /// The pidfds, each readable when its member has ended.
    pub(crate) fn pidfds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.members.iter().map(|member| member.pidfd.as_fd())
    }

    /// Asks every member to end: sends `signal`, then SIGCONT unless it is SIGKILL.
    ///
    /// Members that have ended meanwhile are passed over. A member may fork while this goes on, so scan
    /// again before believing that all were reached.
    ///
    /// # Errors
    /// The last failure; the other members were signalled all the same.
    pub(crate) fn stop(&self, signal: u8) -> Result<(), SignalError> {
        let wanted = named(signal)?;
        let mut outcome = Ok(());
        for member in &self.members {
            let mut sent = send(&member.pidfd, wanted);
            if sent.is_ok() && continue_follows(signal) {
                sent = send(&member.pidfd, Signal::CONT);
            }
            if !matches!(sent, Ok(()) | Err(SignalError::Gone)) {
                outcome = sent;
            }
        }
        outcome
    }

    /// Drops the members that have ended and adds those that were forked meanwhile.
    ///
    /// A member keeps its pidfd from scan to scan, even if it has left the group.
    ///
    /// If the old group has ended and its number went round to a stranger that leads a group of the same
    /// number, the stranger is recognised: it bears the number itself, and our leader is reaped or held. Not
    /// recognised is a stranger's group whose leader has come and gone since the last scan.
    ///
    /// # Errors
    /// `/proc` cannot be read, or no descriptor is left for a member. The members known so far are kept.
    ///
    /// # Source
    /// `kill(2)`: signal 0 to a group without members is ESRCH. `proc_pid_stat(5)`: fields 5 and 6.
    pub(crate) fn rescan(&mut self) -> io::Result<()> {
        self.members.retain(|member| !has_ended(&member.pidfd));
        if test_kill_process_group(self.leader.to_pid()) != Err(Errno::SRCH) {
            let is_member = |pid| is_member(pid, self.leader);
            let pids = pids_that(is_member)?;
            if !pids.contains(&self.leader.to_pid()) || self.is_led() {
                add(&mut self.members, pids, is_member)?;
            }
        }
        if let Some(mark) = self.mark.as_deref().copied() {
            let is_marked = |pid| Origin::of(pid).is(Some(mark), None);
            add(&mut self.members, pids_that(is_marked)?, is_marked)?;
        }
        Ok(())
    }

    /// Whether the leader that we hold still bears the number, as a zombie at least.
    fn is_led(&self) -> bool {
        // A zombie takes every signal; who was reaped takes none.
        let unreaped = |held: &OwnedFd| !has_ended(held) || send(held, Signal::CONT).is_ok();
        self.held.as_ref().is_some_and(unreaped)
    }
}

#[derive(Debug)]
struct Member {
    pid: Pid,
    pidfd: OwnedFd,
}

/// Adds those that are not known.
fn add(members: &mut Vec<Member>, pids: Vec<Pid>, belongs: impl Fn(Pid) -> bool) -> io::Result<()> {
    for pid in pids {
        // A pidfd of a live member pins its number, so an equal number is the same process.
        if !members.iter().any(|member| member.pid == pid)
            && let Some(pidfd) = hold(pid, &belongs)?
        {
            members.push(Member { pid, pidfd });
        }
    }
    Ok(())
}

/// Lists the processes that belong, zombies included.
fn pids_that(belong: impl Fn(Pid) -> bool) -> io::Result<Vec<Pid>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid
            && belong(pid)
        {
            pids.push(pid);
        }
    }
    Ok(pids)
}

/// Opens a pidfd for a running member; `None` if it has ended or the number went to somebody else.
///
/// The process is looked at again once the pidfd holds it: what matches then cannot change any more.
/// Its end is asked of the pidfd, because `/proc` calls a process a zombie whose first thread has ended
/// while others run.
fn hold(pid: Pid, belongs: impl Fn(Pid) -> bool) -> io::Result<Option<OwnedFd>> {
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(Errno::SRCH) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    Ok((belongs(pid) && !has_ended(&pidfd)).then_some(pidfd))
}

fn is_member(pid: Pid, leader: LeaderPid) -> bool {
    // A process that cannot be read has ended, or is hidden from us.
    fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero()))
        .is_ok_and(|stat| group_and_session(&stat) == Some((leader.0, leader.0)))
}

/// Reads the group and the session out of `/proc/PID/stat`.
///
/// The second field is the name in parentheses. The process chooses it, spaces, parentheses and bytes that
/// are no text included, so the fields are counted from the last closing one.
fn group_and_session(stat: &[u8]) -> Option<(i32, i32)> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let mut fields = str::from_utf8(stat.get(name_end + 1..)?).ok()?.split_ascii_whitespace();
    // After the name come the state, the parent, the group and the session.
    let group = fields.nth(2)?.parse().ok()?;
    let session = fields.next()?.parse().ok()?;
    Some((group, session))
}

/// Reads the session out of `/proc/PID/stat`.
pub(super) fn session_of(stat: &[u8]) -> Option<i32> {
    group_and_session(stat).map(|(_, session)| session)
}

/// Whether the process behind a pidfd has ended.
pub(super) fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::process::{Ended, Process, Reaped};
    use crate::linux::testing::{Fifo, shell, sleeper, wait_readable};

    const KILL: u8 = 9;
    const TERM: u8 = 15;

    /// Runs a script to its end and takes what it leaves.
    fn leave(process: Process) -> (Ended, Remainder) {
        wait_readable(&process);
        let Reaped { ended, group } = process.reap().unwrap();
        (ended, group.remainder().unwrap())
    }

    #[test]
    fn only_child_numbers_are_leaders() {
        for raw in [i32::MIN, -1, 0, 1] {
            assert_eq!(LeaderPid::new(raw), None);
        }
        assert_eq!(LeaderPid::new(2).unwrap().as_raw(), 2);
        assert_eq!(LeaderPid::new(2).unwrap().to_pid(), Pid::from_raw(2).unwrap());
    }

    #[test]
    fn nothing_left_is_empty() {
        let (ended, remainder) = leave(shell("exit 4"));
        assert_eq!(ended, Ended::Exited(4));
        assert!(remainder.is_empty());
        assert_eq!(remainder.pidfds().count(), 0);
        remainder.stop(TERM).unwrap();
    }

    #[test]
    fn grandchild_is_found_and_killed_by_pidfd() {
        let (ended, mut remainder) = leave(shell("sleep 100 & exit 7"));
        assert_eq!(ended, Ended::Exited(7));
        assert_eq!(remainder.pidfds().count(), 1);
        remainder.rescan().unwrap();
        assert_eq!(remainder.pidfds().count(), 1);
        remainder.stop(KILL).unwrap();
        wait_readable(remainder.pidfds().next().unwrap());
        // Its zombie may wait for init; it counts as ended.
        remainder.rescan().unwrap();
        assert!(remainder.is_empty());
    }

    #[test]
    fn stopped_grandchild_ends_by_stop() {
        let fifo = Fifo::new();
        let path = fifo.path();
        // The one that stops is the child of a shell that reports it to us, then goes.
        let (_, mut remainder) = leave(shell(&format!(
            "sh -c 'kill -STOP $$; sleep 100' & \
             until grep -q '^State:.T' /proc/$!/status; do :; done; echo stopped > {}",
            path.display()
        )));
        fifo.wait();
        assert_eq!(remainder.pidfds().count(), 1);
        remainder.stop(TERM).unwrap();
        wait_readable(remainder.pidfds().next().unwrap());
        remainder.rescan().unwrap();
        assert!(remainder.is_empty());
    }

    #[test]
    fn rescan_finds_what_a_member_forked() {
        let fifo = Fifo::new();
        let go = Fifo::new();
        let (_, mut remainder) = leave(shell(&format!(
            "sh -c 'read line < {}; sleep 100 & echo forked > {}; wait' & exit 0",
            go.path().display(),
            fifo.path().display()
        )));
        assert_eq!(remainder.pidfds().count(), 1);
        fs::write(go.path(), "go\n").unwrap();
        fifo.wait();
        remainder.rescan().unwrap();
        assert_eq!(remainder.pidfds().count(), 2);
        remainder.stop(KILL).unwrap();
        remainder.pidfds().for_each(wait_readable);
        remainder.rescan().unwrap();
        assert!(remainder.is_empty());
    }

    #[test]
    fn stranger_that_leads_the_number_is_spared() {
        let stranger = sleeper();
        let remainder = ReapedGroup::new(stranger.pid()).remainder().unwrap();
        assert!(remainder.is_empty());
        assert_eq!(stranger.peek(), None);
        stranger.stop_group(KILL).unwrap();
        assert!(leave(stranger).1.is_empty());
    }

    /// Goal: what a zombie leader of others left is found, and a stranger that leads the number is not taken
    /// for it. Method: a zombie that nobody reaps stands for the leader; for the stranger, one that lives.
    #[test]
    fn held_leader_is_told_from_a_stranger() {
        let process = shell("sleep 100 & exit 0");
        wait_readable(&process);
        let held = process.as_fd().try_clone_to_owned().unwrap();
        let mut remainder = Remainder::led_by(process.pid(), held, None);
        remainder.rescan().unwrap();
        assert_eq!(remainder.pidfds().count(), 1);
        let stranger = sleeper();
        process.stop_group(KILL).unwrap();
        remainder.pidfds().for_each(wait_readable);
        let held = process.as_fd().try_clone_to_owned().unwrap();
        leave(process);
        let mut remainder = Remainder::led_by(stranger.pid(), held, None);
        remainder.rescan().unwrap();
        assert!(remainder.is_empty());
        stranger.stop_group(KILL).unwrap();
        assert!(leave(stranger).1.is_empty());
    }

    #[test]
    fn detached_grandchild_is_not_of_the_group() {
        let fifo = Fifo::new();
        let (_, remainder) = leave(shell(&format!(
            "setsid sh -c 'echo $$ > {}; exec sleep 100' & read pid < {}; kill -KILL $pid",
            fifo.path().display(),
            fifo.path().display()
        )));
        assert!(remainder.is_empty());
    }

    #[test]
    fn stat_is_read_after_the_last_parenthesis() {
        assert_eq!(group_and_session(b"7 (sh) S 1 5 6 0 -1"), Some((5, 6)));
        assert_eq!(group_and_session(b"7 (a) S 1 2 (b) R 1 5 6 0"), Some((5, 6)));
        assert_eq!(group_and_session(b"7 (\xff\xfe) S 1 5 6 0"), Some((5, 6)));
        assert_eq!(group_and_session(b"7 (sh"), None);
        assert_eq!(group_and_session(b"7 (sh) S 1"), None);
        assert_eq!(group_and_session(b""), None);
    }
}
