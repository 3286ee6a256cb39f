//! A second, naive machine: all rules once more, written from their documentation and not from the core.
//!
//! It has no phases. It keeps plain facts (a spawn is in flight, a process lives, it was asked to end) and
//! derives the phase from them; it may allocate and use floating point. It shares the vocabulary with the
//! core (events, rules, reasons) and no rule. [`Compared`] holds any machine against it, step by step:
//! two implementations with different structure rarely make the same mistake.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use monitor_core::{
    Action, Actions, Counts, Curve, Delay, EarlyExit, Event, Exit, Forgives, Found, Grace,
    Lifecycle, Millis, Note, OnLimit, Origin, Outcome, Phase, Policy, Readiness, Reason, Remains,
    Restart, Rules, Scope, Signal, StartFailure, StartRetry, StartsCounted, State, Step, StopMode,
    TimerKind, TimerSlot,
};
use monitor_os::Machine;

use crate::harness::Compare;
use crate::world::{InjectedBug, MachineUnderTest};

/// What the reference remembers: facts, and the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefState {
    /// The current or last attempt; 0 if there was none.
    pub run: u32,
    /// Automatic restarts since the last start by a user.
    pub restarts: u32,
    /// Runs held against the retry budget.
    pub strikes: u16,
    /// Waits since the last healthy run or start by a user.
    pub level: u8,
    /// Starts counted in the open window.
    pub starts: u8,
    /// The standing intent, or the verdict.
    pub reason: Reason,
    /// How the run ended.
    pub outcome: Outcome,
    /// A spawn is in flight.
    spawning: bool,
    /// The process exists and its end is not known.
    alive: bool,
    /// It serves.
    serves: bool,
    /// It has served for long enough.
    healthy: bool,
    /// It is on its way down.
    ending: bool,
    /// The kill is due or sent.
    killed: bool,
    /// It ended, and what it left is not released.
    left: bool,
    /// What the next attempt waits for.
    wait: Option<Wait>,
    /// It was started or stopped at least once.
    ever: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Delay,
    Window,
}

/// One command, in the reference's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefAction {
    /// Save the state.
    Save,
    /// Make the process of this run.
    Spawn(u32),
    /// Send a signal to this run.
    Signal(u32, Signal, Scope),
    /// Release this run.
    Release(u32, Option<Signal>, Scope),
    /// Set or empty a timer slot.
    Timer(TimerSlot, RefTimer),
    /// Report to observers.
    Emit(Lifecycle),
}

/// Prints the form of case files, as [`Action`] does.
impl fmt::Display for RefAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Save => f.write_str("save"),
            Self::Spawn(run) => write!(f, "spawn #{run}"),
            Self::Signal(run, signal, scope) => write!(f, "signal #{run} {signal} {scope}"),
            Self::Release(run, Some(signal), scope) => write!(f, "release #{run} {signal} {scope}"),
            Self::Release(run, None, scope) => write!(f, "release #{run} - {scope}"),
            Self::Timer(slot, RefTimer::Empty) => write!(f, "disarm {slot}"),
            Self::Timer(_, RefTimer::Set(kind, delay)) => write!(f, "arm {kind} {delay}"),
            Self::Timer(_, RefTimer::Sooner(kind, delay)) => write!(f, "shorten {kind} {delay}"),
            Self::Timer(_, RefTimer::Later(kind, delay)) => write!(f, "lengthen {kind} {delay}"),
            Self::Emit(lifecycle) => write!(f, "emit {lifecycle}"),
        }
    }
}

/// What becomes of a timer slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefTimer {
    /// It is emptied.
    Empty,
    /// It is set.
    Set(TimerKind, Delay),
    /// It is set, but not to a later deadline.
    Sooner(TimerKind, Millis),
    /// It is set if it was, but not to an earlier deadline.
    Later(TimerKind, Millis),
}

/// The answer of the reference to one event.
#[must_use]
pub fn step(policy: &Policy, state: &RefState, event: Event) -> (RefState, Vec<RefAction>, Note) {
    let mut scribe = Scribe {
        rules: *policy.rules(),
        unit: *state,
        process: None,
        timers: [None; 3],
        emitted: None,
    };
    let foreign = names_run(event).is_some_and(|run| run != state.run);
    let note = if foreign { Note::Stale } else { scribe.answer(event) };
    if note != Note::Applied {
        return (*state, Vec::new(), note);
    }
    let actions = scribe.close(state, event);
    (scribe.unit, actions, note)
}

const fn names_run(event: Event) -> Option<u32> {
    match event {
        Event::Started { run }
        | Event::StartFailed { run, .. }
        | Event::Ready { run }
        | Event::Ping { run }
        | Event::Extended { run, .. }
        | Event::Unhealthy { run }
        | Event::Exited { run, .. }
        | Event::Released { run, .. }
        | Event::Recovered { run, .. } => Some(run.as_u32()),
        Event::TimerFired { timer } if !matches!(timer.kind, TimerKind::Window) => {
            Some(timer.run.as_u32())
        }
        Event::TimerFired { .. }
        | Event::StartRequested
        | Event::StopRequested { .. }
        | Event::RestartRequested { .. }
        | Event::SignalRequested { .. }
        | Event::PolicyChanged
        | Event::ResetRequested
        | Event::RetryRequested => None,
    }
}

