//! The safety oracles, which check every step of every trace from events and steps alone.
//!
//! A [`SafetyOracle`] sees what a driver sees, and nothing of the machine's inside. So the same
//! oracles check the exhaustive search, the virtual world and the record of a real run.

use monitor_core::{
    Event, Exit, Found, Lifecycle, Note, Origin, Phase, Policy, Remains, Scope, State, Step,
    TimerKind, TimerSlot,
};

use super::observation::Observation;
use super::property::Property;
use super::step_facts::TimerEffect;
use super::step_view::{EventMeaning, ProcessEffect, StepView, View};

/// The memory of the oracles. It is small and comparable, so that it can be part of a search state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SafetyOracle {
    run: RunState,
    intent: Intent,
    /// Which kinds of timer are armed, by slot.
    armed: [Option<TimerKind>; 3],
    /// Automatic runs since the last request, reset or healthy run; counted no further than
    /// matters.
    automatic: u16,
    reported: Reported,
    status: Option<Exit>,
    /// The escalation towards the current run.
    asked_to_stop: bool,
}

/// What is known of the current run from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum RunState {
    #[default]
    None,
    /// Spawned, not ended.
    Open,
    /// Ended, its release not answered.
    Ended,
    /// Ended, and the kill for what it left was sent.
    EndedKilled,
}

/// The last request.
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

/// The last report of the current run to observers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Reported {
    #[default]
    Nothing,
    Starting,
    Started,
    Ready,
    Healthy,
    Stopping,
    /// Reported to be stopped before it was reported to exist.
    StoppingUnstarted,
    Killing,
    Ended,
}

impl SafetyOracle {
    /// Forgets the timers, which do not survive a restart of the monitor.
    #[must_use]
    pub const fn after_crash(mut self) -> Self {
        self.armed = [None; 3];
        self
    }

    /// Returns whether a timer of this kind is armed.
    #[must_use]
    pub const fn is_armed(&self, kind: TimerKind) -> bool {
        match self.armed[kind.slot() as usize] {
            Some(armed) => armed as u8 == kind as u8,
            None => false,
        }
    }

    /// Returns whether a spawned run has no reported end yet.
    #[must_use]
    pub const fn has_run(&self) -> bool {
        matches!(self.run, RunState::Open)
    }

    /// Returns whether a commanded release has no answer yet.
    #[must_use]
    pub const fn has_release(&self) -> bool {
        matches!(self.run, RunState::Ended | RunState::EndedKilled)
    }

