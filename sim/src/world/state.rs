//! The state of the virtual world.

use std::collections::VecDeque;
use std::sync::Arc;

use monitor_core::{Event, Millis, Policy, RunId, State};
use monitor_os::{DriverInput, Machine, Moment, ObservedInput, SaveFailed, Ticket, UnitId};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use super::disk::VirtualDisk;
use super::event_queue::{EventQueue, PlannedEvent, WorldEvent};
use super::os::VirtualSystem;
use super::pending_replies::PendingReplies;
use crate::case::definition::Case;
use crate::case::input::{InputKind, Jump};
use crate::machine::guard::Guarded;
use crate::machine::injected_bug::InjectedBug;
use crate::oracle::fault_effects::{FaultEffect, FaultEffects};
use crate::oracle::property::Property;
use crate::oracle::safety_oracle::SafetyOracle;
use crate::oracle::trace::TraceLine;

/// The checks of a run. A panic is a violation whatever is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// The oracles check each step, and the end is checked.
    All,
    /// The oracles check each step.
    Steps,
    /// Nothing is checked.
    None,
}

/// The time faults of a case that take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeFaults {
    AsGiven,
    WithoutJumps,
    WithoutSleep,
}

impl TimeFaults {
    pub(super) const fn hides(self, kind: InputKind) -> bool {
        match self {
            Self::AsGiven => false,
            Self::WithoutJumps => matches!(kind, InputKind::Wall(_)),
            Self::WithoutSleep => matches!(kind, InputKind::Suspend(_)),
        }
    }
}

/// The time from the last input until the faults stop by themselves.
const FAULTS_STOP_AFTER: Millis = Millis::from_mins(1);

/// More steps than most cases have.
const TRACE_USUAL: usize = 128;

pub(super) struct World<'a> {
    pub(super) case: &'a Case,
    pub(super) machine: &'a dyn Machine,
    /// The guard around the machine, in a run that is there to show its panic.
    pub(super) guard: Option<&'a Guarded<'a>>,
    pub(super) injected_bug: Option<InjectedBug>,
    pub(super) time_faults: TimeFaults,
    pub(super) checks: Checks,
    pub(super) now: Moment,
    pub(super) clocks: Clocks,
    pub(super) event_queue: EventQueue,
    pub(super) next_input: usize,
    /// When the faults stop by themselves, if there are any and they have not.
    pub(super) faults_stop_at: Option<Moment>,
    pub(super) faults_stopped: bool,
    pub(super) os: VirtualSystem<'a>,
    pub(super) units: Vec<VirtualUnit<'a>>,
    /// Events that the backend has not delivered to the driver yet.
    pub(super) undelivered: VecDeque<DriverInput>,
    pub(super) monitor: MonitorStatus,
    /// Whether the driver was told that a deadline is reached, and what was readable then.
    pub(super) last_wake: LastWake,
    /// The number of saves that were not answered at once.
    pub(super) saves: u64,
    pub(super) pending_replies: PendingReplies,
    /// The ticket of the request that is delivered next.
    pub(super) ticket: Option<Ticket>,
    pub(super) rng: Pcg64Mcg,
    pub(super) trace: Vec<TraceLine>,
    pub(super) fault_effects: FaultEffects,
    pub(super) violated: Option<Property>,
    /// Whether the backend has ended the monitor.
    pub(super) monitor_gave_up: bool,
    pub(super) steps_max: usize,
}

/// What the driver was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastWake {
    /// An input: no timer fires.
    Input,
    /// A deadline, after all that was readable.
    Deadline,
    /// A deadline, with something unread.
    DeadlineTooEarly,
}

