//! The virtual world: an operating system without faults, a case that says which faults to inject, and the
//! backend above it, on a clock that jumps from event to event.
//!
//! The system has numbers, processes, zombies and groups; the disk has files. The backend is the kernel
//! that the driver is given. It keeps the rules of `monitor-os`: it means processes by identity, keeps an
//! ended one as a zombie until its release, asks for every child at each notice and before each signal,
//! saves by a temporary file, and proves the identity of what it adopts. An [`InjectedBug`] breaks one of these
//! rules. The world checks every reported fact against the true state.

mod backend;
mod disk;
mod event_queue;
mod fault_effects;
mod injected_bug;
mod os;
mod pending_replies;

use std::collections::VecDeque;
use std::sync::Arc;

use monitor_core::{
    Event, Exit, Grace, Lifecycle, Millis, Note, Outcome, Phase, Policy, Remains, RunId, State,
    Step, StopMode, TimerKind,
};
use monitor_os::{Driver, DriverInput, Machine, Moment, ObservedInput, Report, UnitId};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use self::backend::BackendRun;
use self::disk::VirtualDisk;
use self::event_queue::{EventQueue, PlannedEvent, WorldEvent};
pub use self::fault_effects::{FaultEffect, FaultEffects};
pub use self::injected_bug::{InjectedBug, MachineUnderTest, WithInjectedBug};
use self::os::{ProcessState, VirtualSystem};
use self::pending_replies::PendingReplies;
use crate::case::{Case, ExitNotice, InputKind, Jump, SignalDelivery};
use crate::guard::{self, Guarded};
use crate::oracle::{Property, SafetyOracle};

/// One step of a trace: an event, its time and its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceLine {
    /// When the event was observed.
    pub at: Moment,
    /// The unit.
    pub unit: UnitId,
    /// The event that the machine received.
    pub event: Event,
    /// The state before.
    pub before: State,
    /// The machine's answer.
    pub step: Step,
}

impl TraceLine {
    /// The event, with the number of its unit unless that is the first: `@1 start`.
    #[must_use]
    pub fn event_text(&self) -> String {
        match self.unit.as_u32() {
            0 => self.event.to_string(),
            unit => format!("@{unit} {}", self.event),
        }
    }
}

/// What a run of a case has shown.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Every step, in order.
    pub trace: Vec<TraceLine>,
    /// The faults that took effect.
    pub fault_effects: FaultEffects,
    /// The first property that was violated; by the last line of the trace, or by its end.
    pub violated: Option<Property>,
    /// The panic that was caught, as one line with its place, where it is the violation.
    pub panic: Option<String>,
}

/// Runs a case through `machine` under the driver, until nothing more can happen, or for `steps_max`
/// steps.
///
/// A case in which the wall clock is set, or the machine sleeps, is run once more each without that: it
/// must make no difference.
pub fn run(case: &Case, machine: impl MachineUnderTest + Copy, steps_max: usize) -> Verdict {
    run_checked(case, machine, steps_max, Checks::All)
}

/// Runs a case as [`run`] does, with some checks only.
pub fn run_checked(
    case: &Case,
    machine: impl MachineUnderTest + Copy,
    steps_max: usize,
    checks: Checks,
) -> Verdict {
    let mut verdict = run_once(case, machine, steps_max, TimeFaults::AsGiven, checks);
    if checks == Checks::None {
        return verdict;
    }
    for (time_faults, property) in [
        (TimeFaults::WithoutJumps, Property::WallChangesNothing),
        (TimeFaults::WithoutSleep, Property::SleepChangesNothing),
    ] {
        if verdict.violated.is_none()
            && case.inputs.iter().any(|input| time_faults.hides(input.kind))
        {
            // The same trace would be checked in the same way.
            let plain = run_once(case, machine, steps_max, time_faults, Checks::None);
            if plain.panic.is_some() {
                verdict = plain;
            } else if plain.trace != verdict.trace {
                verdict.violated = Some(property);
            }
        }
    }
    verdict
}

/// The steps of a case as [`run`] takes them, unchecked.
pub fn trace(
    case: &Case,
    machine: impl MachineUnderTest + Copy,
    steps_max: usize,
) -> Vec<TraceLine> {
    run_checked(case, machine, steps_max, Checks::None).trace
}

