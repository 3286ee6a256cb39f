//! One step as the oracles see it: the meaning of its event, its effects, and the rules that it
//! breaks by itself.

use monitor_core::{
    Event, Exit, Found, Lifecycle, Note, Origin, Outcome, Phase, Policy, ProcessCommand, Reason,
    Remains, Restart, Scope, Signal, StartFailure, StartRetry, State, Step, StopMode, TimerKind,
    TimerSlot, TimerToken,
};

use super::property::Property;
use super::step_facts::{AbstractState, FactSource, LazyFacts, Relation, TimerEffect};

/// The meaning of an event for an observer outside of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum EventMeaning {
    /// Nothing: an event of another run, or of no concern.
    Nothing,
    /// A start or a restart is wanted.
    Up { restart: bool, going_down: bool },
    /// A stop is wanted.
    Down { last: bool, origin: Origin, decided: bool },
    /// The run was acknowledged.
    Started,
    /// The run ended, or could not begin.
    Ended(Option<Exit>),
    /// The run is released.
    Released,
    /// A timer of this kind is due.
    Fired(TimerKind),
    /// The monitor was started again; and by whose stop a process that is down comes back.
    Recovered { found: Found, after_shutdown: bool, after_user: bool },
    /// The past is to be forgotten.
    Reset,
}

/// The effect on the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ProcessEffect {
    Leave,
    Spawn {
        /// Whether the event requests the run.
        requested: bool,
        /// The budget of automatic runs, if this is an automatic run under a budget.
        budget: Option<u16>,
        /// The rule that a run at this event breaks.
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

/// The questions of an oracle to a step.
pub(crate) trait StepView {
    fn meaning(&self) -> EventMeaning;
    fn note(&self) -> Note;
    /// The phase after the step.
    fn phase(&self) -> Phase;
    /// The exit that the state after the step remembers.
    fn exit(&self) -> Option<Exit>;
    /// Whether the state after the step says that the start limit has refused a run.
    fn refused(&self) -> bool;
    fn process(&self) -> ProcessEffect;
    /// Returns the effect on the timer of a slot.
    fn timer(&self, slot: TimerSlot) -> TimerEffect;
    fn emit(&self) -> Option<Lifecycle>;
    /// Whether the step does something although the event does not count.
    fn acts_though_ignored(&self) -> bool;
    /// Whether the step changes the state and does not save it, or the other way round.
    fn is_unsaved(&self) -> bool;
    /// Whether a delay is not what the curve says.
    fn is_off_the_curve(&self) -> bool;
    /// Whether a process that never was is said to have left something.
    fn is_false_leak(&self) -> bool;
    /// Returns the rule that the state after the step breaks.
    fn state_breaks(&self) -> Option<Property>;
    /// Returns the other rule that the step breaks.
    fn breaks(&self) -> Option<Property>;
}

/// The answers for the step whose facts these are, computed when they are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a, F> {
    policy: &'a Policy,
    before: &'a State,
    event: &'a Event,
    facts: F,
    /// Whether the event counts.
    applied: bool,
    /// Whether it is about another run than the one before.
    foreign: bool,
    changed: bool,
}

impl<'a, F: FactSource> View<'a, F> {
    #[inline(always)]
    pub(super) fn new(policy: &'a Policy, before: &'a State, event: &'a Event, facts: F) -> Self {
        let applied = matches!(facts.note(), Note::Applied);
        let foreign = facts.has(Relation::Foreign);
        let changed = facts.has(Relation::Changed);
        Self { policy, before, event, facts, applied, foreign, changed }
    }

    /// Returns whether the step has no effect, so that it needs no check.
    #[inline(always)]
    pub(crate) fn is_nothing(&self) -> bool {
        !self.applied
            && matches!(self.meaning(), EventMeaning::Nothing)
            && !self.acts_though_ignored()
    }
}

impl<'a> View<'a, LazyFacts<'a>> {
    #[inline(always)]
    pub(crate) fn of(
        policy: &'a Policy,
        before: &'a State,
        event: &'a Event,
        step: &'a Step,
    ) -> Self {
        let changed = step.state != *before;
        Self::new(policy, before, event, LazyFacts { policy, before, event, step, changed })
    }
}