impl RefState {
    /// The phase that the facts amount to.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        if self.spawning {
            if self.killed {
                Phase::Aborting
            } else if self.ending {
                Phase::Cancelling
            } else {
                Phase::Starting
            }
        } else if self.alive {
            if self.killed {
                Phase::Killing
            } else if self.ending {
                Phase::Stopping
            } else if self.healthy {
                Phase::Healthy
            } else if self.serves {
                Phase::Running
            } else {
                Phase::Activating
            }
        } else if self.left {
            if self.killed { Phase::Purging } else { Phase::Releasing }
        } else {
            match self.wait {
                Some(Wait::Delay) => Phase::BackingOff,
                Some(Wait::Window) => Phase::Throttled,
                None if self.ever => Phase::Stopped,
                None => Phase::Idle,
            }
        }
    }

    /// What can be compared with a state of the core.
    const fn view(&self) -> (Phase, Reason, Outcome, [u32; 5]) {
        let Self { run, restarts, strikes, level, starts, reason, outcome, .. } = *self;
        let counters = [run, restarts, strikes as u32, level as u32, starts as u32];
        (self.phase(), reason, outcome, counters)
    }

    /// There is a run, and no stop of it has begun.
    const fn is_up(&self) -> bool {
        (self.spawning || self.alive) && !self.ending
    }

    const fn is_serving(&self) -> bool {
        self.alive && self.serves && !self.ending
    }

    /// There is no run, alive or to be released.
    const fn is_empty(&self) -> bool {
        !self.spawning && !self.alive && !self.left
    }

    /// Which timer is the own one of the phase.
    const fn own_timer(&self) -> Option<TimerKind> {
        if self.is_empty() {
            return match self.wait {
                Some(Wait::Delay) => Some(TimerKind::Backoff),
                Some(Wait::Window) | None => None,
            };
        }
        match (self.ending, self.killed) {
            (_, true) if self.spawning => None,
            (_, true) => Some(TimerKind::KillWindow),
            (true, false) => Some(TimerKind::StopGrace),
            (false, false) if self.healthy => None,
            (false, false) if self.serves => Some(TimerKind::Healthy),
            (false, false) => Some(TimerKind::StartTimeout),
        }
    }
}

impl From<State> for RefState {
    fn from(state: State) -> Self {
        let phase = state.phase();
        let among = |phases: &[Phase]| phases.contains(&phase);
        Self {
            run: state.run().as_u32(),
            restarts: state.restarts(),
            strikes: state.strikes(),
            level: state.level(),
            starts: state.starts(),
            reason: state.reason(),
            outcome: state.outcome(),
            spawning: among(&[Phase::Starting, Phase::Cancelling, Phase::Aborting]),
            alive: among(&[
                Phase::Activating,
                Phase::Running,
                Phase::Healthy,
                Phase::Stopping,
                Phase::Killing,
            ]),
            serves: among(&[Phase::Running, Phase::Healthy]),
            healthy: phase == Phase::Healthy,
            ending: among(&[
                Phase::Cancelling,
                Phase::Aborting,
                Phase::Stopping,
                Phase::Killing,
                Phase::Releasing,
                Phase::Purging,
            ]),
            killed: among(&[Phase::Aborting, Phase::Killing, Phase::Purging]),
            left: among(&[Phase::Releasing, Phase::Purging]),
            wait: match phase {
                Phase::BackingOff => Some(Wait::Delay),
                Phase::Throttled => Some(Wait::Window),
                Phase::Idle
                | Phase::Starting
                | Phase::Cancelling
                | Phase::Aborting
                | Phase::Activating
                | Phase::Running
                | Phase::Healthy
                | Phase::Stopping
                | Phase::Killing
                | Phase::Releasing
                | Phase::Purging
                | Phase::Stopped => None,
            },
            ever: phase != Phase::Idle,
        }
    }
}

/// Changes the facts and writes down what is to be done.
struct Scribe {
    rules: Rules,
    unit: RefState,
    process: Option<RefAction>,
    timers: [Option<RefTimer>; 3],
    emitted: Option<Lifecycle>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    User,
    Policy,
    /// The user wants the policy to be quick.
    Retry,
    /// What went down with the monitor comes back with it.
    Comeback,
}

const ALL_WELL: Note = Note::Applied;
const NOTHING_TO_DO: Note = Note::NotApplicable;

impl Scribe {
    /// Adds what follows from the change itself: the save, and the timers that have lost their owner.
    fn close(&mut self, before: &RefState, event: Event) -> Vec<RefAction> {
        let empty = |slot: TimerSlot| matches!(event, Event::TimerFired { timer } if timer.kind.slot() == slot);
        // A timer that the new phase owns as well goes on.
        let moved = self.unit.phase() != before.phase();
        if moved
            && before.own_timer().is_some()
            && self.unit.own_timer() != before.own_timer()
            && !empty(TimerSlot::Phase)
        {
            self.timers[0].get_or_insert(RefTimer::Empty);
        }
        if before.is_serving()
            && !self.unit.is_serving()
            && self.rules.watchdog.is_some()
            && !empty(TimerSlot::Watchdog)
        {
            self.timers[1].get_or_insert(RefTimer::Empty);
        }
        let mut actions = Vec::new();
        if self.unit != *before {
            actions.push(RefAction::Save);
        }
        actions.extend(self.process);
        for (slot, timer) in TimerSlot::ALL.into_iter().zip(self.timers) {
            actions.extend(timer.map(|timer| RefAction::Timer(slot, timer)));
        }
        actions.extend(self.emitted.map(RefAction::Emit));
        actions
    }

