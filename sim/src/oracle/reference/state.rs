//! The facts that the reference machine keeps of a unit, and what it commands.

use std::fmt;

use monitor_core::{
    Delay, Lifecycle, Millis, Outcome, Phase, Readiness, Reason, Rules, Scope, Signal, State,
    TimerKind, TimerSlot,
};

/// The state of the reference machine: facts and counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefState {
    /// The current or last attempt; 0 if there was none.
    pub run: u32,
    /// Automatic restarts since the last start by a user.
    pub restarts: u32,
    /// Runs that count against the retry budget.
    pub strikes: u16,
    /// Waits since the last healthy run or start by a user.
    pub level: u8,
    /// Starts counted in the open window.
    pub starts: u8,
    /// The standing intent, or the verdict.
    pub reason: Reason,
    /// The outcome of the run.
    pub outcome: Outcome,
    /// A spawn is in flight.
    pub(super) spawning: bool,
    /// The process exists and its end is not known.
    pub(super) alive: bool,
    /// The process serves.
    pub(super) serves: bool,
    /// The process has served long enough to be healthy.
    pub(super) healthy: bool,
    /// The process goes down.
    pub(super) ending: bool,
    /// The kill is due or sent.
    pub(super) killed: bool,
    /// The process has ended, and the run is not released.
    pub(super) left: bool,
    /// The wait before the next attempt.
    pub(super) wait: Option<Wait>,
    /// The unit was started or stopped at least once.
    pub(super) ever: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Delay,
    Window,
}

/// One command, in the reference's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefAction {
    /// Save the state.
    Save,
    /// Make the process of this run.
    Spawn(u32),
    /// Send a signal to this run.
    Signal(u32, Signal, Scope),
    /// Release this run.
    Release(u32, Option<Signal>, Scope),
    /// Cancel the spawn of this run.
    Cancel(u32, Signal),
    /// Forget what is left of this run.
    Abandon(u32),
    /// Say that the service of this run is awaited, begins or ends.
    Service(u32, RefService),
    /// Set or empty a timer slot.
    Timer(TimerSlot, RefTimer),
    /// Report to observers.
    Emit(Lifecycle),
}

/// Prints the form of case files, as [`Action`](monitor_core::Action) does.
impl fmt::Display for RefAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Save => f.write_str("save"),
            Self::Spawn(run) => write!(f, "spawn #{run}"),
            Self::Signal(run, signal, scope) => write!(f, "signal #{run} {signal} {scope}"),
            Self::Release(run, Some(signal), scope) => write!(f, "release #{run} {signal} {scope}"),
            Self::Release(run, None, scope) => write!(f, "release #{run} - {scope}"),
            Self::Cancel(run, signal) => write!(f, "cancel-spawn #{run} {signal}"),
            Self::Abandon(run) => write!(f, "abandon #{run}"),
            Self::Service(run, RefService::Awaited) => write!(f, "await-ready #{run}"),
            Self::Service(run, RefService::Begins) => write!(f, "begin-service #{run}"),
            Self::Service(run, RefService::Ends) => write!(f, "end-service #{run}"),
            Self::Timer(slot, RefTimer::Empty) => write!(f, "disarm {slot}"),
            Self::Timer(_, RefTimer::Set(kind, delay)) => write!(f, "arm {kind} {delay}"),
            Self::Timer(_, RefTimer::Sooner(kind, delay)) => write!(f, "shorten {kind} {delay}"),
            Self::Timer(_, RefTimer::Later(kind, delay)) => write!(f, "lengthen {kind} {delay}"),
            Self::Emit(lifecycle) => write!(f, "emit {lifecycle}"),
        }
    }
}

/// What becomes of the service of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefService {
    /// The process is to say that it serves.
    Awaited,
    /// The process serves.
    Begins,
    /// The process does not serve, or no longer.
    Ends,
}

/// A change of a timer slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefTimer {
    /// It is emptied.
    Empty,
    /// It is set.
    Set(TimerKind, Delay),
    /// It is set, but not to a later deadline.
    Sooner(TimerKind, Millis),
    /// It is set if it was, but not to an earlier deadline.
    Later(TimerKind, Millis),
}

