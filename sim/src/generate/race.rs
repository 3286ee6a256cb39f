//! The races that the project is named for, each as a family of cases that aim at it.

use std::fmt;

use monitor_core::{
    Backoff, Curve, Event, Exit, Factor, Grace, Millis, Phase, Policy, Reason, Restart, RunId,
    Scope, Signal, TimerKind, TimerToken,
};

use super::choices::Choices;
use super::{elements, faults};
use crate::case::definition::{Case, DiskFault};
use crate::case::input::{InputKind, TimedInput};
use crate::case::script::{ExitNotice, OnStop, Script, Start};
use crate::oracle::fault_effects::FaultEffect;
use crate::oracle::trace::TraceLine;
use crate::oracle::verdict::Verdict;

/// One race: two things that may happen in either order, of which one order was forgotten somewhere.
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
    /// Timers of phases and runs that are over fire all the same.
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

    /// The name, as printed and as given on command lines.
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
        case = case.with_event(0, Event::StartRequested);
        match self {
            Self::DoubleStop => {
                let first = elements::delay(choices);
                let second = first.saturating_add(elements::delay(choices));
                push(&mut case, first, elements::stop(choices));
                push(&mut case, second, elements::stop(choices));
            }
            Self::StopDuringBackoff => {
                let dies = crash_loop(&mut case, choices);
                let into = Millis::new(choices.below(100));
                push(&mut case, dies.saturating_add(into), elements::stop(choices));
            }
            Self::RestartDuringBackoff => {
                let dies = crash_loop(&mut case, choices);
                let into = Millis::new(choices.below(100));
                let grace = elements::grace(choices);
                push(&mut case, dies.saturating_add(into), Event::RestartRequested { grace });
            }
            Self::StopBetweenTimerAndSpawn => {
                let dies = crash_loop(&mut case, choices);
                // The wait is 100 ms; the second start takes its time.
                let second = Script {
                    start: Start::After(Millis::new(choices.below(30))),
                    ..elements::script(choices)
                };
                case.scripts.insert(1, second);
                let into = Millis::new(99 + choices.below(20));
                push(&mut case, dies.saturating_add(into), elements::stop(choices));
            }
            Self::StopWhileStarting => {
                case.scripts[0].start = Start::After(Millis::new(1 + choices.below(200)));
                let at = Millis::new(choices.below(200));
                push(&mut case, at, elements::stop(choices));
            }
            Self::ExitBeforeStarted => {
                let acknowledged = 1 + choices.below(200);
                case.scripts[0].start = Start::After(Millis::new(acknowledged));
                case.scripts[0].lives = Some(Millis::new(choices.below(acknowledged)));
                let at = elements::delay(choices);
                push(&mut case, at, elements::request(choices));
                // What was reported early may be reported again, and otherwise.
                let again = at.saturating_add(elements::delay(choices));
                push(&mut case, again, elements::echo(choices));
            }
            Self::StaleTimers => {
                let mut at = Millis::ZERO;
                for _ in 0..=choices.below(5) {
                    at = at.saturating_add(elements::delay(choices));
                    let event = if choices.below(2) == 0 {
                        elements::request(choices)
                    } else {
                        let run = RunId::new(1 + choices.below(3));
                        let kind = choices.pick(&TimerKind::ALL);
                        Event::TimerFired { timer: TimerToken { run, kind } }
                    };
                    push(&mut case, at, event);
                }
            }
            Self::StopBetweenHalves => {
                // The process ends at once, and what it left takes its time.
                let left = Millis::new(1 + choices.below(200));
                case.scripts[0] = Script {
                    leaves: Some(choices.pick(&[OnStop::Dies(left), OnStop::Ignores])),
                    ..Script::OBEDIENT
                };
                let mut rules = *case.policy.rules();
                rules.stop.scope = Scope::Group;
                rules.stop.grace = Some(Millis::new(choices.pick(&[1_000, 50, 10_000])));
                case.policy = Policy::try_from(rules).unwrap_or(case.policy);
                let first = elements::delay(choices);
                let into = Millis::new(choices.below(200));
                push(&mut case, first, Event::RestartRequested { grace: Grace::Policy });
                push(&mut case, first.saturating_add(into), elements::stop(choices));
            }
            Self::StopAgainstNotice => {
                faults::inject_faults(&mut case.scripts, choices);
                case.scripts[0].lives = Some(elements::delay(choices));
                let at = elements::delay(choices);
                push(&mut case, at, elements::stop(choices));
                let again = at.saturating_add(elements::delay(choices));
                push(&mut case, again, elements::request(choices));
            }
            Self::PidReuse => {
                case.pids = Some(choices.pick(&[3, 2, 4]));
                if choices.below(2) == 1 {
                    case.inputs.clear();
                    faults::join_others(&mut case, choices);
                    faults::start_all(&mut case);
                }
                let dies = crash_loop(&mut case, choices);
                let mut at = dies;
                for _ in 0..=choices.below(4) {
                    at = at.saturating_add(elements::delay(choices));
                    let kind = match choices.below(6) {
                        0 => InputKind::Event(Event::SignalRequested { signal: Signal::HUP }),
                        1 => InputKind::Reboot { after: 0 },
                        2 => InputKind::Crash { after: 0, down: elements::delay(choices) },
                        _ => InputKind::Event(elements::request(choices)),
                    };
                    case.inputs.push(TimedInput { at, unit: 0, kind });
                }
            }
            Self::CrashInAStep => {
                case.disk = choices.pick(&[
                    None,
                    Some(DiskFault::Loses),
                    Some(DiskFault::Tears),
                    Some(DiskFault::Reorders),
                ]);
                case.saves_fail_until = Millis::new(choices.pick(&[0, 0, 1]));
                if choices.below(3) == 2 {
                    case.inputs.clear();
                    faults::join_others(&mut case, choices);
                    faults::start_all(&mut case);
                }
                let mut at = Millis::ZERO;
                for _ in 0..=choices.below(4) {
                    at = at.saturating_add(elements::delay(choices));
                    let kind = match choices.below(5) {
                        0 | 1 => faults::crash(choices),
                        2 => InputKind::Reboot { after: faults::after(choices) },
                        _ => InputKind::Event(elements::request(choices)),
                    };
                    case.inputs.push(TimedInput { at, unit: 0, kind });
                }
            }
            Self::ClockJump => {
                case.scripts[0].pings = Some(Millis::new(choices.pick(&[50, 100, 150])));
                let mut at = Millis::ZERO;
                for _ in 0..=choices.below(3) {
                    at = at.saturating_add(elements::delay(choices));
                    let kind = match choices.below(3) {
                        0 | 1 => faults::clock(choices),
                        _ => InputKind::Event(elements::request(choices)),
                    };
                    case.inputs.push(TimedInput { at, unit: 0, kind });
                }
            }
            Self::Crowd => {
                case.inputs.clear();
                faults::join_others(&mut case, choices);
                faults::start_all(&mut case);
                if choices.below(3) == 0 {
                    case.scripts[0].notice = ExitNotice::Twice;
                }
                let mut at = Millis::ZERO;
                for _ in 0..choices.below(4) {
                    at = at.saturating_add(elements::delay(choices));
                    let unit = u8::try_from(choices.below(2)).unwrap_or(0);
                    let kind = InputKind::Event(elements::request(choices));
                    case.inputs.push(TimedInput { at, unit, kind });
                    if choices.below(3) == 0 {
                        let kind = InputKind::Event(elements::request(choices));
                        case.inputs.push(TimedInput { at, unit: 0, kind });
                    }
                }
            }
        }
        case
    }

    /// Whether the race really took place.
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
                    && matches!(line.before.phase(), Phase::Releasing | Phase::Purging)
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

/// Makes the first process die within 20 ms and be followed by a wait of 100 ms; returns when it dies.
fn crash_loop(case: &mut Case, choices: &mut impl Choices) -> Millis {
    let mut rules = *case.policy.rules();
    rules.restart = choices.pick(&[Restart::Always, Restart::OnFailure, Restart::UnlessStopped]);
    rules.retries = None;
    rules.limit = None;
    rules.backoff = Backoff {
        curve: Curve::Exponential {
            initial: Millis::new(100),
            factor: Factor::DOUBLE,
            cap: Millis::from_mins(1),
        },
        first: None,
        skip: 0,
        jitter_percent: 0,
    };
    case.policy = Policy::try_from(rules).unwrap_or_default();
    let dies = Millis::new(choices.below(20));
    case.scripts[0] = Script { lives: Some(dies), exits: Exit::Code(1), ..Script::OBEDIENT };
    case.scripts.push(elements::script(choices));
    dies
}

fn push(case: &mut Case, at: Millis, event: Event) {
    case.inputs.push(TimedInput { at, unit: 0, kind: InputKind::Event(event) });
}
