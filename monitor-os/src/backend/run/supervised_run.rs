//! One run, from the moment its process exists until nothing of it is left.

use std::fs;
use std::num::NonZeroU32;

use monitor_core::{Millis, RunId, Scope, Signal};
use rustix::process::{Pid, geteuid};

use crate::backend::readiness::notifications::Notifications;
use crate::backend::run::adopted::Adopted;
use crate::backend::start::launch::Launch;
use crate::driver::kernel::{Moment, UnitId};
use crate::linux::cgroup::RunCgroup;
use crate::linux::containment::Survivor;
use crate::linux::group::{ReapedGroup, Remainder};
use crate::linux::mark::real_user;
use crate::linux::oom::OomKills;
use crate::linux::orphans::{Origin, Orphan, OwnSession};
use crate::linux::process::{Ended, Process};
use crate::linux::procfs::session_of;
use crate::linux::run_name::RunName;
use crate::linux::signal::{SignalError, asks_to_end};
use crate::telemetry;

/// A run, how far it is, and when to look at it again.
///
/// A process that ended is kept as a zombie until its release, so that its number, which is also that of
/// its group, cannot be given to a stranger while the group is signalled by it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) unit: UnitId,
    pub(crate) id: RunId,
    pub(crate) progress: Progress,
    /// The control group that holds it, if it has one.
    pub(crate) cgroup: Option<RunCgroup>,
    /// The name by which what it starts is marked, if it has no control group, which bears the name.
    pub(crate) mark: Option<Box<RunName>>,
    /// The session that its main process has made, also when that is reaped; `None` if an earlier monitor made it.
    pub(crate) session: Option<OwnSession>,
    /// Receives its notifications, if it can send any.
    pub(crate) notifications: Option<Box<Notifications>>,
    /// How many milliseconds its program may be silent, as it was told when it was started.
    pub(crate) watchdog: Option<NonZeroU32>,
    /// What it started and what has lost its parent, and a health check that was killed.
    pub(crate) orphans: Vec<Orphan>,
    /// How many the kernel had killed for want of memory when it began.
    pub(crate) oom: Option<OomKills>,
    /// Whether there was a program, of which an end can be told.
    pub(crate) started: bool,
    /// How its main process ended, while what it has printed is read before that is told.
    pub(crate) pending_exit: Option<Ended>,
    /// The scope of the kill, if it was sent.
    pub(crate) killed: Option<Scope>,
    /// Whether a descriptor tells of its main process; else a timer asks.
    pub(crate) watched: bool,
    /// Whether nobody waits for its end any more.
    pub(crate) given_up: bool,
    /// When it is looked at next without being asked to.
    pub(crate) poll: Option<Moment>,
    /// How long after that it is looked at again.
    pub(crate) pause: Millis,
}

/// How far a run is.
#[derive(Debug)]
pub(crate) enum Progress {
    /// The helper runs, and is not the program.
    Launching(Box<Launch>),
    /// The process lives, as far as is known.
    Live(Process),
    /// Its end was reported, and its zombie pins the numbers.
    Ended(Process),
    /// Released, but the zombie cannot be reaped yet: somebody traces it.
    Reaping(Process),
    /// Reaped; whether others run in the group could not be seen.
    Unseen(ReapedGroup),
    /// Reaped, and others run in the group.
    Leftover(Remainder),
    /// Reaped, and others run in the control group, or are known as orphans.
    Contained,
    /// Nothing of it is left, and what it printed is read to its end.
    Draining,
    /// The process of an earlier monitor lives, as far as is known.
    Adopted(Box<Adopted>),
    /// The process of an earlier monitor has ended, which was reported.
    Departed(Remainder),
}

impl Run {
    pub(crate) fn new(
        unit: UnitId,
        id: RunId,
        progress: Progress,
        cgroup: Option<RunCgroup>,
    ) -> Self {
        let leader = match &progress {
            Progress::Launching(launch) => Some(launch.process().pid()),
            Progress::Live(process) => Some(process.pid()),
            Progress::Ended(_)
            | Progress::Reaping(_)
            | Progress::Unseen(_)
            | Progress::Leftover(_)
            | Progress::Contained
            | Progress::Draining
            | Progress::Adopted(_)
            | Progress::Departed(_) => None,
        };
        Self {
            unit,
            id,
            progress,
            cgroup,
            mark: None,
            session: leader.map(OwnSession::of_unreaped),
            notifications: None,
            watchdog: None,
            orphans: Vec::new(),
            oom: None,
            started: true,
            pending_exit: None,
            watched: true,
            given_up: false,
            killed: None,
            poll: None,
            pause: PAUSE_MIN,
        }
    }

