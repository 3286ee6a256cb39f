//! What the handles show of a unit.

use std::sync::{Arc, LazyLock};

use monitor_core::{
    Event, Exit, Explanation, Lifecycle, Millis, Phase, Policy, RunId, Signal, State, Step,
    TimerCommand, TimerSlot,
};

use crate::backend::health::Health;
use crate::backend::readiness::notifications::NotifyStatus;
use crate::command::spawn_error::SpawnError;
use crate::driver::kernel::{Moment, Report, UnitId};
use crate::linux::containment::{Containment, Survivor};
use crate::linux::process::Ended;

/// A unit as it is: a snapshot, consistent in itself.
#[derive(Clone, Debug)]
pub struct Status {
    pub(crate) state: State,
    pub(crate) policy: Arc<Policy>,
    pub(crate) facts: Facts,
    pub(crate) since: Moment,
    pub(crate) deadlines: Deadlines,
    pub(crate) saved: bool,
    /// How many requests about this unit were handled by then.
    pub(crate) requests: u64,
}

/// When the timers of a unit that a phase can wait for are due, by its reports.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deadlines {
    phase: Option<Moment>,
    window: Option<Moment>,
}

impl Deadlines {
    /// Does to the deadlines what the driver did to the timers.
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
                    // The window's delay is exact, so what was drawn is the phase's.
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

/// What the kernel knows of a unit and the machine does not.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) pid: Option<u32>,
    pub(crate) start_error: Option<Arc<SpawnError>>,
    pub(crate) ended: Option<(RunId, Ended)>,
    /// Whether the kernel had killed it for want of memory.
    pub(crate) oom_killed: Option<bool>,
    pub(crate) containment: Option<Containment>,
    /// What was given up.
    pub(crate) survivors: Arc<[Survivor]>,
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
            survivors: Arc::default(),
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
            saved: true,
            requests: 0,
        }
    }

    /// The state of the machine: phase, reason, run, counters.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Where the process is in its life.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.state.phase()
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Why it is as it is and what comes next; prints as one sentence.
    #[must_use]
    pub fn explain(&self) -> Explanation {
        self.policy.explain(self.state)
    }

    /// The process id of the main process, from its start until it is reaped.
    ///
    /// To show it, not to signal it: by the time it is used it may be another's.
    #[must_use]
    pub const fn pid(&self) -> Option<u32> {
        self.facts.pid
    }

    /// Why the last start failed; `None` if it did not.
    #[must_use]
    pub fn start_error(&self) -> Option<&SpawnError> {
        self.facts.start_error.as_deref()
    }

    /// How the last process ended, with the mark of a core dump; `None` if none has ended.
    #[must_use]
    pub const fn ended(&self) -> Option<Ended> {
        match self.facts.ended {
            Some((_, ended)) => Some(ended),
            None => None,
        }
    }

    /// Whether the last process was killed by the kernel for want of memory, by the counter of its memory control
    /// group; `None` if none has ended, or if that is unknown.
    #[must_use]
    pub const fn oom_killed(&self) -> Option<bool> {
        self.facts.oom_killed
    }

    /// By what the current run, or the last one, is held together; `None` if there was none.
    #[must_use]
    pub const fn containment(&self) -> Option<Containment> {
        self.facts.containment
    }

    /// What outlived the last run and was given up, as it was at that moment; empty if there is nothing, or if
    /// nothing of it can be seen.
    #[must_use]
    pub fn survivors(&self) -> &[Survivor] {
        &self.facts.survivors
    }

    /// The status that the program of the current or last run reported by `sd_notify(3)`.
    #[must_use]
    pub fn notify_status(&self) -> &NotifyStatus {
        &self.facts.notify_status
    }

    /// What the health checks of the current run, or of the last one, have shown; `None` if there are none.
    #[must_use]
    pub fn health(&self) -> Option<&Health> {
        self.facts.health.as_deref()
    }

    /// The exit of the current run, or of the last one if none is going on; `None` while it lives.
    #[must_use]
    pub const fn exit(&self) -> Option<Exit> {
        self.state.exit()
    }

    /// When it entered its phase, on the monotonic clock.
    #[must_use]
    pub const fn since(&self) -> Moment {
        self.since
    }

    /// When the time is over that its phase has, on the monotonic clock: that of a start, of a stop, of a
    /// wait. `None` if the phase waits for no time.
    #[must_use]
    pub fn due(&self) -> Option<Moment> {
        let Deadlines { phase, window } = self.deadlines;
        if self.state.phase() == Phase::Throttled { window } else { phase }
    }

    /// Whether its last state is saved.
    #[must_use]
    pub const fn is_saved(&self) -> bool {
        self.saved
    }

    /// Whether it is down and nothing is pending.
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

/// Forgets the mark of a core dump.
impl From<Ended> for Exit {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Exited(code) => Self::Code(code),
            Ended::Signaled { signal, .. } => {
                Signal::new(signal).map_or(Self::Unknown, Self::Signal)
            }
            Ended::Lost => Self::Unknown,
        }
    }
}

/// One event of a unit and everything that came of it.
#[derive(Clone, Debug)]
pub struct Notice {
    /// When the event was observed, on the monotonic clock.
    pub at: Moment,
    /// The unit.
    pub unit: UnitId,
    /// Its name.
    pub name: Arc<str>,
    /// The state before the event.
    pub before: State,
    /// The event.
    pub event: Event,
    /// The machine's answer, executed by now.
    pub step: Step,
    /// The delay that was drawn, if the step armed the phase's timer.
    pub delay: Option<Millis>,
    /// The unit after it.
    pub status: Status,
    /// How many notices of this stream were dropped right before this one, because nobody had read them.
    pub missed: u64,
}

impl Notice {
    /// The event for observers, if it is a step in the life of the process.
    #[must_use]
    pub const fn lifecycle(&self) -> Option<Lifecycle> {
        self.step.actions.emit
    }

    /// The same as the driver reports it.
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
            saved: self.status.saved,
        }
    }
}

/// What has become of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopResult {
    /// The run ended without a kill, and nothing of it is left.
    Graceful,
    /// The run, or something that it had started, was sent the kill, and nothing of it is left.
    Killed,
    /// The main process ended, and something that it had started was left alone, or survived the kill.
    Leaked,
    /// There was no process to stop. A wait for the next attempt, if there was one, is over.
    NotRunning,
    /// The supervisor has ended and answers nobody.
    ///
    /// Its end brings everything down, so nothing runs, unless it ended by an error, which it logged.
    SupervisorGone,
}
