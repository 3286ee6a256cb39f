//! The driver: takes events, asks the machine, executes its commands in order. Decides nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use monitor_core::{
    Action, Event, Millis, Policy, ProcessCommand, SaveRule, StartFailure, State, Step, TimerKind,
    TimerSlot, TimerToken,
};

use crate::kernel::{Happening, Kernel, Moment, Report, Signalled, Spawned, UnitId};

/// Drives any number of units over one [`Kernel`]. Synchronous, deterministic, one thread.
///
/// Timers that are due are delivered before an event observed at the same moment, earliest first, then
/// by unit, then by slot. Delays count from the moment the event was observed, so a slow kernel does not
/// make them drift.
#[derive(Debug, Default)]
pub struct Driver<M = Core> {
    machine: M,
    /// Boxed, since a tree that grows at its end has room for twice as many as are in it.
    units: BTreeMap<UnitId, Box<Unit>>,
    /// Every armed deadline, in the order of delivery.
    agenda: BTreeSet<(Moment, UnitId, Alarm)>,
    /// What the execution of commands has brought up and is not handled yet.
    follow_ups: VecDeque<(UnitId, Event)>,
}

/// What the driver asks for decisions. Everybody uses [`Core`]; a harness may put a broken one in its
/// place to see whether that is noticed.
pub trait Machine {
    /// Answers one event, as [`Policy::step`] does.
    fn step(&self, policy: &Policy, state: State, event: Event) -> Step;
}

/// The machine of `monitor-core`, as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Core;

impl Machine for Core {
    fn step(&self, policy: &Policy, state: State, event: Event) -> Step {
        policy.step(state, event)
    }
}

#[derive(Debug)]
struct Unit {
    policy: Arc<Policy>,
    state: State,
    timers: [Option<Armed>; TimerSlot::ALL.len()],
    /// When saving is tried again, if the last try failed.
    save_again: Option<Moment>,
}

#[derive(Clone, Copy, Debug)]
struct Armed {
    at: Moment,
    token: TimerToken,
}

/// What a deadline on the agenda is for. The order breaks ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    Timer(TimerSlot),
    Save,
}

/// How long after a failed save it is tried again.
const SAVE_AGAIN_AFTER: Millis = Millis::from_secs(1);

impl Driver {
    /// A driver without units.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<M: Machine> Driver<M> {
    /// A driver without units that asks `machine`.
    #[must_use]
    pub const fn with_machine(machine: M) -> Self {
        Self {
            machine,
            units: BTreeMap::new(),
            agenda: BTreeSet::new(),
            follow_ups: VecDeque::new(),
        }
    }

    /// Runs until the kernel says [`Happening::Quit`].
    pub fn run(&mut self, kernel: &mut impl Kernel) {
        while self.turn(kernel) {}
    }

    /// Waits for one occurrence and handles it with everything that is due by then. Returns whether to
    /// go on.
    pub fn turn(&mut self, kernel: &mut impl Kernel) -> bool {
        let occurrence = kernel.wait(self.next_deadline());
        let at = occurrence.at;
        self.deliver_due(kernel, at);
        match occurrence.happening {
            Happening::Due => {}
            Happening::Told(unit, event) => self.handle(kernel, at, unit, event),
            Happening::Joined(unit, policy, state) => self.join(unit, policy, state),
            Happening::Amended(unit, policy) => {
                if let Some(found) = self.units.get_mut(&unit) {
                    found.policy = policy;
                    self.handle(kernel, at, unit, Event::PolicyChanged);
                }
            }
            Happening::Left(unit) => self.leave(unit),
            Happening::Quit => return false,
        }
        true
    }

