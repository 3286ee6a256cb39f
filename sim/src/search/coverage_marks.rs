//! Coverage marks: rare situations, in a step of the machine or by a fault of the virtual world.
//!
//! A default run must meet all [`MARKS`].

use monitor_core::{
    Event, Found, Lifecycle, Note, Origin, Outcome, Phase, ProcessCommand, Reason, Remains, Signal,
    StopMode, TimerCommand, TimerKind,
};

use crate::oracle::fault_effects::FaultEffect;
use crate::oracle::trace::TraceLine;
use crate::oracle::verdict::Verdict;

/// A situation that a default run must meet.
#[derive(Clone, Copy, Debug)]
pub struct CoverageMark {
    /// The situation, in a few words.
    pub name: &'static str,
    source: MarkSource,
}

impl CoverageMark {
    /// Returns whether a fault meets the mark.
    #[must_use]
    pub const fn is_fault(&self) -> bool {
        matches!(self.source, MarkSource::World(_))
    }
}

/// The step or the fault that meets a mark.
#[derive(Clone, Copy, Debug)]
enum MarkSource {
    Step(fn(&TraceLine) -> bool),
    World(FaultEffect),
}

/// A set of coverage marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoverageMarks(u64);

impl CoverageMarks {
    /// Returns the marks that a run meets.
    #[must_use]
    pub fn of(verdict: &Verdict) -> Self {
        let mut marks = Self::default();
        marks.add(verdict);
        marks
    }

    /// Adds the marks that a run meets.
    pub fn add(&mut self, verdict: &Verdict) {
        let is_met = |mark: &CoverageMark| match mark.source {
            MarkSource::Step(meets) => verdict.trace.iter().any(meets),
            MarkSource::World(effect) => verdict.fault_effects.has(effect),
        };
        let missing = (0..MARKS.len()).filter(|n| self.0 >> n & 1 == 0);
        self.0 = missing.fold(self.0, |set, n| set | (u64::from(is_met(&MARKS[n])) << n));
    }

    /// Returns the names of the marks that were met.
    pub fn met(self) -> impl Iterator<Item = &'static str> {
        let names = MARKS.iter().enumerate().filter(move |(n, _)| self.0 >> n & 1 == 1);
        names.map(|(_, mark)| mark.name)
    }

    /// Returns the marks of both sets.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the names of the missing marks.
    pub fn missing(self) -> impl Iterator<Item = &'static str> {
        let names = MARKS.iter().enumerate().filter(move |(n, _)| self.0 >> n & 1 == 0);
        names.map(|(_, mark)| mark.name)
    }
}

macro_rules! marks {
    ($($name:literal: $meets:expr;)* in the world $($fault:literal: $effect:ident;)*) => {
        /// All coverage marks.
        pub const MARKS: &[CoverageMark] = &[
            $(CoverageMark { name: $name, source: MarkSource::Step($meets) },)*
            $(CoverageMark { name: $fault, source: MarkSource::World(FaultEffect::$effect) },)*
        ];
    };
}