/// The checks of a run. A panic is a violation whatever is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// The oracles check each step, and the end is checked: what is owed has come.
    All,
    /// The oracles check each step.
    Steps,
    /// Nothing is checked.
    None,
}

/// Which time faults of a case take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeFaults {
    AsGiven,
    WithoutJumps,
    WithoutSleep,
}

impl TimeFaults {
    const fn hides(self, kind: InputKind) -> bool {
        match self {
            Self::AsGiven => false,
            Self::WithoutJumps => matches!(kind, InputKind::Wall(_)),
            Self::WithoutSleep => matches!(kind, InputKind::Suspend(_)),
        }
    }
}

fn run_once(
    case: &Case,
    machine: impl MachineUnderTest + Copy,
    steps_max: usize,
    time_faults: TimeFaults,
    checks: Checks,
) -> Verdict {
    let world = World::new(case, &machine, machine.injected_bug(), steps_max, time_faults, checks);
    let (verdict, panic) = world.run(machine);
    let Some(first) = panic else { return verdict };
    // Once more, so that the trace ends with the step that has no answer.
    let guard = Guarded::new(&machine, machine.injected_bug());
    let asked = &guard;
    let mut world =
        World::new(case, &asked, machine.injected_bug(), steps_max, time_faults, checks);
    world.guard = Some(&guard);
    let (mut verdict, again) = world.run(&guard);
    let (property, line) = match (guard.panic(), again) {
        (Some(line), _) => (Property::NoPanic, line.to_owned()),
        // Not the machine: the driver above it.
        (None, Some(line)) => (Property::Total, line),
        (None, None) => (Property::NoPanic, first),
    };
    if *verdict.violated.get_or_insert(property) == property {
        verdict.panic = Some(line);
    }
    verdict
}

/// A time by which every lawful stop is over and every loop has shown itself.
const HORIZON: Moment = Moment::from_millis(100 * 24 * 3_600_000);

/// How long after the last input the faults stop by themselves.
const FAULTS_STOP_AFTER: Millis = Millis::from_mins(1);

/// More steps than most cases have.
const TRACE_USUAL: usize = 128;

/// How many steps of a unit at one moment are a loop without time.
const STEPS_AT_ONCE_MAX: u32 = 100;

struct World<'a> {
    case: &'a Case,
    machine: &'a dyn Machine,
    /// The guard around the machine, in a run that is there to show its panic.
    guard: Option<&'a Guarded<'a>>,
    injected_bug: Option<InjectedBug>,
    time_faults: TimeFaults,
    checks: Checks,
    now: Moment,
    clocks: Clocks,
    event_queue: EventQueue,
    next_input: usize,
    /// When the faults stop by themselves, if there are any and they have not.
    faults_stop_at: Option<Moment>,
    faults_stopped: bool,
    os: VirtualSystem<'a>,
    units: Vec<VirtualUnit<'a>>,
    /// Events that the backend has not delivered to the driver yet.
    undelivered: VecDeque<DriverInput>,
    monitor: MonitorStatus,
    pending_replies: PendingReplies,
    rng: Pcg64Mcg,
    trace: Vec<TraceLine>,
    fault_effects: FaultEffects,
    violated: Option<Property>,
    /// Whether the backend has ended the monitor.
    monitor_gave_up: bool,
    steps_max: usize,
}

/// What the world knows of a unit.
struct VirtualUnit<'a> {
    policy: &'a Policy,
    /// The policy that it gets with the next change.
    next_policy: Option<&'a Policy>,
    oracle: SafetyOracle,
    /// The state by the last step that took place.
    state: State,
    /// The state that was saved last, and the one that is being saved.
    saved: State,
    saving: Option<State>,
    /// Whether the last try to save has failed.
    unsaved: bool,
    disk: VirtualDisk,
    spawned: usize,
    /// The run that the backend keeps.
    entry: Option<BackendRun>,
    /// When a stop under way must be over.
    over_by: Option<Moment>,
    /// The moment of the last step, and how many there were at it.
    at_once: (Moment, u32),
}

