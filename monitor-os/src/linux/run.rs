//! One run, from the moment its process exists until nothing of it is left.

use monitor_core::{Millis, RunId, Scope, Signal};

use super::adopted::Adopted;
use super::group::{ReapedGroup, Remainder};
use super::launch::Launch;
use super::process::{Ended, Process, SignalError};
use crate::kernel::{Moment, UnitId};
use crate::telemetry;

/// A run, how far it is, and when to look at it again.
///
/// A process that ended is kept as a zombie until its release, so that its number, which is also that of
/// its group, cannot be given to a stranger while the group is signalled by it.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) unit: UnitId,
    pub(super) id: RunId,
    pub(super) progress: Progress,
    /// Whether there was a program, of which an end can be told.
    pub(super) started: bool,
    /// To whom the kill was sent, if it was.
    pub(super) killed: Option<Scope>,
    /// Whether a descriptor tells of its main process; else a timer asks.
    pub(super) watched: bool,
    /// When it is looked at next without being asked to.
    pub(super) poll: Option<Moment>,
    /// How long after that it is looked at again.
    pub(super) pause: Millis,
}

/// How far a run is.
#[derive(Debug)]
pub(super) enum Progress {
    /// The helper runs, and is not the program.
    Launching(Launch),
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
    /// The process of an earlier monitor lives, as far as is known.
    Adopted(Adopted),
    /// The process of an earlier monitor has ended, which was reported.
    Departed(Remainder),
}

impl Run {
    pub(super) const fn new(unit: UnitId, id: RunId, progress: Progress) -> Self {
        Self {
            unit,
            id,
            progress,
            started: true,
            watched: true,
            killed: None,
            poll: None,
            pause: PAUSE_MIN,
        }
    }

    /// The process, if it was not reaped.
    pub(super) const fn process(&self) -> Option<&Process> {
        match &self.progress {
            Progress::Live(process) | Progress::Ended(process) | Progress::Reaping(process) => {
                Some(process)
            }
            Progress::Launching(launch) => Some(launch.process()),
            Progress::Unseen(_)
            | Progress::Leftover(_)
            | Progress::Adopted(_)
            | Progress::Departed(_) => None,
        }
    }

    /// Sends a signal to the process or to the group.
    ///
    /// # Errors
    /// See [`SignalError`]. Who is gone already counts as an error only if it is the process.
    pub(super) fn signal(&mut self, signal: Signal, scope: Scope) -> Result<(), SignalError> {
        if signal == Signal::KILL {
            self.killed = self.killed.max(Some(scope));
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
            ) => {
                // Reaped by somebody else: the number of the group may be a stranger's.
                if process.peek() == Some(Ended::Lost) {
                    return Err(SignalError::Gone);
                }
                process.stop_group(number)
            }
            (Progress::Leftover(remainder) | Progress::Departed(remainder), Scope::Group) => {
                rescan(remainder);
                remainder.stop(number)
            }
            // The process is gone, or nobody is known yet and each scan sends a kill to whom it finds.
            (Progress::Unseen(_), _)
            | (
                Progress::Reaping(_) | Progress::Leftover(_) | Progress::Departed(_),
                Scope::Process,
            ) => Ok(()),
        }
    }

    /// Takes a released run as far towards its end as it goes; `None` if nothing of it is left.
    ///
    /// Also returns how the process ended, if it was reaped by this call.
    pub(super) fn bring_down(mut self) -> (Option<Self>, Option<Ended>) {
        let mut ended = None;
        let progress = match self.progress {
            Progress::Live(process) | Progress::Ended(process) | Progress::Reaping(process) => {
                match process.reap() {
                    Ok(reaped) => {
                        ended = self.started.then_some(reaped.ended);
                        see(reaped.group)
                    }
                    Err(process) => Some(Progress::Reaping(process)),
                }
            }
            Progress::Unseen(group) => see(group),
            // Released before its answer is in: the machine has given up on it.
            Progress::Launching(launch) => Some(Progress::Reaping(launch.into_process())),
            Progress::Adopted(adopted) => look_after(adopted.into_group()),
            Progress::Leftover(remainder) | Progress::Departed(remainder) => look_after(remainder),
        };
        let Some(progress) = progress else {
            return (None, ended);
        };
        // A member that was forked after the kill of the group has not had it.
        if let Progress::Leftover(remainder) = &progress
            && self.killed == Some(Scope::Group)
        {
            log(remainder.stop(Signal::KILL.number()));
        }
        self.progress = progress;
        (Some(self), ended)
    }

    /// The next pause, which is twice as long each time, up to 100 ms.
    pub(super) fn next_pause(&mut self) -> Millis {
        let pause = self.pause;
        self.pause = PAUSE_MAX.min(pause.saturating_add(pause));
        pause
    }

    /// Begins with short pauses again.
    pub(super) const fn hurry(&mut self) {
        self.pause = PAUSE_MIN;
    }
}

/// Finds what is left of a group; `None` if nothing is.
pub(super) fn see(group: ReapedGroup) -> Option<Progress> {
    match group.remainder() {
        Ok(remainder) if remainder.is_empty() => None,
        Ok(remainder) => Some(Progress::Leftover(remainder)),
        Err((group, error)) => {
            telemetry::group_unseen(&error);
            Some(Progress::Unseen(group))
        }
    }
}

/// Finds what is left by now; `None` if nothing is.
fn look_after(mut remainder: Remainder) -> Option<Progress> {
    rescan(&mut remainder);
    (!remainder.is_empty()).then_some(Progress::Leftover(remainder))
}

/// Looks for members again; those that are known stay if it fails.
fn rescan(remainder: &mut Remainder) {
    if let Err(error) = remainder.rescan() {
        telemetry::group_unseen(&error);
    }
}

/// Notes a signal that could not be sent where the escalation goes on all the same.
pub(super) fn log(sent: Result<(), SignalError>) {
    match sent {
        Ok(()) | Err(SignalError::Gone) => {}
        Err(error) => telemetry::leftover_not_signalled(&error),
    }
}

/// Whether a stopped process is to be continued so that it hears this signal.
pub(super) const fn asks_to_end(signal: Signal) -> bool {
    matches!(signal, Signal::TERM | Signal::INT | Signal::HUP | Signal::QUIT | Signal::ABRT)
}

const PAUSE_MIN: Millis = Millis::new(1);
const PAUSE_MAX: Millis = Millis::new(100);
const CONT: u8 = 18;
