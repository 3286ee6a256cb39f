//! What the oracles look at in one step, and what of it is wrong whatever was before.
//!
//! A step is judged in two parts. This part needs no memory: it looks at a step and the rules, and keeps
//! of both only what the other part, [`Watch`](crate::watch::Watch), may ask for. Steps that look alike
//! are one observation, so that an exhaustive search can judge each observation once per watch instead
//! of each transition.

use monitor_core::{
    Actions, Delay, Event, Exit, Found, Lifecycle, Note, Origin, Outcome, Phase, Policy,
    ProcessCommand, Reason, Remains, Restart, Scope, Signal, StartFailure, StartRetry, State, Step,
    StopMode, TimerCommand, TimerKind, TimerSlot, TimerToken,
};

use crate::watch::Property;

/// What the oracles look at in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Observation {
    pub(crate) heard: Heard,
    pub(crate) note: Note,
    /// The phase after the step.
    pub(crate) phase: Phase,
    /// The exit that the state after the step remembers.
    pub(crate) exit: Option<Exit>,
    /// Whether the state after the step says that the start limit has refused a run.
    pub(crate) refused: bool,
    pub(crate) process: Process,
    /// What is done to the timers, by slot.
    pub(crate) timers: [Timer; TimerSlot::ALL.len()],
    pub(crate) emit: Option<Lifecycle>,
    /// Whether the step does something although the event does not count.
    pub(crate) is_loud: bool,
    /// Whether the step changes the state and does not save it, or the other way round.
    pub(crate) is_unsaved: bool,
    /// Whether a delay is not what the curve says.
    pub(crate) is_off_the_curve: bool,
    /// Whether a process that never was is said to have left something.
    pub(crate) is_false_leak: bool,
    /// What else is wrong with the state after the step.
    pub(crate) state_breaks: Option<Property>,
    /// Which of the other rules is broken.
    pub(crate) breaks: Option<Property>,
}

/// What the event says to somebody who does not know the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Heard {
    /// Nothing: news of another run, or of no concern.
    Nothing,
    /// A start or a restart is wanted.
    Up { restart: bool, going_down: bool },
    /// A stop is wanted.
    Down { last: bool, origin: Origin, decided: bool },
    /// The run was acknowledged.
    Started,
    /// The run ended, or could not begin.
    Ended(Option<Exit>),
    /// What the run left is gone.
    Released,
    /// A timer of this kind is due.
    Fired(TimerKind),
    /// The monitor was started again; and by whose stop a process that is down comes back.
    Recovered { found: Found, after_shutdown: bool, after_user: bool },
    /// The past is to be forgotten.
    Reset,
}

/// What is done to the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Process {
    Leave,
    Spawn {
        /// Whether the event is a wish for it.
        wished: bool,
        /// How many automatic runs the budget allows, if this is one and there is a budget.
        budget: Option<u16>,
        /// What is wrong with beginning a run at this event.
        breaks: Option<Property>,
    },
    Signal {
        kill: bool,
        scope: Scope,
        /// Whether it is no part of the escalation: passed on for a user, or sent once more.
        beside: bool,
        /// Whether the event is one after which a kill may be sent once more.
        again: bool,
    },
    Release {
        recovery: bool,
    },
}

/// What is done to a timer slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Timer {
    #[default]
    Keep,
    Disarm,
    Arm(TimerKind),
    Shorten(TimerKind),
}