impl RefState {
    /// Returns the phase that the facts mean.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        if self.spawning {
            if self.killed {
                Phase::Aborting
            } else if self.ending {
                Phase::Cancelling
            } else {
                Phase::Starting
            }
        } else if self.alive {
            if self.killed {
                Phase::Killing
            } else if self.ending {
                Phase::Stopping
            } else if self.healthy {
                Phase::Healthy
            } else if self.serves {
                Phase::Running
            } else {
                Phase::Activating
            }
        } else if self.left {
            if self.killed { Phase::Purging } else { Phase::Releasing }
        } else {
            match self.wait {
                Some(Wait::Delay) => Phase::BackingOff,
                Some(Wait::Window) => Phase::Throttled,
                None if self.ever => Phase::Stopped,
                None => Phase::Idle,
            }
        }
    }

    /// Returns the facts that can be compared with a state of the core.
    pub(crate) const fn view(&self) -> (Phase, Reason, Outcome, [u32; 5]) {
        let Self { run, restarts, strikes, level, starts, reason, outcome, .. } = *self;
        let counters = [run, restarts, strikes as u32, level as u32, starts as u32];
        (self.phase(), reason, outcome, counters)
    }

    /// Returns whether a run is there of which no stop has begun.
    pub(super) const fn is_up(&self) -> bool {
        (self.spawning || self.alive) && !self.ending
    }

    /// Returns the service, as far as the run has come.
    pub(super) fn service(&self, rules: &Rules) -> RefService {
        let awaited = self.alive || rules.start.readiness == Readiness::Notify;
        match (self.is_up(), self.serves) {
            (true, true) => RefService::Begins,
            (true, false) if awaited => RefService::Awaited,
            (true, false) | (false, _) => RefService::Ends,
        }
    }

    pub(super) const fn is_serving(&self) -> bool {
        self.alive && self.serves && !self.ending
    }

    /// Returns whether no run lives or waits for its release.
    pub(super) const fn is_empty(&self) -> bool {
        !self.spawning && !self.alive && !self.left
    }

    /// Returns the timer of the phase.
    pub(super) const fn own_timer(&self) -> Option<TimerKind> {
        if self.is_empty() {
            return match self.wait {
                Some(Wait::Delay) => Some(TimerKind::Backoff),
                Some(Wait::Window) | None => None,
            };
        }
        match (self.ending, self.killed) {
            (_, true) if self.spawning => None,
            (_, true) => Some(TimerKind::KillWindow),
            (true, false) => Some(TimerKind::StopGrace),
            (false, false) if self.healthy => None,
            (false, false) if self.serves => Some(TimerKind::Healthy),
            (false, false) => Some(TimerKind::StartTimeout),
        }
    }
}

impl From<State> for RefState {
    fn from(state: State) -> Self {
        let phase = state.phase();
        let among = |phases: &[Phase]| phases.contains(&phase);
        Self {
            run: state.run().as_u32(),
            restarts: state.restarts(),
            strikes: state.strikes(),
            level: state.level(),
            starts: state.starts(),
            reason: state.reason(),
            outcome: state.outcome(),
            spawning: among(&[Phase::Starting, Phase::Cancelling, Phase::Aborting]),
            alive: among(&[
                Phase::Activating,
                Phase::Running,
                Phase::Healthy,
                Phase::Stopping,
                Phase::Killing,
            ]),
            serves: among(&[Phase::Running, Phase::Healthy]),
            healthy: phase == Phase::Healthy,
            ending: among(&[
                Phase::Cancelling,
                Phase::Aborting,
                Phase::Stopping,
                Phase::Killing,
                Phase::Releasing,
                Phase::Purging,
            ]),
            killed: among(&[Phase::Aborting, Phase::Killing, Phase::Purging]),
            left: among(&[Phase::Releasing, Phase::Purging]),
            wait: match phase {
                Phase::BackingOff => Some(Wait::Delay),
                Phase::Throttled => Some(Wait::Window),
                Phase::Idle
                | Phase::Starting
                | Phase::Cancelling
                | Phase::Aborting
                | Phase::Activating
                | Phase::Running
                | Phase::Healthy
                | Phase::Stopping
                | Phase::Killing
                | Phase::Releasing
                | Phase::Purging
                | Phase::Stopped => None,
            },
            ever: phase != Phase::Idle,
        }
    }
}

pub(super) fn wants_down(reason: Reason) -> bool {
    [Reason::StopRequested, Reason::ShutdownRequested].contains(&reason)
}

pub(super) fn is_verdict(reason: Reason) -> bool {
    [
        Reason::Completed,
        Reason::Prevented,
        Reason::Exhausted,
        Reason::StartLimit,
        Reason::StartFailed,
    ]
    .contains(&reason)
}