marks! {
    "a stop while stopping": |l| stop(l) && l.before.phase() == Phase::Stopping;
    "a stop while killing": |l| stop(l) && l.before.phase() == Phase::Killing;
    "a stop in the wait": |l| stop(l) && l.before.phase() == Phase::BackingOff;
    "a stop while starting": |l| stop(l) && l.before.phase() == Phase::Starting;
    "a stop while throttled": |l| stop(l) && l.before.phase() == Phase::Throttled;
    "a stop while releasing": |l| stop(l) && l.before.phase() == Phase::Releasing;
    "a stop on next exit": |l| matches!(l.event, Event::StopRequested { mode: StopMode::OnNextExit, .. });
    "a shutdown after a stop": |l| matches!(l.event, Event::StopRequested { origin: Origin::Shutdown, .. })
        && l.before.reason() == Reason::StopRequested;
    "a start while going down": |l| l.event == Event::StartRequested && l.before.phase() == Phase::Stopping;
    "a restart in the wait": |l| restart(l) && l.before.phase() == Phase::BackingOff;
    "a restart of a restart": |l| restart(l) && l.before.reason() == Reason::RestartRequested;
    "an exit before the start is known": |l| matches!(l.event, Event::Exited { .. })
        && matches!(l.before.phase(), Phase::Starting | Phase::Cancelling | Phase::Aborting);
    "an exit while stopping": |l| matches!(l.event, Event::Exited { .. }) && l.before.phase() == Phase::Stopping;
    "an exit reported twice": |l| matches!(l.event, Event::Exited { .. }) && l.step.note == Note::NotApplicable;
    "an event of another run": |l| l.step.note == Note::Stale && l.event.run().is_some();
    "a stale timer": |l| matches!(l.event, Event::TimerFired { .. }) && l.step.note == Note::Stale;
    "a ready before the start is known": |l| matches!(l.event, Event::Ready { .. }) && l.before.phase() == Phase::Starting;
    "a ping while stopping": |l| matches!(l.event, Event::Ping { .. }) && l.before.phase() == Phase::Stopping;
    "a start that asks for more time": |l| matches!(l.event, Event::Extended { .. }) && l.step.note == Note::Applied;
    "more time asked for in vain": |l| matches!(l.event, Event::Extended { .. }) && l.before.phase() == Phase::Stopping;
    "a watchdog that bites": |l| fired(l, TimerKind::Watchdog) && l.step.note == Note::Applied;
    "a start timeout": |l| fired(l, TimerKind::StartTimeout) && l.step.note == Note::Applied;
    "a health check that fails": |l| matches!(l.event, Event::Unhealthy { .. }) && l.step.note == Note::Applied;
    "a grace that ends": |l| fired(l, TimerKind::StopGrace) && l.step.note == Note::Applied;
    "a kill of what a run left": |l| matches!(l.step.actions.process, ProcessCommand::Signal { signal: Signal::KILL, .. })
        && l.step.state.phase() == Phase::Purging;
    "a healthy run": |l| l.step.actions.emit == Some(Lifecycle::Healthy);
    "a full window": |l| l.step.actions.emit == Some(Lifecycle::Throttled);
    "a window that ends the wait": |l| fired(l, TimerKind::Window) && l.before.phase() == Phase::Throttled;
    "a start limit that gives up": |l| l.step.state.reason() == Reason::StartLimit;
    "retries used up": |l| l.step.state.reason() == Reason::Exhausted;
    "a failed start that is tried again": |l| l.step.state.phase() == Phase::BackingOff
        && matches!(l.step.state.outcome(), Outcome::StartFailed(_));
    "a failed start that is not": |l| l.step.state.reason() == Reason::StartFailed;
    "an end with a leak": |l| l.step.actions.emit.is_some_and(|lifecycle| lifecycle.remains() == Remains::Leaked);
    "a policy that ends the wait": |l| l.event == Event::PolicyChanged && l.before.phase() == Phase::BackingOff
        && l.step.state.phase() == Phase::Stopped;
    "a retry of the user": |l| l.event == Event::RetryRequested && l.step.note == Note::Applied;
    "a reset in the wait": |l| l.event == Event::ResetRequested && l.before.phase() == Phase::BackingOff;
    "a delay with jitter": |l| matches!(l.step.actions.timer, TimerCommand::Arm(delay) if delay.longest() > delay.base);
    "a crash that finds it alive": |l| found(l, |found| found == Found::Alive);
    "a crash that finds it dead": |l| found(l, |found| matches!(found, Found::Exited(_)));
    "a crash while stopping": |l| found(l, |_| true) && l.before.phase() == Phase::Stopping;
    "a crash in the wait": |l| found(l, |_| true) && l.before.phase() == Phase::BackingOff;
    "a reboot that brings it back": |l| found(l, |found| found == Found::Rebooted)
        && l.before.phase() == Phase::Stopped && l.step.state.phase() == Phase::Starting;
    in the world
    "a lost notice whose end is learnt": NoticeLost;
    "a notice that comes twice": NoticeTwice;
    "a save that is answered later": SavedLate;
    "a late notice": NoticeLate;
    "one notice of several ends": NoticesMerged;
    "a signal that is refused": SignalRefused;
    "a signal that finds no process": SignalMissed;
    "a pid used again": PidReused;
    "no pid left": PidsExhausted;
    "an end with its output held open": OutputHeld;
    "a child that could not be set up": FailedChild;
    "a monitor that dies in a step": DeathInAStep;
    "a monitor that dies in a save": DeathInASave;
    "an end while no monitor is there": EndUnseen;
    "a content that goes with the power": ContentLost;
    "a wall clock that is set": WallJump;
    "a sleep of the machine": Sleep;
    "a signal beside another unit": Neighbours;
}

const fn stop(line: &TraceLine) -> bool {
    matches!(line.event, Event::StopRequested { .. })
}

const fn restart(line: &TraceLine) -> bool {
    matches!(line.event, Event::RestartRequested { .. })
}

fn fired(line: &TraceLine, kind: TimerKind) -> bool {
    matches!(line.event, Event::TimerFired { timer } if timer.kind == kind)
}

fn found(line: &TraceLine, what: impl Fn(Found) -> bool) -> bool {
    matches!(line.event, Event::Recovered { found, .. } if what(found))
}

const _: () = assert!(MARKS.len() <= 64, "a set of coverage marks is one word");
