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
    Lengthen(TimerKind),
}

/// A step as the oracles see it: all of it but the numbers, of which only their relations are kept.
///
/// Steps from one [`Standing`] at one event under one policy that have equal sights are one observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) note: Note,
    pub(crate) after: Standing,
    pub(crate) process: ProcessCommand,
    pub(crate) timers: [Timer; TimerSlot::ALL.len()],
    pub(crate) emit: Option<Lifecycle>,
    pub(crate) relations: Relations,
}

/// A state without its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Standing {
    pub(crate) phase: Phase,
    pub(crate) reason: Reason,
    pub(crate) outcome: Outcome,
}

impl Standing {
    pub(crate) const fn of(state: State) -> Self {
        Self { phase: state.phase(), reason: state.reason(), outcome: state.outcome() }
    }

    const fn exit(self) -> Option<Exit> {
        match self.outcome {
            Outcome::Exited(exit) => Some(exit),
            Outcome::None | Outcome::StartFailed(_) => None,
        }
    }
}

/// How the numbers of a step relate to each other and to the policy, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Relations(pub(crate) u16);

impl Relations {
    /// The event is about another run than the one before.
    const FOREIGN: Self = Self(1);
    /// The state has changed.
    const CHANGED: Self = Self(1 << 1);
    /// Anything is asked for.
    const ACTS: Self = Self(1 << 2);
    /// The state is to be saved.
    const SAVED: Self = Self(1 << 3);
    /// The run after the step is another one.
    const NEW_RUN: Self = Self(1 << 4);
    /// Waits after a start that failed, and nothing was restarted before.
    const FIRST: Self = Self(1 << 5);
    const STRIKES_FELL: Self = Self(1 << 6);
    const LEVEL_FELL: Self = Self(1 << 7);
    /// The run is healthy, and its level is not zero.
    const UNFORGIVEN: Self = Self(1 << 8);
    /// A run begins that the start limit has not counted, or that is beyond it.
    const UNCOUNTED: Self = Self(1 << 9);
    /// A delay is not what the curve says.
    const OFF_THE_CURVE: Self = Self(1 << 10);

    const fn when(self, holds: bool) -> Self {
        Self(self.0 * holds as u16)
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn has(self, one: Self) -> bool {
        self.0 & one.0 != 0
    }
}

impl Sight {
    /// Looks at a step; whether it has changed the state is known to the caller.
    #[inline]
    pub(crate) fn of(
        policy: &Policy,
        before: State,
        event: Event,
        step: &Step,
        changed: bool,
    ) -> Self {
        let state = step.state;
        let actions = &step.actions;
        let phase = state.phase();
        let foreign = event.run().is_some_and(|run| run != before.run());
        let mut relations = Relations::FOREIGN
            .when(foreign)
            .and(Relations::CHANGED.when(changed))
            .and(Relations::SAVED.when(actions.persist))
            .and(Relations::ACTS.when(*actions != Actions::NONE));
        if changed {
            relations = relations
                .and(Relations::NEW_RUN.when(state.run() != before.run()))
                .and(Relations::STRIKES_FELL.when(state.strikes() < before.strikes()))
                .and(Relations::LEVEL_FELL.when(state.level() < before.level()));
        }
        if phase == Phase::BackingOff {
            relations = relations
                .and(Relations::FIRST.when(before.restarts() == 0))
                .and(Relations::OFF_THE_CURVE.when(is_off_the_curve(policy, state, actions.timer)));
        }
        if actions.process == ProcessCommand::Spawn {
            let uncounted = is_uncounted(policy, before, event, state);
            relations = relations.and(Relations::UNCOUNTED.when(uncounted));
        }
        if actions.emit == Some(Lifecycle::Healthy) {
            relations = relations.and(Relations::UNFORGIVEN.when(state.level() > 0));
        }
        Self {
            note: step.note,
            after: Standing::of(state),
            process: actions.process,
            timers: [
                timer(actions.timer, phase.timer()),
                timer(actions.watchdog, Some(TimerKind::Watchdog)),
                timer(actions.window, Some(TimerKind::Window)),
            ],
            emit: actions.emit,
            relations,
        }
    }

    const fn has(&self, relation: Relations) -> bool {
        self.relations.has(relation)
    }

    const fn is_applied(&self) -> bool {
        matches!(self.note, Note::Applied)
    }