/// The other clocks, as they differ from the monotonic one.
#[derive(Clone, Copy, Debug, Default)]
struct Clocks {
    /// Nanoseconds for which the machine slept.
    asleep: u64,
    /// Nanoseconds by which the wall clock was set.
    set: i64,
}

/// Whether the monitor runs, dies or is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MonitorStatus {
    Running,
    /// It dies after so many more operations.
    Dying(u8, Outage),
    /// It is dead; whether the step in which it died is still to be reported.
    Dead(Outage, bool),
    /// Another is being started; what the driver of the dead one does until all units have joined again
    /// has no effect.
    Restarting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outage {
    Crash { down: Millis },
    Reboot,
}

impl<'a> World<'a> {
    fn new(
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
            pending_replies: PendingReplies::new(injected_bug),
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

    /// Runs the driver in this world, and checks the end. Returns the panic with which it broke off, if
    /// any; the verdict is on what was noted by then.
    fn run(mut self, machine: impl MachineUnderTest) -> (Verdict, Option<String>) {
        let mut driver = Driver::with_machine(machine);
        let panic = guard::catch(|| driver.run(&mut self)).err();
        if panic.is_none()
            && self.checks == Checks::All
            && self.violated.is_none()
            && (self.monitor_gave_up || self.trace.len() < self.steps_max)
        {
            self.violated = self.check_end();
        }
        let Self { trace, fault_effects, violated, .. } = self;
        (Verdict { trace, fault_effects, violated, panic: None }, panic)
    }

    fn machine_has_panicked(&self) -> bool {
        self.guard.is_some_and(|guard| guard.panic().is_some())
    }

    /// All units join, with what is saved of them.
    fn join(&mut self) {
        for (number, unit) in self.units.iter().enumerate() {
            self.undelivered.push_back(DriverInput::UnitAdded(
                id(number),
                Arc::new(*unit.policy),
                unit.state,
            ));
        }
    }

    fn plan(&mut self, at: Moment, unit: usize, run: RunId, event: WorldEvent) {
        self.event_queue.plan(at, PlannedEvent { unit, run, event });
    }

    fn violate(&mut self, property: Property) {
        self.violated.get_or_insert(property);
    }

    fn require(&mut self, holds: bool, property: Property) {
        if !holds {
            self.violate(property);
        }
    }

    const fn record_effect(&mut self, effect: FaultEffect) {
        self.fault_effects = self.fault_effects.with(effect);
    }

    fn has(&self, injected_bug: InjectedBug) -> bool {
        self.injected_bug == Some(injected_bug)
    }

    const fn occur(&mut self, at: Moment, input: DriverInput) -> ObservedInput {
        self.now = at;
        ObservedInput { at: self.clocks.read(at, self.injected_bug), input }
    }

    /// Whether a fact reported from outside contradicts the true state of the world. Events of a run that is over, and
    /// repeated events do not contradict it.
    fn contradicts_world(&self, unit: usize, event: Event) -> bool {
        let Some(process) = self.os.latest(unit) else { return event.run().is_some() };
        if event.run().is_some_and(|run| run > process.run) {
            return true;
        }
        let current = event.run() == Some(process.run);
        let entry = self.units[unit].entry.filter(|entry| entry.run == process.run);
        match event {
            Event::Exited { .. } => {
                let reported = entry.is_some_and(|entry| entry.end_reported);
                current && (process.ended().is_none() || process.failed || !reported)
            }
            Event::Started { .. } | Event::Ready { .. } => current && process.failed,
            Event::StartFailed { .. } => current && !process.failed,
            Event::Released { .. } => current && !entry.is_some_and(|entry| entry.released),
            Event::TimerFired { .. } | Event::Recovered { .. } => current,
            Event::StartRequested
            | Event::StopRequested { .. }
            | Event::RestartRequested { .. }
            | Event::SignalRequested { .. }
            | Event::PolicyChanged
            | Event::ResetRequested
            | Event::RetryRequested
            | Event::Ping { .. }
            | Event::Extended { .. }
            | Event::Unhealthy { .. } => false,
        }
    }

    /// Delivers the next input; returns the event for the driver, if there is one.
    fn deliver_input(&mut self, at: Moment) -> Option<DriverInput> {
        let input = self.case.inputs.get(self.next_input)?;
        self.next_input += 1;
        let unit = usize::from(input.unit);
        self.units.get(unit)?;
        if self.time_faults.hides(input.kind) {
            return None;
        }
        match &input.kind {
            InputKind::Event(event) if self.contradicts_world(unit, *event) => None,
            InputKind::Event(event) => {
                if self.has(InjectedBug::ForwardsByNumber)
                    && let Event::SignalRequested { .. } = event
                {
                    self.forward(unit);
                }
                let requested = is_request(*event);
                if requested {
                    self.pending_replies.note_request();
                }
                let next = self.case.inputs.get(self.next_input);
                let collapses = self.has(InjectedBug::CollapsesRequests)
                    && next.is_some_and(|next| {
                        (next.at, next.unit) == (input.at, input.unit)
                            && matches!(next.kind, InputKind::Event(next) if is_request(next))
                    });
                if requested && collapses {
                    return None;
                }
                Some(DriverInput::Event(id(unit), *event))
            }
            InputKind::Policy(policy) => {
                self.units[unit].next_policy = Some(policy);
                Some(DriverInput::PolicyChanged(id(unit), Arc::new(*policy)))
            }
            &InputKind::Crash { after, down } => self.die_after(at, after, Outage::Crash { down }),
            &InputKind::Reboot { after } => self.die_after(at, after, Outage::Reboot),
            InputKind::StopFaults => {
                self.stop_faults(at);
                self.undelivered.pop_front()
            }
            InputKind::Wall(jump) => {
                self.clocks.set(*jump);
                if self.units.iter().any(|unit| !unit.state.phase().is_down()) {
                    self.record_effect(FaultEffect::WallJump);
                }
                None
            }
            InputKind::Suspend(time) => {
                self.clocks.asleep += u64::from(time.as_u32()) * NANOS_PER_MILLI;
                if self.units.iter().any(|unit| !unit.state.phase().is_down()) {
                    self.record_effect(FaultEffect::Sleep);
                }
                None
            }
        }
    }

    /// Stops all faults.
    fn stop_faults(&mut self, at: Moment) {
        self.now = at;
        self.faults_stopped = true;
        self.faults_stop_at = None;
        for process in self.os.all_mut() {
            process.output = false;
        }
        self.notified();
    }

    /// Delivers a planned event; returns the event for the driver, if there is one.
    fn deliver_planned(&mut self, at: Moment, planned: PlannedEvent) -> Option<DriverInput> {
        let PlannedEvent { unit, run, event } = planned;
        let current = self.os.latest(unit).is_some_and(|process| process.run == run);
        if event == WorldEvent::Acknowledge {
            // Also of a run that is over by now.
            self.acknowledge(unit, run);
            return Some(DriverInput::Event(id(unit), Event::Started { run }));
        }
        let process = *self.os.find(unit, run)?;
        let alive = process.state == ProcessState::Alive && current;
        let event = match event {
            WorldEvent::Acknowledge => None,
            WorldEvent::FailStart => self.fail_start(&process),
            WorldEvent::Die(exit) => {
                let mut noticed = self.die(at, unit, run, exit);
                let mut ends = u32::from(noticed);
                while let Some(other) = self.event_queue.pop_death(at) {
                    if let WorldEvent::Die(exit) = other.event {
                        let heard = self.die(at, other.unit, other.run, exit);
                        ends += u32::from(heard);
                        noticed |= heard;
                    }
                }
                if ends > 1 {
                    self.record_effect(FaultEffect::NoticesMerged);
                }
                if noticed {
                    self.now = at;
                    self.notified();
                }
                return self.undelivered.pop_front();
            }
            WorldEvent::Notice => {
                self.record_effect(if process.script.notice == ExitNotice::Twice {
                    FaultEffect::NoticeTwice
                } else {
                    FaultEffect::NoticeLate
                });
                self.now = at;
                self.notified();
                return self.undelivered.pop_front();
            }
            WorldEvent::OutputEnds => {
                if let Some(process) = self.os.find_mut(unit, run) {
                    process.output = false;
                }
                if self.has(InjectedBug::EndIsEndOfOutput) {
                    self.now = at;
                    self.notified();
                }
                return self.undelivered.pop_front();
            }
            WorldEvent::LeftoverDies => {
                if !process.members {
                    return None;
                }
                if let Some(process) = self.os.find_mut(unit, run) {
                    process.members = false;
                }
                return self.members_gone(unit, run);
            }
            WorldEvent::Ready => alive.then_some(Event::Ready { run }),
            WorldEvent::Unhealthy => alive.then_some(Event::Unhealthy { run }),
            WorldEvent::Ping => {
                let beats = process.script.pings.filter(|_| alive)?;
                // A process that pings for ever would keep the world awake for ever.
                if self.trace.len() < self.steps_max {
                    self.plan(at.after(beats), unit, run, WorldEvent::Ping);
                }
                Some(Event::Ping { run })
            }
            WorldEvent::Extend => {
                let every = process.script.extends.filter(|_| alive)?;
                if self.trace.len() < self.steps_max {
                    self.plan(at.after(every), unit, run, WorldEvent::Extend);
                }
                Some(Event::Extended { run, by: every.saturating_add(every) })
            }
        };
        event
            .filter(|&event| self.passes_stamps(at, unit, event))
            .map(|event| DriverInput::Event(id(unit), event))
    }

    /// Ends a process; returns whether the monitor is notified at once.
    fn die(&mut self, at: Moment, unit: usize, run: RunId, exit: Exit) -> bool {
        let faults_stopped = self.faults_stopped;
        let Some(process) = self.os.find_mut(unit, run) else { return false };
        if process.state != ProcessState::Alive {
            return false;
        }
        process.state = ProcessState::Zombie(exit);
        let script = process.script;
        if let Some(output) = script.output.filter(|_| !faults_stopped) {
            process.output = true;
            if let crate::case::OutputHold::For(time) = output {
                self.plan(at.after(time), unit, run, WorldEvent::OutputEnds);
            }
        }
        match script.notice {
            _ if faults_stopped => true,
            ExitNotice::Once => true,
            ExitNotice::Twice => {
                self.plan(at.after(Millis::new(1)), unit, run, WorldEvent::Notice);
                true
            }
            ExitNotice::Late(delay) => {
                self.plan(at.after(delay), unit, run, WorldEvent::Notice);
                false
            }
            ExitNotice::Lost => false,
        }
    }

    // The death and the restart of the monitor.

    /// Lets the monitor die after so many operations; returns the event of its restart if it dies at once.
    fn die_after(&mut self, at: Moment, after: u8, outage: Outage) -> Option<DriverInput> {
        if self.monitor != MonitorStatus::Running {
            return None;
        }
        if after > 0 {
            self.monitor = MonitorStatus::Dying(after, outage);
            return None;
        }
        if !self.may_die() {
            return None;
        }
        self.now = at;
        self.monitor = MonitorStatus::Dead(outage, false);
        self.lose_power(outage);
        self.restart_monitor();
        self.undelivered.pop_front()
    }

    /// No monitor could find a process that no saved state knows of, so the monitor does not die with one.
    fn may_die(&self) -> bool {
        let known = |unit: &VirtualUnit<'_>| unit.saved == unit.state;
        let ran = |(number, unit): (usize, &VirtualUnit<'_>)| {
            self.os.find(number, unit.saved.run()).is_some()
        };
        self.units.iter().all(known) && self.units.iter().enumerate().any(ran)
    }

    /// Counts an operation of the monitor, unless a state is not saved; returns whether it is carried out.
    fn operate(&mut self) -> bool {
        if self.violated.is_some() || self.trace.len() >= self.steps_max {
            // A machine that answers a failed start with the next one would never come back to wait.
            return false;
        }
        match self.monitor {
            MonitorStatus::Running => true,
            MonitorStatus::Dying(..) if self.units.iter().any(|unit| unit.unsaved) => true,
            MonitorStatus::Dead(..) | MonitorStatus::Restarting => false,
            MonitorStatus::Dying(left, outage) => {
                self.monitor = match left.saturating_sub(1) {
                    0 => MonitorStatus::Dead(outage, true),
                    left => MonitorStatus::Dying(left, outage),
                };
                true
            }
        }
    }

    /// The monitor is dead, what it does has no effect.
    const fn is_dead(&self) -> bool {
        matches!(self.monitor, MonitorStatus::Dead(..) | MonitorStatus::Restarting)
    }

    fn lose_power(&mut self, outage: Outage) {
        if outage != Outage::Reboot {
            return;
        }
        let mut lost = false;
        for unit in &mut self.units {
            lost |= unit.disk.lose_power(self.case.disk);
        }
        if lost {
            self.record_effect(FaultEffect::ContentLost);
        }
    }

    /// Starts the monitor again with what it finds.
    fn restart_monitor(&mut self) {
        let MonitorStatus::Dead(outage, _) = self.monitor else { return };
        self.monitor = MonitorStatus::Restarting;
        self.undelivered.clear();
        self.pending_replies.clear();
        let down = match outage {
            Outage::Crash { down } => down,
            Outage::Reboot => Millis::ZERO,
        };
        if down > Millis::ZERO {
            self.pass_without_monitor(self.now.after(down));
        }
        for number in 0..self.units.len() {
            let state = self.read_saved(number);
            let unit = &mut self.units[number];
            unit.state = state;
            unit.saved = state;
            unit.saving = None;
            unit.over_by = None;
            unit.oracle = unit.oracle.after_crash();
        }
        self.join();
        for number in 0..self.units.len() {
            let found = self.recover_run(number, outage);
            let run = self.units[number].state.run();
            if !self.has(InjectedBug::ServesUnread) {
                let event = Event::Recovered { run, found };
                self.undelivered.push_back(DriverInput::Event(id(number), event));
            }
            // Another policy that was given meanwhile, or in the last step before the death.
            if let Some(policy) = self.units[number].next_policy {
                self.undelivered
                    .push_back(DriverInput::PolicyChanged(id(number), Arc::new(*policy)));
            }
        }
    }

    /// Lets time pass without a monitor: events are lost, and others reap what ends.
    fn pass_without_monitor(&mut self, until: Moment) {
        while self.event_queue.next().is_some_and(|at| at <= until) {
            if let Some((at, planned)) = self.event_queue.pop() {
                let PlannedEvent { unit, run, event } = planned;
                match event {
                    WorldEvent::Die(exit) => {
                        self.die(at, unit, run, exit);
                        self.record_effect(FaultEffect::EndUnseen);
                    }
                    WorldEvent::LeftoverDies => {
                        if let Some(process) = self.os.find_mut(unit, run) {
                            process.members = false;
                        }
                    }
                    WorldEvent::Ping | WorldEvent::Extend => {
                        self.deliver_planned(at, planned);
                    }
                    WorldEvent::Acknowledge
                    | WorldEvent::FailStart
                    | WorldEvent::OutputEnds
                    | WorldEvent::Notice
                    | WorldEvent::Ready
                    | WorldEvent::Unhealthy => {}
                }
            }
        }
        while let Some(input) = self.case.inputs.get(self.next_input)
            && Moment::ORIGIN.after(input.at) <= until
        {
            match &input.kind {
                InputKind::Event(_) | InputKind::Crash { .. } | InputKind::Reboot { .. } => {
                    self.next_input += 1
                }
                InputKind::Policy(_)
                | InputKind::StopFaults
                | InputKind::Wall(_)
                | InputKind::Suspend(_) => {
                    self.deliver_input(until);
                }
            }
        }
        self.undelivered.clear();
        self.now = until;
    }

    // What is checked.

    /// Checks a world in which nothing more can happen.
    fn check_end(&self) -> Option<Property> {
        if self.monitor_gave_up {
            return Some(Property::Total);
        }
        if !self.pending_replies.has_handled_all() {
            return Some(Property::OneReply);
        }
        for number in 0..self.units.len() {
            let unit = &self.units[number];
            let latest = self.os.latest(number);
            let alive = latest.is_some_and(|process| process.state == ProcessState::Alive);
            let phase = unit.state.phase();
            let patient = self.may_wait_for_ever(number);
            if unit.oracle.is_stopping() && !phase.is_down() && !patient {
                return Some(Property::StopEnds);
            }
            let waits_for_life = phase.is_live() && alive;
            let waits_for_ever = patient && matches!(phase, Phase::Releasing | Phase::Stopping);
            if !phase.is_down() && !waits_for_life && !waits_for_ever {
                return Some(Property::NeverStuck);
            }
            if phase.is_down() && alive {
                return Some(Property::StoppedMeansGone);
            }
            let over = |run: RunId| run != unit.state.run() || phase.is_down();
            let mut all = self.os.all().filter(|process| process.unit == number);
            if all.any(|process| {
                matches!(process.state, ProcessState::Zombie(_)) && over(process.run)
            }) {
                return Some(Property::ReapedOnce);
            }
        }
        None
    }

    /// Whether a stop without a kill may have begun: by a request, or under a policy that has none. A stop
    /// keeps the grace with which it began.
    fn may_wait_for_ever(&self, unit: usize) -> bool {
        let endless = |policy: &Policy| policy.rules().stop.grace.is_none();
        let concerned = |input: &&crate::case::TimedInput| usize::from(input.unit) == unit;
        endless(self.case.unit(unit).0)
            || self.case.inputs.iter().filter(concerned).any(|input| match &input.kind {
                InputKind::Policy(policy) => endless(policy),
                InputKind::Event(Event::StopRequested { mode, .. }) => {
                    *mode == StopMode::Graceful(Grace::Never)
                }
                InputKind::Event(event) => {
                    *event == Event::RestartRequested { grace: Grace::Never }
                }
                InputKind::Crash { .. }
                | InputKind::Reboot { .. }
                | InputKind::StopFaults
                | InputKind::Wall(_)
                | InputKind::Suspend(_) => false,
            })
    }

    /// Takes note of a step and checks it.
    fn observe(&mut self, report: &Report<'_>) {
        let number = number(report.unit);
        let Report { at, unit, before, event, step, .. } = *report;
        self.trace.push(TraceLine { at, unit, event, before, step });
        let unit = &mut self.units[number];
        if matches!(event, Event::PolicyChanged) {
            unit.policy = unit.next_policy.take().unwrap_or(unit.policy);
        }
        unit.state = step.state;
        if self.checks != Checks::None && !self.machine_has_panicked() {
            self.check_step(number, report);
        }
        if self.machine_has_panicked() {
            self.violated = Some(Property::NoPanic);
        }
    }

    fn check_step(&mut self, number: usize, report: &Report<'_>) {
        let Report { at, policy, ref before, ref event, ref step, .. } = *report;
        let unit = &mut self.units[number];
        if let Err(property) = unit.oracle.observe_step(policy, before, event, step) {
            self.violate(property);
            return;
        }
        let count = if unit.at_once.0 == at { unit.at_once.1 + 1 } else { 0 };
        unit.at_once = (at, count);
        self.require(count < STEPS_AT_ONCE_MAX, Property::NoHotLoop);
        self.check_against_world(number, report);
        self.check_deadline(number, report);
        if self.pending_replies.concerns(report)
            && let Some(property) = self.pending_replies.check(report)
        {
            self.violate(property);
        }
    }

    /// Checks the reported facts against the true state of the world.
    fn check_against_world(&mut self, unit: usize, report: &Report<'_>) {
        let state = report.step.state;
        if let Outcome::Exited(reported) = state.outcome()
            && let Some(process) = self.os.latest(unit)
            && process.run == state.run()
        {
            self.require(process.ended() == Some(reported), Property::TrueStatus);
        }
        let current = |run| run == report.before.run();
        if let Event::Started { run } = report.event
            && current(run)
        {
            let failed = self.os.find(unit, run).is_some_and(|process| process.failed);
            self.require(!failed, Property::StartFailures);
        }
        if let Event::TimerFired { timer } = report.event
            && timer.kind == TimerKind::Watchdog
            && report.step.note == Note::Applied
        {
            let reported = self.os.find(unit, timer.run).is_none_or(|run| run.watchdog.is_some());
            self.require(reported, Property::PolicyStartsNothing);
        }
        // Which of the two comes first makes no difference to where a run ends.
        if let Event::Exited { run, .. } = report.event
            && current(run)
            && report.before.phase() == Phase::Starting
        {
            let step = |state, event| self.machine.step(report.policy, state, event).state;
            let started = step(report.before, Event::Started { run });
            let same = step(started, report.event) == state;
            self.require(same, Property::EarlyEnd);
        }
        let gone = matches!(
            report.step.actions.emit,
            Some(
                Lifecycle::Stopped { remains: Remains::Nothing }
                    | Lifecycle::GaveUp { remains: Remains::Nothing }
            )
        );
        if gone {
            let there =
                self.os.latest(unit).is_some_and(|process| process.state == ProcessState::Alive);
            self.require(!there, Property::StoppedMeansGone);
        }
    }

    /// A stop is over in the time that its rule gives it, and a little for what is late. While a spawn is
    /// in flight nothing can be stopped.
    fn check_deadline(&mut self, number: usize, report: &Report<'_>) {
        let late = self.case.timers_late;
        let unit = &mut self.units[number];
        let (before, after) = (report.before.phase(), report.step.state.phase());
        if unit.over_by.is_none() && !is_going_down(after) {
            return;
        }
        let in_flight = matches!(before, Phase::Cancelling | Phase::Aborting);
        let overdue = unit.over_by.is_some_and(|by| report.at > by) && !in_flight;
        let stop = report.policy.rules().stop;
        let asked = if let Event::StopRequested { mode: StopMode::Graceful(grace), .. }
        | Event::RestartRequested { grace } = report.event
        {
            grace
        } else {
            Grace::Policy
        };
        let first = match asked {
            Grace::Policy => stop.grace,
            Grace::After(grace) => Some(grace),
            Grace::Never => None,
        };
        let within = |first: Millis, release: Millis| {
            let lates = (0..6).fold(report.at, |at, _| at.after(late));
            let stopped = lates.after(first).after(release);
            stopped.after(stop.kill_window).after(stop.kill_window).after(SLACK)
        };
        let applied = report.step.note == Note::Applied;
        let killed = matches!(before, Phase::Killing | Phase::Purging);
        let again = matches!(report.event, Event::Recovered { .. } | Event::PolicyChanged);
        unit.over_by = match (stop.grace, first) {
            _ if !is_going_down(after) => None,
            (None, _) => None,
            (Some(release), Some(first)) if !is_going_down(before) => Some(within(first, release)),
            (Some(release), _) if again || in_flight => {
                // The grace with which it began stands, and the windows after it are those of the new policy.
                let windows = |by: Moment| by.after(stop.kill_window).after(stop.kill_window);
                unit.over_by.map(|by| windows(by).max(within(release, release)))
            }
            // A second stop may end one that would not; once it is killed it adds nothing.
            (Some(release), Some(first)) if asked != Grace::Policy && applied && !killed => {
                Some(unit.over_by.unwrap_or_else(|| within(first, release)))
            }
            _ => unit.over_by,
        };
        let refused = |script: &crate::case::Script| script.signals == SignalDelivery::Refused;
        if overdue && !self.case.unit(number).1.iter().any(refused) {
            self.violate(Property::StopEnds);
        }
    }
}

const fn is_request(event: Event) -> bool {
    matches!(
        event,
        Event::StartRequested
            | Event::StopRequested { .. }
            | Event::RestartRequested { .. }
            | Event::SignalRequested { .. }
            | Event::ResetRequested
            | Event::RetryRequested
    )
}

/// How much longer than its rules a stop may take.
const SLACK: Millis = Millis::from_secs(1);

const NANOS_PER_MILLI: u64 = 1_000_000;

const fn is_going_down(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Cancelling
            | Phase::Aborting
            | Phase::Stopping
            | Phase::Killing
            | Phase::Releasing
            | Phase::Purging
    )
}

/// The driver's name of a unit.
fn id(unit: usize) -> UnitId {
    UnitId::new(u32::try_from(unit).unwrap_or(u32::MAX))
}

const fn number(unit: UnitId) -> usize {
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
    const fn settle(&mut self, state: State) {
        self.disk.settle(state);
        self.saving = Some(state);
        self.saved = state;
        self.unsaved = false;
    }
}

impl Clocks {
    fn set(&mut self, jump: Jump) {
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
    const fn when(self, deadline: Moment, injected_bug: Option<InjectedBug>) -> Moment {
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

    const fn wall(self, now: Moment) -> Moment {
        Moment::from_nanos((now.as_nanos() + self.asleep).saturating_add_signed(self.set))
    }
}
