//! The races that the project is named for, each as a family of cases that aim at it.

use std::fmt;

use monitor_core::{Event, Millis, Phase, Reason};

use super::choices::Choices;
use super::{elements, race_cases};
use crate::case::definition::Case;
use crate::oracle::fault_effects::FaultEffect;
use crate::oracle::trace::TraceLine;
use crate::oracle::verdict::Verdict;

/// A race: two events that may come in either order. Some supervisor has forgotten one of the
/// orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Race {
    /// Two stops, of any kind, at any distance.
    DoubleStop,
    /// A stop in the wait between two attempts.
    StopDuringBackoff,
    /// A stop while the spawn is in flight.
    StopWhileStarting,
    /// The process is dead before its start is acknowledged.
    ExitBeforeStarted,
    /// A stop at the very moment when the wait ends, before or just after the next spawn.
    StopBetweenTimerAndSpawn,
    /// A restart in the wait between two attempts.
    RestartDuringBackoff,
    /// Stale timers fire: those of phases and runs that are over.
    StaleTimers,
    /// A stop between the halves of a restart, while what the old run left is brought down.
    StopBetweenHalves,
    /// A stop, and a process that has ended without a notice, or with a late one, or that cannot be
    /// reached.
    StopAgainstNotice,
    /// Few process numbers, so that the number of an ended process is soon used again.
    PidReuse,
    /// The monitor dies between two of its operations.
    CrashInAStep,
    /// The wall clock is set, or the machine sleeps, while a delay runs.
    ClockJump,
    /// Several units whose processes end at one moment.
    Crowd,
}

impl Race {
    /// All races.
    pub const ALL: [Self; 13] = [
        Self::DoubleStop,
        Self::StopDuringBackoff,
        Self::StopWhileStarting,
        Self::ExitBeforeStarted,
        Self::StopBetweenTimerAndSpawn,
        Self::RestartDuringBackoff,
        Self::StaleTimers,
        Self::StopBetweenHalves,
        Self::StopAgainstNotice,
        Self::PidReuse,
        Self::CrashInAStep,
        Self::ClockJump,
        Self::Crowd,
    ];

    /// Returns the name, as printed and as given on command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DoubleStop => "double-stop",
            Self::StopDuringBackoff => "stop-during-backoff",
            Self::StopWhileStarting => "stop-while-starting",
            Self::ExitBeforeStarted => "exit-before-started",
            Self::StopBetweenTimerAndSpawn => "stop-between-timer-and-spawn",
            Self::RestartDuringBackoff => "restart-during-backoff",
            Self::StaleTimers => "stale-timers",
            Self::StopBetweenHalves => "stop-between-halves",
            Self::StopAgainstNotice => "stop-against-notice",
            Self::PidReuse => "pid-reuse",
            Self::CrashInAStep => "crash-in-a-step",
            Self::ClockJump => "clock-jump",
            Self::Crowd => "crowd",
        }
    }

    /// Draws a case that aims at the race.
    pub fn case(self, choices: &mut impl Choices) -> Case {
        let mut case = Case::new(elements::policy(choices));
        case.scripts = (0..=choices.below(3)).map(|_| elements::script(choices)).collect();
        case.timers_late = choices.pick(&[Millis::ZERO, Millis::new(3)]);
        case.saves_take = Millis::new(choices.pick(&[0, 0, 0, 0, 30]));
        case = case.with_event(0, Event::StartRequested);
        match self {
            Self::DoubleStop => race_cases::double_stop(&mut case, choices),
            Self::StopDuringBackoff => race_cases::stop_during_backoff(&mut case, choices),
            Self::RestartDuringBackoff => race_cases::restart_during_backoff(&mut case, choices),
            Self::StopBetweenTimerAndSpawn => {
                race_cases::stop_between_timer_and_spawn(&mut case, choices)
            }
            Self::StopWhileStarting => race_cases::stop_while_starting(&mut case, choices),
            Self::ExitBeforeStarted => race_cases::exit_before_started(&mut case, choices),
            Self::StaleTimers => race_cases::stale_timers(&mut case, choices),
            Self::StopBetweenHalves => race_cases::stop_between_halves(&mut case, choices),
            Self::StopAgainstNotice => race_cases::stop_against_notice(&mut case, choices),
            Self::PidReuse => race_cases::pid_reuse(&mut case, choices),
            Self::CrashInAStep => race_cases::crash_in_a_step(&mut case, choices),
            Self::ClockJump => race_cases::clock_jump(&mut case, choices),
            Self::Crowd => race_cases::crowd(&mut case, choices),
        }
        case
    }

    /// Returns whether the race took place in a run.
    #[must_use]
    pub fn occurred(self, verdict: &Verdict) -> bool {
        let trace = &verdict.trace;
        let saw = |effects: &[FaultEffect]| {
            effects.iter().any(|&effect| verdict.fault_effects.has(effect))
        };
        let stop = |line: &TraceLine| matches!(line.event, Event::StopRequested { .. });
        match self {
            Self::DoubleStop => trace.iter().filter(|line| stop(line)).count() > 1,
            Self::StopDuringBackoff => {
                trace.iter().any(|line| stop(line) && line.before.phase() == Phase::BackingOff)
            }
            Self::StopWhileStarting => {
                trace.iter().any(|line| stop(line) && line.before.phase() == Phase::Starting)
            }
            Self::ExitBeforeStarted => trace.iter().any(|line| {
                matches!(line.event, Event::Exited { .. })
                    && matches!(
                        line.before.phase(),
                        Phase::Starting | Phase::Cancelling | Phase::Aborting
                    )
            }),
            Self::StopBetweenTimerAndSpawn => trace.iter().any(|line| {
                stop(line)
                    && line.before.restarts() > 0
                    && matches!(line.before.phase(), Phase::Starting)
            }),
            Self::RestartDuringBackoff => trace.iter().any(|line| {
                matches!(line.event, Event::RestartRequested { .. })
                    && line.before.phase() == Phase::BackingOff
            }),
            Self::StaleTimers => trace.iter().any(|line| {
                matches!(line.event, Event::TimerFired { .. })
                    && line.step.note == monitor_core::Note::Stale
            }),
            Self::StopBetweenHalves => trace.iter().any(|line| {
                stop(line)
                    && line.before.phase().is_releasing()
                    && line.before.reason() == Reason::RestartRequested
            }),
            Self::StopAgainstNotice => {
                use FaultEffect::{
                    NoticeLate, NoticeLost, NoticeTwice, SignalMissed, SignalRefused,
                };
                saw(&[NoticeLate, NoticeLost, NoticeTwice, SignalMissed, SignalRefused])
            }
            Self::PidReuse => saw(&[FaultEffect::PidReused, FaultEffect::PidsExhausted]),
            Self::CrashInAStep => saw(&[FaultEffect::DeathInAStep, FaultEffect::DeathInASave]),
            Self::ClockJump => saw(&[FaultEffect::WallJump, FaultEffect::Sleep]),
            Self::Crowd => saw(&[FaultEffect::NoticesMerged, FaultEffect::Neighbours]),
        }
    }
}

impl fmt::Display for Race {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
