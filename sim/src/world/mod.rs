//! The virtual world: an operating system that is honest, a case that says what goes wrong in it, and the
//! backend above it, on a clock that jumps from event to event.
//!
//! The system has numbers, processes, zombies and groups; the disk has files. The backend is the kernel
//! that the driver is given. It keeps the rules of `monitor-os`: it means processes by identity, keeps an
//! ended one as a zombie until its release, asks for every child at each notice and before each signal,
//! saves by a temporary file, and proves the identity of what it adopts. A [`InjectedBug`] is one of these rules
//! broken. What is told is held against what is the case.

mod agenda;
mod backend;
mod disk;
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
use monitor_os::{Driver, Happening, Machine, Moment, Occurrence, Report, UnitId};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use self::agenda::{Agenda, Deed, Turn};
use self::backend::Entry;
use self::disk::Disk;
pub use self::fault_effects::{FaultEffect, FaultEffects};
pub use self::injected_bug::{InjectedBug, MachineUnderTest, WithInjectedBug};
use self::os::{Life, Os};
use self::pending_replies::PendingReplies;
use crate::case::{Case, Jump, Notice, Signals, What};
use crate::guard::{self, Guarded};
use crate::oracle::{Property, SafetyOracle};

/// One step of a trace: what was told when, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceLine {
    /// When the event was observed.
    pub at: Moment,
    /// Who was told.
    pub unit: UnitId,
    /// What the machine was told.
    pub event: Event,
    /// The state before.
    pub before: State,
    /// The machine's answer.
    pub step: Step,
}

