//! The safety oracles: what must hold at every step of every trace, judged from events and steps alone.
//!
//! A [`Watch`] sees what a driver sees, and nothing of the machine's inside, so the same oracles judge
//! the exhaustive search, the virtual kernel and the record of a real run.

use std::fmt;

use monitor_core::{
    Action, Event, Exit, Found, Lifecycle, Note, Origin, Outcome, Phase, Policy, ProcessCommand,
    Reason, Remains, Restart, Scope, StartFailure, StartRetry, State, Step, StopMode, TimerKind,
    TimerSlot, TimerToken,
};

/// Something that must hold, with its sentence and its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// I1.
    OneIncarnation,
    /// I2.
    StopSticks,
    /// I3.
    StopEnds,
    /// I4.
    StopsCompose,
    /// I5, I6.
    FirstStatusStands,
    /// I7.
    ToldInOrder,
    /// I8.
    SavedWhenChanged,
    /// I9.
    DelayLaw,
    /// I11.
    Budget,
    /// I12.
    BackoffWaits,
    /// I13.
    StaleIsSilent,
    /// I14.
    SignalsHitTheRun,
    /// I20.
    StopWhileStartingWins,
    /// I21.
    PolicyStartsNothing,
    /// I24.
    StoppedMeansGone,
    /// I26.
    ReleasedOnce,
    /// I28.
    NoLimbo,
    /// I29.
    SignalIsNoStop,
    /// I30.
    RestartIsOneIntent,
    /// I34.
    TimersMatchThePhase,
    /// I10.
    ResetRule,
    /// I17.
    StartFailures,
    /// I27.
    StartLimitCounts,
    /// I35.
    FreshRun,
}

impl Property {
    /// All properties, in the order in which `check` prints them.
    pub const ALL: [Self; 24] = [
        Self::OneIncarnation,
        Self::StopSticks,
        Self::StopEnds,
        Self::StopsCompose,
        Self::FirstStatusStands,
        Self::ToldInOrder,
        Self::SavedWhenChanged,
        Self::DelayLaw,
        Self::Budget,
        Self::BackoffWaits,
        Self::StaleIsSilent,
        Self::SignalsHitTheRun,
        Self::StopWhileStartingWins,
        Self::PolicyStartsNothing,
        Self::StoppedMeansGone,
        Self::ReleasedOnce,
        Self::NoLimbo,
        Self::SignalIsNoStop,
        Self::RestartIsOneIntent,
        Self::TimersMatchThePhase,
        Self::ResetRule,
        Self::StartFailures,
        Self::StartLimitCounts,
        Self::FreshRun,
    ];