impl<F: FactSource> StepView for View<'_, F> {
    #[inline(always)]
    fn meaning(&self) -> EventMeaning {
        // An acknowledgement that does not count says nothing either.
        let ignored = matches!(self.event, Event::Started { .. }) && !self.applied;
        if self.foreign || ignored {
            return EventMeaning::Nothing;
        }
        EventMeaning::of(self.policy, AbstractState::of(*self.before), *self.event)
    }

    #[inline(always)]
    fn note(&self) -> Note {
        self.facts.note()
    }

    #[inline(always)]
    fn phase(&self) -> Phase {
        self.facts.after().phase
    }

    #[inline(always)]
    fn exit(&self) -> Option<Exit> {
        self.facts.after().exit()
    }

    #[inline(always)]
    fn refused(&self) -> bool {
        let after = self.facts.after();
        after.phase == Phase::Stopped && after.reason == Reason::StartLimit
    }

    #[inline(always)]
    fn process(&self) -> ProcessEffect {
        if !self.applied {
            return ProcessEffect::Leave;
        }
        ProcessEffect::of(
            self.policy,
            AbstractState::of(*self.before),
            *self.event,
            self.facts.process(),
        )
    }

    #[inline(always)]
    fn timer(&self, slot: TimerSlot) -> TimerEffect {
        if self.applied { self.facts.timer(slot) } else { TimerEffect::Keep }
    }

    #[inline(always)]
    fn emit(&self) -> Option<Lifecycle> {
        self.facts.emit().filter(|_| self.applied)
    }

    #[inline(always)]
    fn acts_though_ignored(&self) -> bool {
        let does = || self.changed || self.facts.has(Relation::Acts);
        !self.applied && does() || self.foreign && self.facts.note() != Note::Stale
    }

    #[inline(always)]
    fn is_unsaved(&self) -> bool {
        self.facts.has(Relation::Saved) != self.changed
    }

    #[inline(always)]
    fn is_off_the_curve(&self) -> bool {
        self.applied && self.facts.has(Relation::OffTheCurve)
    }

    #[inline(always)]
    fn is_false_leak(&self) -> bool {
        matches!(
            self.emit(),
            Some(
                Lifecycle::Stopped { remains: Remains::Leaked }
                    | Lifecycle::GaveUp { remains: Remains::Leaked }
            )
        ) && self.facts.after().outcome == Outcome::None
    }

    #[inline(always)]
    fn state_breaks(&self) -> Option<Property> {
        let facts = &self.facts;
        if matches!(self.event, Event::SignalRequested { .. }) && self.changed {
            return Some(Property::SignalIsNoStop);
        }
        if !matches!(self.event, Event::PolicyChanged) {
            return None;
        }
        let forgot = facts.has(Relation::StrikesFell) || facts.has(Relation::LevelFell);
        let watchdog = facts.timer(TimerSlot::Watchdog);
        let waits = !matches!(watchdog, TimerEffect::Keep | TimerEffect::Disarm);
        (forgot || waits).then_some(Property::PolicyStartsNothing)
    }

    #[inline(always)]
    fn breaks(&self) -> Option<Property> {
        rule_broken(self)
    }
}

impl EventMeaning {
    #[inline]
    fn of(policy: &Policy, before: AbstractState, event: Event) -> Self {
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

impl ProcessEffect {
    #[inline]
    fn of(policy: &Policy, before: AbstractState, event: Event, command: ProcessCommand) -> Self {
        let recovery = matches!(event, Event::Recovered { .. });
        match command {
            ProcessCommand::Leave
            | ProcessCommand::CancelSpawn { .. }
            | ProcessCommand::Abandon => Self::Leave,
            ProcessCommand::Spawn => {
                let waited = matches!(
                    event,
                    Event::TimerFired { timer: TimerToken { kind: TimerKind::Backoff, .. } }
                );
                let requested =
                    matches!(event, Event::StartRequested | Event::RestartRequested { .. });
                let retried = matches!(event, Event::RetryRequested);
                let early = before.phase == Phase::BackingOff && !(waited || requested || retried);
                let automatic = matches!(event, Event::TimerFired { .. });
                let retries = policy.rules().retries.filter(|_| automatic);
                Self::Spawn {
                    requested,
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

/// The rules that a step and its policy are enough for.
#[inline(always)]
fn rule_broken<F: FactSource>(view: &View<'_, F>) -> Option<Property> {
    let View { policy, event, ref facts, .. } = *view;
    let before = AbstractState::of(*view.before);
    let after = facts.after();
    let spawns = facts.process() == ProcessCommand::Spawn;
    let asked = || {
        before.reason == Reason::RestartRequested
            || matches!(event, Event::StartRequested | Event::RestartRequested { .. })
    };
    let forgiven = || {
        facts.emit() == Some(Lifecycle::Healthy)
            || matches!(event, Event::ResetRequested)
            || (spawns && asked())
    };
    if facts.has(Relation::LevelFell) && !forgiven() || facts.has(Relation::Unforgiven) {
        return Some(Property::ResetRule);
    }
    if let Event::StartFailed { failure, .. } = *event
        && view.applied
        && matches!(before.phase, Phase::Starting | Phase::Cancelling | Phase::Aborting)
        && after.outcome != Outcome::StartFailed(failure)
    {
        return Some(Property::StartFailures);
    }
    if let (Phase::BackingOff, Outcome::StartFailed(failure)) = (after.phase, after.outcome)
        && before.phase != Phase::BackingOff
    {
        let start = policy.rules().start;
        let first = facts.has(Relation::First);
        let retried = match if first { start.first } else { start.later } {
            StartRetry::Never => false,
            StartRetry::Transient => failure == StartFailure::Transient,
            StartRetry::Always => true,
        };
        if !retried {
            return Some(Property::StartFailures);
        }
    }
    let unwanted = matches!(after.phase, Phase::Cancelling | Phase::Aborting);
    let cancels = matches!(facts.process(), ProcessCommand::CancelSpawn { .. });
    if cancels != (unwanted && before.phase != after.phase) {
        return Some(Property::StopWhileStartingWins);
    }
    if !spawns {
        return None;
    }
    let fresh = after.reason == Reason::Wanted
        && after.outcome == Outcome::None
        && facts.has(Relation::NewRun);
    if !fresh {
        return Some(Property::FreshRun);
    }
    let timer = matches!(event, Event::TimerFired { .. });
    let counts = timer && !asked() && facts.has(Relation::Uncounted);
    counts.then_some(Property::StartLimitCounts)
}