impl TraceLine {
    /// What is told, with the number of its unit if that is not the first: `@1 start`.
    #[must_use]
    pub fn told(&self) -> String {
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
    /// What went wrong in the world and was coped with.
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
    let mut verdict = run_once(case, machine, steps_max, Sky::AsGiven, checks);
    if checks == Checks::None {
        return verdict;
    }
    for (sky, property) in [
        (Sky::WithoutJumps, Property::WallChangesNothing),
        (Sky::WithoutSleep, Property::SleepChangesNothing),
    ] {
        if verdict.violated.is_none() && case.inputs.iter().any(|input| sky.hides(input.what)) {
            // The same trace would be checked in the same way.
            let plain = run_once(case, machine, steps_max, sky, Checks::None);
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

/// What of the sky's accidents takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sky {
    AsGiven,
    WithoutJumps,
    WithoutSleep,
}

impl Sky {
    const fn hides(self, what: What) -> bool {
        match self {
            Self::AsGiven => false,
            Self::WithoutJumps => matches!(what, What::Wall(_)),
            Self::WithoutSleep => matches!(what, What::Suspend(_)),
        }
    }
}

fn run_once(
    case: &Case,
    machine: impl MachineUnderTest + Copy,
    steps_max: usize,
    sky: Sky,
    checks: Checks,
) -> Verdict {
    let world = World::new(case, &machine, machine.injected_bug(), steps_max, sky, checks);
    let (verdict, panic) = world.run(machine);
    let Some(first) = panic else { return verdict };
    // Once more, so that the trace ends with the step that has no answer.
    let guard = Guarded::new(&machine, machine.injected_bug());
    let asked = &guard;
    let mut world = World::new(case, &asked, machine.injected_bug(), steps_max, sky, checks);
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

/// How long after the last input the world heals by itself.
const HEALS_AFTER: Millis = Millis::from_mins(1);

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
    sky: Sky,
    checks: Checks,
    now: Moment,
    clocks: Clocks,
    agenda: Agenda,
    next_input: usize,
    /// When the world heals by itself, if there is something to heal and it has not.
    heals: Option<Moment>,
    healed: bool,
    os: Os<'a>,
    units: Vec<Unit<'a>>,
    /// What the backend knows and has not told the driver yet.
    news: VecDeque<Happening>,
    dying: Dying,
    pending_replies: PendingReplies,
    rng: Pcg64Mcg,
    trace: Vec<TraceLine>,
    fault_effects: FaultEffects,
    violated: Option<Property>,
    /// Whether the backend has ended the monitor.
    gave_up: bool,
    steps_max: usize,
}

/// What the world knows of a unit.
struct Unit<'a> {
    policy: &'a Policy,
    /// The policy that it is to have, until it was told so.
    amended: Option<&'a Policy>,
    oracle: SafetyOracle,
    /// The state by the last step that took place.
    state: State,
    /// The state that was saved last, and the one that is being saved.
    saved: State,
    saving: Option<State>,
    /// Whether the last try to save has failed.
    unsaved: bool,
    disk: Disk,
    spawned: usize,
    /// The run that the backend keeps.
    entry: Option<Entry>,
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

/// The death of the monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dying {
    No,
    /// It dies after so many more operations.
    After(u8, Accident),
    /// It is dead; whether the step in which it died is still to be told.
    Dead(Accident, bool),
    /// Another is being started; what the driver of the dead one does until all units have joined again
    /// has no effect.
    Rising,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accident {
    Crash { down: Millis },
    Reboot,
}

impl<'a> World<'a> {
    fn new(
        case: &'a Case,
        machine: &'a dyn Machine,
        injected_bug: Option<InjectedBug>,
        steps_max: usize,
        sky: Sky,
        checks: Checks,
    ) -> Self {
        let units = (0..case.units()).map(|unit| Unit::new(case.unit(unit).0)).collect();
        let last = case.inputs.last().map_or(Millis::ZERO, |input| input.at);
        let mut world = Self {
            case,
            machine,
            guard: None,
            injected_bug,
            sky,
            checks,
            now: Moment::ORIGIN,
            clocks: Clocks::default(),
            agenda: Agenda::default(),
            next_input: 0,
            heals: case.is_faulty().then(|| Moment::ORIGIN.after(last).after(HEALS_AFTER)),
            healed: false,
            os: Os::new(case.pids),
            units,
            news: VecDeque::new(),
            dying: Dying::No,
            pending_replies: PendingReplies::new(injected_bug),
            rng: Pcg64Mcg::seed_from_u64(case.seed),
            trace: Vec::with_capacity(steps_max.min(TRACE_USUAL)),
            fault_effects: FaultEffects::default(),
            violated: None,
            gave_up: false,
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
            && (self.gave_up || self.trace.len() < self.steps_max)
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
            self.news.push_back(Happening::Joined(id(number), Arc::new(*unit.policy), unit.state));
        }
    }

    fn plan(&mut self, at: Moment, unit: usize, run: RunId, deed: Deed) {
        self.agenda.plan(at, Turn { unit, run, deed });
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

    const fn occur(&mut self, at: Moment, happening: Happening) -> Occurrence {
        self.now = at;
        Occurrence { at: self.clocks.read(at, self.injected_bug), happening }
    }

    /// Whether a fact told from outside contradicts what is the case. News of a run that is over, and
    /// doubled news, are no lies.
    fn is_lie(&self, unit: usize, event: Event) -> bool {
        let Some(process) = self.os.latest(unit) else { return event.run().is_some() };
        if event.run().is_some_and(|run| run > process.run) {
            return true;
        }
        let current = event.run() == Some(process.run);
        let entry = self.units[unit].entry.filter(|entry| entry.run == process.run);
        match event {
            Event::Exited { .. } => {
                let told = entry.is_some_and(|entry| entry.told);
                current && (process.ended().is_none() || process.failed || !told)
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

    /// Takes the next input; returns what the driver is told of it, if anything.
    fn take_input(&mut self, at: Moment) -> Option<Happening> {
        let input = self.case.inputs.get(self.next_input)?;
        self.next_input += 1;
        let unit = usize::from(input.unit);
        self.units.get(unit)?;
        if self.sky.hides(input.what) {
            return None;
        }
        match &input.what {
            What::Tell(event) if self.is_lie(unit, *event) => None,
            What::Tell(event) => {
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
                            && matches!(next.what, What::Tell(next) if is_request(next))
                    });
                if requested && collapses {
                    return None;
                }
                Some(Happening::Told(id(unit), *event))
            }
            What::Amend(policy) => {
                self.units[unit].amended = Some(policy);
                Some(Happening::Amended(id(unit), Arc::new(*policy)))
            }
            &What::Crash { after, down } => self.die_after(at, after, Accident::Crash { down }),
            &What::Reboot { after } => self.die_after(at, after, Accident::Reboot),
            What::Heal => {
                self.heal(at);
                self.news.pop_front()
            }
            What::Wall(jump) => {
                self.clocks.set(*jump);
                if self.units.iter().any(|unit| !unit.state.phase().is_down()) {
                    self.record_effect(FaultEffect::WallJump);
                }
                None
            }
            What::Suspend(time) => {
                self.clocks.asleep += u64::from(time.as_u32()) * NANOS_PER_MILLI;
                if self.units.iter().any(|unit| !unit.state.phase().is_down()) {
                    self.record_effect(FaultEffect::Sleep);
                }
                None
            }
        }
    }

    /// From now on nothing goes wrong.
    fn heal(&mut self, at: Moment) {
        self.now = at;
        self.healed = true;
        self.heals = None;
        for process in self.os.all_mut() {
            process.output = false;
        }
        self.notified();
    }

    /// Lets the world take its next turn; returns what the driver is told of it, if anything.
    fn take(&mut self, at: Moment, turn: Turn) -> Option<Happening> {
        let Turn { unit, run, deed } = turn;
        let current = self.os.latest(unit).is_some_and(|process| process.run == run);
        if deed == Deed::Acknowledge {
            // Also of a run that is over by now.
            self.acknowledge(unit, run);
            return Some(Happening::Told(id(unit), Event::Started { run }));
        }
        let process = *self.os.find(unit, run)?;
        let alive = process.life == Life::Alive && current;
        let event = match deed {
            Deed::Acknowledge => None,
            Deed::FailStart => self.fail_start(&process),
            Deed::Die(exit) => {
                let mut noticed = self.die(at, unit, run, exit);
                let mut ends = u32::from(noticed);
                while let Some(other) = self.agenda.pop_death(at) {
                    if let Deed::Die(exit) = other.deed {
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
                return self.news.pop_front();
            }
            Deed::Notice => {
                self.record_effect(if process.script.notice == Notice::Twice {
                    FaultEffect::NoticeTwice
                } else {
                    FaultEffect::NoticeLate
                });
                self.now = at;
                self.notified();
                return self.news.pop_front();
            }
            Deed::OutputEnds => {
                if let Some(process) = self.os.find_mut(unit, run) {
                    process.output = false;
                }
                if self.has(InjectedBug::EndIsEndOfOutput) {
                    self.now = at;
                    self.notified();
                }
                return self.news.pop_front();
            }
            Deed::LeftoverDies => {
                if !process.members {
                    return None;
                }
                if let Some(process) = self.os.find_mut(unit, run) {
                    process.members = false;
                }
                return self.members_gone(unit, run);
            }
            Deed::Ready => alive.then_some(Event::Ready { run }),
            Deed::Unhealthy => alive.then_some(Event::Unhealthy { run }),
            Deed::Ping => {
                let beats = process.script.pings.filter(|_| alive)?;
                // A process that pings for ever would keep the world awake for ever.
                if self.trace.len() < self.steps_max {
                    self.plan(at.after(beats), unit, run, Deed::Ping);
                }
                Some(Event::Ping { run })
            }
            Deed::Extend => {
                let every = process.script.extends.filter(|_| alive)?;
                if self.trace.len() < self.steps_max {
                    self.plan(at.after(every), unit, run, Deed::Extend);
                }
                Some(Event::Extended { run, by: every.saturating_add(every) })
            }
        };
        event
            .filter(|&event| self.passes_stamps(at, unit, event))
            .map(|event| Happening::Told(id(unit), event))
    }

    /// Ends a process; returns whether the monitor is notified at once.
    fn die(&mut self, at: Moment, unit: usize, run: RunId, exit: Exit) -> bool {
        let healed = self.healed;
        let Some(process) = self.os.find_mut(unit, run) else { return false };
        if process.life != Life::Alive {
            return false;
        }
        process.life = Life::Zombie(exit);
        let script = process.script;
        if let Some(output) = script.output.filter(|_| !healed) {
            process.output = true;
            if let crate::case::Output::For(time) = output {
                self.plan(at.after(time), unit, run, Deed::OutputEnds);
            }
        }
        match script.notice {
            _ if healed => true,
            Notice::Once => true,
            Notice::Twice => {
                self.plan(at.after(Millis::new(1)), unit, run, Deed::Notice);
                true
            }
            Notice::Late(delay) => {
                self.plan(at.after(delay), unit, run, Deed::Notice);
                false
            }
            Notice::Lost => false,
        }
    }

    // The death of the monitor.

    /// Lets the monitor die after so many operations; returns what it is told if that is at once.
    fn die_after(&mut self, at: Moment, after: u8, accident: Accident) -> Option<Happening> {
        if self.dying != Dying::No {
            return None;
        }
        if after > 0 {
            self.dying = Dying::After(after, accident);
            return None;
        }
        if !self.may_die() {
            return None;
        }
        self.now = at;
        self.dying = Dying::Dead(accident, false);
        self.lose_power(accident);
        self.begin_again();
        self.news.pop_front()
    }

    /// A process that no saved state knows of is nobody's, so the monitor does not die with one.
    fn may_die(&self) -> bool {
        let known = |unit: &Unit<'_>| unit.saved == unit.state;
        let ran =
            |(number, unit): (usize, &Unit<'_>)| self.os.find(number, unit.saved.run()).is_some();
        self.units.iter().all(known) && self.units.iter().enumerate().any(ran)
    }

    /// Counts an operation of the monitor, unless a state is not saved; returns whether it is carried out.
    fn operate(&mut self) -> bool {
        if self.violated.is_some() || self.trace.len() >= self.steps_max {
            // A machine that answers a failed start with the next one would never come back to wait.
            return false;
        }
        match self.dying {
            Dying::No => true,
            Dying::After(..) if self.units.iter().any(|unit| unit.unsaved) => true,
            Dying::Dead(..) | Dying::Rising => false,
            Dying::After(left, accident) => {
                self.dying = match left.saturating_sub(1) {
                    0 => Dying::Dead(accident, true),
                    left => Dying::After(left, accident),
                };
                true
            }
        }
    }

    /// The monitor is dead, what it does has no effect.
    const fn is_dead(&self) -> bool {
        matches!(self.dying, Dying::Dead(..) | Dying::Rising)
    }

    fn lose_power(&mut self, accident: Accident) {
        if accident != Accident::Reboot {
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
    fn begin_again(&mut self) {
        let Dying::Dead(accident, _) = self.dying else { return };
        self.dying = Dying::Rising;
        self.news.clear();
        self.pending_replies.clear();
        let down = match accident {
            Accident::Crash { down } => down,
            Accident::Reboot => Millis::ZERO,
        };
        if down > Millis::ZERO {
            self.pass_alone(self.now.after(down));
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
            let found = self.find_again(number, accident);
            let run = self.units[number].state.run();
            if !self.has(InjectedBug::ServesUnread) {
                let event = Event::Recovered { run, found };
                self.news.push_back(Happening::Told(id(number), event));
            }
            // Another policy that was given meanwhile, or in the last step before the death.
            if let Some(policy) = self.units[number].amended {
                self.news.push_back(Happening::Amended(id(number), Arc::new(*policy)));
            }
        }
    }

    /// Lets time pass without a monitor: nobody hears, and others reap those who end.
    fn pass_alone(&mut self, until: Moment) {
        while self.agenda.next().is_some_and(|at| at <= until) {
            if let Some((at, turn)) = self.agenda.pop() {
                let Turn { unit, run, deed } = turn;
                match deed {
                    Deed::Die(exit) => {
                        self.die(at, unit, run, exit);
                        self.record_effect(FaultEffect::EndUnseen);
                    }
                    Deed::LeftoverDies => {
                        if let Some(process) = self.os.find_mut(unit, run) {
                            process.members = false;
                        }
                    }
                    Deed::Ping | Deed::Extend => {
                        self.take(at, turn);
                    }
                    Deed::Acknowledge
                    | Deed::FailStart
                    | Deed::OutputEnds
                    | Deed::Notice
                    | Deed::Ready
                    | Deed::Unhealthy => {}
                }
            }
        }
        while let Some(input) = self.case.inputs.get(self.next_input)
            && Moment::ORIGIN.after(input.at) <= until
        {
            match &input.what {
                What::Tell(_) | What::Crash { .. } | What::Reboot { .. } => self.next_input += 1,
                What::Amend(_) | What::Heal | What::Wall(_) | What::Suspend(_) => {
                    self.take_input(until);
                }
            }
        }
        self.news.clear();
        self.now = until;
    }

    // What is checked.

    /// Checks a world in which nothing more can happen.
    fn check_end(&self) -> Option<Property> {
        if self.gave_up {
            return Some(Property::Total);
        }
        if !self.pending_replies.has_handled_all() {
            return Some(Property::OneReply);
        }
        for number in 0..self.units.len() {
            let unit = &self.units[number];
            let latest = self.os.latest(number);
            let alive = latest.is_some_and(|process| process.life == Life::Alive);
            let phase = unit.state.phase();
            let patient = self.may_wait_for_ever(number);
            if unit.oracle.is_stopping() && !phase.is_down() && !patient {
                return Some(Property::StopEnds);
            }
            let waits_for_life = phase.is_live() && alive;
            let waits_for_ever = patient && matches!(phase, Phase::Releasing | Phase::Stopping);
            if !phase.is_down() && !waits_for_life && !waits_for_ever {
                return Some(Property::NoLimbo);
            }
            if phase.is_down() && alive {
                return Some(Property::StoppedMeansGone);
            }
            let over = |run: RunId| run != unit.state.run() || phase.is_down();
            let mut all = self.os.all().filter(|process| process.unit == number);
            if all.any(|process| matches!(process.life, Life::Zombie(_)) && over(process.run)) {
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
            || self.case.inputs.iter().filter(concerned).any(|input| match &input.what {
                What::Amend(policy) => endless(policy),
                What::Tell(Event::StopRequested { mode, .. }) => {
                    *mode == StopMode::Graceful(Grace::Never)
                }
                What::Tell(event) => *event == Event::RestartRequested { grace: Grace::Never },
                What::Crash { .. }
                | What::Reboot { .. }
                | What::Heal
                | What::Wall(_)
                | What::Suspend(_) => false,
            })
    }

    /// Takes note of a step and checks it.
    fn observe(&mut self, report: &Report<'_>) {
        let number = number(report.unit);
        let Report { at, unit, before, event, step, .. } = *report;
        self.trace.push(TraceLine { at, unit, event, before, step });
        let unit = &mut self.units[number];
        if matches!(event, Event::PolicyChanged) {
            unit.policy = unit.amended.take().unwrap_or(unit.policy);
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

    /// Holds what is told against what is the case.
    fn check_against_world(&mut self, unit: usize, report: &Report<'_>) {
        let state = report.step.state;
        if let Outcome::Exited(told) = state.outcome()
            && let Some(process) = self.os.latest(unit)
            && process.run == state.run()
        {
            self.require(process.ended() == Some(told), Property::TrueStatus);
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
            let told = self.os.find(unit, timer.run).is_none_or(|run| run.watchdog.is_some());
            self.require(told, Property::PolicyStartsNothing);
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
            let there = self.os.latest(unit).is_some_and(|process| process.life == Life::Alive);
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
        let refused = |script: &crate::case::Script| script.signals == Signals::Refused;
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

impl<'a> Unit<'a> {
    fn new(policy: &'a Policy) -> Self {
        Self {
            policy,
            amended: None,
            oracle: SafetyOracle::default(),
            state: State::INITIAL,
            saved: State::INITIAL,
            saving: None,
            unsaved: false,
            disk: Disk::EMPTY,
            spawned: 0,
            entry: None,
            over_by: None,
            at_once: (Moment::ORIGIN, 0),
        }
    }
}

impl Unit<'_> {
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
