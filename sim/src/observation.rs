//! What the oracles look at in one step, and what of it is wrong whatever was before.
//!
//! A step is judged in two parts. This part needs no memory: it looks at a step and the rules, and answers
//! what the other part, [`Watch`](crate::watch::Watch), may ask (`Seen`). A run of a case asks the step
//! itself, so that only what is asked for is looked at. An exhaustive search keeps the answers: steps that
//! look alike are one observation, which is judged once per watch instead of once per transition.

use monitor_core::{
    Actions, Delay, Event, Exit, Found, Lifecycle, Note, Origin, Outcome, Phase, Policy,
    ProcessCommand, Reason, Remains, Restart, Scope, Signal, StartFailure, StartRetry, State, Step,
    StopMode, TimerCommand, TimerKind, TimerSlot, TimerToken,
};

use crate::watch::Property;

/// What the oracles look at in one step, kept. Its fields are the answers of `Seen`.
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
pub(crate) enum Timer {
    #[default]
    Keep,
    Disarm,
    Arm(TimerKind),
    Shorten(TimerKind),
    Lengthen(TimerKind),
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

/// What a step says and asks for, as far as the oracles ask: all of it but its numbers, of which only
/// their relations count.
pub(crate) trait Facts {
    fn note(&self) -> Note;
    /// The state after the step.
    fn after(&self) -> Standing;
    fn process(&self) -> ProcessCommand;
    fn timer(&self, slot: TimerSlot) -> Timer;
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
pub(crate) struct Look<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) before: &'a State,
    pub(crate) event: &'a Event,
    pub(crate) step: &'a Step,
    pub(crate) changed: bool,
}