/// The state of a unit in the world.
pub(super) struct VirtualUnit<'a> {
    pub(super) policy: &'a Policy,
    /// The policy that it gets with the next change.
    pub(super) next_policy: Option<&'a Policy>,
    pub(super) oracle: SafetyOracle,
    /// The state by the last step that took place.
    pub(super) state: State,
    /// The state that was saved last, and the one that is being saved.
    pub(super) saved: State,
    pub(super) saving: Option<State>,
    /// Set if the last save has failed, or is not answered.
    pub(super) unsaved: bool,
    /// The saves that are not answered, in their order.
    pub(super) pending_saves: VecDeque<PendingSave>,
    pub(super) disk: VirtualDisk,
    pub(super) spawned: usize,
    /// The run that the backend keeps.
    pub(super) entry: Option<BackendRun>,
    /// The deadline of a stop under way.
    pub(super) over_by: Option<Moment>,
    /// The moment of the last step, and how many there were at it.
    pub(super) at_once: (Moment, u32),
}

/// A save that is not answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingSave {
    pub(super) ticket: Ticket,
    pub(super) state: State,
    pub(super) result: Result<(), SaveFailed>,
    /// The place of the save among all of the world.
    pub(super) number: u64,
}

/// The other clocks, as they differ from the monotonic one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clocks {
    /// Nanoseconds for which the machine slept.
    pub(super) asleep: u64,
    /// Nanoseconds by which the wall clock was set.
    set: i64,
}

/// Whether the monitor runs, dies or is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MonitorStatus {
    Running,
    /// It dies after so many more operations.
    Dying(u8, Outage),
    /// It is dead; whether the step in which it died is still to be reported.
    Dead(Outage, bool),
    /// Another is being started; what the driver of the dead one does until all units have joined
    /// again has no effect.
    Restarting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outage {
    Crash { down: Millis },
    Reboot,
}

/// The run that the backend keeps of a unit, until another begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct BackendRun {
    pub(super) run: RunId,
    pub(super) pid: u32,
    /// Whether its start was acknowledged.
    pub(super) acknowledged: bool,
    /// Whether its end was reported.
    pub(super) end_reported: bool,
    /// Whether the driver waits for the rest of its group to be gone.
    pub(super) releasing: bool,
    pub(super) released: bool,
}

impl<'a> World<'a> {
    pub(super) fn new(
        case: &'a Case,
        machine: &'a dyn Machine,
        injected_bug: Option<InjectedBug>,
        steps_max: usize,
        time_faults: TimeFaults,
        checks: Checks,
    ) -> Self {
        let units = (0..case.units()).map(|unit| VirtualUnit::new(case.unit(unit).0)).collect();
        let last = case.inputs.last().map_or(Millis::ZERO, |input| input.at);
        let mut world = Self {
            case,
            machine,
            guard: None,
            injected_bug,
            time_faults,
            checks,
            now: Moment::ORIGIN,
            clocks: Clocks::default(),
            event_queue: EventQueue::default(),
            next_input: 0,
            faults_stop_at: case
                .is_faulty()
                .then(|| Moment::ORIGIN.after(last).after(FAULTS_STOP_AFTER)),
            faults_stopped: false,
            os: VirtualSystem::new(case.pids),
            units,
            undelivered: VecDeque::new(),
            monitor: MonitorStatus::Running,
            last_wake: LastWake::Input,
            saves: 0,
            pending_replies: PendingReplies::new(injected_bug),
            ticket: None,
            rng: Pcg64Mcg::seed_from_u64(case.seed),
            trace: Vec::with_capacity(steps_max.min(TRACE_USUAL)),
            fault_effects: FaultEffects::default(),
            violated: None,
            monitor_gave_up: false,
            steps_max,
        };
        world.join();
        world
    }

    pub(super) fn machine_has_panicked(&self) -> bool {
        self.guard.is_some_and(|guard| guard.panic().is_some())
    }

    /// All units join, with what is saved of them.
    pub(super) fn join(&mut self) {
        for (number, unit) in self.units.iter().enumerate() {
            self.undelivered.push_back(DriverInput::UnitAdded(
                id(number),
                Arc::new(*unit.policy),
                unit.state,
            ));
        }
    }

    pub(super) fn plan(&mut self, at: Moment, unit: usize, run: RunId, event: WorldEvent) {
        self.event_queue.plan(at, PlannedEvent { unit, run, event });
    }

