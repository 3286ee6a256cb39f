//! What the oracles read of one step, and the rules that a step alone can break.
//!
//! A step is checked in two parts. This part needs no memory: it reads a step and the policy, and answers
//! the questions (`StepView`) of the other part, [`SafetyOracle`](crate::oracle::SafetyOracle). A run of a case
//! answers from the step itself, so that only what is asked for is computed. An exhaustive search keeps the
//! answers: steps with equal answers are one observation, which each oracle checks once instead of once per
//! transition.

use monitor_core::{
    Actions, Delay, Event, Exit, Found, Lifecycle, Note, Origin, Outcome, Phase, Policy,
    ProcessCommand, Reason, Remains, Restart, Scope, Signal, StartFailure, StartRetry, State, Step,
    StopMode, TimerCommand, TimerKind, TimerSlot, TimerToken,
};

use crate::oracle::Property;

/// The answers of `StepView` for one step, kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Observation {
    pub(crate) meaning: EventMeaning,
    pub(crate) note: Note,
    /// The phase after the step.
    pub(crate) phase: Phase,
    /// The exit that the state after the step remembers.
    pub(crate) exit: Option<Exit>,
    /// Whether the state after the step says that the start limit has refused a run.
    pub(crate) refused: bool,
    pub(crate) process: ProcessEffect,
    /// What is done to the timers, by slot.
    pub(crate) timers: [TimerEffect; TimerSlot::ALL.len()],
    pub(crate) emit: Option<Lifecycle>,
    /// Whether the step does something although the event does not count.
    pub(crate) acts_though_ignored: bool,
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

/// What an event means to an observer outside of the machine.
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
pub(crate) enum ProcessEffect {
    Leave,
    Spawn {
        /// Whether the event is a request for it.
        requested: bool,
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
pub(crate) enum TimerEffect {
    #[default]
    Keep,
    Disarm,
    Arm(TimerKind),
    Shorten(TimerKind),
    Lengthen(TimerKind),
}

/// A state without its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AbstractState {
    pub(crate) phase: Phase,
    pub(crate) reason: Reason,
    pub(crate) outcome: Outcome,
}

impl AbstractState {
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

/// What a step says and asks for, as far as the oracles ask: all of it but its numbers, of which only
/// their relations count.
pub(crate) trait FactSource {
    fn note(&self) -> Note;
    /// The state after the step.
    fn after(&self) -> AbstractState;
    fn process(&self) -> ProcessCommand;
    fn timer(&self, slot: TimerSlot) -> TimerEffect;
    fn emit(&self) -> Option<Lifecycle>;
    fn has(&self, relation: Relation) -> bool;
}

/// How numbers of a step relate to each other or to the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// The event is about another run than the one before.
    Foreign,
    /// The state has changed.
    Changed,
    /// Anything is asked for.
    Acts,
    /// The state is to be saved.
    Saved,
    /// The run after the step is another one.
    NewRun,
    /// Waits, and nothing was restarted before.
    First,
    StrikesFell,
    LevelFell,
    /// The run is healthy, and its level is not zero.
    Unforgiven,
    /// A run begins that the start limit has not counted, or that is beyond it.
    Uncounted,
    /// A delay is not what the curve says.
    OffTheCurve,
}

/// The facts of a step that are read off it when they are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LazyFacts<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) before: &'a State,
    pub(crate) event: &'a Event,
    pub(crate) step: &'a Step,
    pub(crate) changed: bool,
}

