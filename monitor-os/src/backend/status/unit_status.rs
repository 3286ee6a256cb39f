//! The status of a unit, its notices and the result of a stop, as the handles show them.

use std::sync::{Arc, LazyLock};

use monitor_core::{
    Event, Exit, Explanation, Lifecycle, Millis, Phase, Policy, RunId, Signal, State, Step,
    TimerCommand, TimerSlot,
};

use crate::backend::health::Health;
use crate::backend::readiness::notifications::NotifyStatus;
use crate::command::spawn_error::SpawnError;
use crate::driver::kernel::{Moment, Report, SaveStatus, UnitId};
use crate::linux::containment::{Containment, LeftoverProcess};
use crate::linux::process::WaitStatus;

/// A consistent snapshot of a unit.
#[derive(Clone, Debug)]
pub struct Status {
    pub(crate) state: State,
    pub(crate) policy: Arc<Policy>,
    pub(crate) facts: Facts,
    pub(crate) since: Moment,
    pub(crate) deadlines: Deadlines,
    pub(crate) save: SaveStatus,
    /// The number of requests to this unit that were handled before the snapshot.
    pub(crate) requests: u64,
}

/// The deadlines of the timers that a phase can wait for, derived from the driver's reports.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deadlines {
    phase: Option<Moment>,
    window: Option<Moment>,
}

impl Deadlines {
    /// Applies a report's timer commands to the deadlines.
    pub(crate) fn follow(&mut self, report: &Report<'_>) {
        let actions = report.step.actions;
        for (deadline, slot, command) in [
            (&mut self.phase, TimerSlot::Phase, actions.timer),
            (&mut self.window, TimerSlot::Window, actions.window),
        ] {
            if let Event::TimerFired { timer } = report.event
                && timer.kind.slot() == slot
            {
                *deadline = None;
            }
            *deadline = match command {
                TimerCommand::Keep => *deadline,
                TimerCommand::Disarm => None,
                TimerCommand::Arm(delay) => {
                    // The window's delay is exact, so a drawn delay belongs to the phase.
                    let drawn = report.delay.filter(|_| slot == TimerSlot::Phase);
                    Some(report.at.after(drawn.unwrap_or(delay.base)))
                }
                TimerCommand::Shorten(delay) => {
                    let at = report.at.after(delay);
                    Some(deadline.map_or(at, |earlier| earlier.min(at)))
                }
                TimerCommand::Lengthen(delay) => {
                    deadline.map(|later| later.max(report.at.after(delay)))
                }
            };
        }
    }
}

/// Facts about a unit that the machine does not know.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) pid: Option<u32>,
    pub(crate) start_error: Option<Arc<SpawnError>>,
    pub(crate) ended: Option<(RunId, WaitStatus)>,
    /// Whether the kernel had killed the last process because memory was short.
    pub(crate) oom_killed: Option<bool>,
    pub(crate) containment: Option<Containment>,
    /// Processes that outlived the last run and were given up.
    pub(crate) leftover: Arc<[LeftoverProcess]>,
    pub(crate) notify_status: Arc<NotifyStatus>,
    pub(crate) health: Option<Arc<Health>>,
}

impl Facts {
    pub(crate) fn new() -> Self {
        Self {
            pid: None,
            start_error: None,
            ended: None,
            oom_killed: None,
            containment: None,
            leftover: Arc::default(),
            notify_status: no_notify_status(),
            health: None,
        }
    }
}

/// The notify status of most programs, shared so that it takes no memory.
pub(crate) fn no_notify_status() -> Arc<NotifyStatus> {
    static NOTHING: LazyLock<Arc<NotifyStatus>> = LazyLock::new(Arc::default);
    Arc::clone(&NOTHING)
}

impl Status {
    pub(crate) fn new(state: State, policy: Arc<Policy>, since: Moment) -> Self {
        Self {
            state,
            policy,
            facts: Facts::new(),
            since,
            deadlines: Deadlines::default(),
            save: SaveStatus::Saved,
            requests: 0,
        }
    }

    /// The state of the machine: phase, reason, run, counters.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The phase of the unit's life.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.state.phase()
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The reason of the current state and the next action; prints as one sentence.
    #[must_use]
    pub fn explain(&self) -> Explanation {
        self.policy.explain(self.state)
    }

    /// The process id of the main process, from its start until it is reaped.
    ///
    /// Use it for display, not for signals: another process may have the number at the time of use.
    #[must_use]
    pub const fn pid(&self) -> Option<u32> {
        self.facts.pid
    }

    /// The error of the last start; `None` if that start succeeded.
    #[must_use]
    pub fn start_error(&self) -> Option<&SpawnError> {
        self.facts.start_error.as_deref()
    }