impl Facts for Look<'_> {
    #[inline]
    fn note(&self) -> Note {
        self.step.note
    }

    #[inline]
    fn after(&self) -> Standing {
        Standing::of(self.step.state)
    }

    #[inline]
    fn process(&self) -> ProcessCommand {
        self.step.actions.process
    }

    #[inline]
    fn timer(&self, slot: TimerSlot) -> Timer {
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

/// A set of relations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Relations(pub(crate) u16);

impl Relations {
    const NONE: Self = Self(0);

    #[inline(always)]
    fn with(self, relation: Relation, facts: &impl Facts) -> Self {
        Self(self.0 | u16::from(facts.has(relation)) << relation as u16)
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
        let look = Look { policy, before: &before, event: &event, step, changed };
        let mut relations = Relations::NONE
            .with(Relation::Foreign, &look)
            .with(Relation::Acts, &look)
            .with(Relation::Saved, &look)
            .with(Relation::First, &look)
            .with(Relation::Unforgiven, &look)
            .with(Relation::Uncounted, &look)
            .with(Relation::OffTheCurve, &look);
        if changed {
            relations = relations
                .with(Relation::Changed, &look)
                .with(Relation::NewRun, &look)
                .with(Relation::StrikesFell, &look)
                .with(Relation::LevelFell, &look);
        }
        Self {
            note: look.note(),
            after: look.after(),
            process: look.process(),
            // Slot by slot: a closure over an array is called for each.
            timers: [
                look.timer(TimerSlot::Phase),
                look.timer(TimerSlot::Watchdog),
                look.timer(TimerSlot::Window),
            ],
            emit: look.emit(),
            relations,
        }
    }
}

impl Facts for Sight {
    fn note(&self) -> Note {
        self.note
    }

    fn after(&self) -> Standing {
        self.after
    }

    fn process(&self) -> ProcessCommand {
        self.process
    }

    fn timer(&self, slot: TimerSlot) -> Timer {
        self.timers[slot as usize]
    }

    fn emit(&self) -> Option<Lifecycle> {
        self.emit
    }

    fn has(&self, relation: Relation) -> bool {
        self.relations.0 >> relation as u16 & 1 == 1
    }
}

/// What a judge asks of a step.
pub(crate) trait Seen {
    fn heard(&self) -> Heard;
    fn note(&self) -> Note;
    /// The phase after the step.
    fn phase(&self) -> Phase;
    /// The exit that the state after the step remembers.
    fn exit(&self) -> Option<Exit>;
    /// Whether the state after the step says that the start limit has refused a run.
    fn refused(&self) -> bool;
    fn process(&self) -> Process;
    /// What is done to the timer of a slot.
    fn timer(&self, slot: TimerSlot) -> Timer;
    fn emit(&self) -> Option<Lifecycle>;
    /// Whether the step does something although the event does not count.
    fn is_loud(&self) -> bool;
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

/// What the oracles look at in the step whose facts these are, answered when it is asked for.
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

impl<'a, F: Facts> View<'a, F> {
    #[inline(always)]
    fn new(policy: &'a Policy, before: &'a State, event: &'a Event, facts: F) -> Self {
        let applied = matches!(facts.note(), Note::Applied);
        let foreign = facts.has(Relation::Foreign);
        let changed = facts.has(Relation::Changed);
        Self { policy, before, event, facts, applied, foreign, changed }
    }

    /// Whether nothing is said and nothing done, so that there is nothing to judge.
    #[inline(always)]
    pub(crate) fn is_nothing(&self) -> bool {
        !self.applied && matches!(self.heard(), Heard::Nothing) && !self.is_loud()
    }
}

impl<'a> View<'a, Look<'a>> {
    #[inline(always)]
    pub(crate) fn of(
        policy: &'a Policy,
        before: &'a State,
        event: &'a Event,
        step: &'a Step,
    ) -> Self {
        let changed = step.state != *before;
        Self::new(policy, before, event, Look { policy, before, event, step, changed })
    }
}

impl<F: Facts> Seen for View<'_, F> {
    #[inline(always)]
    fn heard(&self) -> Heard {
        // An acknowledgement that does not count says nothing either.
        let ignored = matches!(self.event, Event::Started { .. }) && !self.applied;
        if self.foreign || ignored {
            return Heard::Nothing;
        }
        Heard::of(self.policy, Standing::of(*self.before), *self.event)
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
    fn process(&self) -> Process {
        if !self.applied {
            return Process::Leave;
        }
        Process::of(self.policy, Standing::of(*self.before), *self.event, self.facts.process())
    }

    #[inline(always)]
    fn timer(&self, slot: TimerSlot) -> Timer {
        if self.applied { self.facts.timer(slot) } else { Timer::Keep }
    }

    #[inline(always)]
    fn emit(&self) -> Option<Lifecycle> {
        self.facts.emit().filter(|_| self.applied)
    }

    #[inline(always)]
    fn is_loud(&self) -> bool {
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
        let waits = !matches!(watchdog, Timer::Keep | Timer::Disarm);
        (forgot || waits).then_some(Property::PolicyStartsNothing)
    }

    #[inline(always)]
    fn breaks(&self) -> Option<Property> {
        rule_broken(self)
    }
}

impl Observation {
    /// Looks at the step from `before` at `event` under `policy`; `None` if nothing is said and nothing
    /// done, of which there is nothing to judge.
    #[must_use]
    pub fn of(policy: &Policy, before: State, event: Event, step: Step) -> Option<Self> {
        let facts = Sight::of(policy, before, event, &step, step.state != before);
        let view = View::new(policy, &before, &event, facts);
        (!view.is_nothing()).then(|| Self::kept(&view))
    }

    pub(crate) fn kept(seen: &impl Seen) -> Self {
        Self {
            heard: seen.heard(),
            note: seen.note(),
            phase: seen.phase(),
            exit: seen.exit(),
            refused: seen.refused(),
            process: seen.process(),
            timers: TimerSlot::ALL.map(|slot| seen.timer(slot)),
            emit: seen.emit(),
            is_loud: seen.is_loud(),
            is_unsaved: seen.is_unsaved(),
            is_off_the_curve: seen.is_off_the_curve(),
            is_false_leak: seen.is_false_leak(),
            state_breaks: seen.state_breaks(),
            breaks: seen.breaks(),
        }
    }
}

impl Seen for Observation {
    fn heard(&self) -> Heard {
        self.heard
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

    fn process(&self) -> Process {
        self.process
    }

    fn timer(&self, slot: TimerSlot) -> Timer {
        self.timers[slot as usize]
    }

    fn emit(&self) -> Option<Lifecycle> {
        self.emit
    }

    fn is_loud(&self) -> bool {
        self.is_loud
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

impl Heard {
    #[inline]
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
    #[inline]
    fn of(policy: &Policy, before: Standing, event: Event, command: ProcessCommand) -> Self {
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

/// The rules that a step and its policy are enough for.
#[inline(always)]
fn rule_broken<F: Facts>(view: &View<'_, F>) -> Option<Property> {
    let View { policy, event, ref facts, .. } = *view;
    let before = Standing::of(*view.before);
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