impl Observation {
    /// Looks at the step from `before` at `event` under `policy`; `None` if nothing is said and nothing
    /// done, of which there is nothing to judge.
    #[must_use]
    pub fn of(policy: &Policy, before: State, event: Event, step: Step) -> Option<Self> {
        let state = step.state;
        let applied = step.note == Note::Applied;
        let changed = state != before;
        let silent = !changed && step.actions == Actions::NONE;
        let foreign = event.run().is_some_and(|run| run != before.run());
        // An acknowledgement that does not count says nothing either.
        let ignored = matches!(event, Event::Started { .. }) && !applied;
        let heard =
            if foreign || ignored { Heard::Nothing } else { Heard::of(policy, before, event) };
        let is_loud = !(applied || silent) || foreign && step.note != Note::Stale;
        if heard == Heard::Nothing && !applied && !is_loud {
            return None;
        }
        let unmoved = Self {
            heard,
            note: step.note,
            phase: state.phase(),
            exit: state.exit(),
            refused: state.phase() == Phase::Stopped && state.reason() == Reason::StartLimit,
            process: Process::Leave,
            timers: [Timer::Keep; TimerSlot::ALL.len()],
            emit: None,
            is_loud,
            is_unsaved: step.actions.persist != changed,
            is_off_the_curve: false,
            is_false_leak: false,
            state_breaks: None,
            breaks: None,
        };
        // Most steps: nothing changes and nothing is asked for, so no rule can be broken.
        if silent && !applied {
            return Some(unmoved);
        }
        let acts = if applied { step.actions } else { Actions::NONE };
        let down = matches!(acts.emit, Some(Lifecycle::Stopped { .. } | Lifecycle::GaveUp { .. }));
        Some(Self {
            process: Process::of(policy, before, event, acts.process),
            timers: [
                timer(state, TimerSlot::Phase, acts.timer),
                timer(state, TimerSlot::Watchdog, acts.watchdog),
                timer(state, TimerSlot::Window, acts.window),
            ],
            emit: acts.emit,
            is_off_the_curve: is_off_the_curve(policy, state, acts.timer),
            is_false_leak: down
                && state.outcome() == Outcome::None
                && acts.emit.is_some_and(|emit| emit.remains() != Remains::Nothing),
            state_breaks: state_breaks(before, event, state),
            breaks: rule_broken(policy, before, event, step),
            ..unmoved
        })
    }
}

impl Heard {
    fn of(policy: &Policy, before: State, event: Event) -> Self {
        let phase = before.phase();
        let up = |restart| {
            let serving = matches!(
                phase,
                Phase::Starting | Phase::Activating | Phase::Running | Phase::Healthy
            );
            Self::Up { restart, going_down: !phase.is_down() && !serving }
        };
        match event {
            Event::StartRequested => up(false),
            Event::RestartRequested { .. } => up(true),
            Event::StopRequested { mode, origin } => Self::Down {
                last: mode == StopMode::OnNextExit,
                origin,
                decided: before.reason().is_verdict() && phase.is_down(),
            },
            Event::Started { .. } => Self::Started,
            Event::Exited { exit, .. } => Self::Ended(Some(exit)),
            Event::StartFailed { .. } => Self::Ended(None),
            Event::Released { .. } => Self::Released,
            Event::TimerFired { timer } => Self::Fired(timer.kind),
            Event::Recovered { found, .. } => {
                let restart = policy.rules().restart;
                Self::Recovered {
                    found,
                    after_shutdown: phase.is_down() && restart != Restart::No,
                    after_user: phase.is_down()
                        && restart == Restart::Always
                        && found == Found::Rebooted,
                }
            }
            Event::ResetRequested => Self::Reset,
            Event::SignalRequested { .. }
            | Event::PolicyChanged
            | Event::RetryRequested
            | Event::Ready { .. }
            | Event::Ping { .. }
            | Event::Unhealthy { .. } => Self::Nothing,
        }
    }
}

impl Process {
    fn of(policy: &Policy, before: State, event: Event, command: ProcessCommand) -> Self {
        let recovery = matches!(event, Event::Recovered { .. });
        match command {
            ProcessCommand::Leave => Self::Leave,
            ProcessCommand::Spawn => {
                let waited = matches!(
                    event,
                    Event::TimerFired { timer: TimerToken { kind: TimerKind::Backoff, .. } }
                );
                let wished =
                    matches!(event, Event::StartRequested | Event::RestartRequested { .. });
                let retried = matches!(event, Event::RetryRequested);
                let early = before.phase() == Phase::BackingOff && !(waited || wished || retried);
                let automatic = matches!(event, Event::TimerFired { .. });
                let retries = policy.rules().retries.filter(|_| automatic);
                Self::Spawn {
                    wished,
                    budget: retries.map(|retries| retries.max),
                    breaks: if matches!(event, Event::PolicyChanged) {
                        Some(Property::PolicyStartsNothing)
                    } else {
                        early.then_some(Property::BackoffWaits)
                    },
                }
            }
            ProcessCommand::Signal { signal, scope } => Self::Signal {
                kill: signal == Signal::KILL,
                scope,
                beside: recovery || matches!(event, Event::SignalRequested { .. }),
                again: matches!(event, Event::TimerFired { .. } | Event::Started { .. }),
            },
            ProcessCommand::Release { .. } => Self::Release { recovery },
        }
    }
}

