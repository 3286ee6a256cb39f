//! Draws policies, scripts and inputs from choices.

use monitor_core::{
    Backoff, Counts, Curve, EarlyExit, Event, Exit, Factor, Forgives, Grace, HealthyRule, Millis,
    OnLimit, Origin, Policy, Readiness, Remains, Restart, Retries, RunId, SaveRule, Scope, Signal,
    StartFailure, StartLimit, StartRetry, StartRule, StartsCounted, StopMode, StopRule, TimerKind,
    TimerToken, Watchdog,
};

use super::choices::Choices;
use crate::case::script::{OnStop, Script, Start};

/// Draws a sound policy. If all choices are zero, it is [`Policy::DEFAULT`] with `always` and
/// without jitter.
pub fn policy(choices: &mut impl Choices) -> Policy {
    let rules = Policy::DEFAULT.rules();
    let ms = Millis::new;
    let retries_max = choices.pick(&[None, Some(2), Some(0), Some(1), Some(3)]);
    let counts = choices.pick(&[Counts::Restarts, Counts::Runs]);
    let curve = choices.pick(&[
        rules.backoff.curve,
        Curve::Constant { delay: ms(100) },
        Curve::Linear { initial: ms(100), increment: ms(150), cap: ms(900) },
        Curve::Exponential { initial: ms(1), factor: Factor::from_hundredths(150), cap: ms(9) },
        Curve::Geometric { initial: ms(100), cap: ms(3_000), steps: 4 },
    ]);
    let forgives = choices.pick(&[Forgives::All, Forgives::Delay]);
    let policy = Policy::builder()
        .restart(choices.pick(&[
            Restart::Always,
            Restart::OnFailure,
            Restart::UnlessStopped,
            Restart::No,
        ]))
        .retries(retries_max.map(|max| Retries { max, counts }))
        .early_exit(choices.pick(&[EarlyExit::ByStatus, EarlyExit::Failure]))
        .backoff(Backoff {
            curve,
            first: choices.pick(&[None, Some(ms(0)), Some(ms(7))]),
            skip: choices.pick(&[0, 1]),
            jitter_percent: choices.pick(&[0, 10, 100]),
        })
        .healthy(
            choices
                .pick(&[Some(10_000), Some(1_000), Some(1), None])
                .map(|after| HealthyRule { after: ms(after), forgives }),
        )
        .limit(choices.pick(&[
            None,
            Some(limit(2, StartsCounted::Automatic, OnLimit::Stop)),
            Some(limit(2, StartsCounted::Automatic, OnLimit::Wait)),
            Some(limit(3, StartsCounted::All, OnLimit::Stop)),
            Some(limit(1, StartsCounted::All, OnLimit::Wait)),
        ]))
        .stop(StopRule {
            signal: choices.pick(&[Signal::TERM, Signal::INT]),
            grace: choices.pick(&[Some(10_000), Some(1_000), Some(0), Some(50), None]).map(ms),
            kill_window: choices.pick(&[ms(10_000), ms(5)]),
            scope: choices.pick(&[Scope::Group, Scope::Process]),
        })
        .start(StartRule {
            timeout: choices.pick(&[None, Some(ms(50)), Some(ms(1_000))]),
            readiness: choices.pick(&[Readiness::Exec, Readiness::Notify]),
            first: choices.pick(START_RETRIES),
            later: choices.pick(START_RETRIES),
        })
        .watchdog(
            choices
                .pick(&[None, Some(ms(200)), Some(ms(2_000))])
                .map(|period| Watchdog { period, signal: Signal::ABRT }),
        )
        .save(choices.pick(&[SaveRule::Optional, SaveRule::Required]))
        .build();
    policy.unwrap_or_default()
}

const START_RETRIES: &[StartRetry] =
    &[StartRetry::Always, StartRetry::Transient, StartRetry::Never];