impl FactSource for LazyFacts<'_> {
    #[inline]
    fn note(&self) -> Note {
        self.step.note
    }

    #[inline]
    fn after(&self) -> AbstractState {
        AbstractState::of(self.step.state)
    }

    #[inline]
    fn process(&self) -> ProcessCommand {
        self.step.actions.process
    }

    #[inline]
    fn timer(&self, slot: TimerSlot) -> TimerEffect {
        let actions = &self.step.actions;
        match slot {
            TimerSlot::Phase => timer(actions.timer, self.step.state.phase().timer()),
            TimerSlot::Watchdog => timer(actions.watchdog, Some(TimerKind::Watchdog)),
            TimerSlot::Window => timer(actions.window, Some(TimerKind::Window)),
        }
    }

    #[inline]
    fn emit(&self) -> Option<Lifecycle> {
        self.step.actions.emit
    }

    #[inline(always)]
    fn has(&self, relation: Relation) -> bool {
        let Self { policy, before, event, step, changed } = *self;
        let Step { state: after, actions, .. } = step;
        let waits = after.phase() == Phase::BackingOff;
        match relation {
            Relation::Foreign => event.run().is_some_and(|run| run != before.run()),
            Relation::Changed => changed,
            Relation::Acts => *actions != Actions::NONE,
            Relation::Saved => actions.persist,
            Relation::NewRun => after.run() != before.run(),
            Relation::First => waits && before.restarts() == 0,
            Relation::StrikesFell => after.strikes() < before.strikes(),
            Relation::LevelFell => after.level() < before.level(),
            Relation::Unforgiven => actions.emit == Some(Lifecycle::Healthy) && after.level() > 0,
            Relation::Uncounted => {
                actions.process == ProcessCommand::Spawn
                    && is_uncounted(policy, *before, *event, *after)
            }
            Relation::OffTheCurve => waits && is_off_the_curve(policy, *after, actions.timer),
        }
    }
}

/// The facts of a step, kept.
///
/// Steps from one [`AbstractState`] at one event under one policy that have equal facts are one observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepFacts {
    pub(crate) note: Note,
    pub(crate) after: AbstractState,
    pub(crate) process: ProcessCommand,
    pub(crate) timers: [TimerEffect; TimerSlot::ALL.len()],
    pub(crate) emit: Option<Lifecycle>,
    pub(crate) relations: Relations,
}

/// A set of relations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Relations(pub(crate) u16);

impl Relations {
    const NONE: Self = Self(0);

    #[inline(always)]
    fn with(self, relation: Relation, facts: &impl FactSource) -> Self {
        Self(self.0 | u16::from(facts.has(relation)) << relation as u16)
    }
}

impl StepFacts {
    /// Reads the facts of a step. The caller knows whether the step has changed the state.
    #[inline]
    pub(crate) fn of(
        policy: &Policy,
        before: State,
        event: Event,
        step: &Step,
        changed: bool,
    ) -> Self {
        let facts = LazyFacts { policy, before: &before, event: &event, step, changed };
        let mut relations = Relations::NONE
            .with(Relation::Foreign, &facts)
            .with(Relation::Acts, &facts)
            .with(Relation::Saved, &facts)
            .with(Relation::First, &facts)
            .with(Relation::Unforgiven, &facts)
            .with(Relation::Uncounted, &facts)
            .with(Relation::OffTheCurve, &facts);
        if changed {
            relations = relations
                .with(Relation::Changed, &facts)
                .with(Relation::NewRun, &facts)
                .with(Relation::StrikesFell, &facts)
                .with(Relation::LevelFell, &facts);
        }
        Self {
            note: facts.note(),
            after: facts.after(),
            process: facts.process(),
            // Slot by slot: a closure over an array is called for each.
            timers: [
                facts.timer(TimerSlot::Phase),
                facts.timer(TimerSlot::Watchdog),
                facts.timer(TimerSlot::Window),
            ],
            emit: facts.emit(),
            relations,
        }
    }
}

impl FactSource for StepFacts {
    fn note(&self) -> Note {
        self.note
    }

    fn after(&self) -> AbstractState {
        self.after
    }

    fn process(&self) -> ProcessCommand {
        self.process
    }

    fn timer(&self, slot: TimerSlot) -> TimerEffect {
        self.timers[slot as usize]
    }

    fn emit(&self) -> Option<Lifecycle> {
        self.emit
    }

