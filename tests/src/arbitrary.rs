//! Strategies for all inputs of the machine: sound policies and events.

use monitor_core::{
    Backoff, Counts, Curve, EarlyExit, Event, Exit, ExitSet, Factor, Forgives, Found, Grace,
    HealthyRule, Millis, OnLimit, Origin, Policy, Readiness, Remains, Restart, Retries, RunId,
    SaveRule, Scope, Signal, StartFailure, StartLimit, StartRetry, StartRule, StartsCounted,
    StopMode, StopRule, TimerKind, TimerToken, Watchdog,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

/// Any duration; small ones and both ends often.
pub fn millis() -> impl Strategy<Value = Millis> {
    prop_oneof![
        Just(Millis::ZERO),
        Just(Millis::MAX),
        (0..10_000_u32).prop_map(Millis::new),
        any::<u32>().prop_map(Millis::new),
    ]
}

fn positive() -> impl Strategy<Value = Millis> {
    millis().prop_map(|millis| Millis::new(millis.as_u32().max(1)))
}

/// Any signal.
pub fn signal() -> impl Strategy<Value = Signal> {
    (1..=64_u8).prop_filter_map("1 to 64 are signals", Signal::new)
}

/// Any exit.
pub fn exit() -> impl Strategy<Value = Exit> {
    prop_oneof![
        Just(Exit::Code(0)),
        any::<u8>().prop_map(Exit::Code),
        signal().prop_map(Exit::Signal),
        Just(Exit::Unknown),
    ]
}

/// Any set of exits; empty ones often.
pub fn exit_set() -> impl Strategy<Value = ExitSet> {
    vec(exit(), 0..6).prop_map(|exits| {
        exits.into_iter().fold(ExitSet::EMPTY, |set, exit| match exit {
            Exit::Code(code) => set.with_code(code),
            Exit::Signal(signal) => set.with_signal(signal),
            Exit::Unknown => set,
        })
    })
}

/// Any curve that a policy accepts, except a constant zero, which needs a bound beside it.
pub fn curve() -> impl Strategy<Value = Curve> {
    let ends = || (positive(), positive()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    prop_oneof![
        millis().prop_map(|delay| Curve::Constant { delay }),
        (ends(), positive()).prop_map(|((initial, cap), increment)| reachable(
            |cap| { Curve::Linear { initial, increment, cap } },
            cap
        )),
        (ends(), 101..=10_000_u16).prop_map(|((initial, cap), factor)| {
            let factor = Factor::from_hundredths(factor);
            reachable(|cap| Curve::Exponential { initial, factor, cap }, cap)
        }),
        (ends(), 1..=254_u8).prop_map(|((initial, cap), steps)| Curve::Geometric {
            initial,
            cap,
            steps
        }),
    ]
}

/// The curve with `cap`, lowered to the value that it reaches in 254 steps.
fn reachable(curve: impl Fn(Millis) -> Curve, cap: Millis) -> Curve {
    curve(curve(cap).at(254))
}

fn start_retry() -> impl Strategy<Value = StartRetry> {
    select(vec![StartRetry::Never, StartRetry::Transient, StartRetry::Always])
}

fn start_limit() -> impl Strategy<Value = StartLimit> {
    (
        1..=254_u8,
        positive(),
        select(vec![StartsCounted::Automatic, StartsCounted::All]),
        select(vec![OnLimit::Stop, OnLimit::Wait]),
    )
        .prop_map(|(burst, window, counts, then)| StartLimit {
            burst: burst.min(burst % 5 + 1),
            window,
            counts,
            then,
        })
}

/// Any sound policy.
pub fn policy() -> impl Strategy<Value = Policy> {
    let ends = (
        select(vec![Restart::No, Restart::OnFailure, Restart::Always, Restart::UnlessStopped]),
        of((0..8_u16, select(vec![Counts::Restarts, Counts::Runs]))
            .prop_map(|(max, counts)| Retries { max, counts })),
        (exit_set(), exit_set(), exit_set()),
        select(vec![EarlyExit::ByStatus, EarlyExit::Failure]),
    );
    let waits = (
        (curve(), of(millis()), 0..=1_u8, 0..=100_u8).prop_map(
            |(curve, first, skip, jitter_percent)| Backoff { curve, first, skip, jitter_percent },
        ),
        of((positive(), select(vec![Forgives::Delay, Forgives::All]))
            .prop_map(|(after, forgives)| HealthyRule { after, forgives })),
        of(start_limit()),
    );
    let stop =
        (signal(), of(millis()), positive(), select(vec![Scope::Process, Scope::Group])).prop_map(
            |(signal, grace, kill_window, scope)| StopRule { signal, grace, kill_window, scope },
        );
    let start = (
        of(positive()),
        select(vec![Readiness::Exec, Readiness::Notify]),
        start_retry(),
        start_retry(),
    )
        .prop_map(|(timeout, readiness, first, later)| StartRule {
            timeout,
            readiness,
            first,
            later,
        });
    let rest = (
        of((positive(), signal()).prop_map(|(period, signal)| Watchdog { period, signal })),
        select(vec![SaveRule::Optional, SaveRule::Required]),
    );
    (ends, waits, stop, start, rest).prop_filter_map(
        "no delay and no bound",
        |(ends, (backoff, healthy, limit), stop, start, (watchdog, save))| {
            let (restart, retries, (success, prevent, force), early_exit) = ends;
            Policy::builder()
                .restart(restart)
                .retries(retries)
                .success(success)
                .prevent(prevent)
                .force(force)
                .early_exit(early_exit)
                .backoff(backoff)
                .healthy(healthy)
                .limit(limit)
                .stop(stop)
                .start(start)
                .watchdog(watchdog)
                .save(save)
                .build()
                .ok()
        },
    )
}

fn grace() -> impl Strategy<Value = Grace> {
    prop_oneof![Just(Grace::Policy), Just(Grace::Never), millis().prop_map(Grace::After)]
}

/// Any event about runs that `run` draws.
pub fn event(run: impl Strategy<Value = RunId> + Clone + 'static) -> BoxedStrategy<Event> {
    let origin = select(vec![Origin::User, Origin::Shutdown]);
    let mode = prop_oneof![
        4 => grace().prop_map(StopMode::Graceful),
        1 => Just(StopMode::Kill),
        1 => Just(StopMode::OnNextExit),
    ];
    let failure = select(vec![StartFailure::Transient, StartFailure::Permanent]);
    let remains = select(vec![Remains::Nothing, Remains::Leaked]);
    let found = prop_oneof![
        Just(Found::Alive),
        exit().prop_map(Found::Exited),
        Just(Found::Gone),
        Just(Found::Rebooted),
    ];
    let requests = prop_oneof![
        2 => Just(Event::StartRequested),
        2 => (mode, origin).prop_map(|(mode, origin)| Event::StopRequested { mode, origin }),
        1 => grace().prop_map(|grace| Event::RestartRequested { grace }),
        1 => signal().prop_map(|signal| Event::SignalRequested { signal }),
        1 => Just(Event::PolicyChanged),
        1 => Just(Event::ResetRequested),
        1 => Just(Event::RetryRequested),
    ];
    let facts = prop_oneof![
        4 => run.clone().prop_map(|run| Event::Started { run }),
        2 => (run.clone(), failure).prop_map(|(run, failure)| Event::StartFailed { run, failure }),
        1 => run.clone().prop_map(|run| Event::Ready { run }),
        1 => run.clone().prop_map(|run| Event::Ping { run }),
        1 => (run.clone(), millis()).prop_map(|(run, by)| Event::Extended { run, by }),
        1 => run.clone().prop_map(|run| Event::Unhealthy { run }),
        4 => (run.clone(), exit()).prop_map(|(run, exit)| Event::Exited { run, exit }),
        4 => (run.clone(), remains).prop_map(|(run, remains)| Event::Released { run, remains }),
        6 => (run.clone(), select(TimerKind::ALL.to_vec()))
            .prop_map(|(run, kind)| Event::TimerFired { timer: TimerToken { run, kind } }),
        2 => (run, found).prop_map(|(run, found)| Event::Recovered { run, found }),
    ];
    prop_oneof![1 => requests, 2 => facts].boxed()
}

/// Any run.
pub fn run() -> impl Strategy<Value = RunId> + Clone {
    prop_oneof![0..4_u32, any::<u32>()].prop_map(RunId::new)
}