    fn answer(&mut self, event: Event) -> Note {
        match event {
            Event::StartRequested => self.start(),
            Event::StopRequested { mode, origin } => {
                self.stop(mode, origin);
                ALL_WELL
            }
            Event::RestartRequested { grace } => self.restart(grace),
            Event::SignalRequested { signal } => {
                if !self.unit.alive {
                    return NOTHING_TO_DO;
                }
                self.process = Some(RefAction::Signal(self.unit.run, signal, Scope::Process));
                ALL_WELL
            }
            Event::PolicyChanged => {
                self.policy_changed();
                ALL_WELL
            }
            Event::ResetRequested => {
                if self.unit.wait == Some(Wait::Window) {
                    self.window(RefTimer::Sooner(TimerKind::Window, Millis::new(0)));
                } else if self.unit.starts > 0 {
                    self.window(RefTimer::Empty);
                }
                self.unit.strikes = 0;
                self.unit.starts = 0;
                self.unit.level = self.rules.backoff.skip;
                ALL_WELL
            }
            Event::RetryRequested => {
                if self.unit.wait.is_none() {
                    return NOTHING_TO_DO;
                }
                self.begin(By::Retry);
                ALL_WELL
            }
            Event::Started { .. } => self.started(),
            Event::StartFailed { failure, .. } => {
                if self.unit.spawning {
                    self.end(Outcome::StartFailed(failure), Lifecycle::StartFailed);
                    return ALL_WELL;
                }
                // An error after the process was there is its end.
                self.exited(Exit::Unknown)
            }
            Event::Ready { .. } => {
                if !self.unit.is_up() || self.unit.serves {
                    return NOTHING_TO_DO;
                }
                self.serve(Lifecycle::Ready);
                ALL_WELL
            }
            Event::Ping { .. } => {
                if !self.unit.is_serving() || self.rules.watchdog.is_none() {
                    return NOTHING_TO_DO;
                }
                self.feed_watchdog();
                ALL_WELL
            }
            Event::Extended { by, .. } => {
                if !self.unit.is_up() || self.unit.serves {
                    return NOTHING_TO_DO;
                }
                self.timers[0] = Some(RefTimer::Later(TimerKind::StartTimeout, by));
                ALL_WELL
            }
            Event::Unhealthy { .. } => {
                if !self.unit.alive || self.unit.ending {
                    return NOTHING_TO_DO;
                }
                self.fault(Reason::Unhealthy, self.rules.stop.signal);
                ALL_WELL
            }
            Event::Exited { exit, .. } => self.exited(exit),
            Event::Released { remains, .. } => {
                if !self.unit.left {
                    return NOTHING_TO_DO;
                }
                self.decide(remains);
                ALL_WELL
            }
            Event::TimerFired { timer } => self.fired(timer.kind),
            Event::Recovered { found, .. } => self.recovered(found),
        }
    }

    // Requests.

    fn start(&mut self) -> Note {
        if self.unit.is_empty() {
            self.begin(By::User);
        } else if self.unit.is_up() {
            if !wants_down(self.unit.reason) {
                return NOTHING_TO_DO;
            }
            self.unit.reason = Reason::Wanted;
        } else {
            return self.up_again_afterwards();
        }
        ALL_WELL
    }

    /// One start follows the end; a shutdown is not called off.
    fn up_again_afterwards(&mut self) -> Note {
        if [Reason::ShutdownRequested, Reason::RestartRequested].contains(&self.unit.reason) {
            return NOTHING_TO_DO;
        }
        self.unit.reason = Reason::RestartRequested;
        ALL_WELL
    }

    fn stop(&mut self, mode: StopMode, origin: Origin) {
        let standing = self.unit.reason;
        let reason = match origin {
            Origin::User => Reason::StopRequested,
            Origin::Shutdown if standing == Reason::StopRequested || is_verdict(standing) => {
                standing
            }
            Origin::Shutdown => Reason::ShutdownRequested,
        };
        if self.unit.is_empty() {
            if self.unit.wait.is_some() || !self.unit.ever {
                self.go_down(reason, Remains::Nothing);
            } else {
                self.unit.reason = reason;
            }
            return;
        }
        match mode {
            StopMode::Graceful(grace) if self.unit.is_up() => self.bring_down(grace),
            StopMode::Graceful(grace) => self.hasten(grace),
            StopMode::Kill if !self.unit.killed => {
                if self.unit.spawning && !self.unit.ending {
                    self.emitted = Some(Lifecycle::Stopping);
                }
                self.unit.ending = true;
                if !self.unit.spawning {
                    self.kill();
                }
                self.unit.killed = true;
            }
            StopMode::Kill | StopMode::OnNextExit => {}
        }
        self.unit.reason = reason;
    }