    /// The name by which what it starts is marked.
    pub(crate) fn name(&self) -> Option<RunName> {
        let marked = || self.mark.as_deref().copied();
        self.cgroup.as_ref().map(RunCgroup::run).or_else(marked)
    }

    /// The process, if it was not reaped.
    pub(crate) const fn process(&self) -> Option<&Process> {
        match &self.progress {
            Progress::Live(process) | Progress::Ended(process) | Progress::Reaping(process) => {
                Some(process)
            }
            Progress::Launching(launch) => Some(launch.process()),
            Progress::Unseen(_)
            | Progress::Leftover(_)
            | Progress::Contained
            | Progress::Draining
            | Progress::Adopted(_)
            | Progress::Departed(_) => None,
        }
    }

    /// Whether its main process lives or is a zombie at this moment, so that its number is nobody else's.
    pub(crate) fn has_its_number(&self) -> bool {
        match &self.progress {
            Progress::Adopted(adopted) => adopted.has_its_number(),
            Progress::Launching(_)
            | Progress::Live(_)
            | Progress::Ended(_)
            | Progress::Reaping(_)
            | Progress::Unseen(_)
            | Progress::Leftover(_)
            | Progress::Contained
            | Progress::Draining
            | Progress::Departed(_) => {
                self.process().is_some_and(|process| process.peek() != Some(Ended::Lost))
            }
        }
    }

    /// The number of its main process, for as long as that is its own.
    pub(crate) fn main(&self) -> Option<Pid> {
        match &self.progress {
            Progress::Adopted(adopted) => Some(adopted.pid()),
            Progress::Launching(_)
            | Progress::Live(_)
            | Progress::Ended(_)
            | Progress::Reaping(_)
            | Progress::Unseen(_)
            | Progress::Leftover(_)
            | Progress::Contained
            | Progress::Draining
            | Progress::Departed(_) => self.process().map(|process| process.pid().to_pid()),
        }
    }

    /// Whether a process is of it, by what holds it together. One that has ended meanwhile is not.
    pub(crate) fn has(&self, pid: Pid) -> bool {
        let main = self.main();
        if main == Some(pid) {
            return true;
        }
        if let Some(cgroup) = &self.cgroup {
            return cgroup.members().is_ok_and(|members| members.contains(&pid));
        }
        let stat = || fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok();
        self.orphans.iter().any(|orphan| orphan.pid() == pid)
            || main.is_some_and(|main| {
                stat().as_deref().and_then(session_of) == Some(main.as_raw_nonzero().get())
            })
    }

    /// Whether a child of this process that lost its parent, and came from there, is an orphan of it.
    ///
    /// What its control group holds is ended with that. It takes rights to leave one, so what has left it counts only if
    /// it runs as the monitor does: another program may have read the name of the group, which is its mark.
    pub(crate) fn owns_orphan(&self, pid: Pid, origin: &Origin) -> bool {
        let may_have_left =
            |cgroup: &RunCgroup| real_user(pid) == Some(geteuid().as_raw()) && !cgroup.holds(pid);
        origin.is(self.name(), self.session) && self.cgroup.as_ref().is_none_or(may_have_left)
    }

    /// Sends a signal to the process or to the group.
    ///
    /// # Errors
    /// See [`SignalError`]. Who is gone already counts as an error only if it is the process.
    pub(crate) fn signal(&mut self, signal: Signal, scope: Scope) -> Result<(), SignalError> {
        if scope == Scope::Group {
            self.signal_orphans(signal);
        }
        if signal == Signal::KILL {
            self.killed = self.killed.max(Some(scope));
        }
        if scope == Scope::Group
            && let Some(cgroup) = &self.cgroup
        {
            return signal_contained(&mut self.progress, cgroup, signal);
        }
        let number = signal.number();
        match (&mut self.progress, scope) {
            // The helper has nothing by which to end otherwise.
            (Progress::Launching(launch), _) => launch.process().stop_group(number),
            (Progress::Adopted(adopted), scope) => adopted.signal(signal, scope),
            (Progress::Live(process) | Progress::Ended(process), Scope::Process) => {
                process.signal(number)?;
                // A stopped process would keep the request pending until somebody continues it.
                if asks_to_end(signal) {
                    process.signal(CONT)?;
                }
                Ok(())
            }
            (
                Progress::Live(process) | Progress::Ended(process) | Progress::Reaping(process),
                Scope::Group,
            ) => process.stop_group(number),
            (Progress::Leftover(remainder) | Progress::Departed(remainder), Scope::Group) => {
                rescan(remainder);
                remainder.stop(number)
            }
            // Nobody is left, the process is gone, or nobody is known yet and each scan sends a kill to whom it finds.
            (Progress::Draining | Progress::Unseen(_), _)
            | (
                Progress::Reaping(_) | Progress::Leftover(_) | Progress::Departed(_),
                Scope::Process,
            )
            | (Progress::Contained, _) => Ok(()),
        }
    }