    /// The end of the last process, with its core dump flag; `None` if none has ended.
    #[must_use]
    pub const fn ended(&self) -> Option<WaitStatus> {
        match self.facts.ended {
            Some((_, ended)) => Some(ended),
            None => None,
        }
    }

    /// Whether the kernel killed the last process because memory was short.
    ///
    /// The source is the counter of the run's memory control group. `None` if no process has ended,
    /// or if the answer is unknown.
    #[must_use]
    pub const fn oom_killed(&self) -> Option<bool> {
        self.facts.oom_killed
    }

    /// The containment of the current or last run; `None` if there was none.
    #[must_use]
    pub const fn containment(&self) -> Option<Containment> {
        self.facts.containment
    }

    /// The processes that outlived the last run and were given up, as they were at that moment.
    ///
    /// The slice is empty if there are none, or if none of them is visible.
    #[must_use]
    pub fn leftover_processes(&self) -> &[LeftoverProcess] {
        &self.facts.leftover
    }

    /// The status that the program of the current or last run reported by `sd_notify(3)`.
    #[must_use]
    pub fn notify_status(&self) -> &NotifyStatus {
        &self.facts.notify_status
    }

    /// The results of the health checks of the current or last run; `None` if there are none.
    #[must_use]
    pub fn health(&self) -> Option<&Health> {
        self.facts.health.as_deref()
    }

    /// The exit of the current or last run; `None` while the current run lives.
    #[must_use]
    pub const fn exit(&self) -> Option<Exit> {
        self.state.exit()
    }

    /// The moment at which the unit entered its phase, on the monotonic clock.
    #[must_use]
    pub const fn since(&self) -> Moment {
        self.since
    }

    /// The deadline of the phase, on the monotonic clock: of a start, a stop or a wait.
    ///
    /// `None` if the phase has no deadline.
    #[must_use]
    pub fn due(&self) -> Option<Moment> {
        let Deadlines { phase, window } = self.deadlines;
        if self.state.phase() == Phase::Throttled { window } else { phase }
    }

    /// Whether the last state is saved, or is being saved for less than a second.
    #[must_use]
    pub const fn is_saved(&self) -> bool {
        match self.save {
            SaveStatus::Saved | SaveStatus::Pending => true,
            SaveStatus::Failed => false,
        }
    }

    /// Whether the unit is down and nothing is pending.
    #[must_use]
    pub const fn is_down(&self) -> bool {
        self.state.phase().is_down()
    }

    /// Whether the process serves.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.state.phase().is_serving()
    }
}

/// Drops the core dump flag.
impl From<WaitStatus> for Exit {
    fn from(ended: WaitStatus) -> Self {
        match ended {
            WaitStatus::Exited(code) => Self::Code(code),
            WaitStatus::Signaled { signal, .. } => {
                Signal::new(signal).map_or(Self::Unknown, Self::Signal)
            }
            WaitStatus::Lost => Self::Unknown,
        }
    }
}

/// An event of a unit, with its effects.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UnitEvent {
    /// The moment at which the event was observed, on the monotonic clock.
    pub at: Moment,
    /// The unit.
    pub unit: UnitId,
    /// The name of the unit.
    pub name: Arc<str>,
    /// The state before the event.
    pub before: State,
    /// The event.
    pub event: Event,
    /// The machine's answer; its actions are executed already.
    pub step: Step,
    /// The delay that was drawn, if the step armed the phase's timer.
    pub delay: Option<Millis>,
    /// The status of the unit after the event.
    pub status: Status,
    /// The number of unread notices of this stream that were dropped right before this one.
    pub missed: u64,
}

impl UnitEvent {
    /// The event for observers, if it is a step in the life of the process.
    #[must_use]
    pub const fn lifecycle(&self) -> Option<Lifecycle> {
        self.step.actions.emit
    }

    /// The notice in the form of the driver's report.
    #[must_use]
    pub const fn report(&self) -> Report<'_> {
        Report {
            at: self.at,
            unit: self.unit,
            policy: &self.status.policy,
            before: self.before,
            event: self.event,
            step: self.step,
            delay: self.delay,
            save: self.status.save,
            ticket: None,
        }
    }
}

/// Result of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopResult {
    /// The run ended without a kill, and none of its processes is left.
    Graceful,
    /// The run, or a process that it had started, was killed, and none of its processes is left.
    Killed,
    /// The main process ended, but a process that it had started was spared or survived the kill.
    Leaked,
    /// There was no process to stop. A wait for the next attempt, if there was one, is over.
    NotRunning,
    /// The supervisor has ended and gives no answer.
    ///
    /// Its end stops all units, so nothing runs, unless it ended by an error, which it logged.
    SupervisorGone,
}