    fn restart(&mut self, grace: Grace) -> Note {
        if self.unit.is_empty() {
            self.begin(By::User);
            return ALL_WELL;
        }
        if self.unit.is_up() {
            self.bring_down(grace);
            self.unit.reason = Reason::RestartRequested;
            return ALL_WELL;
        }
        let shutting_down = self.unit.reason == Reason::ShutdownRequested;
        let note = self.up_again_afterwards();
        if shutting_down || self.unit.killed || self.patience(grace).is_none() {
            return note;
        }
        self.hasten(grace);
        ALL_WELL
    }

    /// The stop signal now or as soon as there is a process, and the kill when the grace is over.
    const fn bring_down(&mut self, grace: Grace) {
        self.unit.ending = true;
        if self.unit.alive {
            self.signal(self.rules.stop.signal);
        }
        if let Some(patience) = self.patience(grace) {
            self.set(TimerKind::StopGrace, patience);
        }
        self.emitted = Some(Lifecycle::Stopping);
    }

    /// A second request may only make the kill come sooner.
    const fn hasten(&mut self, grace: Grace) {
        if let (false, Some(patience)) = (self.unit.killed, self.patience(grace)) {
            self.timers[0] = Some(RefTimer::Sooner(TimerKind::StopGrace, patience));
        }
    }

    const fn patience(&self, grace: Grace) -> Option<Millis> {
        match grace {
            Grace::Policy => self.rules.stop.grace,
            Grace::After(delay) => Some(delay),
            Grace::Never => None,
        }
    }

    /// It ends a wait that it would not have begun; it starts nothing and forgets nothing.
    fn policy_changed(&mut self) {
        if self.unit.is_serving() && self.rules.watchdog.is_none() {
            self.timers[1] = Some(RefTimer::Empty);
        }
        let Some(wait) = self.unit.wait else { return };
        let asked = wait == Wait::Window && self.unit.reason == Reason::RestartRequested;
        match self.verdict() {
            Some(reason) if !asked => self.go_down(reason, Remains::Nothing),
            _ if wait == Wait::Window && self.rules.limit.is_none() => {
                self.window(RefTimer::Sooner(TimerKind::Window, Millis::new(0)));
            }
            _ => {}
        }
    }

    // Facts.

    fn started(&mut self) -> Note {
        if !self.unit.spawning {
            return NOTHING_TO_DO;
        }
        if !self.unit.ending && self.rules.start.readiness == Readiness::Exec {
            self.serve(Lifecycle::Started);
            return ALL_WELL;
        }
        self.unit.spawning = false;
        self.unit.alive = true;
        if self.unit.killed {
            self.signal(Signal::KILL);
            self.set(TimerKind::KillWindow, self.rules.stop.kill_window);
        } else if self.unit.ending {
            self.signal(self.rules.stop.signal);
        }
        self.emitted = Some(Lifecycle::Started);
        ALL_WELL
    }

    const fn serve(&mut self, lifecycle: Lifecycle) {
        self.unit.spawning = false;
        self.unit.alive = true;
        self.unit.serves = true;
        self.time_service();
        self.emitted = Some(lifecycle);
    }

    /// The timers of a process that serves.
    const fn time_service(&mut self) {
        if let (Some(rule), false) = (self.rules.healthy, self.unit.healthy) {
            self.set(TimerKind::Healthy, rule.after);
        }
        self.feed_watchdog();
    }

    const fn feed_watchdog(&mut self) {
        if let Some(watchdog) = self.rules.watchdog {
            self.timers[1] = Some(RefTimer::Set(TimerKind::Watchdog, exactly(watchdog.period)));
        }
    }

    /// The run failed for a reason of the monitor's own.
    fn fault(&mut self, fault: Reason, signal: Signal) {
        self.strike();
        if self.unit.reason == Reason::Wanted {
            self.unit.reason = fault;
        }
        self.bring_down(Grace::Policy);
        if self.unit.alive {
            self.signal(signal);
        }
    }

    fn exited(&mut self, exit: Exit) -> Note {
        if !self.unit.spawning && !self.unit.alive {
            return NOTHING_TO_DO;
        }
        let RefState { serves, healthy, reason, .. } = self.unit;
        let too_early = self.rules.start.readiness == Readiness::Notify && !serves
            || self.rules.early_exit == EarlyExit::Failure && !healthy;
        let early = self.unit.is_up() && reason == Reason::Wanted && too_early;
        self.end(Outcome::Exited(exit), Lifecycle::Exited);
        if early {
            self.unit.reason = Reason::EarlyExit;
        }
        ALL_WELL
    }

    /// The run is over; what it left is sent what it was not sent yet.
    fn end(&mut self, outcome: Outcome, lifecycle: Lifecycle) {
        let before = self.unit;
        self.strike();
        self.process = Some(if before.killed {
            self.release(Some(Signal::KILL))
        } else if before.alive && before.ending {
            self.release(None)
        } else {
            self.release(Some(self.rules.stop.signal))
        });
        if before.spawning && before.killed {
            self.set(TimerKind::KillWindow, self.rules.stop.kill_window);
        }
        if let (false, Some(grace)) = (before.ending, self.rules.stop.grace) {
            self.set(TimerKind::StopGrace, grace);
        }
        self.unit = RefState {
            spawning: false,
            alive: false,
            serves: false,
            healthy: false,
            ending: true,
            left: true,
            outcome,
            ..self.unit
        };
        self.emitted = Some(lifecycle);
    }

