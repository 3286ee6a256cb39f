//! A driver of its own: it asks `monitor-core` what to do, and does it over a kernel.
//!
//! It was written from the contract (`monitor_core::contract`) and shares no code with the driver of
//! `monitor-os`. Its tests put it under `monitor-sim`. A [`Bug`] breaks one rule, so that the tests
//! can show that each is found.

use std::collections::BTreeMap;
use std::sync::Arc;

use monitor_core::{
    Action, Event, Exit, Millis, Policy, RunId, SaveRule, Scope, ServiceCommand, Signal,
    StartFailure, State, Step, TimerSlot, TimerToken,
};
use monitor_os::{
    DriverInput, Kernel, Moment, Report, SaveStatus, SignalOutcome, SpawnOutcome, Ticket, UnitId,
};

/// A bug that somebody might write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    NeverSpawns,
    NeverSignals,
    NeverArms,
    DisarmIgnored,
    StaleTimerKept,
    EndToldTwice,
    WrongRun,
    DelayFromHandling,
    ShortenLost,
    ShortenOnEmptyIgnored,
    LengthenOnEmptySets,
    StartFailureDropped,
    WrongScope,
    SavedAfterSpawn,
    RequiredSaveIgnored,
    StopLostInStart,
    JitterMaximal,
    ReleaseNeverAnswered,
    StartedNeverTold,
    DeadlineBeforeReadable,
    TiesInTheWrongOrder,
    GoneTakenForSent,
    WatchdogOfThePolicy,
    OldPolicyKept,
    FailedSaveForgotten,
    OverdueSaveAwaited,
    AnswerAfterTheNextEvent,
}

impl Bug {
    pub const ALL: [Self; 27] = [
        Self::NeverSpawns,
        Self::NeverSignals,
        Self::NeverArms,
        Self::DisarmIgnored,
        Self::StaleTimerKept,
        Self::EndToldTwice,
        Self::WrongRun,
        Self::DelayFromHandling,
        Self::ShortenLost,
        Self::ShortenOnEmptyIgnored,
        Self::LengthenOnEmptySets,
        Self::StartFailureDropped,
        Self::WrongScope,
        Self::SavedAfterSpawn,
        Self::RequiredSaveIgnored,
        Self::StopLostInStart,
        Self::JitterMaximal,
        Self::ReleaseNeverAnswered,
        Self::StartedNeverTold,
        Self::DeadlineBeforeReadable,
        Self::TiesInTheWrongOrder,
        Self::GoneTakenForSent,
        Self::WatchdogOfThePolicy,
        Self::OldPolicyKept,
        Self::FailedSaveForgotten,
        Self::OverdueSaveAwaited,
        Self::AnswerAfterTheNextEvent,
    ];
}

/// Runs until the kernel says that it is over.
pub fn run(kernel: &mut impl Kernel, bug: Option<Bug>) {
    Supervisor { kernel, bug, units: BTreeMap::new(), tickets: 0 }.run();
}

struct Supervisor<'a, K> {
    kernel: &'a mut K,
    bug: Option<Bug>,
    units: BTreeMap<UnitId, Unit>,
    tickets: u64,
}

struct Unit {
    policy: Arc<Policy>,
    state: State,
    timers: [Option<(Moment, TimerToken)>; 3],
    save: Save,
    /// A spawn that waits for its save, and what is to be said with it.
    waiting: Option<Option<ServiceCommand>>,
    /// An answer that a buggy driver keeps for later.
    late_answer: Option<Event>,
}

#[derive(Clone, Copy)]
enum Save {
    Done,
    Pending { ticket: Ticket, overdue: Option<Moment> },
    Failed { again: Moment },
}

impl Save {
    const fn status(self) -> SaveStatus {
        match self {
            Self::Done => SaveStatus::Saved,
            Self::Pending { overdue: Some(_), .. } => SaveStatus::Pending,
            Self::Pending { overdue: None, .. } | Self::Failed { .. } => SaveStatus::Failed,
        }
    }

    const fn deadline(self) -> Option<Moment> {
        match self {
            Self::Done => None,
            Self::Pending { overdue, .. } => overdue,
            Self::Failed { again } => Some(again),
        }
    }
}

const SECOND: Millis = Millis::from_secs(1);

