//! The facts of one step: the answer of the machine, and the relation of the states before and
//! after.

use monitor_core::{
    Actions, Delay, Event, Exit, Lifecycle, Note, Outcome, Phase, Policy, ProcessCommand, Reason,
    State, Step, TimerCommand, TimerKind, TimerSlot,
};

/// The effect on a timer slot.
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

    pub(super) const fn exit(self) -> Option<Exit> {
        match self.outcome {
            Outcome::Exited(exit) => Some(exit),
            Outcome::None | Outcome::StartFailed(_) => None,
        }
    }
}

/// What a step says and asks for, as far as the oracles ask: all of it but its numbers, of which
/// only their relations count.
pub(crate) trait FactSource {
    fn note(&self) -> Note;
    /// The state after the step.
    fn after(&self) -> AbstractState;
    fn process(&self) -> ProcessCommand;
    fn timer(&self, slot: TimerSlot) -> TimerEffect;
    fn emit(&self) -> Option<Lifecycle>;
    fn has(&self, relation: Relation) -> bool;
}

/// A relation of numbers of a step to each other or to the policy.
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
/// Steps from one [`AbstractState`] at one event under one policy that have equal facts are one
/// observation.
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

/// Returns the effect of a command on a slot that holds timers of this kind.
pub(super) const fn timer(command: TimerCommand, kind: Option<TimerKind>) -> TimerEffect {
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

pub(super) fn is_off_the_curve(policy: &Policy, state: State, command: TimerCommand) -> bool {
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