    /// Where only the process is meant, what is left is left alone.
    const fn release(&self, signal: Option<Signal>) -> RefAction {
        match self.rules.stop.scope {
            Scope::Group => RefAction::Release(self.unit.run, signal, Scope::Group),
            Scope::Process => RefAction::Release(self.unit.run, None, Scope::Process),
        }
    }

    fn strike(&mut self) {
        let forgiven = self.unit.healthy && self.forgives_all();
        if self.unit.is_up() && !forgiven && !wants_down(self.unit.reason) {
            self.unit.strikes = self.unit.strikes.saturating_add(1);
        }
    }

    fn forgives_all(&self) -> bool {
        self.rules.healthy.is_some_and(|rule| rule.forgives == Forgives::All)
    }

    /// The kill of a process, or of what it left.
    fn kill(&mut self) {
        self.unit.killed = true;
        self.set(TimerKind::KillWindow, self.rules.stop.kill_window);
        if self.unit.alive || self.rules.stop.scope == Scope::Group {
            self.signal(Signal::KILL);
            self.emitted = Some(Lifecycle::Killing);
        }
    }

    fn fired(&mut self, kind: TimerKind) -> Note {
        let unit = self.unit;
        match kind {
            TimerKind::StartTimeout if unit.is_up() && !unit.serves => {
                self.fault(Reason::StartTimeout, self.rules.stop.signal);
            }
            TimerKind::Healthy if unit.is_serving() && !unit.healthy => {
                self.unit.healthy = true;
                self.unit.level = 0;
                if self.forgives_all() {
                    self.unit.strikes = 0;
                }
                self.emitted = Some(Lifecycle::Healthy);
            }
            TimerKind::StopGrace if unit.ending && !unit.killed => {
                if unit.spawning {
                    self.unit.killed = true;
                } else {
                    self.kill();
                }
            }
            TimerKind::KillWindow if unit.killed && unit.alive => {
                self.kill();
                self.emitted = Some(Lifecycle::Unkillable);
            }
            TimerKind::KillWindow if unit.killed && unit.left => self.decide(Remains::Leaked),
            TimerKind::Backoff if unit.wait == Some(Wait::Delay) => self.begin(By::Policy),
            TimerKind::Watchdog if unit.is_serving() => {
                let Some(watchdog) = self.rules.watchdog else { return Note::Stale };
                self.fault(Reason::Watchdog, watchdog.signal);
            }
            TimerKind::Window if unit.wait == Some(Wait::Window) => {
                self.unit.starts = 0;
                let asked = unit.reason == Reason::RestartRequested;
                self.begin(if asked { By::User } else { By::Policy });
            }
            TimerKind::Window if unit.starts > 0 => self.unit.starts = 0,
            TimerKind::StartTimeout
            | TimerKind::Healthy
            | TimerKind::StopGrace
            | TimerKind::KillWindow
            | TimerKind::Backoff
            | TimerKind::Watchdog
            | TimerKind::Window => return Note::Stale,
        }
        ALL_WELL
    }

    /// The monitor is back, without its timers.
    fn recovered(&mut self, found: Found) -> Note {
        let note = match found {
            Found::Alive => self.found_alive(),
            Found::Exited(exit) => self.found_dead(exit, false),
            Found::Gone => self.found_dead(Exit::Unknown, false),
            Found::Rebooted => self.found_dead(Exit::Unknown, true),
        };
        match self.rules.limit {
            Some(limit) if self.unit.starts > 0 && self.timers[2].is_none() => {
                self.window(RefTimer::Set(TimerKind::Window, exactly(limit.window)));
            }
            Some(_) => {}
            // Without a limit there is no window to be closed.
            None => self.unit.starts = 0,
        }
        note
    }

    fn found_alive(&mut self) -> Note {
        let before = self.unit;
        let stop = self.rules.stop;
        if before.spawning {
            let _applied = self.started();
        } else if before.alive && before.killed {
            self.signal(Signal::KILL);
        } else if before.alive && before.ending {
            self.signal(stop.signal);
        } else if before.alive && before.serves {
            self.time_service();
        } else if !before.alive {
            // Its end is saved: whatever this is must not live beside another run.
            if before.run == 0 {
                return NOTHING_TO_DO;
            }
            self.unit = RefState { left: true, ending: true, killed: true, wait: None, ..before };
            self.signal(Signal::KILL);
        }
        // The own timer of each phase is set again, in full.
        match self.unit.own_timer() {
            Some(TimerKind::StartTimeout) => {
                if let Some(timeout) = self.rules.start.timeout {
                    self.set(TimerKind::StartTimeout, timeout);
                }
            }
            Some(TimerKind::StopGrace) => {
                if let Some(grace) = stop.grace {
                    self.set(TimerKind::StopGrace, grace);
                }
            }
            Some(TimerKind::KillWindow) => self.set(TimerKind::KillWindow, stop.kill_window),
            Some(
                TimerKind::Healthy | TimerKind::Backoff | TimerKind::Watchdog | TimerKind::Window,
            )
            | None => {}
        }
        ALL_WELL
    }

