//! A supervised run, from the start of its process until none of its processes is left.

use std::fs;
use std::num::NonZeroU32;

use monitor_core::{Millis, RunId, Scope, Signal};
use rustix::process::{Pid, geteuid};

use crate::backend::readiness::notifications::Notifications;
use crate::backend::run::adopted::Adopted;
use crate::backend::start::launch::Launch;
use crate::driver::kernel::{Moment, UnitId};
use crate::linux::cgroup::RunCgroup;
use crate::linux::containment::LeftoverProcess;
use crate::linux::group::{ReapedGroup, Remainder};
use crate::linux::mark::real_user;
use crate::linux::oom::OomKills;
use crate::linux::orphans::{Origin, Orphan, OwnSession};
use crate::linux::process::{Process, WaitStatus};
use crate::linux::procfs::session_of;
use crate::linux::run_name::RunName;
use crate::linux::signal::{SignalError, send_and_continue};
use crate::telemetry;

/// A run, its progress, and the time of its next poll.
///
/// An ended process stays a zombie until its release. Its number is the number of its group. The
/// zombie prevents its reuse while the group is signalled by it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) unit: UnitId,
    pub(crate) id: RunId,
    pub(crate) progress: Progress,
    /// The control group of the run, if it has one.
    pub(crate) cgroup: Option<RunCgroup>,
    /// The name in the mark of its processes, if the run has no control group; a control group has
    /// the name.
    pub(crate) mark: Option<Box<RunName>>,
    /// The session that its main process made, even after its reaping; `None` for an adopted run.
    pub(crate) session: Option<OwnSession>,
    /// Receives its notifications, if it can send any.
    pub(crate) notifications: Option<Box<Notifications>>,
    /// The longest silence of its program in milliseconds, as its environment gave it at the start.
    pub(crate) watchdog: Option<NonZeroU32>,
    /// Its processes that lost their parent, and a killed health check.
    pub(crate) orphans: Vec<Orphan>,
    /// The counter of OOM kills at the start of the run.
    pub(crate) oom: Option<OomKills>,
    /// Whether there was a program, whose exit can be reported.
    pub(crate) started: bool,
    /// Whether the report of its readiness is awaited.
    pub(crate) awaits_ready: bool,
    /// The exit of its main process, held back until the output before it is read.
    pub(crate) pending_exit: Option<WaitStatus>,
    /// The scope of the kill, if it was sent.
    pub(crate) killed: Option<Scope>,
    /// Whether a descriptor reports the end of its main process; otherwise a timer polls.
    pub(crate) watched: bool,
    /// Whether the machine has stopped waiting for its end.
    pub(crate) given_up: bool,
    /// The time of the next poll without an event.
    pub(crate) poll: Option<Moment>,
    /// The pause between two polls.
    pub(crate) pause: Millis,
}