    /// Takes a released run as far towards its end as it goes; `None` if nothing of it is left.
    ///
    /// Also returns how the process ended, if it was reaped by this call.
    pub(crate) fn tear_down(mut self: Box<Self>) -> (Option<Box<Self>>, Option<Ended>) {
        let mut ended = None;
        let mut cgroup = self.cgroup.take();
        let progress = match self.progress {
            Progress::Live(process) | Progress::Ended(process) | Progress::Reaping(process) => {
                if let Some(session) = &mut self.session {
                    session.end();
                }
                match process.reap() {
                    Ok(reaped) => {
                        ended = self.started.then_some(reaped.ended);
                        match &mut cgroup {
                            Some(cgroup) => check_cgroup(cgroup),
                            None => scan_group(reaped.group),
                        }
                    }
                    Err(process) => Some(Progress::Reaping(process)),
                }
            }
            Progress::Unseen(group) => scan_group(group),
            // Released before its answer is in: the machine has given up on it.
            Progress::Launching(launch) => Some(Progress::Reaping(launch.into_process())),
            Progress::Adopted(adopted) => match &mut cgroup {
                Some(cgroup) => check_cgroup(cgroup),
                None => scan_remainder(adopted.into_group()),
            },
            Progress::Leftover(remainder) | Progress::Departed(remainder) => match &mut cgroup {
                Some(cgroup) => check_cgroup(cgroup),
                None => scan_remainder(remainder),
            },
            Progress::Contained => cgroup.as_mut().and_then(check_cgroup),
            Progress::Draining => None,
        };
        self.orphans.retain(|orphan| !orphan.has_ended());
        let orphaned = (!self.orphans.is_empty()).then_some(Progress::Contained);
        let Some(progress) = progress.or(orphaned) else {
            // The control group goes with it.
            return (None, ended);
        };
        self.progress = progress;
        self.cgroup = cgroup;
        if self.killed == Some(Scope::Group) {
            self.kill_again();
        }
        (Some(self), ended)
    }

    /// Kills processes that were forked after the kill.
    fn kill_again(&self) {
        self.signal_orphans(Signal::KILL);
        match (&self.progress, &self.cgroup) {
            (Progress::Leftover(remainder), _) => log(remainder.stop(Signal::KILL.number())),
            (Progress::Contained, Some(cgroup)) => log(cgroup.kill()),
            // Whoever is the main process has had it.
            (
                Progress::Launching(_)
                | Progress::Live(_)
                | Progress::Ended(_)
                | Progress::Reaping(_)
                | Progress::Unseen(_)
                | Progress::Contained
                | Progress::Draining
                | Progress::Adopted(_)
                | Progress::Departed(_),
                _,
            ) => {}
        }
    }

    /// Sends a signal to those that lost their parents.
    fn signal_orphans(&self, signal: Signal) {
        for orphan in &self.orphans {
            log(orphan.signal(signal.number()));
        }
    }

    /// Whether its end was a kill by the kernel for want of memory; `None` if nobody can tell.
    pub(crate) fn was_oom_killed(&self, ended: Ended) -> Option<bool> {
        let Ended::Signaled { signal, .. } = ended else {
            return (ended != Ended::Lost).then_some(false);
        };
        if signal != Signal::KILL.number() {
            return Some(false);
        }
        let struck = self.oom.as_ref()?.has_struck(self.cgroup.as_ref())?;
        // Of two kills it cannot be said which was first.
        if struck && self.killed.is_some() { None } else { Some(struck) }
    }

    /// Lets go of what the machine gives up, and says what of it runs on.
    pub(crate) fn give_up(&mut self) -> Vec<Survivor> {
        self.given_up = true;
        if let Some(cgroup) = &self.cgroup {
            // A kill may have frozen what it could not end.
            cgroup.thaw();
        }
        self.survivors()
    }