    pub(super) fn violate(&mut self, property: Property) {
        self.violated.get_or_insert(property);
    }

    pub(super) fn require(&mut self, holds: bool, property: Property) {
        if !holds {
            self.violate(property);
        }
    }

    pub(super) const fn record_effect(&mut self, effect: FaultEffect) {
        self.fault_effects = self.fault_effects.with(effect);
    }

    pub(super) fn has(&self, injected_bug: InjectedBug) -> bool {
        self.injected_bug == Some(injected_bug)
    }

    pub(super) fn occur(&mut self, at: Moment, input: DriverInput) -> ObservedInput {
        self.now = at;
        self.last_wake = match input {
            DriverInput::DeadlineReached
                if self.event_queue.next().is_some_and(|next| next <= at) =>
            {
                LastWake::DeadlineTooEarly
            }
            // The case may repeat a timer, too.
            DriverInput::DeadlineReached | DriverInput::Event(_, Event::TimerFired { .. }) => {
                LastWake::Deadline
            }
            DriverInput::Event(..)
            | DriverInput::UnitAdded(..)
            | DriverInput::PolicyChanged(..)
            | DriverInput::Saved(..)
            | DriverInput::UnitRemoved(_)
            | DriverInput::Quit => LastWake::Input,
        };
        ObservedInput::new(self.clocks.read(at, self.injected_bug), input)
    }
}

pub(super) const NANOS_PER_MILLI: u64 = 1_000_000;

/// The driver's name of a unit.
pub(super) fn id(unit: usize) -> UnitId {
    UnitId::new(u32::try_from(unit).unwrap_or(u32::MAX))
}

pub(super) const fn number(unit: UnitId) -> usize {
    unit.as_u32() as usize
}

impl<'a> VirtualUnit<'a> {
    fn new(policy: &'a Policy) -> Self {
        Self {
            policy,
            next_policy: None,
            oracle: SafetyOracle::default(),
            state: State::INITIAL,
            saved: State::INITIAL,
            saving: None,
            unsaved: false,
            pending_saves: VecDeque::new(),
            disk: VirtualDisk::EMPTY,
            spawned: 0,
            entry: None,
            over_by: None,
            at_once: (Moment::ORIGIN, 0),
        }
    }
}

impl VirtualUnit<'_> {
    /// A state was saved, and has survived.
    pub(super) const fn settle(&mut self, state: State) {
        self.disk.settle(state);
        self.saving = Some(state);
        self.saved = state;
        self.unsaved = false;
    }
}

impl Clocks {
    pub(super) fn set(&mut self, jump: Jump) {
        let nanos = |by: Millis| i64::from(by.as_u32()) * NANOS_PER_MILLI as i64;
        self.set = match jump {
            Jump::Ahead(by) => self.set.saturating_add(nanos(by)),
            Jump::Back(by) => self.set.saturating_sub(nanos(by)),
        };
    }

    /// What a backend with this injected bug takes for the time.
    const fn read(self, now: Moment, injected_bug: Option<InjectedBug>) -> Moment {
        match injected_bug {
            Some(InjectedBug::SleepingClock) => Moment::from_nanos(now.as_nanos() + self.asleep),
            Some(InjectedBug::WallClock) => self.wall(now),
            _ => now,
        }
    }

    /// When the monotonic clock is where such a backend waits for.
    pub(super) const fn when(self, deadline: Moment, injected_bug: Option<InjectedBug>) -> Moment {
        let nanos = deadline.as_nanos();
        match injected_bug {
            Some(InjectedBug::SleepingClock) => {
                Moment::from_nanos(nanos.saturating_sub(self.asleep))
            }
            Some(InjectedBug::WallClock) => Moment::from_nanos(
                nanos.saturating_sub(self.asleep).saturating_add_signed(self.set.saturating_neg()),
            ),
            _ => deadline,
        }
    }

    pub(super) const fn wall(self, now: Moment) -> Moment {
        Moment::from_nanos((now.as_nanos() + self.asleep).saturating_add_signed(self.set))
    }
}