    /// The name, as printed and as given on command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneIncarnation => "one-incarnation",
            Self::StopSticks => "stop-sticks",
            Self::StopEnds => "stop-ends",
            Self::StopsCompose => "stops-compose",
            Self::FirstStatusStands => "first-status-stands",
            Self::ToldInOrder => "told-in-order",
            Self::SavedWhenChanged => "saved-when-changed",
            Self::DelayLaw => "delay-law",
            Self::Budget => "budget",
            Self::BackoffWaits => "backoff-waits",
            Self::StaleIsSilent => "stale-is-silent",
            Self::SignalsHitTheRun => "signals-hit-the-run",
            Self::StopWhileStartingWins => "stop-while-starting-wins",
            Self::PolicyStartsNothing => "policy-starts-nothing",
            Self::StoppedMeansGone => "stopped-means-gone",
            Self::ReleasedOnce => "released-once",
            Self::NoLimbo => "no-limbo",
            Self::SignalIsNoStop => "signal-is-no-stop",
            Self::RestartIsOneIntent => "restart-is-one-intent",
            Self::TimersMatchThePhase => "timers-match-the-phase",
            Self::ResetRule => "reset-rule",
            Self::StartFailures => "start-failures",
            Self::StartLimitCounts => "start-limit-counts",
            Self::FreshRun => "fresh-run",
        }
    }

    /// The invariant of the bug bank that it stands for.
    #[must_use]
    pub const fn source(self) -> &'static str {
        match self {
            Self::OneIncarnation => "I1",
            Self::StopSticks => "I2",
            Self::StopEnds => "I3",
            Self::StopsCompose => "I4",
            Self::FirstStatusStands => "I5 I6",
            Self::ToldInOrder => "I7",
            Self::SavedWhenChanged => "I8",
            Self::DelayLaw => "I9",
            Self::Budget => "I11",
            Self::BackoffWaits => "I12",
            Self::StaleIsSilent => "I13",
            Self::SignalsHitTheRun => "I14",
            Self::StopWhileStartingWins => "I20",
            Self::PolicyStartsNothing => "I21",
            Self::StoppedMeansGone => "I24",
            Self::ReleasedOnce => "I26",
            Self::NoLimbo => "I28",
            Self::SignalIsNoStop => "I29",
            Self::RestartIsOneIntent => "I30",
            Self::TimersMatchThePhase => "I34",
            Self::ResetRule => "I10",
            Self::StartFailures => "I17",
            Self::StartLimitCounts => "I27",
            Self::FreshRun => "I35",
        }
    }

    /// What must hold, in a sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::OneIncarnation => "no run begins before the one before has ended and is released",
            Self::StopSticks => "after a stop no run begins until somebody asks for one",
            Self::StopEnds => "a stop comes to its end, whatever the process does",
            Self::StopsCompose => "a second stop neither repeats a signal nor lengthens a deadline",
            Self::FirstStatusStands => "the first status told of a run is the one that is kept",
            Self::ToldInOrder => {
                "observers are told of a run in the order of its life, each step once"
            }
            Self::SavedWhenChanged => "the state is saved exactly when it has changed",
            Self::DelayLaw => "a delay is what the curve says, and never above its cap",
            Self::Budget => "automatic restarts without a healthy run stay within the budget",
            Self::BackoffWaits => {
                "the wait before an attempt ends by its timer or by a wish, by nothing else"
            }
            Self::StaleIsSilent => {
                "what is stale or does not apply changes nothing and asks for nothing"
            }
            Self::SignalsHitTheRun => {
                "signals go only to a run that was spawned and is not released"
            }
            Self::StopWhileStartingWins => {
                "a process that is wanted down is signalled as soon as it exists"
            }
            Self::PolicyStartsNothing => "another policy begins no run and forgets no failure",
            Self::StoppedMeansGone => {
                "down is said only when the run is released, or with the mark of a leak"
            }
            Self::ReleasedOnce => {
                "each run is released once, after its end and before the next begins"
            }
            Self::NoLimbo => "what is not down has a run, a release or a timer to wait for",
            Self::SignalIsNoStop => "a signal that is no stop changes neither intent nor policy",
            Self::RestartIsOneIntent => "a restart ends in a new run unless a stop comes after it",
            Self::TimersMatchThePhase => {
                "the phase's slot holds the phase's timer or nothing, the watchdog's only while it serves"
            }
            Self::ResetRule => {
                "the delay is forgiven by a healthy run, a start by a user or a reset, and by nothing else"
            }
            Self::StartFailures => {
                "a failed start is kept as such, and tried again only where the policy says so"
            }
            Self::StartLimitCounts => {
                "a start that the limit counts is counted, and within its burst"
            }
            Self::FreshRun => "a run begins wanted, without an outcome, under a number of its own",
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the oracles remember of a trace. Small and comparable, so that it can be part of a searched
/// state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Watch {
    run: Run,
    intent: Intent,
    /// Which kinds of timer are armed, by slot.
    armed: [Option<TimerKind>; 3],
    /// Automatic runs since the last wish, reset or healthy run; counted no further than matters.
    automatic: u16,
    told: Told,
    status: Option<Exit>,
    /// The escalation towards the current run.
    asked_to_stop: bool,
}

/// What is known of the current run from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Run {
    #[default]
    None,
    /// Spawned, not ended.
    Open,
    /// Ended, its release not answered.
    Ended,
    /// Ended, and the kill for what it left was sent.
    EndedKilled,
}

/// What somebody has asked for last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Intent {
    #[default]
    None,
    Up,
    Restart,
    /// Down by itself: the run may end when it likes.
    Last(Origin),
    Down(Origin),
}

impl Intent {
    const fn is_down(self) -> bool {
        matches!(self, Self::Last(_) | Self::Down(_))
    }
}

/// How far observers have been told of the current run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Told {
    #[default]
    Nothing,
    Starting,
    Started,
    Ready,
    Healthy,
    Stopping,
    /// Told to be stopped before it was told to exist.
    StoppingUnstarted,
    Killing,
    Ended,
}