    /// The earliest armed deadline.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        self.agenda.first().map(|&(at, _, _)| at)
    }

    /// The state of a unit, if it has joined.
    #[must_use]
    pub fn state(&self, unit: UnitId) -> Option<State> {
        self.units.get(&unit).map(|unit| unit.state)
    }

    /// The policy of a unit, if it has joined.
    #[must_use]
    pub fn policy(&self, unit: UnitId) -> Option<&Policy> {
        self.units.get(&unit).map(|unit| &*unit.policy)
    }

    /// The timers of a unit that are armed, with their deadlines, in the order of their slots.
    pub fn armed(&self, unit: UnitId) -> impl Iterator<Item = (TimerToken, Moment)> + '_ {
        let timers = self.units.get(&unit).map(|unit| unit.timers);
        timers.into_iter().flatten().flatten().map(|armed| (armed.token, armed.at))
    }

    fn join(&mut self, unit: UnitId, policy: Arc<Policy>, state: State) {
        self.leave(unit);
        let timers = [None; TimerSlot::ALL.len()];
        self.units.insert(unit, Box::new(Unit { policy, state, timers, save_again: None }));
    }

    fn leave(&mut self, unit: UnitId) {
        self.units.remove(&unit);
        self.agenda.retain(|&(_, other, _)| other != unit);
    }

    /// Delivers every timer that is due at `now`, also those that delivering has armed.
    fn deliver_due(&mut self, kernel: &mut impl Kernel, now: Moment) {
        while let Some(&entry @ (at, unit, alarm)) = self.agenda.first()
            && at <= now
        {
            self.agenda.remove(&entry);
            let Some(found) = self.units.get_mut(&unit) else {
                continue;
            };
            match alarm {
                Alarm::Timer(slot) => {
                    if let Some(armed) = found.timers[slot as usize].take() {
                        let event = Event::TimerFired { timer: armed.token };
                        self.handle(kernel, now, unit, event);
                    }
                }
                Alarm::Save => {
                    found.save_again = None;
                    self.save(kernel, now, unit);
                }
            }
        }
    }

    /// Handles one event, then what its commands have brought up.
    fn handle(&mut self, kernel: &mut impl Kernel, at: Moment, unit: UnitId, event: Event) {
        self.follow_ups.push_back((unit, event));
        while let Some((unit, event)) = self.follow_ups.pop_front() {
            let Some(found) = self.units.get_mut(&unit) else {
                continue;
            };
            let before = found.state;
            let step = self.machine.step(&found.policy, before, event);
            found.state = step.state;
            let delay = self.execute(kernel, at, unit, step);
            if let Some(found) = self.units.get(&unit) {
                kernel.tell(&Report {
                    at,
                    unit,
                    policy: &found.policy,
                    before,
                    event,
                    step,
                    delay,
                    saved: found.save_again.is_none(),
                });
            }
        }
    }

    /// Executes the commands of a step in their order; returns the delay drawn for the phase's timer.
    fn execute(
        &mut self,
        kernel: &mut impl Kernel,
        at: Moment,
        unit: UnitId,
        step: Step,
    ) -> Option<Millis> {
        let mut drawn = None;
        step.for_each(|action| match action {
            Action::Persist(_) => self.save(kernel, at, unit),
            Action::Spawn { run } => {
                let answer = if self.may_spawn(unit, step) {
                    kernel.spawn(at, unit, run)
                } else {
                    Spawned::Failed(StartFailure::Transient)
                };
                match answer {
                    Spawned::Started => self.follow_up(unit, Event::Started { run }),
                    Spawned::Pending => {}
                    Spawned::Failed(failure) => {
                        self.follow_up(unit, Event::StartFailed { run, failure });
                    }
                }
            }
            Action::Signal { run, signal, scope } => {
                match kernel.signal(at, unit, run, signal, scope) {
                    Signalled::Sent | Signalled::Refused => {}
                    Signalled::Gone(exit) => self.follow_up(unit, Event::Exited { run, exit }),
                }
            }
            Action::Release { run, signal, scope } => {
                if let Some(remains) = kernel.release(at, unit, run, signal, scope) {
                    self.follow_up(unit, Event::Released { run, remains });
                }
            }
            Action::Disarm { slot } => self.set_timer(unit, slot, None),
            Action::Arm { timer, delay } => {
                let delay = delay.base.saturating_add(kernel.draw(delay.jitter));
                if timer.kind.slot() == TimerSlot::Phase {
                    drawn = Some(delay);
                }
                let armed = Armed { at: at.after(delay), token: timer };
                self.set_timer(unit, timer.kind.slot(), Some(armed));
            }
            Action::Shorten { timer, delay } => {
                let armed = Armed { at: at.after(delay), token: timer };
                if self.deadline(unit, timer.kind).is_none_or(|earlier| armed.at < earlier) {
                    self.set_timer(unit, timer.kind.slot(), Some(armed));
                }
            }
            Action::Lengthen { timer, delay } => {
                let armed = Armed { at: at.after(delay), token: timer };
                if self.deadline(unit, timer.kind).is_some_and(|later| armed.at > later) {
                    self.set_timer(unit, timer.kind.slot(), Some(armed));
                }
            }
            // The kernel is told the whole step, of which this is a part.
            Action::Emit(_) => {}
        });
        drawn
    }

    fn follow_up(&mut self, unit: UnitId, event: Event) {
        self.follow_ups.push_back((unit, event));
    }

    fn may_spawn(&self, unit: UnitId, step: Step) -> bool {
        debug_assert_eq!(step.actions.process, ProcessCommand::Spawn);
        self.units.get(&unit).is_some_and(|unit| {
            unit.save_again.is_none() || unit.policy.rules().save == SaveRule::Optional
        })
    }

    fn save(&mut self, kernel: &mut impl Kernel, at: Moment, unit: UnitId) {
        let Some(found) = self.units.get_mut(&unit) else {
            return;
        };
        if let Some(again) = found.save_again.take() {
            self.agenda.remove(&(again, unit, Alarm::Save));
        }
        if kernel.save(at, unit, found.state).is_err() {
            let again = at.after(SAVE_AGAIN_AFTER);
            found.save_again = Some(again);
            self.agenda.insert((again, unit, Alarm::Save));
        }
    }

    fn deadline(&self, unit: UnitId, kind: TimerKind) -> Option<Moment> {
        let armed = self.units.get(&unit)?.timers[kind.slot() as usize]?;
        Some(armed.at)
    }

    fn set_timer(&mut self, unit: UnitId, slot: TimerSlot, timer: Option<Armed>) {
        let Some(found) = self.units.get_mut(&unit) else {
            return;
        };
        let place = &mut found.timers[slot as usize];
        if let Some(old) = place.take() {
            self.agenda.remove(&(old.at, unit, Alarm::Timer(slot)));
        }
        if let Some(new) = timer {
            self.agenda.insert((new.at, unit, Alarm::Timer(slot)));
        }
        *place = timer;
    }
}