/// The progress of a run.
#[derive(Debug)]
pub(crate) enum Progress {
    /// The helper runs, and is not the program yet.
    Launching(Box<Launch>),
    /// The process lives, as far as is known.
    Live(Process),
    /// The exit was reported, and the zombie reserves the numbers.
    Ended(Process),
    /// Released, but the zombie cannot be reaped yet, because another process traces it.
    Reaping(Process),
    /// Reaped; the scan of the group failed.
    Unseen(ReapedGroup),
    /// Reaped, and other processes run in the group.
    Leftover(Remainder),
    /// Reaped, and other processes run in the control group or as known orphans.
    Contained,
    /// No process is left, and the output was read to its end.
    Draining,
    /// The process of an earlier monitor lives, as far as is known.
    Adopted(Box<Adopted>),
    /// The process of an earlier monitor has ended, and its exit was reported.
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
            awaits_ready: false,
            pending_exit: None,
            watched: true,
            given_up: false,
            killed: None,
            poll: None,
            pause: PAUSE_MIN,
        }
    }

    /// The name in the mark of its processes.
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

    /// Whether its main process lives or is a zombie, so that its number is its own.
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
                self.process().is_some_and(|process| process.peek() != Some(WaitStatus::Lost))
            }
        }
    }

    /// The number of its main process, while that number is its own.
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

    /// Whether a process belongs to the run, by its containment; false for one that has ended
    /// meanwhile.
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

    /// Whether an orphan of this origin, now a child of this process, belongs to the run.
    ///
    /// Processes in the control group end with the group. Leaving a control group needs privileges.
    /// A process outside of it therefore counts only if it runs as the monitor's user. Another
    /// program may have read the group's name, which is the mark.
    pub(crate) fn owns_orphan(&self, pid: Pid, origin: &Origin) -> bool {
        let may_have_left =
            |cgroup: &RunCgroup| real_user(pid) == Some(geteuid().as_raw()) && !cgroup.holds(pid);
        origin.is(self.name(), self.session) && self.cgroup.as_ref().is_none_or(may_have_left)
    }

    /// Sends a signal to the process or to the group.
    ///
    /// # Errors
    /// See [`SignalError`]. A process that is gone is an error only in the scope of the process.
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
            // The helper is alone. If it is the program already, the rule of the stop decides about
            // the rest, once the start is reported.
            (Progress::Launching(launch), _) => {
                send_and_continue(launch.process(), number, Scope::Process)
            }
            (Progress::Adopted(adopted), scope) => adopted.signal(signal, scope),
            (Progress::Live(process) | Progress::Ended(process), Scope::Process) => {
                send_and_continue(process, number, Scope::Process)
            }
            (
                Progress::Live(process) | Progress::Ended(process) | Progress::Reaping(process),
                Scope::Group,
            ) => process.stop_group(number),
            (Progress::Leftover(remainder) | Progress::Departed(remainder), Scope::Group) => {
                rescan(remainder);
                remainder.stop(number)
            }
            // No process is left, or none is known yet. Each scan sends a kill to the processes
            // that it finds.
            (Progress::Draining | Progress::Unseen(_), _)
            | (
                Progress::Reaping(_) | Progress::Leftover(_) | Progress::Departed(_),
                Scope::Process,
            )
            | (Progress::Contained, _) => Ok(()),
        }
    }

    /// Advances a released run towards its end; `None` if none of its processes is left.
    ///
    /// The second value is the exit of the process, if this call reaped it.
    pub(crate) fn tear_down(mut self: Box<Self>) -> (Option<Box<Self>>, Option<WaitStatus>) {
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
            // Released before the helper's report is complete: the machine has given up the launch.
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
            // Dropping the control group removes it.
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
            // The main process has received the kill already.
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

    /// Sends a signal to the orphans of the run.
    fn signal_orphans(&self, signal: Signal) {
        for orphan in &self.orphans {
            log(orphan.signal(signal.number()));
        }
    }

    /// Whether the kernel killed the process because memory was short; `None` if that is unknown.
    pub(crate) fn was_oom_killed(&self, ended: WaitStatus) -> Option<bool> {
        let WaitStatus::Signaled { signal, .. } = ended else {
            return (ended != WaitStatus::Lost).then_some(false);
        };
        if signal != Signal::KILL.number() {
            return Some(false);
        }
        let struck = self.oom.as_ref()?.has_struck(self.cgroup.as_ref())?;
        // After two kills their order is unknown.
        if struck && self.killed.is_some() { None } else { Some(struck) }
    }

    /// Detaches a run that the machine gives up, and returns its live processes.
    pub(crate) fn give_up(&mut self) -> Vec<LeftoverProcess> {
        self.given_up = true;
        if let Some(cgroup) = &self.cgroup {
            // A kill may have frozen processes that it could not end.
            cgroup.thaw();
        }
        self.leftover_processes()
    }

    /// The live processes of the run, as far as they are visible.
    fn leftover_processes(&self) -> Vec<LeftoverProcess> {
        let pids = match (&self.cgroup, &self.progress) {
            (Some(cgroup), _) => cgroup.members().unwrap_or_default(),
            (None, Progress::Leftover(remainder) | Progress::Departed(remainder)) => {
                remainder.pids().collect()
            }
            (None, Progress::Adopted(adopted)) => vec![adopted.pid()],
            // The zombie of a traced process is not a leftover.
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
        pids.into_iter().chain(orphans).map(LeftoverProcess::of).collect()
    }

    /// Returns the pause and doubles the next one, up to 100 ms.
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

/// Sends a signal to all processes in a control group, and to the main process wherever it is.
///
/// With enough privileges, the main process may have left the group.
fn signal_contained(
    progress: &mut Progress,
    cgroup: &RunCgroup,
    signal: Signal,
) -> Result<(), SignalError> {
    let (main, sent) = match progress {
        Progress::Live(process) | Progress::Ended(process) | Progress::Reaping(process) => {
            if process.peek() == Some(WaitStatus::Lost) {
                log(cgroup.signal(signal.number(), None));
                return Err(SignalError::Gone);
            }
            (Some(process.pid().to_pid()), process.signal(signal.number()))
        }
        // The helper has no other way to end, and may not have entered the group.
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

/// The progress by the population of a control group; `None` if it is empty.
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

/// Finds the rest of a group; `None` if no process is left.
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

/// Scans a group again; `None` if no process is left.
fn scan_remainder(mut remainder: Remainder) -> Option<Progress> {
    rescan(&mut remainder);
    (!remainder.is_empty()).then_some(Progress::Leftover(remainder))
}

/// Scans for members again; the known members stay if the scan fails.
fn rescan(remainder: &mut Remainder) {
    if let Err(error) = remainder.rescan() {
        telemetry::group_unreadable(&error);
    }
}

/// Logs a signal that could not be sent, because the escalation continues in any case.
pub(crate) fn log(sent: Result<(), SignalError>) {
    match sent {
        Ok(()) | Err(SignalError::Gone) => {}
        Err(error) => telemetry::leftover_not_signalled(&error),
    }
}

const PAUSE_MIN: Millis = Millis::new(1);
const PAUSE_MAX: Millis = Millis::new(100);