impl Watch {
    /// The same watch for a monitor that was started again: timers did not survive.
    #[must_use]
    pub const fn after_crash(mut self) -> Self {
        self.armed = [None; 3];
        self
    }

    /// Whether a timer of this kind is armed.
    #[must_use]
    pub const fn is_armed(&self, kind: TimerKind) -> bool {
        match self.armed[kind.slot() as usize] {
            Some(armed) => armed as u8 == kind as u8,
            None => false,
        }
    }

    /// Whether a run was spawned whose end was not told yet.
    #[must_use]
    pub const fn has_run(&self) -> bool {
        matches!(self.run, Run::Open)
    }

    /// Whether a release was commanded and not answered.
    #[must_use]
    pub const fn has_release(&self) -> bool {
        matches!(self.run, Run::Ended | Run::EndedKilled)
    }

    /// Whether somebody has asked for the process to be brought down and nobody for it to come up since.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        matches!(self.intent, Intent::Down(_))
    }

    /// Whether somebody has asked for a restart that has not led to a new run yet.
    #[must_use]
    pub const fn is_restarting(&self) -> bool {
        matches!(self.intent, Intent::Restart)
    }

    /// Judges one step and takes note of it.
    ///
    /// # Errors
    /// The first property that the step breaks. The watch is of no use after that.
    pub fn observe(
        &mut self,
        policy: &Policy,
        before: State,
        event: Event,
        step: Step,
    ) -> Result<(), Property> {
        self.judge_note(before, event, step)?;
        let was = *self;
        self.hear(policy, before, event);
        if step.note == Note::Applied {
            self.judge_actions(&was, policy, before, event, step)?;
        }
        self.judge_state(before, event, step)?;
        judge_rules(policy, before, event, step)
    }

    fn judge_note(&self, before: State, event: Event, step: Step) -> Result<(), Property> {
        let silent = step.commands() == 0 && step.state == before;
        require(step.note == Note::Applied || silent, Property::StaleIsSilent)?;
        let foreign = event.run().is_some_and(|run| run != before.run());
        let unarmed = matches!(event, Event::TimerFired { timer } if !self.is_armed(timer.kind));
        require(!(foreign || unarmed) || step.note == Note::Stale, Property::StaleIsSilent)?;
        let changed = step.state != before;
        require(step.actions.persist == changed, Property::SavedWhenChanged)
    }

    /// Takes note of what the event says, whatever the machine makes of it.
    fn hear(&mut self, policy: &Policy, before: State, event: Event) {
        if event.run().is_some_and(|run| run != before.run()) {
            return;
        }
        match event {
            Event::StartRequested | Event::RestartRequested { .. } => {
                let restart = matches!(event, Event::RestartRequested { .. });
                let shutting = matches!(
                    self.intent,
                    Intent::Down(Origin::Shutdown) | Intent::Last(Origin::Shutdown)
                );
                let serving = matches!(
                    before.phase(),
                    Phase::Starting | Phase::Activating | Phase::Running | Phase::Healthy
                );
                let going_down = !before.phase().is_down() && !serving;
                if shutting && going_down {
                    // A shutdown is not called off.
                } else if going_down || restart {
                    self.intent = Intent::Restart;
                } else {
                    self.intent = Intent::Up;
                }
            }
            Event::StopRequested { mode, origin } => {
                let origin = match (self.intent, origin) {
                    (Intent::Down(Origin::User) | Intent::Last(Origin::User), _) => Origin::User,
                    (_, origin) => origin,
                };
                let verdict = before.reason().is_verdict() && before.phase().is_down();
                if verdict && origin == Origin::Shutdown {
                    return;
                }
                self.intent = match (mode, self.intent) {
                    (StopMode::OnNextExit, Intent::None | Intent::Up | Intent::Last(_)) => {
                        Intent::Last(origin)
                    }
                    (StopMode::OnNextExit | StopMode::Graceful(_) | StopMode::Kill, _) => {
                        Intent::Down(origin)
                    }
                };
            }
            Event::Exited { exit, .. } => self.end(Some(exit)),
            Event::StartFailed { .. } => self.end(None),
            Event::Released { .. } => {
                if self.has_release() {
                    self.run = Run::None;
                }
            }
            Event::TimerFired { timer } => {
                if self.is_armed(timer.kind) {
                    self.armed[timer.kind.slot() as usize] = None;
                    // What survives the kill for that long is given up.
                    if timer.kind == TimerKind::KillWindow && self.has_release() {
                        self.run = Run::None;
                    }
                }
            }
            Event::Recovered { found, .. } => {
                match found {
                    Found::Alive => self.run = Run::Open,
                    Found::Exited(exit) => self.end(Some(exit)),
                    Found::Gone | Found::Rebooted => self.end(Some(Exit::Unknown)),
                }
                let comes_back = match self.intent {
                    Intent::Down(Origin::Shutdown) | Intent::Last(Origin::Shutdown) => {
                        policy.rules().restart != Restart::No
                    }
                    Intent::Down(Origin::User) | Intent::Last(Origin::User) => {
                        policy.rules().restart == Restart::Always && found == Found::Rebooted
                    }
                    Intent::None | Intent::Up | Intent::Restart => false,
                };
                if comes_back && before.phase().is_down() {
                    self.intent = Intent::Up;
                }
                self.asked_to_stop = false;
            }
            Event::ResetRequested => self.automatic = 0,
            Event::SignalRequested { .. }
            | Event::PolicyChanged
            | Event::RetryRequested
            | Event::Started { .. }
            | Event::Ready { .. }
            | Event::Ping { .. }
            | Event::Unhealthy { .. } => {}
        }
    }

    fn end(&mut self, exit: Option<Exit>) {
        if self.run == Run::Open {
            self.run = Run::Ended;
            // An error after the process was there is an end that nobody saw.
            let started = self.told >= Told::Started && self.told != Told::StoppingUnstarted;
            self.status = exit.or_else(|| started.then_some(Exit::Unknown));
        }
    }

    fn judge_actions(
        &mut self,
        was: &Self,
        policy: &Policy,
        before: State,
        event: Event,
        step: Step,
    ) -> Result<(), Property> {
        let recovery = matches!(event, Event::Recovered { .. });
        let mut result = Ok(());
        step.for_each(|action| {
            if result.is_ok() {
                result = self.judge_action(was, policy, before, event, step, action, recovery);
            }
        });
        result
    }

    #[expect(clippy::too_many_arguments, reason = "one step seen from every side, in one place")]
    fn judge_action(
        &mut self,
        was: &Self,
        policy: &Policy,
        before: State,
        event: Event,
        step: Step,
        action: Action,
        recovery: bool,
    ) -> Result<(), Property> {
        match action {
            Action::Persist(state) => require(state == step.state, Property::SavedWhenChanged),
            Action::Spawn { .. } => {
                require(self.run == Run::None, Property::OneIncarnation)?;
                require(!self.intent.is_down(), Property::StopSticks)?;
                require(event != Event::PolicyChanged, Property::PolicyStartsNothing)?;
                let waited = matches!(
                    event,
                    Event::TimerFired { timer: TimerToken { kind: TimerKind::Backoff, .. } }
                );
                let wish = matches!(
                    event,
                    Event::StartRequested | Event::RestartRequested { .. } | Event::RetryRequested
                );
                if before.phase() == Phase::BackingOff {
                    require(waited || wish, Property::BackoffWaits)?;
                }
                let by_user =
                    matches!(event, Event::StartRequested | Event::RestartRequested { .. })
                        || self.intent == Intent::Restart;
                let by_itself = matches!(event, Event::TimerFired { .. });
                self.count(policy, by_user, by_itself)?;
                self.intent = Intent::Up;
                self.run = Run::Open;
                self.status = None;
                self.asked_to_stop = false;
                Ok(())
            }
            Action::Signal { signal, scope, .. } => {
                let reachable =
                    self.run == Run::Open || (self.has_release() && scope == Scope::Group);
                require(reachable, Property::SignalsHitTheRun)?;
                if matches!(event, Event::SignalRequested { .. }) || recovery {
                    return Ok(());
                }
                if signal == monitor_core::Signal::KILL {
                    let repeats = was.told == Told::Killing
                        && !matches!(event, Event::TimerFired { .. } | Event::Started { .. });
                    require(!repeats, Property::StopsCompose)?;
                    if self.has_release() {
                        require(self.run != Run::EndedKilled, Property::StopsCompose)?;
                        self.run = Run::EndedKilled;
                    }
                } else {
                    require(!self.asked_to_stop, Property::StopsCompose)?;
                }
                self.asked_to_stop = true;
                Ok(())
            }
            Action::Release { .. } => {
                require(self.has_release(), Property::ReleasedOnce)?;
                require(!was.has_release() || recovery, Property::ReleasedOnce)
            }
            Action::Disarm { slot } => {
                self.armed[slot as usize] = None;
                Ok(())
            }
            Action::Arm { timer, delay } => {
                if timer.kind == TimerKind::Backoff {
                    let level = step.state.level().saturating_sub(1);
                    require(delay == policy.rules().backoff.delay(level), Property::DelayLaw)?;
                    let cap = policy.rules().backoff.curve.cap();
                    let first = policy.rules().backoff.first;
                    require(delay.base <= cap || Some(delay.base) == first, Property::DelayLaw)?;
                }
                let again = matches!(event, Event::StopRequested { .. })
                    && was.is_armed(TimerKind::StopGrace)
                    && timer.kind == TimerKind::StopGrace;
                require(!again, Property::StopsCompose)?;
                self.armed[timer.kind.slot() as usize] = Some(timer.kind);
                Ok(())
            }
            Action::Shorten { timer, .. } => {
                self.armed[timer.kind.slot() as usize] = Some(timer.kind);
                Ok(())
            }
            Action::Emit(lifecycle) => self.tell(lifecycle, step),
        }
    }

    fn count(&mut self, policy: &Policy, by_user: bool, by_itself: bool) -> Result<(), Property> {
        if by_user {
            self.automatic = 0;
        }
        let Some(retries) = policy.rules().retries.filter(|_| by_itself) else { return Ok(()) };
        self.automatic = self.automatic.saturating_add(1).min(retries.max.saturating_add(2));
        // The restart after a healthy run, or after a reset in the middle of one, is free.
        require(self.automatic <= retries.max.saturating_add(1), Property::Budget)
    }

    fn tell(&mut self, lifecycle: Lifecycle, step: Step) -> Result<(), Property> {
        use Told::{
            Ended, Healthy, Killing, Nothing, Ready, Started, Starting, Stopping, StoppingUnstarted,
        };
        let down = matches!(lifecycle, Lifecycle::Stopped { .. } | Lifecycle::GaveUp { .. });
        if down {
            let gone = self.run == Run::None || lifecycle.remains() == Remains::Leaked;
            let ran = step.state.outcome() != Outcome::None;
            require(gone, Property::StoppedMeansGone)?;
            require(ran || lifecycle.remains() == Remains::Nothing, Property::StoppedMeansGone)?;
        }
        let next = match (lifecycle, self.told) {
            (Lifecycle::Starting, Nothing | Ended) => Starting,
            (Lifecycle::Started, Starting) => Started,
            (Lifecycle::Started, StoppingUnstarted) => Stopping,
            (Lifecycle::Ready, Starting | Started) => Ready,
            (Lifecycle::Healthy, Started | Ready) => {
                self.automatic = 0;
                Healthy
            }
            (Lifecycle::Stopping, Starting) => StoppingUnstarted,
            (Lifecycle::Stopping, Started | Ready | Healthy) => Stopping,
            (Lifecycle::Killing | Lifecycle::Unkillable, Ended) => Ended,
            (
                Lifecycle::Killing | Lifecycle::Unkillable,
                Started | Ready | Healthy | Stopping | StoppingUnstarted | Killing,
            ) => Killing,
            (
                Lifecycle::Exited | Lifecycle::StartFailed,
                Starting | Started | Ready | Healthy | Stopping | StoppingUnstarted | Killing,
            ) => Ended,
            (Lifecycle::BackingOff | Lifecycle::Throttled, Ended) => Ended,
            (Lifecycle::Stopped { .. } | Lifecycle::GaveUp { .. }, Nothing | Ended) => Ended,
            _ => return Err(Property::ToldInOrder),
        };
        self.told = next;
        Ok(())
    }

    fn judge_state(&mut self, before: State, event: Event, step: Step) -> Result<(), Property> {
        let state = step.state;
        let phase = state.phase();
        if let Some(status) = self.status {
            require(state.outcome() == Outcome::Exited(status), Property::FirstStatusStands)?;
        }
        if let Event::SignalRequested { .. } = event {
            require(state == before, Property::SignalIsNoStop)?;
        }
        if event == Event::PolicyChanged {
            let forgot = state.strikes() < before.strikes() || state.level() < before.level();
            require(!forgot, Property::PolicyStartsNothing)?;
        }
        let waiting_slot = self.armed[TimerSlot::Phase as usize];
        require(
            waiting_slot.is_none() || waiting_slot == phase.timer(),
            Property::TimersMatchThePhase,
        )?;
        require(
            !self.is_armed(TimerKind::Watchdog) || matches!(phase, Phase::Running | Phase::Healthy),
            Property::TimersMatchThePhase,
        )?;
        let window = self.armed[TimerSlot::Window as usize].is_some();
        let pending = self.run != Run::None
            || waiting_slot.is_some()
            || (phase == Phase::Throttled && window);
        require(phase.is_down() || pending, Property::NoLimbo)?;
        require(!phase.is_down() || self.run == Run::None, Property::StoppedMeansGone)?;
        let acknowledged = matches!(event, Event::Started { .. }) && step.note == Note::Applied;
        if acknowledged && self.is_stopping() {
            require(self.asked_to_stop, Property::StopWhileStartingWins)?;
        }
        if self.is_stopping() {
            let served = matches!(
                phase,
                Phase::Activating
                    | Phase::Running
                    | Phase::Healthy
                    | Phase::BackingOff
                    | Phase::Throttled
            );
            require(!served, Property::StopSticks)?;
        }
        // A start limit may hold up what a user asked for, but not forget it.
        if event == Event::StartRequested && phase == Phase::Throttled {
            self.intent = Intent::Restart;
        }
        // Or refuse it, but openly.
        if self.is_restarting() && phase == Phase::Stopped {
            require(state.reason() == Reason::StartLimit, Property::RestartIsOneIntent)?;
            self.intent = Intent::None;
        }
        Ok(())
    }
}