    fn has(&self, relation: Relation) -> bool {
        self.relations.0 >> relation as u16 & 1 == 1
    }
}

/// What an oracle asks of a step.
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
    /// What is done to the timer of a slot.
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
    /// What else is wrong with the state after the step.
    fn state_breaks(&self) -> Option<Property>;
    /// Which of the other rules is broken.
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
    fn new(policy: &'a Policy, before: &'a State, event: &'a Event, facts: F) -> Self {
        let applied = matches!(facts.note(), Note::Applied);
        let foreign = facts.has(Relation::Foreign);
        let changed = facts.has(Relation::Changed);
        Self { policy, before, event, facts, applied, foreign, changed }
    }

    /// Whether nothing is said and nothing done, so that there is nothing to check.
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

impl Observation {
    /// Reads the step from `before` at `event` under `policy`; `None` if nothing is said and nothing
    /// done, of which there is nothing to check.
    #[must_use]
    pub fn of(policy: &Policy, before: State, event: Event, step: Step) -> Option<Self> {
        let facts = StepFacts::of(policy, before, event, &step, step.state != before);
        let view = View::new(policy, &before, &event, facts);
        (!view.is_nothing()).then(|| Self::from_view(&view))
    }

    pub(crate) fn from_view(view: &impl StepView) -> Self {
        Self {
            meaning: view.meaning(),
            note: view.note(),
            phase: view.phase(),
            exit: view.exit(),
            refused: view.refused(),
            process: view.process(),
            timers: TimerSlot::ALL.map(|slot| view.timer(slot)),
            emit: view.emit(),
            acts_though_ignored: view.acts_though_ignored(),
            is_unsaved: view.is_unsaved(),
            is_off_the_curve: view.is_off_the_curve(),
            is_false_leak: view.is_false_leak(),
            state_breaks: view.state_breaks(),
            breaks: view.breaks(),
        }
    }
}

impl StepView for Observation {
    fn meaning(&self) -> EventMeaning {
        self.meaning
    }

    fn note(&self) -> Note {
        self.note
    }

    fn phase(&self) -> Phase {
        self.phase
    }

    fn exit(&self) -> Option<Exit> {
        self.exit
    }

    fn refused(&self) -> bool {
        self.refused
    }

    fn process(&self) -> ProcessEffect {
        self.process
    }

    fn timer(&self, slot: TimerSlot) -> TimerEffect {
        self.timers[slot as usize]
    }

    fn emit(&self) -> Option<Lifecycle> {
        self.emit
    }

    fn acts_though_ignored(&self) -> bool {
        self.acts_though_ignored
    }

    fn is_unsaved(&self) -> bool {
        self.is_unsaved
    }

    fn is_off_the_curve(&self) -> bool {
        self.is_off_the_curve
    }

    fn is_false_leak(&self) -> bool {
        self.is_false_leak
    }

    fn state_breaks(&self) -> Option<Property> {
        self.state_breaks
    }

    fn breaks(&self) -> Option<Property> {
        self.breaks
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
            ProcessCommand::Leave => Self::Leave,
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

/// What a command means to a slot that holds timers of this kind.
const fn timer(command: TimerCommand, kind: Option<TimerKind>) -> TimerEffect {
    match (command, kind) {
        (TimerCommand::Keep, _) => TimerEffect::Keep,
        (TimerCommand::Disarm, _) => TimerEffect::Disarm,
        (TimerCommand::Arm(_), Some(kind)) => TimerEffect::Arm(kind),
        (TimerCommand::Shorten(_), Some(kind)) => TimerEffect::Shorten(kind),
        (TimerCommand::Lengthen(_), Some(kind)) => TimerEffect::Lengthen(kind),
        // There is no such timer, so the driver is asked for nothing.
        (TimerCommand::Arm(_) | TimerCommand::Shorten(_) | TimerCommand::Lengthen(_), None) => {
            TimerEffect::Keep
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