    fn spawns(&self) -> bool {
        self.process == ProcessCommand::Spawn
    }
}

impl Observation {
    /// Looks at the step from `before` at `event` under `policy`; `None` if nothing is said and nothing
    /// done, of which there is nothing to judge.
    #[must_use]
    pub fn of(policy: &Policy, before: State, event: Event, step: Step) -> Option<Self> {
        let sight = &Sight::of(policy, before, event, &step, step.state != before);
        let before = Standing::of(before);
        let after = sight.after;
        let applied = sight.is_applied();
        let changed = sight.has(Relations::CHANGED);
        let foreign = sight.has(Relations::FOREIGN);
        let silent = !sight.has(Relations::ACTS) && !changed;
        // An acknowledgement that does not count says nothing either.
        let ignored = matches!(event, Event::Started { .. }) && !applied;
        let heard =
            if foreign || ignored { Heard::Nothing } else { Heard::of(policy, before, event) };
        let is_loud = !(applied || silent) || foreign && sight.note != Note::Stale;
        if matches!(heard, Heard::Nothing) && !applied && !is_loud {
            return None;
        }
        let (process, timers, emit) = if applied {
            (sight.process, sight.timers, sight.emit)
        } else {
            (ProcessCommand::Leave, [Timer::Keep; TimerSlot::ALL.len()], None)
        };
        let down = matches!(emit, Some(Lifecycle::Stopped { .. } | Lifecycle::GaveUp { .. }));
        Some(Self {
            heard,
            note: sight.note,
            phase: after.phase,
            exit: after.exit(),
            refused: after.phase == Phase::Stopped && after.reason == Reason::StartLimit,
            process: Process::of(policy, before, event, process),
            timers,
            emit,
            is_loud,
            is_unsaved: sight.has(Relations::SAVED) != changed,
            is_off_the_curve: applied && sight.has(Relations::OFF_THE_CURVE),
            is_false_leak: down
                && after.outcome == Outcome::None
                && emit.is_some_and(|emit| emit.remains() != Remains::Nothing),
            state_breaks: state_breaks(event, sight),
            breaks: rule_broken(policy, before, event, sight),
        })
    }
}

impl Heard {
    fn of(policy: &Policy, before: Standing, event: Event) -> Self {
        let phase = before.phase;
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
                decided: before.reason.is_verdict() && phase.is_down(),
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
            | Event::Extended { .. }
            | Event::Unhealthy { .. } => Self::Nothing,
        }
    }
}

impl Process {
    fn of(policy: &Policy, before: Standing, event: Event, command: ProcessCommand) -> Self {
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
                let early = before.phase == Phase::BackingOff && !(waited || wished || retried);
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

/// What a command means to a slot that holds timers of this kind.
const fn timer(command: TimerCommand, kind: Option<TimerKind>) -> Timer {
    match (command, kind) {
        (TimerCommand::Keep, _) => Timer::Keep,
        (TimerCommand::Disarm, _) => Timer::Disarm,
        (TimerCommand::Arm(_), Some(kind)) => Timer::Arm(kind),
        (TimerCommand::Shorten(_), Some(kind)) => Timer::Shorten(kind),
        (TimerCommand::Lengthen(_), Some(kind)) => Timer::Lengthen(kind),
        // There is no such timer, so the driver is asked for nothing.
        (TimerCommand::Arm(_) | TimerCommand::Shorten(_) | TimerCommand::Lengthen(_), None) => {
            Timer::Keep
        }
    }
}

fn is_off_the_curve(policy: &Policy, state: State, command: TimerCommand) -> bool {
    let TimerCommand::Arm(delay) = command else { return false };
    let backoff = &policy.rules().backoff;
    let lawful: Delay = backoff.delay(state.level().saturating_sub(1));
    let capped = delay.base <= backoff.curve.cap() || Some(delay.base) == backoff.first;
    delay != lawful || !capped
}

fn is_uncounted(policy: &Policy, before: State, event: Event, after: State) -> bool {
    let Some(limit) = policy.rules().limit else { return false };
    let opened = matches!(event, Event::TimerFired { timer } if timer.kind == TimerKind::Window);
    let next = if opened { 1 } else { before.starts().saturating_add(1) };
    after.starts() != next || next > limit.burst
}

fn state_breaks(event: Event, sight: &Sight) -> Option<Property> {
    if matches!(event, Event::SignalRequested { .. }) && sight.has(Relations::CHANGED) {
        return Some(Property::SignalIsNoStop);
    }
    let forgot = sight.has(Relations::STRIKES_FELL) || sight.has(Relations::LEVEL_FELL);
    let waits = !matches!(sight.timers[TimerSlot::Watchdog as usize], Timer::Keep | Timer::Disarm);
    (matches!(event, Event::PolicyChanged) && (forgot || waits))
        .then_some(Property::PolicyStartsNothing)
}

/// The rules that a step and its policy are enough for.
fn rule_broken(policy: &Policy, before: Standing, event: Event, sight: &Sight) -> Option<Property> {
    let after = sight.after;
    let timer = matches!(event, Event::TimerFired { .. });
    let healthy = sight.emit == Some(Lifecycle::Healthy);
    let asked = before.reason == Reason::RestartRequested
        || matches!(event, Event::StartRequested | Event::RestartRequested { .. });
    let forgiven = healthy || matches!(event, Event::ResetRequested) || (sight.spawns() && asked);
    if sight.has(Relations::LEVEL_FELL) && !forgiven || sight.has(Relations::UNFORGIVEN) {
        return Some(Property::ResetRule);
    }
    if let Event::StartFailed { failure, .. } = event
        && sight.is_applied()
        && matches!(before.phase, Phase::Starting | Phase::Cancelling | Phase::Aborting)
        && after.outcome != Outcome::StartFailed(failure)
    {
        return Some(Property::StartFailures);
    }
    if let (Phase::BackingOff, Outcome::StartFailed(failure)) = (after.phase, after.outcome)
        && before.phase != Phase::BackingOff
    {
        let start = policy.rules().start;
        let first = sight.has(Relations::FIRST);
        let retried = match if first { start.first } else { start.later } {
            StartRetry::Never => false,
            StartRetry::Transient => failure == StartFailure::Transient,
            StartRetry::Always => true,
        };
        if !retried {
            return Some(Property::StartFailures);
        }
    }
    if !sight.spawns() {
        return None;
    }
    let fresh = after.reason == Reason::Wanted
        && after.outcome == Outcome::None
        && sight.has(Relations::NEW_RUN);
    if !fresh {
        return Some(Property::FreshRun);
    }
    let counts = timer && !asked && sight.has(Relations::UNCOUNTED);
    counts.then_some(Property::StartLimitCounts)
}
