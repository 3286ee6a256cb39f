//! The process group of a run after the reaping of its leader.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use monitor_core::Scope;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, test_kill_process_group};

use crate::linux::leader_pid::LeaderPid;
use crate::linux::mark::Mark;
use crate::linux::procfs::{group_and_session, has_ended, start_time, ticks_now};
use crate::linux::signal::{SignalError, named, send, send_and_continue};

/// The group of a reaped leader, whose number is held only by the remaining members.
#[derive(Debug)]
#[must_use = "members may still run"]
pub(crate) struct ReapedGroup {
    leader: LeaderPid,
    until: u64,
    mark: BoxedMark,
}

/// The mark of a run's processes, for a run of an earlier monitor; boxed, because most runs have
/// none.
type BoxedMark = Option<Box<Mark>>;

impl ReapedGroup {
    /// The group of a leader that this process has just reaped.
    pub(crate) const fn new(leader: LeaderPid) -> Self {
        Self::last_held(leader, EVER)
    }

    /// The group of a leader whose reaping time is unknown, but is not before this tick
    /// ([`ticks_now`]).
    ///
    /// The number may have been reused; [`Remainder`] describes the proofs that it was not.
    pub(crate) const fn last_held(leader: LeaderPid, until: u64) -> Self {
        Self { leader, until, mark: None }
    }

    /// Adds the processes that have this mark, in any group.
    pub(crate) fn marked(self, mark: Option<Mark>) -> Self {
        Self { mark: mark.map(Box::new), ..self }
    }

    /// Finds the members that still run; call it right after the reaping.
    ///
    /// Without members it costs one system call, otherwise a scan of `/proc`.
    ///
    /// # Errors
    /// `/proc` cannot be read, or no descriptor is left for a member; members may run. Nothing
    /// changed, and the group is returned for another attempt.
    pub(crate) fn remainder(self) -> Result<Remainder, (Self, io::Error)> {
        let Self { leader, until, mark } = self;
        let mut remainder = Remainder { leader, held: None, until, mark, members: Vec::new() };
        match remainder.rescan() {
            Ok(()) => Ok(remainder),
            Err(error) => Err((Self { leader, until, mark: remainder.mark }, error)),
        }
    }
}

/// The members of a reaped leader's group, each held by a pidfd.
///
/// Members are signalled by their pidfds, never by a number. The number of the group is free for
/// reuse from the end of the last member. A process that left the session (`setsid(2)`) or the
/// group before it was found is visible only by its mark. A process that `/proc` hides (`hidepid`)
/// is never visible.
///
/// # Proofs that the group belongs to the run
/// A member is a process whose group and session both have the number of the leader. A process
/// cannot join an existing session. It is in the session of its parent, or in one that it made,
/// which has its own number. The kernel does not reuse a number while a process, a group or a
/// session has it, zombies included. At any moment, therefore, either all processes in the session
/// of this number belong to the run, or none does. They belong to it if one of these conditions
/// holds:
///
/// - The leader is not reaped, which a held pidfd shows.
/// - A member that was held before is alive and in the session.
/// - A member was started before a moment at which the leader was not reaped yet. An earlier
///   monitor recorded the last such moment that it knew. The parent of that member was in the
///   session of this number then, which was the leader's. The member has held the number since.
///   Times are in ticks of 10 ms, and the order within a tick is unknown, so the start must be
///   strictly before.
/// - A member has the mark of the run. The process that made the session then belongs to the run,
///   whether or not it is the leader.
///
/// Otherwise no process is taken. They may be late children that removed their marks: see
/// [`doubtful_members`]. A group that was proved to be the run's is taken in the next scan too,
/// because scans follow each other within 100 ms. One case is not recognised: a foreign group whose
/// number was reused within that time, and whose leader came and went in it.
///
/// The times of two monitors are comparable in one boot and one PID namespace, which are both
/// checked. The monitors must share one time namespace, which is not checked: a changed offset
/// makes the proof wrong.
///
/// # Source
/// `setsid(2)`, `setpgid(2)`; in the kernel `alloc_pid` and `free_pid`. The kernel calls `free_pid`
/// when no process has the number as its own, its group's or its session's.
#[derive(Debug)]
pub(crate) struct Remainder {
    leader: LeaderPid,
    /// The leader, if another process reaps it.
    held: Option<OwnedFd>,
    /// Processes in the session of this number that started before this tick belong to the run.
    ///
    /// It is [`EVER`] if the last scan proved the group, and [`NEVER`] if the number is not the
    /// run's any more.
    until: u64,
    /// The mark in the environment of the run's processes, unless they removed it.
    mark: BoxedMark,
    members: Vec<Member>,
}

impl Remainder {
    /// The group of a leader that is no child of this process and may live; empty before the first
    /// scan.
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

    /// Requests the end of every member: sends `signal`, then SIGCONT unless it is SIGKILL.
    ///
    /// Members that have ended meanwhile are skipped. A member may fork during the call, so only a
    /// later scan shows whether all were reached.
    ///
    /// # Errors
    /// The last failure; the other members were signalled.
    pub(crate) fn stop(&self, signal: u8) -> Result<(), SignalError> {
        named(signal)?;
        let mut outcome = Ok(());
        for member in &self.members {
            let sent = send_and_continue(&member.pidfd, signal, Scope::Group);
            if !matches!(sent, Ok(()) | Err(SignalError::Gone)) {
                outcome = sent;
            }
        }
        outcome
    }