const fn timer(state: State, slot: TimerSlot, command: TimerCommand) -> Timer {
    let kind = match slot {
        TimerSlot::Phase => state.phase().timer(),
        TimerSlot::Watchdog => Some(TimerKind::Watchdog),
        TimerSlot::Window => Some(TimerKind::Window),
    };
    match (command, kind) {
        (TimerCommand::Keep, _) => Timer::Keep,
        (TimerCommand::Disarm, _) => Timer::Disarm,
        (TimerCommand::Arm(_), Some(kind)) => Timer::Arm(kind),
        (TimerCommand::Shorten(_), Some(kind)) => Timer::Shorten(kind),
        // There is no such timer, so the driver is asked for nothing.
        (TimerCommand::Arm(_) | TimerCommand::Shorten(_), None) => Timer::Keep,
    }
}

fn is_off_the_curve(policy: &Policy, state: State, command: TimerCommand) -> bool {
    let TimerCommand::Arm(delay) = command else { return false };
    if state.phase() != Phase::BackingOff {
        return false;
    }
    let backoff = policy.rules().backoff;
    let lawful: Delay = backoff.delay(state.level().saturating_sub(1));
    let capped = delay.base <= backoff.curve.cap() || Some(delay.base) == backoff.first;
    delay != lawful || !capped
}

fn state_breaks(before: State, event: Event, state: State) -> Option<Property> {
    if matches!(event, Event::SignalRequested { .. }) && state != before {
        return Some(Property::SignalIsNoStop);
    }
    let forgot = state.strikes() < before.strikes() || state.level() < before.level();
    (matches!(event, Event::PolicyChanged) && forgot).then_some(Property::PolicyStartsNothing)
}

/// The rules that a step and its policy are enough for.
fn rule_broken(policy: &Policy, before: State, event: Event, step: Step) -> Option<Property> {
    let rules = policy.rules();
    let state = step.state;
    let spawns = step.actions.process == ProcessCommand::Spawn;
    let timer = matches!(event, Event::TimerFired { .. });
    let healthy = step.actions.emit == Some(Lifecycle::Healthy);
    let asked = before.reason() == Reason::RestartRequested
        || matches!(event, Event::StartRequested | Event::RestartRequested { .. });
    let forgiven = healthy || matches!(event, Event::ResetRequested) || (spawns && asked);
    if (state.level() < before.level() && !forgiven) || (healthy && state.level() != 0) {
        return Some(Property::ResetRule);
    }
    if let Event::StartFailed { failure, .. } = event
        && step.note == Note::Applied
        && matches!(before.phase(), Phase::Starting | Phase::Cancelling | Phase::Aborting)
        && state.outcome() != Outcome::StartFailed(failure)
    {
        return Some(Property::StartFailures);
    }
    if let (Phase::BackingOff, Outcome::StartFailed(failure)) = (state.phase(), state.outcome())
        && before.phase() != Phase::BackingOff
    {
        let first = before.restarts() == 0;
        let retried = match if first { rules.start.first } else { rules.start.later } {
            StartRetry::Never => false,
            StartRetry::Transient => failure == StartFailure::Transient,
            StartRetry::Always => true,
        };
        if !retried {
            return Some(Property::StartFailures);
        }
    }
    if !spawns {
        return None;
    }
    let fresh = state.reason() == Reason::Wanted
        && state.outcome() == Outcome::None
        && state.run() != before.run();
    if !fresh {
        return Some(Property::FreshRun);
    }
    let limit = rules.limit.filter(|_| timer && !asked)?;
    let opened = matches!(event, Event::TimerFired { timer } if timer.kind == TimerKind::Window);
    let next = if opened { 1 } else { before.starts().saturating_add(1) };
    (state.starts() != next || next > limit.burst).then_some(Property::StartLimitCounts)
}