    fn found_dead(&mut self, exit: Exit, rebooted: bool) -> Note {
        let before = self.unit;
        if before.spawning || before.alive {
            let _applied = self.exited(exit);
        } else if before.left {
            let signal = if before.killed { Signal::KILL } else { self.rules.stop.signal };
            self.process = Some(self.release(Some(signal)));
        }
        if !before.is_empty() {
            let window = self.rules.stop.kill_window;
            match (self.unit.killed, self.rules.stop.grace) {
                (true, _) => self.set(TimerKind::KillWindow, window),
                (false, Some(grace)) => self.set(TimerKind::StopGrace, grace),
                (false, None) => {}
            }
            return ALL_WELL;
        }
        match before.wait {
            Some(Wait::Delay) => {
                let delay = delay_at(&self.rules, before.level.saturating_sub(1));
                self.timers[0] = Some(RefTimer::Set(TimerKind::Backoff, delay));
            }
            Some(Wait::Window) => {
                let rest = self.rules.limit.map_or(Millis::new(0), |limit| limit.window);
                self.window(RefTimer::Set(TimerKind::Window, exactly(rest)));
            }
            None => {
                let back = if before.reason == Reason::ShutdownRequested {
                    self.rules.restart != Restart::No
                } else {
                    let stopped = before.reason == Reason::StopRequested;
                    stopped && rebooted && self.rules.restart == Restart::Always
                };
                if back && before.ever && before.run > 0 {
                    self.begin(By::Comeback);
                }
            }
        }
        ALL_WELL
    }

    // Decisions.

    fn decide(&mut self, remains: Remains) {
        if self.unit.reason == Reason::RestartRequested {
            self.begin(By::User);
            // A limit may refuse the start, and what is left is reported all the same.
            if let Some(Lifecycle::GaveUp { remains: reported }) = &mut self.emitted {
                *reported = remains;
            }
            return;
        }
        if let Some(reason) = self.verdict() {
            return self.go_down(reason, remains);
        }
        let delay = delay_at(&self.rules, self.unit.level);
        self.vacate(Some(Wait::Delay));
        self.unit.level = self.unit.level.saturating_add(1);
        self.timers[0] = Some(RefTimer::Set(TimerKind::Backoff, delay));
        self.emitted = Some(Lifecycle::BackingOff);
    }

    /// Why it stays down; `None` if it is tried again.
    fn verdict(&self) -> Option<Reason> {
        let rules = &self.rules;
        let RefState { reason, outcome, strikes, .. } = self.unit;
        if wants_down(reason) || is_verdict(reason) {
            return Some(reason);
        }
        let no = rules.restart == Restart::No;
        match outcome {
            Outcome::StartFailed(failure) => {
                let first = self.unit.restarts == 0;
                let retry = if first { rules.start.first } else { rules.start.later };
                let worthwhile = match retry {
                    StartRetry::Never => false,
                    StartRetry::Transient => failure == StartFailure::Transient,
                    StartRetry::Always => true,
                };
                if no || !worthwhile {
                    return Some(Reason::StartFailed);
                }
            }
            Outcome::Exited(exit) => {
                if rules.prevent.contains(exit) {
                    return Some(Reason::Prevented);
                }
                let faults =
                    [Reason::StartTimeout, Reason::Watchdog, Reason::Unhealthy, Reason::EarlyExit];
                let success = exit == Exit::Code(0) || rules.success.contains(exit);
                let failed = faults.contains(&reason) || !success;
                let content = no || rules.restart == Restart::OnFailure && !failed;
                if content && !rules.force.contains(exit) {
                    return Some(Reason::Completed);
                }
            }
            Outcome::None if no => return Some(Reason::Completed),
            Outcome::None => {}
        }
        let retries = rules.retries?;
        let allowed = match retries.counts {
            Counts::Restarts => u32::from(retries.max) + 1,
            Counts::Runs => u32::from(retries.max).max(u32::from(strikes == 0 && retries.max > 0)),
        };
        (u32::from(strikes) >= allowed).then_some(Reason::Exhausted)
    }

    fn begin(&mut self, by: By) {
        let limit = self.rules.limit.filter(|limit| match by {
            By::User => limit.counts == StartsCounted::All,
            By::Policy | By::Retry => true,
            By::Comeback => false,
        });
        if let Some(limit) = limit {
            if self.unit.starts >= limit.burst && by != By::Retry {
                if limit.then == OnLimit::Stop {
                    return self.go_down(Reason::StartLimit, Remains::Nothing);
                }
                if by == By::User {
                    self.unit.reason = Reason::RestartRequested;
                }
                self.vacate(Some(Wait::Window));
                self.emitted = Some(Lifecycle::Throttled);
                return;
            }
            if self.unit.starts == 0 {
                self.window(RefTimer::Set(TimerKind::Window, exactly(limit.window)));
            }
            self.unit.starts = self.unit.starts.saturating_add(1);
        }
        match by {
            By::User => {
                self.unit.restarts = 0;
                self.unit.strikes = 0;
                self.unit.level = self.rules.backoff.skip;
            }
            By::Policy | By::Retry => self.unit.restarts = self.unit.restarts.saturating_add(1),
            By::Comeback => {}
        }
        self.vacate(None);
        self.unit.run = if self.unit.run == u32::MAX { 1 } else { self.unit.run + 1 };
        self.unit.outcome = Outcome::None;
        self.unit.reason = Reason::Wanted;
        self.unit.spawning = true;
        self.process = Some(RefAction::Spawn(self.unit.run));
        if let Some(timeout) = self.rules.start.timeout {
            self.set(TimerKind::StartTimeout, timeout);
        }
        self.emitted = Some(Lifecycle::Starting);
    }

