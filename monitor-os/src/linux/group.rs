//! The process group of a run, once its leader is reaped.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, test_kill_process_group};

use crate::linux::leader_pid::LeaderPid;
use crate::linux::mark::Mark;
use crate::linux::procfs::{group_and_session, has_ended, start_time, ticks_now};
use crate::linux::signal::{SignalError, continue_follows, named, send};

/// The group of a leader that was reaped: nothing holds its number any more but the members that are left.
#[derive(Debug)]
#[must_use = "members may still run"]
pub(crate) struct ReapedGroup {
    leader: LeaderPid,
    until: u64,
    mark: BoxedMark,
}

/// The mark of what a run has started, of a run that an earlier monitor began. Boxed: most runs have none.
type BoxedMark = Option<Box<Mark>>;

impl ReapedGroup {
    /// That of a leader that was reaped just now, here.
    pub(crate) const fn new(leader: LeaderPid) -> Self {
        Self::last_held(leader, EVER)
    }

    /// That of a leader of which nobody knows when it was reaped, but that it was not before this tick
    /// ([`ticks_now`]). Its number may be a stranger's; see [`Remainder`] for what proves that it is not.
    pub(crate) const fn last_held(leader: LeaderPid, until: u64) -> Self {
        Self { leader, until, mark: None }
    }

    /// The same, with whoever bears this mark, wherever it went.
    pub(crate) fn marked(self, mark: Option<Mark>) -> Self {
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
        let Self { leader, until, mark } = self;
        let mut remainder = Remainder { leader, held: None, until, mark, members: Vec::new() };
        match remainder.rescan() {
            Ok(()) => Ok(remainder),
            Err(error) => Err((Self { leader, until, mark: remainder.mark }, error)),
        }
    }
}

/// What runs on in the group of a reaped leader, each member held by a pidfd.
///
/// Members are signalled by their pidfds and never by a number, since the number of the group is free for
/// a stranger from the moment the last member ends. A process that left the session (`setsid(2)`) or the
/// group before it was found is seen if it bears a mark that is looked for; one that `/proc` hides (`hidepid`) never is.
///
/// # What proves that the group is the run's
/// A member is a process whose group and session both bear the number of the leader. Nobody joins a session: a process is
/// in that of its parent, or in one that it has made, which bears its own number. And a number is not given again while
/// a process, a group or a session bears it, zombies included. So all who are in the session of this number at one
/// moment are of the run, or none is. They are, if one of these holds:
///
/// - the leader is not reaped, which a held pidfd tells;
/// - a member that is known from before, and held, lives and is in it;
/// - a member was started before a moment at which the leader was not reaped yet (an earlier monitor has written down
///   the last one that it knows of). Its parent was in the session of this number then, which was the leader's, and it
///   has pinned the number since. Times are told in ticks of 10 ms, and of the same tick nothing is known: strictly before;
/// - a member bears the mark of the run. Whoever made the session is then of the run, whether or not it is the leader.
///
/// Else nobody is taken, though they may be late children that have thrown their marks away: see [`doubtful_members`].
/// Where the group was found to be the run's, it is so in the next scan as well, since scans follow each other within
/// 100 ms. Not recognised is so a stranger's group whose number has gone round in that time, and whose leader has come
/// and gone in it. The times of two monitors can be compared if both are in one boot, one PID namespace (both are checked)
/// and one time namespace (which is not: an offset that was changed between them makes the proof wrong).
///
/// # Source
/// `setsid(2)`, `setpgid(2)`; in the kernel `alloc_pid` and `free_pid`, which is called when no process has the number
/// as its own, its group's or its session's.
#[derive(Debug)]
pub(crate) struct Remainder {
    leader: LeaderPid,
    /// The leader, if it is not ours to reap.
    held: Option<OwnedFd>,
    /// Whoever was started before this tick and is in the session of this number is of the run: [`EVER`] where the last
    /// scan has proved it, [`NEVER`] where the number is not the run's any more.
    until: u64,
    /// What the environment of everybody says that the run has started, unless they have thrown it away.
    mark: BoxedMark,
    members: Vec<Member>,
}

impl Remainder {
    /// The group of a leader that is no child of ours, and may live. Nobody is found before the first scan.
    pub(crate) fn led_by(leader: LeaderPid, held: OwnedFd, mark: Option<Mark>) -> Self {
        let before = ticks_now();
        let mark = mark.map(Box::new);
        let mut group = Self { leader, held: Some(held), until: NEVER, mark, members: Vec::new() };
        if group.is_led() {
            group.until = before;
        }
        group
    }

    pub(crate) const fn leader(&self) -> LeaderPid {
        self.leader
    }