const fn limit(burst: u8, counts: StartsCounted, then: OnLimit) -> StartLimit {
    StartLimit { burst, window: Millis::from_secs(10), counts, then }
}

/// Draws a delay that is likely to end together with another one.
pub fn delay(choices: &mut impl Choices) -> Millis {
    Millis::new(choices.pick(&[
        0, 1, 2, 5, 49, 50, 51, 99, 100, 101, 200, 400, 999, 1_000, 1_001, 2_000, 9_999, 10_000,
        10_001, 60_000,
    ]))
}

/// Draws a script.
pub fn script(choices: &mut impl Choices) -> Script {
    let maybe = |choices: &mut _, wanted: u32| {
        (Choices::below(choices, 4) == wanted).then(|| delay(choices))
    };
    let lives = match choices.below(3) {
        0 => None,
        _ => Some(delay(choices)),
    };
    let script = Script {
        start: match choices.below(5) {
            0 | 1 => Start::After(Millis::ZERO),
            2 | 3 => Start::After(delay(choices)),
            _ => Start::Fails(
                delay(choices),
                choices.pick(&[StartFailure::Transient, StartFailure::Permanent]),
            ),
        },
        lives,
        exits: exit(choices),
        on_stop: on_stop(choices),
        leaves: (choices.below(4) == 3).then(|| on_stop(choices)),
        ready: match choices.below(2) {
            0 => Some(Millis::ZERO),
            _ => maybe(choices, 1),
        },
        pings: maybe(choices, 1).map(|every| every.max(Millis::new(50))),
        unhealthy: maybe(choices, 3),
        ..Script::OBEDIENT
    };
    // This makes no choice of its own, so that each seed still draws the case that it drew before.
    Script { extends: script.pings.filter(|_| script.ready != Some(Millis::ZERO)), ..script }
}

pub(crate) fn exit(choices: &mut impl Choices) -> Exit {
    choices.pick(&[
        Exit::Code(1),
        Exit::Code(0),
        Exit::Code(125),
        Exit::Signal(Signal::KILL),
        Exit::Unknown,
    ])
}

fn on_stop(choices: &mut impl Choices) -> OnStop {
    match choices.below(3) {
        0 => OnStop::Dies(Millis::ZERO),
        1 => OnStop::Dies(delay(choices)),
        _ => OnStop::Ignores,
    }
}

/// Draws any request.
pub fn request(choices: &mut impl Choices) -> Event {
    match choices.below(8) {
        0..=2 => stop(choices),
        3 => Event::StartRequested,
        4 => Event::RestartRequested { grace: grace(choices) },
        5 => Event::SignalRequested { signal: Signal::HUP },
        6 => Event::RetryRequested,
        _ => Event::ResetRequested,
    }
}

/// Draws any stop.
pub fn stop(choices: &mut impl Choices) -> Event {
    let mode = match choices.below(5) {
        0..=2 => StopMode::Graceful(grace(choices)),
        3 => StopMode::Kill,
        _ => StopMode::OnNextExit,
    };
    Event::StopRequested { mode, origin: choices.pick(&[Origin::User, Origin::Shutdown]) }
}

/// Draws any grace that ends.
pub fn grace(choices: &mut impl Choices) -> Grace {
    match choices.below(3) {
        0 | 1 => Grace::Policy,
        _ => Grace::After(delay(choices)),
    }
}

/// Draws a fact that is reported late, twice, or about another run. The world drops a fact that
/// contradicts the world.
pub fn echo(choices: &mut impl Choices) -> Event {
    let run = RunId::new(1 + choices.below(4));
    match choices.below(5) {
        0 => Event::TimerFired { timer: TimerToken { run, kind: choices.pick(&TimerKind::ALL) } },
        1 => Event::Exited { run, exit: exit(choices) },
        2 => Event::Started { run },
        3 => Event::Released { run, remains: Remains::Nothing },
        _ => Event::StartFailed { run, failure: StartFailure::Transient },
    }
}