    fn go_down(&mut self, reason: Reason, remains: Remains) {
        self.vacate(None);
        self.unit.reason = reason;
        let gave_up = is_verdict(reason) && reason != Reason::Completed;
        self.emitted = Some(if gave_up {
            Lifecycle::GaveUp { remains }
        } else {
            Lifecycle::Stopped { remains }
        });
    }

    /// Nothing is left of the run.
    const fn vacate(&mut self, wait: Option<Wait>) {
        self.unit.left = false;
        self.unit.ending = false;
        self.unit.killed = false;
        self.unit.wait = wait;
        self.unit.ever = true;
    }

    const fn signal(&mut self, signal: Signal) {
        self.process = Some(RefAction::Signal(self.unit.run, signal, self.rules.stop.scope));
    }

    const fn set(&mut self, kind: TimerKind, delay: Millis) {
        self.timers[0] = Some(RefTimer::Set(kind, exactly(delay)));
    }

    const fn window(&mut self, timer: RefTimer) {
        self.timers[2] = Some(timer);
    }
}

const fn exactly(base: Millis) -> Delay {
    Delay { base, jitter: Millis::new(0) }
}

fn wants_down(reason: Reason) -> bool {
    [Reason::StopRequested, Reason::ShutdownRequested].contains(&reason)
}

fn is_verdict(reason: Reason) -> bool {
    [
        Reason::Completed,
        Reason::Prevented,
        Reason::Exhausted,
        Reason::StartLimit,
        Reason::StartFailed,
    ]
    .contains(&reason)
}

/// The delay law in floating point; the comparison allows for its rounding.
fn delay_at(rules: &Rules, level: u8) -> Delay {
    let float = |ms: Millis| f64::from(ms.as_u32());
    let step = match (rules.backoff.first, level) {
        (Some(_), level) => i32::from(level) - 1,
        (None, level) => i32::from(level),
    };
    let grown = match (rules.backoff.first, rules.backoff.curve) {
        (Some(first), _) if step < 0 => float(first),
        (_, Curve::Constant { delay }) => float(delay),
        (_, Curve::Linear { initial, increment, cap }) => {
            (float(initial) + f64::from(step) * float(increment)).min(float(cap))
        }
        (_, Curve::Exponential { initial, factor, cap }) => {
            let factor = f64::from(factor.hundredths()) / 100.0;
            (float(initial) * factor.powi(step)).min(float(cap))
        }
        (_, Curve::Geometric { initial, cap, steps }) => {
            let part = f64::from(step.min(i32::from(steps))) / f64::from(steps);
            float(initial) * (float(cap) / float(initial)).powf(part)
        }
    };
    let base = Millis::new(grown.round() as u32);
    let jitter = float(base) * f64::from(rules.backoff.jitter_percent) / 100.0;
    Delay { base, jitter: Millis::new(jitter as u32) }
}

/// Where a machine and the reference differ.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// The policy.
    pub policy: Policy,
    /// The state before.
    pub state: State,
    /// The event.
    pub event: Event,
    /// What the machine has answered.
    pub step: Step,
    /// What the reference asks for.
    pub expected: (RefState, Vec<RefAction>, Note),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, state, event, step, expected: (unit, actions, note) } = self;
        writeln!(f, "policy {policy}\nin {state}, at {event}")?;
        writeln!(f, "machine   {}, {:?}", step.note.name(), step.state)?;
        step.for_each(|action| {
            // The formatter's error comes back with the next line.
            let _written = write!(f, "  {action}");
        });
        writeln!(f, "\nreference {}, {} {unit:?}", note.name(), unit.phase())?;
        write!(f, "  {actions:?}")
    }
}

/// Holds one answer of a machine against the reference.
///
/// # Errors
/// [`Mismatch`] if phase, reason, outcome, a counter, the note or a command differs.
pub fn compare(
    policy: &Policy,
    state: State,
    event: Event,
    answer: Step,
) -> Result<(), Box<Mismatch>> {
    let expected = step(policy, &RefState::from(state), event);
    let mut commands = Vec::new();
    answer.for_each(|action| commands.push(translate(action)));
    let agree = RefState::from(answer.state).view() == expected.0.view()
        && answer.note == expected.2
        && commands.len() == expected.1.len()
        && commands.iter().zip(&expected.1).all(|(&a, &b)| alike(a, b));
    if agree {
        return Ok(());
    }
    Err(Box::new(Mismatch { policy: *policy, state, event, step: answer, expected }))
}

