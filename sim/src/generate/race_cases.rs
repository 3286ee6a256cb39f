//! Draws the cases that aim at a race.

use monitor_core::{
    Backoff, Curve, Event, Exit, Factor, Grace, Millis, Policy, Restart, RunId, Scope, Signal,
    TimerKind, TimerToken,
};

use super::choices::Choices;
use super::{elements, faults};
use crate::case::definition::{Case, DiskFault};
use crate::case::input::{InputKind, TimedInput};
use crate::case::script::{ExitNotice, OnStop, Script, Start};

/// Draws two stops.
pub(super) fn double_stop(case: &mut Case, choices: &mut impl Choices) {
    let first = elements::delay(choices);
    let second = first.saturating_add(elements::delay(choices));
    push(case, first, elements::stop(choices));
    push(case, second, elements::stop(choices));
}

/// Draws a stop in the wait after a failed run.
pub(super) fn stop_during_backoff(case: &mut Case, choices: &mut impl Choices) {
    let dies = crash_loop(case, choices);
    let into = Millis::new(choices.below(100));
    push(case, dies.saturating_add(into), elements::stop(choices));
}

/// Draws a restart in the wait after a failed run.
pub(super) fn restart_during_backoff(case: &mut Case, choices: &mut impl Choices) {
    let dies = crash_loop(case, choices);
    let into = Millis::new(choices.below(100));
    let grace = elements::grace(choices);
    push(case, dies.saturating_add(into), Event::RestartRequested { grace });
}

/// Draws a stop around the end of the wait.
pub(super) fn stop_between_timer_and_spawn(case: &mut Case, choices: &mut impl Choices) {
    let dies = crash_loop(case, choices);
    // The backoff is 100 ms, and the second start takes less than 30 ms.
    let second =
        Script { start: Start::After(Millis::new(choices.below(30))), ..elements::script(choices) };
    case.scripts.insert(1, second);
    let into = Millis::new(99 + choices.below(20));
    push(case, dies.saturating_add(into), elements::stop(choices));
}

/// Draws a stop while the start is not acknowledged.
pub(super) fn stop_while_starting(case: &mut Case, choices: &mut impl Choices) {
    case.scripts[0].start = Start::After(Millis::new(1 + choices.below(200)));
    let at = Millis::new(choices.below(200));
    push(case, at, elements::stop(choices));
}

/// Draws an end before the acknowledgement of the start.
pub(super) fn exit_before_started(case: &mut Case, choices: &mut impl Choices) {
    let acknowledged = 1 + choices.below(200);
    case.scripts[0].start = Start::After(Millis::new(acknowledged));
    case.scripts[0].lives = Some(Millis::new(choices.below(acknowledged)));
    let at = elements::delay(choices);
    push(case, at, elements::request(choices));
    // A fact that was reported early may be reported again, or about another run.
    let again = at.saturating_add(elements::delay(choices));
    let echo = match choices.below(2) {
        0 => Event::Exited { run: RunId::new(1), exit: elements::exit(choices) },
        _ => elements::echo(choices),
    };
    push(case, again, echo);
}

/// Draws requests and stale timers.
pub(super) fn stale_timers(case: &mut Case, choices: &mut impl Choices) {
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
        push(case, at, event);
    }
}

/// Draws a stop while the process is gone and a group member is left.
pub(super) fn stop_between_halves(case: &mut Case, choices: &mut impl Choices) {
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
    push(case, first, Event::RestartRequested { grace: Grace::Policy });
    push(case, first.saturating_add(into), elements::stop(choices));
}

/// Draws a stop of processes whose notices or signals have faults.
pub(super) fn stop_against_notice(case: &mut Case, choices: &mut impl Choices) {
    faults::inject_faults(&mut case.scripts, choices);
    case.scripts[0].lives = Some(elements::delay(choices));
    let at = elements::delay(choices);
    push(case, at, elements::stop(choices));
    let again = at.saturating_add(elements::delay(choices));
    push(case, again, elements::request(choices));
}

/// Draws failed runs with few process numbers.
pub(super) fn pid_reuse(case: &mut Case, choices: &mut impl Choices) {
    case.pids = Some(choices.pick(&[3, 2, 4]));
    if choices.below(2) == 1 {
        case.inputs.clear();
        faults::join_others(case, choices);
        faults::start_all(case);
    }
    let dies = crash_loop(case, choices);
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

/// Draws deaths of the monitor at its operations.
pub(super) fn crash_in_a_step(case: &mut Case, choices: &mut impl Choices) {
    case.disk = choices.pick(&[
        None,
        Some(DiskFault::Loses),
        Some(DiskFault::Tears),
        Some(DiskFault::Reorders),
    ]);
    case.saves_fail_until = Millis::new(choices.pick(&[0, 0, 1]));
    if choices.below(3) == 2 {
        case.inputs.clear();
        faults::join_others(case, choices);
        faults::start_all(case);
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

/// Draws changes of the clocks while a process sends pings.
pub(super) fn clock_jump(case: &mut Case, choices: &mut impl Choices) {
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

/// Draws requests of several units.
pub(super) fn crowd(case: &mut Case, choices: &mut impl Choices) {
    case.inputs.clear();
    faults::join_others(case, choices);
    faults::start_all(case);
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

/// Makes the first process die within 20 ms and be followed by a wait of 100 ms; returns when it
/// dies.
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