    /// What of it runs, as far as it can be seen.
    fn survivors(&self) -> Vec<Survivor> {
        let pids = match (&self.cgroup, &self.progress) {
            (Some(cgroup), _) => cgroup.members().unwrap_or_default(),
            (None, Progress::Leftover(remainder) | Progress::Departed(remainder)) => {
                remainder.pids().collect()
            }
            (None, Progress::Adopted(adopted)) => vec![adopted.pid()],
            // The zombie of a process that somebody traces is none.
            (None, Progress::Live(_) | Progress::Launching(_)) => {
                self.process().map(|process| process.pid().to_pid()).into_iter().collect()
            }
            (
                None,
                Progress::Ended(_)
                | Progress::Reaping(_)
                | Progress::Unseen(_)
                | Progress::Contained
                | Progress::Draining,
            ) => Vec::new(),
        };
        let orphans = self.orphans.iter().filter(|orphan| !orphan.has_ended()).map(Orphan::pid);
        pids.into_iter().chain(orphans).map(Survivor::of).collect()
    }

    /// The next pause, which is twice as long each time, up to 100 ms.
    pub(crate) fn next_pause(&mut self) -> Millis {
        let pause = self.pause;
        self.pause = PAUSE_MAX.min(pause.saturating_add(pause));
        pause
    }

    /// Begins with short pauses again.
    pub(crate) const fn reset_pause(&mut self) {
        self.pause = PAUSE_MIN;
    }
}

/// Sends a signal to everything that a control group holds, and to the main process also where that has left it,
/// as its privileges may allow.
fn signal_contained(
    progress: &mut Progress,
    cgroup: &RunCgroup,
    signal: Signal,
) -> Result<(), SignalError> {
    let (main, sent) = match progress {
        Progress::Live(process) | Progress::Ended(process) | Progress::Reaping(process) => {
            if process.peek() == Some(Ended::Lost) {
                log(cgroup.signal(signal.number(), None));
                return Err(SignalError::Gone);
            }
            (Some(process.pid().to_pid()), process.ask(signal.number()))
        }
        // The helper has nothing by which to end otherwise, and may not have entered.
        Progress::Launching(launch) => {
            let process = launch.process();
            (Some(process.pid().to_pid()), process.stop_group(signal.number()))
        }
        Progress::Adopted(adopted) => (Some(adopted.pid()), adopted.signal(signal, Scope::Process)),
        Progress::Unseen(_)
        | Progress::Leftover(_)
        | Progress::Contained
        | Progress::Draining
        | Progress::Departed(_) => (None, Ok(())),
    };
    let others = cgroup.signal(signal.number(), main);
    sent.and(others)
}

/// Whether anything is left in a control group.
fn check_cgroup(cgroup: &mut RunCgroup) -> Option<Progress> {
    match cgroup.is_populated() {
        Ok(false) => None,
        Ok(true) => Some(Progress::Contained),
        Err(error) => {
            telemetry::group_unreadable(&error);
            Some(Progress::Contained)
        }
    }
}

/// Finds what is left of a group; `None` if nothing is.
pub(crate) fn scan_group(group: ReapedGroup) -> Option<Progress> {
    match group.remainder() {
        Ok(remainder) if remainder.is_empty() => None,
        Ok(remainder) => Some(Progress::Leftover(remainder)),
        Err((group, error)) => {
            telemetry::group_unreadable(&error);
            Some(Progress::Unseen(group))
        }
    }
}

/// Finds what is left by now; `None` if nothing is.
fn scan_remainder(mut remainder: Remainder) -> Option<Progress> {
    rescan(&mut remainder);
    (!remainder.is_empty()).then_some(Progress::Leftover(remainder))
}

/// Looks for members again; those that are known stay if it fails.
fn rescan(remainder: &mut Remainder) {
    if let Err(error) = remainder.rescan() {
        telemetry::group_unreadable(&error);
    }
}

/// Notes a signal that could not be sent where the escalation goes on all the same.
pub(crate) fn log(sent: Result<(), SignalError>) {
    match sent {
        Ok(()) | Err(SignalError::Gone) => {}
        Err(error) => telemetry::leftover_not_signalled(&error),
    }
}

const PAUSE_MIN: Millis = Millis::new(1);
const PAUSE_MAX: Millis = Millis::new(100);
const CONT: u8 = 18;