impl<K: Kernel> Supervisor<'_, K> {
    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn run(mut self) {
        loop {
            let next = self.next_deadline();
            let observed = self.kernel.wait(next);
            let (at, ticket) = (observed.at, observed.ticket);
            if self.has(Bug::DeadlineBeforeReadable) && next.is_some_and(|next| next <= at) {
                self.fire(at);
            }
            match observed.input {
                DriverInput::DeadlineReached => self.fire(at),
                DriverInput::Event(unit, event) => self.event(at, unit, event, ticket),
                DriverInput::UnitAdded(unit, policy, state) => {
                    let (timers, save) = ([None; 3], Save::Done);
                    let (waiting, late_answer) = (None, None);
                    let unit_now = Unit { policy, state, timers, save, waiting, late_answer };
                    self.units.insert(unit, unit_now);
                }
                DriverInput::PolicyChanged(unit, policy) => {
                    if let Some(found) = self.units.get_mut(&unit) {
                        if self.bug != Some(Bug::OldPolicyKept) {
                            found.policy = policy;
                        }
                        self.event(at, unit, Event::PolicyChanged, ticket);
                    }
                }
                DriverInput::Saved(unit, ticket, result) => {
                    self.answered(at, unit, ticket, result.is_ok());
                }
                DriverInput::UnitRemoved(unit) => drop(self.units.remove(&unit)),
                DriverInput::Quit => return,
            }
        }
    }

    /// All deadlines: the moment, the unit, and the slot; 3 stands for the save.
    fn deadlines(&self) -> impl Iterator<Item = (Moment, UnitId, usize)> + '_ {
        self.units.iter().flat_map(|(&id, unit)| {
            let timers = unit.timers.iter().enumerate();
            let timers = timers.filter_map(move |(slot, set)| set.map(|(at, _)| (at, id, slot)));
            timers.chain(unit.save.deadline().map(|at| (at, id, 3)))
        })
    }

    fn next_deadline(&self) -> Option<Moment> {
        self.deadlines().map(|(at, ..)| at).min()
    }

    /// Fires what is due, in the order of deadlines, units and slots.
    fn fire(&mut self, now: Moment) {
        loop {
            let due = self.deadlines().filter(|(at, ..)| *at <= now);
            let first = if self.has(Bug::TiesInTheWrongOrder) {
                due.min_by_key(|&(at, unit, slot)| (at, unit, 9 - slot))
            } else {
                due.min()
            };
            let Some((_, id, slot)) = first else { return };
            let Some(unit) = self.units.get_mut(&id) else { return };
            if let Some(set) = unit.timers.get_mut(slot) {
                if let Some((_, timer)) = set.take() {
                    self.event(now, id, Event::TimerFired { timer }, None);
                }
                continue;
            }
            let before = unit.save.status();
            if let Save::Pending { ticket, overdue: Some(_) } = unit.save {
                unit.save = if self.bug == Some(Bug::OverdueSaveAwaited) {
                    Save::Pending { ticket, overdue: Some(now.after(SECOND)) }
                } else {
                    Save::Pending { ticket, overdue: None }
                };
            } else {
                let state = unit.state;
                self.save(now, id, state);
            }
            self.save_changed(now, id, before);
        }
    }

    fn answered(&mut self, at: Moment, id: UnitId, ticket: Ticket, is_saved: bool) {
        let Some(unit) = self.units.get_mut(&id) else { return };
        let before = unit.save.status();
        if let Save::Pending { ticket: last, .. } = unit.save {
            if ticket == last {
                let again = at.after(SECOND);
                unit.save = if is_saved { Save::Done } else { Save::Failed { again } };
            } else if is_saved {
                unit.save = Save::Pending { ticket: last, overdue: Some(at.after(SECOND)) };
            }
        }
        self.save_changed(at, id, before);
    }

    /// Tells the status of a save, and makes the process that waited for it.
    fn save_changed(&mut self, at: Moment, id: UnitId, before: SaveStatus) {
        let Some(unit) = self.units.get_mut(&id) else { return };
        let status = unit.save.status();
        if status != before {
            self.kernel.observe_save(at, id, status);
        }
        if status == SaveStatus::Pending {
            return;
        }
        if let Some(service) = unit.waiting.take() {
            let run = unit.state.run();
            let answer = self.make(at, id, run, status);
            if let Some(service) = service {
                self.kernel.service(at, id, run, service);
            }
            if let Some(answer) = answer {
                self.event(at, id, answer, None);
            }
        }
    }

    fn save(&mut self, at: Moment, id: UnitId, state: State) {
        self.tickets += 1;
        let ticket = Ticket::new(self.tickets);
        let status = self.kernel.save(at, id, state, ticket);
        let forgets = self.has(Bug::FailedSaveForgotten);
        let Some(unit) = self.units.get_mut(&id) else { return };
        unit.save = match status {
            SaveStatus::Saved => Save::Done,
            SaveStatus::Failed if forgets => Save::Done,
            SaveStatus::Failed => Save::Failed { again: at.after(SECOND) },
            SaveStatus::Pending => {
                let overdue = match unit.save {
                    Save::Pending { overdue, .. } => overdue,
                    Save::Done | Save::Failed { .. } => Some(at.after(SECOND)),
                };
                Save::Pending { ticket, overdue }
            }
        };
    }

    /// Handles an event, and the answers to its commands.
    fn event(&mut self, at: Moment, id: UnitId, event: Event, ticket: Option<Ticket>) {
        let Some(unit) = self.units.get_mut(&id) else { return };
        let in_start = unit.state.phase() == monitor_core::Phase::Starting;
        if in_start
            && matches!(event, Event::StopRequested { .. })
            && self.has(Bug::StopLostInStart)
        {
            return;
        }
        let mut ticket = ticket;
        let mut next = Some(event);
        let late = self.units.get_mut(&id).and_then(|unit| unit.late_answer.take());
        while let Some(event) = next.take() {
            let Some(unit) = self.units.get(&id) else { return };
            let (policy, before) = (Arc::clone(&unit.policy), unit.state);
            let step = policy.step(before, event);
            let (delay, answer) = self.execute(at, id, &policy, step);
            let Some(unit) = self.units.get_mut(&id) else { return };
            unit.state = step.state;
            let save = unit.save.status();
            let ticket = ticket.take();
            let policy = &policy;
            self.kernel.observe(&Report {
                at,
                unit: id,
                policy,
                before,
                event,
                step,
                delay,
                save,
                ticket,
            });
            next = answer;
            if self.has(Bug::AnswerAfterTheNextEvent)
                && let (Some(unit), Some(Event::Released { .. })) = (self.units.get_mut(&id), next)
            {
                unit.late_answer = next.take();
            }
            if self.has(Bug::EndToldTwice)
                && let Event::Exited { run, exit: Exit::Code(_) } = event
                && next.is_none()
            {
                next = Some(Event::Exited { run, exit: Exit::Signal(Signal::KILL) });
                if before.run() != run || before.outcome() != step.state.outcome() {
                    continue;
                }
                next = None;
            }
        }
        if let Some(late) = late {
            self.event(at, id, late, None);
        }
    }

    /// Executes the commands of a step in their order; returns the drawn delay of the phase's timer
    /// and the answer.
    fn execute(
        &mut self,
        at: Moment,
        id: UnitId,
        policy: &Policy,
        step: Step,
    ) -> (Option<Millis>, Option<Event>) {
        let (mut delay, mut answer, mut late_save) = (None, None, None);
        let mut commands = Vec::new();
        step.for_each(|action| commands.push(action));
        // Whatever acts on the process ends the wait of a spawn.
        let acts = commands.iter().any(|action| {
            use Action::{Abandon, CancelSpawn, Release, Spawn};
            matches!(action, Abandon { .. } | CancelSpawn { .. } | Release { .. } | Spawn { .. })
                || matches!(action, Action::Signal { .. })
        });
        let waited =
            self.units.get_mut(&id).and_then(|unit| if acts { unit.waiting.take() } else { None });
        for action in commands {
            match action {
                Action::Persist(state) if self.has(Bug::SavedAfterSpawn) => late_save = Some(state),
                Action::Persist(state) => self.save(at, id, state),
                Action::Spawn { run } => answer = self.spawn(at, id, run, policy),
                Action::CancelSpawn { run, .. } if waited.is_some() => {
                    let failure = StartFailure::Transient;
                    answer = Some(Event::StartFailed { run, failure });
                }
                Action::CancelSpawn { run, signal } => {
                    self.kernel.cancel_spawn(at, id, run, signal);
                }
                Action::Signal { run, signal, scope } => {
                    answer = self.signal(at, id, run, signal, scope);
                }
                Action::Release { run, signal, scope } => {
                    let remains = self.kernel.release(at, id, run, signal, scope);
                    let remains = remains.filter(|_| !self.has(Bug::ReleaseNeverAnswered));
                    answer = remains.map(|remains| Event::Released { run, remains });
                }
                Action::Abandon { run } => self.kernel.abandon(at, id, run),
                Action::AwaitReady { run } => self.service(at, id, run, ServiceCommand::AwaitReady),
                Action::BeginService { run } => self.service(at, id, run, ServiceCommand::Begin),
                Action::EndService { run } => self.service(at, id, run, ServiceCommand::End),
                Action::Arm { timer, delay: arm } => {
                    if timer.kind.slot() == TimerSlot::Watchdog {
                        let told = self.kernel.watchdog(id, timer.run);
                        let told = if self.has(Bug::WatchdogOfThePolicy) {
                            policy.rules().watchdog.map(|watchdog| watchdog.period)
                        } else {
                            told
                        };
                        self.set(id, timer.kind.slot(), told.map(|told| (at.after(told), timer)));
                        continue;
                    }
                    let drawn = self.kernel.draw(arm.jitter);
                    let drawn = if self.has(Bug::JitterMaximal) { arm.jitter } else { drawn };
                    let drawn = arm.base.saturating_add(drawn);
                    if timer.kind.slot() == TimerSlot::Phase {
                        delay = Some(drawn);
                    }
                    let late = if self.has(Bug::DelayFromHandling) { 1 } else { 0 };
                    let due = at.after(drawn).after(Millis::new(late));
                    if !self.has(Bug::NeverArms) {
                        self.set(id, timer.kind.slot(), Some((due, timer)));
                    }
                }
                Action::Shorten { timer, delay } => {
                    let known = self.known(id, timer.kind.slot());
                    let due = at.after(delay);
                    let ignores = self.has(Bug::ShortenLost)
                        || known.is_none() && self.has(Bug::ShortenOnEmptyIgnored);
                    if !ignores && known.is_none_or(|known| known > due) {
                        self.set(id, timer.kind.slot(), Some((due, timer)));
                    }
                }
                Action::Lengthen { timer, delay } => {
                    let known = self.known(id, timer.kind.slot());
                    let due = at.after(delay);
                    let sets = known.is_none() && self.has(Bug::LengthenOnEmptySets);
                    if sets || known.is_some_and(|known| known < due) {
                        self.set(id, timer.kind.slot(), Some((due, timer)));
                    }
                }
                Action::Disarm { slot } => {
                    if !self.has(Bug::DisarmIgnored) {
                        self.set(id, slot, None);
                    }
                }
                Action::Emit(_) => {}
            }
        }
        if let Some(state) = late_save {
            self.save(at, id, state);
        }
        (delay, answer)
    }

    fn service(&mut self, at: Moment, id: UnitId, run: RunId, command: ServiceCommand) {
        match self.units.get_mut(&id).and_then(|unit| unit.waiting.as_mut()) {
            Some(waiting) => *waiting = Some(command),
            None => self.kernel.service(at, id, run, command),
        }
    }

    fn known(&self, id: UnitId, slot: TimerSlot) -> Option<Moment> {
        self.units.get(&id)?.timers[slot as usize].map(|(at, _)| at)
    }

    fn set(&mut self, id: UnitId, slot: TimerSlot, to: Option<(Moment, TimerToken)>) {
        let keeps = self.has(Bug::StaleTimerKept);
        if let Some(unit) = self.units.get_mut(&id) {
            let set = &mut unit.timers[slot as usize];
            if keeps && set.is_some() && to.is_some() {
                return;
            }
            *set = to;
        }
    }

    fn spawn(&mut self, at: Moment, id: UnitId, run: RunId, policy: &Policy) -> Option<Event> {
        let status = self.units.get(&id).map(|unit| unit.save.status())?;
        let required = policy.rules().save == SaveRule::Required;
        if required && !self.has(Bug::RequiredSaveIgnored) && status == SaveStatus::Pending {
            self.units.get_mut(&id)?.waiting = Some(None);
            return None;
        }
        self.make(at, id, run, status)
    }

    fn make(&mut self, at: Moment, id: UnitId, run: RunId, status: SaveStatus) -> Option<Event> {
        let policy = Arc::clone(&self.units.get(&id)?.policy);
        let required = policy.rules().save == SaveRule::Required;
        let is_unsaved = status == SaveStatus::Failed && !self.has(Bug::RequiredSaveIgnored);
        if self.has(Bug::NeverSpawns) {
            return Some(Event::Started { run });
        }
        if required && is_unsaved {
            return Some(Event::StartFailed { run, failure: StartFailure::Transient });
        }
        let asked = if self.has(Bug::WrongRun) { RunId::new(1) } else { run };
        match self.kernel.spawn(at, id, asked) {
            SpawnOutcome::Started if self.has(Bug::StartedNeverTold) => None,
            SpawnOutcome::Started => Some(Event::Started { run }),
            SpawnOutcome::Pending => None,
            SpawnOutcome::Failed(_) if self.has(Bug::StartFailureDropped) => None,
            SpawnOutcome::Failed(failure) => Some(Event::StartFailed { run, failure }),
        }
    }

    fn signal(
        &mut self,
        at: Moment,
        id: UnitId,
        run: RunId,
        signal: Signal,
        scope: Scope,
    ) -> Option<Event> {
        if self.has(Bug::NeverSignals) {
            return None;
        }
        let scope = if self.has(Bug::WrongScope) { Scope::Process } else { scope };
        match self.kernel.signal(at, id, run, signal, scope) {
            SignalOutcome::Gone(_) if self.has(Bug::GoneTakenForSent) => None,
            SignalOutcome::Gone(exit) => Some(Event::Exited { run, exit }),
            SignalOutcome::Sent | SignalOutcome::Refused => None,
        }
    }
}