    /// Returns whether the last request was a stop.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        matches!(self.intent, Intent::Down(_))
    }

    /// Returns whether a requested restart has not led to a new run yet.
    #[must_use]
    pub const fn is_restarting(&self) -> bool {
        matches!(self.intent, Intent::Restart)
    }

    /// Checks one step and remembers it.
    ///
    /// # Errors
    /// The first property that the step breaks. The oracle is of no use after that.
    #[inline]
    pub fn observe(
        &mut self,
        policy: &Policy,
        before: State,
        event: Event,
        step: Step,
    ) -> Result<(), Property> {
        self.observe_step(policy, &before, &event, &step)
    }

    /// Checks one step as [`Self::observe`] does, without a copy.
    pub(crate) fn observe_step(
        &mut self,
        policy: &Policy,
        before: &State,
        event: &Event,
        step: &Step,
    ) -> Result<(), Property> {
        let view = View::of(policy, before, event, step);
        if view.is_nothing() { Ok(()) } else { self.check_view(&view) }
    }

    /// Checks a step whose observation is known.
    ///
    /// # Errors
    /// The first property that the step breaks. The oracle is of no use after that.
    pub fn check(&mut self, observation: &Observation) -> Result<(), Property> {
        self.check_view(observation)
    }

    #[inline]
    fn check_view(&mut self, view: &impl StepView) -> Result<(), Property> {
        let meaning = view.meaning();
        let unarmed = matches!(meaning, EventMeaning::Fired(kind) if !self.is_armed(kind));
        require(!view.acts_though_ignored(), Property::StaleIsSilent)?;
        require(!unarmed || view.note() == Note::Stale, Property::StaleIsSilent)?;
        require(!view.is_unsaved(), Property::SavedWhenChanged)?;
        let had_release = self.has_release();
        self.apply_event(meaning);
        self.check_process(view, had_release)?;
        self.check_timers(view, meaning)?;
        if let Some(lifecycle) = view.emit() {
            self.check_lifecycle(lifecycle, view.is_false_leak())?;
        }
        self.check_state(view, meaning)?;
        view.breaks().map_or(Ok(()), Err)
    }

    /// Remembers what the event means, whatever the machine answers.
    fn apply_event(&mut self, meaning: EventMeaning) {
        match meaning {
            EventMeaning::Nothing | EventMeaning::Started => {}
            EventMeaning::Up { restart, going_down } => {
                let shutting = matches!(
                    self.intent,
                    Intent::Down(Origin::Shutdown) | Intent::Last(Origin::Shutdown)
                );
                if shutting && going_down {
                    // A shutdown is not called off.
                } else if going_down || restart {
                    self.intent = Intent::Restart;
                } else {
                    self.intent = Intent::Up;
                }
            }
            EventMeaning::Down { last, origin, decided } => {
                let origin = match (self.intent, origin) {
                    (Intent::Down(Origin::User) | Intent::Last(Origin::User), _) => Origin::User,
                    (_, origin) => origin,
                };
                if decided && origin == Origin::Shutdown {
                    return;
                }
                let may_end_by_itself =
                    matches!(self.intent, Intent::None | Intent::Up | Intent::Last(_));
                self.intent = if last && may_end_by_itself {
                    Intent::Last(origin)
                } else {
                    Intent::Down(origin)
                };
            }
            EventMeaning::Ended(exit) => self.end(exit),
            EventMeaning::Released => {
                if self.has_release() {
                    self.run = RunState::None;
                }
            }
            EventMeaning::Fired(kind) => {
                if self.is_armed(kind) {
                    self.armed[kind.slot() as usize] = None;
                    // What survives the kill for that long is given up.
                    if kind == TimerKind::KillWindow && self.has_release() {
                        self.run = RunState::None;
                    }
                }
            }
            EventMeaning::Recovered { found, after_shutdown, after_user } => {
                match found {
                    Found::Alive => self.run = RunState::Open,
                    Found::Exited(exit) => self.end(Some(exit)),
                    Found::Gone | Found::Rebooted => self.end(Some(Exit::Unknown)),
                }
                let comes_back = match self.intent {
                    Intent::Down(Origin::Shutdown) | Intent::Last(Origin::Shutdown) => {
                        after_shutdown
                    }
                    Intent::Down(Origin::User) | Intent::Last(Origin::User) => after_user,
                    Intent::None | Intent::Up | Intent::Restart => false,
                };
                if comes_back {
                    self.intent = Intent::Up;
                }
                self.asked_to_stop = false;
            }
            EventMeaning::Reset => self.automatic = 0,
        }
    }

    fn end(&mut self, exit: Option<Exit>) {
        if self.run == RunState::Open {
            self.run = RunState::Ended;
            // An error after the process was there is an unseen end.
            let started =
                self.reported >= Reported::Started && self.reported != Reported::StoppingUnstarted;
            self.status = exit.or_else(|| started.then_some(Exit::Unknown));
        }
    }

    #[inline]
    fn check_process(&mut self, view: &impl StepView, had_release: bool) -> Result<(), Property> {
        match view.process() {
            ProcessEffect::Leave => Ok(()),
            ProcessEffect::Spawn { requested, budget, breaks } => {
                require(self.run == RunState::None, Property::OneIncarnation)?;
                require(!self.intent.is_down(), Property::StopSticks)?;
                breaks.map_or(Ok(()), Err)?;
                self.count(requested || self.intent == Intent::Restart, budget)?;
                self.intent = Intent::Up;
                self.run = RunState::Open;
                self.status = None;
                self.asked_to_stop = false;
                Ok(())
            }
            ProcessEffect::Signal { kill, scope, beside, again } => {
                let reachable =
                    self.run == RunState::Open || (self.has_release() && scope == Scope::Group);
                require(reachable, Property::SignalsHitTheRun)?;
                if beside {
                    return Ok(());
                }
                if kill {
                    require(self.reported != Reported::Killing || again, Property::StopsCompose)?;
                    if self.has_release() {
                        require(self.run != RunState::EndedKilled, Property::StopsCompose)?;
                        self.run = RunState::EndedKilled;
                    }
                } else {
                    require(!self.asked_to_stop, Property::StopsCompose)?;
                }
                self.asked_to_stop = true;
                Ok(())
            }
            ProcessEffect::Release { recovery } => {
                require(self.has_release(), Property::ReleasedOnce)?;
                require(!had_release || recovery, Property::ReleasedOnce)
            }
        }
    }

    #[inline]
    fn check_timers(
        &mut self,
        view: &impl StepView,
        meaning: EventMeaning,
    ) -> Result<(), Property> {
        require(!view.is_off_the_curve(), Property::DelayLaw)?;
        for slot in TimerSlot::ALL {
            let armed = &mut self.armed[slot as usize];
            match view.timer(slot) {
                TimerEffect::Keep => {}
                TimerEffect::Disarm => *armed = None,
                TimerEffect::Shorten(kind) => *armed = Some(kind),
                // Whatever the program asks for: a stop comes no later for it.
                TimerEffect::Lengthen(kind) => {
                    require(kind == TimerKind::StartTimeout, Property::StopsCompose)?;
                }
                TimerEffect::Arm(kind) => {
                    let again = matches!(meaning, EventMeaning::Down { .. })
                        && kind == TimerKind::StopGrace
                        && *armed == Some(TimerKind::StopGrace);
                    require(!again, Property::StopsCompose)?;
                    *armed = Some(kind);
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, by_user: bool, budget: Option<u16>) -> Result<(), Property> {
        if by_user {
            self.automatic = 0;
        }
        let Some(budget) = budget else { return Ok(()) };
        self.automatic = self.automatic.saturating_add(1).min(budget.saturating_add(2));
        // The restart after a healthy run, or after a reset in the middle of one, is free.
        require(self.automatic <= budget.saturating_add(1), Property::Budget)
    }

    fn check_lifecycle(
        &mut self,
        lifecycle: Lifecycle,
        is_false_leak: bool,
    ) -> Result<(), Property> {
        use Reported::{
            Ended, Healthy, Killing, Nothing, Ready, Started, Starting, Stopping, StoppingUnstarted,
        };
        if matches!(lifecycle, Lifecycle::Stopped { .. } | Lifecycle::GaveUp { .. }) {
            let gone = self.run == RunState::None || lifecycle.remains() == Remains::Leaked;
            require(gone && !is_false_leak, Property::StoppedMeansGone)?;
        }
        let next = match (lifecycle, self.reported) {
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
            _ => return Err(Property::ReportedInOrder),
        };
        self.reported = next;
        Ok(())
    }

    #[inline]
    fn check_state(&mut self, view: &impl StepView, meaning: EventMeaning) -> Result<(), Property> {
        let phase = view.phase();
        if let Some(status) = self.status {
            require(view.exit() == Some(status), Property::FirstStatusStands)?;
        }
        view.state_breaks().map_or(Ok(()), Err)?;
        let waiting_slot = self.armed[TimerSlot::Phase as usize];
        require(
            waiting_slot.is_none() || waiting_slot == phase.timer(),
            Property::TimersMatchThePhase,
        )?;
        require(
            !self.is_armed(TimerKind::Watchdog) || phase.is_serving(),
            Property::TimersMatchThePhase,
        )?;
        let window = self.armed[TimerSlot::Window as usize].is_some();
        let pending = self.run != RunState::None
            || waiting_slot.is_some()
            || (phase == Phase::Throttled && window);
        require(phase.is_down() || pending, Property::NeverStuck)?;
        require(!phase.is_down() || self.run == RunState::None, Property::StoppedMeansGone)?;
        let acknowledged = meaning == EventMeaning::Started && view.note() == Note::Applied;
        if self.is_stopping() {
            require(!acknowledged || self.asked_to_stop, Property::StopWhileStartingWins)?;
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
        if matches!(meaning, EventMeaning::Up { restart: false, .. }) && phase == Phase::Throttled {
            self.intent = Intent::Restart;
        }
        // Or refuse it, but openly.
        if self.is_restarting() && phase == Phase::Stopped {
            require(view.refused(), Property::RestartIsOneIntent)?;
            self.intent = Intent::None;
        }
        Ok(())
    }
}

const fn require(holds: bool, property: Property) -> Result<(), Property> {
    if holds { Ok(()) } else { Err(property) }
}