    /// Drops the members that have ended and adds members that were forked meanwhile.
    ///
    /// A member keeps its pidfd from scan to scan, even if it has left the group. A foreign group
    /// of equal number is recognised: see [`Remainder`].
    ///
    /// # Errors
    /// `/proc` cannot be read, or no descriptor is left for a member. The known members are kept.
    ///
    /// # Source
    /// `kill(2)`: signal 0 to a group without members is ESRCH. `proc_pid_stat(5)`: fields 5 and 6.
    pub(crate) fn rescan(&mut self) -> io::Result<()> {
        self.members.retain(|member| !has_ended(&member.pidfd));
        let (before, leader) = (ticks_now(), self.leader);
        if test_kill_process_group(leader.to_pid()) == Err(Errno::SRCH) {
            // The number is free, so a later owner is a foreign process.
            self.until = NEVER;
        } else {
            let pids = pids_that(|pid| is_member(pid, leader))?;
            // Checked after the listing, so the leader has held the number all the while.
            let is_led = self.is_led();
            // A process that has the number itself, and is not the held leader, leads a group of
            // its own.
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

    /// Whether one of the listed members proves that all of them belong to the run.
    fn is_proved_by(&self, pids: &[Pid]) -> bool {
        let is_old =
            |pid: Pid| start_time(pid.as_raw_nonzero().get()).is_ok_and(|start| start < self.until);
        let is_known = |pid: Pid| {
            let mut members = self.members.iter();
            // The held member is alive, so it is the listed process.
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

    /// Whether the held leader still has the number, at least as a zombie.
    pub(crate) fn is_led(&self) -> bool {
        // A zombie takes every signal; a reaped process takes none.
        let unreaped = |held: &OwnedFd| !has_ended(held) || send(held, Signal::CONT).is_ok();
        self.held.as_ref().is_some_and(unreaped)
    }
}

/// Lists the processes in the group and session of a reaped leader whose origin is unproved.
///
/// Each is a foreign process, or a late child that cleared its environment. Processes in `known`
/// are left out. The list is empty if a process has the number itself, because that process leads
/// them.
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
    // Only its parent deals with a zombie.
    let lives = |pid| matches!(hold(pid, |pid| is_member(pid, leader)), Ok(Some(_)));
    pids.retain(|&pid| !is_known(pid) && lives(pid));
    Ok(pids)
}

/// A tick after every start of a process.
const EVER: u64 = u64::MAX;
/// A tick before every start of a process.
const NEVER: u64 = 0;

#[derive(Debug)]
struct Member {
    pid: Pid,
    pidfd: OwnedFd,
}

/// Adds the processes that are not known yet.
fn add(members: &mut Vec<Member>, pids: Vec<Pid>, belongs: impl Fn(Pid) -> bool) -> io::Result<()> {
    for pid in pids {
        // The pidfd of a live member reserves its number, so an equal number is the known process.
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

/// Opens a pidfd for a running member; `None` if it has ended or another process has the number.
///
/// The process is checked again once the pidfd holds it, because the result cannot change after
/// that. The pidfd shows its end. `/proc` reports a process as a zombie if its first thread has
/// ended while other threads run.
fn hold(pid: Pid, belongs: impl Fn(Pid) -> bool) -> io::Result<Option<OwnedFd>> {
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(Errno::SRCH) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    Ok((belongs(pid) && !has_ended(&pidfd)).then_some(pidfd))
}

fn is_member(pid: Pid, leader: LeaderPid) -> bool {
    // A process that cannot be read has ended, or is hidden from this process.
    fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero()))
        .is_ok_and(|stat| group_and_session(&stat) == Some((leader.as_raw(), leader.as_raw())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::process::{Process, Reaped, WaitStatus};
    use crate::linux::run_name::RunName;
    use crate::testing::{Fifo, shell, sleeper, until, wait_readable};

    const KILL: u8 = 9;
    const TERM: u8 = 15;

    /// Runs a script to its end and returns the remaining processes.
    fn leave(process: Process) -> (WaitStatus, Remainder) {
        wait_readable(&process);
        let Reaped { ended, group } = process.reap().unwrap();
        (ended, group.remainder().unwrap())
    }

    #[test]
    fn nothing_left_is_empty() {
        let (ended, remainder) = leave(shell("exit 4"));
        assert_eq!(ended, WaitStatus::Exited(4));
        assert!(remainder.is_empty());
        assert_eq!(remainder.pidfds().count(), 0);
        remainder.stop(TERM).unwrap();
    }

    #[test]
    fn grandchild_is_found_and_killed_by_pidfd() {
        let (ended, mut remainder) = leave(shell("sleep 100 & exit 7"));
        assert_eq!(ended, WaitStatus::Exited(7));
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
        // The stopped process is the child of a shell, which reports it to the test and exits.
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

    /// Goal: a group with a number of unknown reuse is taken only with a proof, each of which
    /// suffices. Method: the processes that a shell left, as if its leader had been seen last at
    /// some tick.
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
        // A member that was started before the tick proves all; one of the tick itself proves none.
        assert_eq!(found(first + 1, None), (2, 0));
        assert_eq!(found(first, None), (0, 2));
        assert_eq!(found(0, None), (0, 2));
        assert_eq!(found(0, Some(RunName::next().unwrap())), (0, 2));
        // A member with the mark proves a member that removed its mark.
        assert_eq!(found(0, Some(name)), (2, 0));

        // A lost group never belongs to the run again.
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

    /// Goal: the members of a zombie leader are found, and a foreign leader of equal number is not
    /// taken for it. Method: an unreaped zombie stands for the leader; a live process stands for
    /// the foreign leader.
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