/// What needs no memory: a step, and the rules.
fn judge_rules(policy: &Policy, before: State, event: Event, step: Step) -> Result<(), Property> {
    let rules = policy.rules();
    let state = step.state;
    let spawns = step.actions.process == ProcessCommand::Spawn;
    let timer = matches!(event, Event::TimerFired { .. });
    let healthy = step.actions.emit == Some(Lifecycle::Healthy);
    let asked = before.reason() == Reason::RestartRequested
        || matches!(event, Event::StartRequested | Event::RestartRequested { .. });
    let forgiven = healthy || event == Event::ResetRequested || (spawns && asked);
    require(state.level() >= before.level() || forgiven, Property::ResetRule)?;
    require(!healthy || state.level() == 0, Property::ResetRule)?;
    if let Event::StartFailed { failure, .. } = event
        && step.note == Note::Applied
        && matches!(before.phase(), Phase::Starting | Phase::Cancelling | Phase::Aborting)
    {
        require(state.outcome() == Outcome::StartFailed(failure), Property::StartFailures)?;
    }
    if let (Phase::BackingOff, Outcome::StartFailed(failure)) = (state.phase(), state.outcome())
        && before.phase() != Phase::BackingOff
    {
        let first = before.restarts() == 0;
        let retry = if first { rules.start.first } else { rules.start.later };
        let retried = match retry {
            StartRetry::Never => false,
            StartRetry::Transient => failure == StartFailure::Transient,
            StartRetry::Always => true,
        };
        require(retried, Property::StartFailures)?;
    }
    if !spawns {
        return Ok(());
    }
    let fresh = state.reason() == Reason::Wanted
        && state.outcome() == Outcome::None
        && state.run() != before.run();
    require(fresh, Property::FreshRun)?;
    if let Some(limit) = rules.limit.filter(|_| timer && !asked) {
        let opened =
            matches!(event, Event::TimerFired { timer } if timer.kind == TimerKind::Window);
        let counted = if opened { 0 } else { before.starts() };
        let next = counted.saturating_add(1);
        require(state.starts() == next && next <= limit.burst, Property::StartLimitCounts)?;
    }
    Ok(())
}

const fn require(holds: bool, property: Property) -> Result<(), Property> {
    if holds { Ok(()) } else { Err(property) }
}