const fn translate(action: Action) -> RefAction {
    match action {
        Action::Persist(_) => RefAction::Save,
        Action::Spawn { run } => RefAction::Spawn(run.as_u32()),
        Action::Signal { run, signal, scope } => RefAction::Signal(run.as_u32(), signal, scope),
        Action::Release { run, signal, scope } => RefAction::Release(run.as_u32(), signal, scope),
        Action::Disarm { slot } => RefAction::Timer(slot, RefTimer::Empty),
        Action::Arm { timer, delay } => {
            RefAction::Timer(timer.kind.slot(), RefTimer::Set(timer.kind, delay))
        }
        Action::Shorten { timer, delay } => {
            RefAction::Timer(timer.kind.slot(), RefTimer::Sooner(timer.kind, delay))
        }
        Action::Lengthen { timer, delay } => {
            RefAction::Timer(timer.kind.slot(), RefTimer::Later(timer.kind, delay))
        }
        Action::Emit(lifecycle) => RefAction::Emit(lifecycle),
    }
}

/// Equal, but for a millisecond per day of a grown delay.
fn alike(a: RefAction, b: RefAction) -> bool {
    use RefTimer::Set;
    use TimerKind::Backoff;
    match (a, b) {
        (RefAction::Timer(_, Set(Backoff, a)), RefAction::Timer(_, Set(Backoff, b))) => {
            let near = |a: Millis, b: Millis| {
                a.as_u32().abs_diff(b.as_u32()) <= 1 + a.as_u32() / 86_400_000
            };
            near(a.base, b.base) && near(a.jitter, b.jitter)
        }
        (a, b) => a == b,
    }
}

/// A machine that is held against the reference at every step; it answers what the machine answers.
#[derive(Debug)]
pub struct Compared<M> {
    machine: M,
    mismatch: Mutex<Option<Box<Mismatch>>>,
    strict: bool,
    compare: Compare,
}

impl<M: Machine> Compared<M> {
    /// Compares `machine`.
    pub const fn new(machine: M) -> Self {
        Self::by(machine, compare)
    }

    /// Compares `machine` by something else than [`compare`].
    pub const fn by(machine: M, compare: Compare) -> Self {
        Self { machine, mismatch: Mutex::new(None), strict: false, compare }
    }

    /// Compares `machine`, and breaks off at the first difference: a step that differs is replaced by one
    /// that every oracle refuses, so that any engine shows, shrinks and shortens it.
    pub const fn strict(machine: M) -> Self {
        Self::strictly_by(machine, compare)
    }

    /// Compares `machine` as [`Self::strict`] does, by something else than [`compare`].
    pub const fn strictly_by(machine: M, compare: Compare) -> Self {
        Self { machine, mismatch: Mutex::new(None), strict: true, compare }
    }

    /// What was found, also if a thread has panicked while it looked.
    fn found(&self) -> MutexGuard<'_, Option<Box<Mismatch>>> {
        self.mismatch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first difference since the last call.
    pub fn mismatch(&self) -> Option<Box<Mismatch>> {
        self.found().take()
    }
}

impl<M: MachineUnderTest> MachineUnderTest for &Compared<M> {
    fn injected_bug(&self) -> Option<InjectedBug> {
        self.machine.injected_bug()
    }
}

impl<M: Machine> Machine for &Compared<M> {
    fn step(&self, policy: &Policy, state: State, event: Event) -> Step {
        let answer = self.machine.step(policy, state, event);
        if let Err(found) = (self.compare)(policy, state, event, answer) {
            self.found().get_or_insert(found);
            if self.strict {
                let actions = Actions { persist: true, ..Actions::NONE };
                return Step { state, actions, note: Note::NotApplicable };
            }
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use monitor_core::Preset;
    use monitor_os::Core;

    use super::*;
    use crate::check;
    use crate::choices::Seeded;
    use crate::generate;
    use crate::harness::Standard;
    use crate::world;

    #[test]
    fn every_cell_of_the_explored_family_agrees() {
        let compared = Compared::new(Core);
        let explored = check::explore_family(Standard, &&compared, || {});
        assert!(explored.iter().all(|found| found.counterexample.is_none()));
        if let Some(found) = compared.mismatch() {
            panic!("{found}");
        }
    }

    #[test]
    fn every_random_run_agrees() {
        let compared = Compared::new(Core);
        for seed in 0..20_000 {
            let case = generate::case(&mut Seeded::new(seed));
            let verdict = world::run(&case, &compared, 400);
            assert_eq!(verdict.violated, None);
            if let Some(found) = compared.mismatch() {
                panic!("{case}{found}");
            }
        }
    }

    #[test]
    fn every_delay_of_every_preset_agrees() {
        for preset in Preset::ALL {
            let policy = preset.builder().build().unwrap();
            for level in 0..=u8::MAX {
                let core = policy.rules().backoff.delay(level);
                let naive = delay_at(policy.rules(), level);
                let pair = [core, naive].map(|delay| {
                    RefAction::Timer(TimerSlot::Phase, RefTimer::Set(TimerKind::Backoff, delay))
                });
                assert!(alike(pair[0], pair[1]), "{} {level}: {pair:?}", preset.name());
            }
        }
    }

    #[test]
    fn a_difference_is_seen() {
        let honest = Policy::DEFAULT.step(State::INITIAL, Event::StartRequested);
        let silent = Step { actions: Actions::NONE, ..honest };
        let found = compare(&Policy::DEFAULT, State::INITIAL, Event::StartRequested, silent);
        assert!(found.unwrap_err().to_string().contains("at start"));
    }
}