    /// Whether no member was running at the last scan.
    pub(crate) const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The numbers of the members.
    pub(crate) fn pids(&self) -> impl Iterator<Item = Pid> {
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
    /// A stranger's group of the same number is recognised: see [`Remainder`].
    ///
    /// # Errors
    /// `/proc` cannot be read, or no descriptor is left for a member. The members known so far are kept.
    ///
    /// # Source
    /// `kill(2)`: signal 0 to a group without members is ESRCH. `proc_pid_stat(5)`: fields 5 and 6.
    pub(crate) fn rescan(&mut self) -> io::Result<()> {
        self.members.retain(|member| !has_ended(&member.pidfd));
        let (before, leader) = (ticks_now(), self.leader);
        if test_kill_process_group(leader.to_pid()) == Err(Errno::SRCH) {
            // The number is free, so whoever has it later is a stranger.
            self.until = NEVER;
        } else {
            let pids = pids_that(|pid| is_member(pid, leader))?;
            // Asked after the listing: so it has held the number all the while.
            let is_led = self.is_led();
            // One that bears the number itself, and is not the one that is held, leads a group of its own.
            let is_proved = is_led || !pids.contains(&leader.to_pid()) && self.is_proved_by(&pids);
            if is_proved {
                add(&mut self.members, pids, |pid| is_member(pid, leader))?;
            }
            self.until = match (is_led, is_proved) {
                (true, _) => before,
                (false, true) => EVER,
                (false, false) => NEVER,
            };
        }
        if let Some(mark) = self.mark.as_deref().copied() {
            let is_marked = |pid| mark.is_borne_by(pid);
            add(&mut self.members, pids_that(is_marked)?, is_marked)?;
        }
        Ok(())
    }

    /// Whether one of those that were just listed as members proves that all of them are.
    fn is_proved_by(&self, pids: &[Pid]) -> bool {
        let is_old =
            |pid: Pid| start_time(pid.as_raw_nonzero().get()).is_ok_and(|start| start < self.until);
        let is_known = |pid: Pid| {
            let mut members = self.members.iter();
            // It lives, so it was the one that was listed.
            members.any(|member| member.pid == pid && !has_ended(&member.pidfd))
        };
        let bears_mark = |pid: Pid| {
            let belongs = |pid| {
                is_member(pid, self.leader)
                    && self.mark.as_deref().is_some_and(|mark| mark.is_borne_by(pid))
            };
            self.mark.is_some() && matches!(hold(pid, belongs), Ok(Some(_)))
        };
        pids.iter().any(|&pid| is_old(pid) || is_known(pid) || bears_mark(pid))
    }

    /// Whether the leader that we hold still bears the number, as a zombie at least.
    pub(crate) fn is_led(&self) -> bool {
        // A zombie takes every signal; who was reaped takes none.
        let unreaped = |held: &OwnedFd| !has_ended(held) || send(held, Signal::CONT).is_ok();
        self.held.as_ref().is_some_and(unreaped)
    }
}

/// Those that are in the group and the session of a number that a reaped leader had, and of which nothing proves that
/// they are of its run, nor that they are not: the stranger's or a late child that cleared its environment. Without
/// `known`. Nobody, if a process bears the number itself: then it leads them.
///
/// # Errors
/// `/proc` cannot be read.
pub(crate) fn doubtful_members(
    leader: LeaderPid,
    known: Option<&Remainder>,
) -> io::Result<Vec<Pid>> {
    if test_kill_process_group(leader.to_pid()) == Err(Errno::SRCH) {
        return Ok(Vec::new());
    }
    let mut pids = pids_that(|pid| is_member(pid, leader))?;
    if pids.contains(&leader.to_pid()) {
        return Ok(Vec::new());
    }
    let is_known = |pid| known.is_some_and(|known| known.pids().any(|known| known == pid));
    // Zombies are nobody's concern but their parents'.
    let lives = |pid| matches!(hold(pid, |pid| is_member(pid, leader)), Ok(Some(_)));
    pids.retain(|&pid| !is_known(pid) && lives(pid));
    Ok(pids)
}

/// Later than every start of a process.
const EVER: u64 = u64::MAX;
/// Before every start of a process.
const NEVER: u64 = 0;

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
        .is_ok_and(|stat| group_and_session(&stat) == Some((leader.as_raw(), leader.as_raw())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::process::{Ended, Process, Reaped};
    use crate::linux::run_name::RunName;
    use crate::testing::{Fifo, shell, sleeper, until, wait_readable};

    const KILL: u8 = 9;
    const TERM: u8 = 15;

    /// Runs a script to its end and takes what it leaves.
    fn leave(process: Process) -> (Ended, Remainder) {
        wait_readable(&process);
        let Reaped { ended, group } = process.reap().unwrap();
        (ended, group.remainder().unwrap())
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

    /// Goal: a group of which nobody knows whether its number went round is taken only with a proof, each by itself.
    /// Method: what a shell left behind, as if its leader had been seen last at some tick.
    #[test]
    fn group_of_an_old_number_takes_a_proof() {
        let name = RunName::next().unwrap();
        let script = format!("MONITOR_RUN={name} sleep 100 & sleep 100 & exit 0");
        let (_, own) = leave(shell(&script));
        assert_eq!(own.pids().count(), 2);
        let leader = own.leader();
        until(|| {
            own.pids().filter(|&pid| Mark { name, owner: None }.is_borne_by(pid)).count() == 1
        });
        let starts = || own.pids().map(|pid| start_time(pid.as_raw_nonzero().get()).unwrap());
        let first = starts().min().unwrap();
        let found = |until, mark: Option<RunName>| {
            let mark = mark.map(|name| Mark { name, owner: None });
            let group = ReapedGroup::last_held(leader, until).marked(mark).remainder().unwrap();
            let doubtful = doubtful_members(leader, Some(&group)).unwrap().len();
            (group.pids().count(), doubtful)
        };
        // One that was started before proves it for all, one of the same tick for nobody.
        assert_eq!(found(first + 1, None), (2, 0));
        assert_eq!(found(first, None), (0, 2));
        assert_eq!(found(0, None), (0, 2));
        assert_eq!(found(0, Some(RunName::next().unwrap())), (0, 2));
        // One that bears the mark proves it for who has thrown it away.
        assert_eq!(found(0, Some(name)), (2, 0));

        // Once it is not ours any more, it never is again.
        let mut lost = ReapedGroup::last_held(leader, 0).remainder().unwrap();
        lost.until = first;
        lost.rescan().unwrap();
        assert_eq!((lost.until, lost.pids().count()), (NEVER, 0));
        own.stop(KILL).unwrap();
        own.pidfds().for_each(wait_readable);
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
}
