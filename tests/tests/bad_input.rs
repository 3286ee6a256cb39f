//! Inputs from outside are harmless: texts, bytes, JSON, and events in any order.

use std::fmt::Display;
use std::str::FromStr;

use monitor_core::{
    Curve, Delay, Event, Exit, ExitSet, Factor, Millis, Monitor, Note, Outcome, Phase, Policy,
    Preset, Reason, RunId, Signal, StartFailure, State, TimerKind, TimerToken,
};
use proptest::prelude::*;
use tests::arbitrary;

/// Words that parsers know, so that random texts pass the first one.
fn texts() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        2 => "[a-z]{1,12}(-[a-z]{1,8})?(=[a-z0-9:<*+/%.,-]{0,12})?",
        1 => "\\PC{0,12}",
        4 => prop::sample::select(WORDS.to_vec()).prop_map(String::from),
        2 => (prop::sample::select(WORDS.to_vec()), "\\PC{0,6}").prop_map(|(a, b)| format!("{a}{b}")),
    ];
    prop_oneof![
        1 => any::<String>(),
        4 => prop::collection::vec(word, 0..5).prop_map(|words| words.join(" ")),
    ]
}

const WORDS: [&str; 44] = [
    "start",
    "stop",
    "shutdown",
    "restart",
    "signal",
    "started",
    "start-failed",
    "exited",
    "released",
    "fired",
    "recovered",
    "#1",
    "#",
    "code=",
    "code=256",
    "signal=",
    "unknown",
    "backoff",
    "grace=",
    "grace=1",
    "preset=",
    "preset=pm2",
    "restart=always",
    "restart=on-failure:",
    "retries=",
    "success=",
    "1-",
    "backoff=linear:",
    "backoff=exponential:1ms*",
    "<=",
    "limit=5/",
    "limit=0/1s",
    "watchdog=",
    "watchdog-signal=9",
    "forgive=all",
    "healthy-after=none",
    "jitter=101%",
    "1s1",
    "99d",
    "1ms..",
    "SIG",
    "SIG65",
    "1.001",
    "geometric:1ms<=1s/0",
];

/// Reads `text`; an error must have a message.
fn read<T: FromStr<Err: Display>>(text: &str) -> Result<Option<T>, TestCaseError> {
    match text.parse() {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            let error: T::Err = error;
            let message = error.to_string();
            let (field, fix) = message.split_once(": ").unwrap_or(("", ""));
            prop_assert!(!field.is_empty() && !fix.is_empty(), "no field or no fix: {message:?}");
            prop_assert!(!field.contains('\n') && field.len() < 24, "no field: {message:?}");
            Ok(None)
        }
    }
}

/// A value that was read prints as a text that reads as the same value.
fn stable<T>(text: &str) -> Result<(), TestCaseError>
where
    T: FromStr<Err: Display> + Display + PartialEq + std::fmt::Debug,
{
    if let Some(value) = read::<T>(text)? {
        let again = read::<T>(&value.to_string())?;
        prop_assert_eq!(again.as_ref(), Some(&value), "from {:?} by {}", text, value);
    }
    Ok(())
}

fn all_parsers(text: &str) -> Result<(), TestCaseError> {
    stable::<Event>(text)?;
    stable::<Policy>(text)?;
    stable::<Millis>(text)?;
    stable::<Delay>(text)?;
    stable::<Signal>(text)?;
    stable::<Exit>(text)?;
    stable::<ExitSet>(text)?;
    stable::<Preset>(text)?;
    stable::<Curve>(text)?;
    stable::<Factor>(text)?;
    stable::<RunId>(text)?;
    stable::<TimerKind>(text)?;
    stable::<StartFailure>(text)
}

/// Bytes that look like a record: the right version, small numbers.
fn records(len: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => 0..16_u8, 1 => any::<u8>()];
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..32),
        4 => prop::collection::vec(byte, len).prop_map(|mut bytes| {
            bytes[0] = monitor_core::VERSION;
            bytes
        }),
    ]
}

/// A record of a state with correct padding, so that most of it is judged as a whole. Counts are
/// often at their ends.
fn state_records() -> impl Strategy<Value = [u8; State::WIRE_LEN]> {
    let kinds = (0..14_u8, 0..14_u8, 0..6_u8, any::<u8>());
    let small = || prop_oneof![0..4_u8, 254..=u8::MAX, any::<u8>()];
    let large = || prop_oneof![0..3_u32, u32::MAX - 1..=u32::MAX];
    let strikes = prop_oneof![0..8_u16, u16::MAX - 1..=u16::MAX];
    (kinds, small(), small(), large(), large(), strikes).prop_map(
        |((phase, reason, kind, value), level, starts, run, restarts, strikes)| {
            let value = match kind {
                1 => value,
                2 => value % 64 + 1,
                _ => 0,
            };
            let mut bytes = [0; State::WIRE_LEN];
            let version = monitor_core::VERSION;
            bytes[..7].copy_from_slice(&[version, phase, reason, level, starts, kind, value]);
            bytes[8..12].copy_from_slice(&run.to_le_bytes());
            bytes[12..16].copy_from_slice(&restarts.to_le_bytes());
            bytes[16..18].copy_from_slice(&strikes.to_le_bytes());
            bytes
        },
    )
}

/// Moves most events to the current run, which random numbers rarely meet.
const fn aimed(mut event: Event, state: State) -> Event {
    let current = state.run();
    if let Event::Started { run }
    | Event::StartFailed { run, .. }
    | Event::Ready { run }
    | Event::Ping { run }
    | Event::Extended { run, .. }
    | Event::Unhealthy { run }
    | Event::Exited { run, .. }
    | Event::Released { run, .. }
    | Event::TimerFired { timer: TimerToken { run, .. } }
    | Event::Recovered { run, .. } = &mut event
        && run.as_u32() < 1 << 30
    {
        *run = current;
    }
    event
}

/// The properties of each single step.
fn check_step(policy: &Policy, state: State, event: Event) -> Result<State, TestCaseError> {
    let step = policy.step(state, event);
    let after = step.state;
    prop_assert!(after.is_consistent(), "{event}: {state:?} -> {after:?}");
    prop_assert_eq!(State::from_bytes(&after.to_bytes()), Ok(after));
    prop_assert!(step.commands() <= 6);
    prop_assert_eq!(step.actions.persist, after != state, "{}: {:?} -> {:?}", event, state, after);
    if step.note != Note::Applied {
        prop_assert_eq!(after, state, "{} is ignored", event);
        prop_assert_eq!(step.commands(), 0, "{} is ignored", event);
    }
    prop_assert!(!policy.explain(after).to_string().is_empty());
    Ok(after)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn texts_never_hurt_and_errors_name_the_field(text in texts()) {
        all_parsers(&text)?;
        for word in text.split_whitespace() {
            all_parsers(word)?;
            if let Some((_, value)) = word.split_once('=') {
                all_parsers(value)?;
            }
        }
    }

    #[test]
    fn bytes_never_hurt_and_have_one_meaning(
        state in records(State::WIRE_LEN),
        event in records(Event::WIRE_LEN),
    ) {
        match State::from_bytes(&state) {
            Ok(read) => prop_assert_eq!(read.to_bytes().to_vec(), state),
            Err(error) => prop_assert!(error.to_string().contains(": ")),
        }
        match Event::from_bytes(&event) {
            Ok(read) => prop_assert_eq!(read.to_bytes().to_vec(), event),
            Err(error) => prop_assert!(error.to_string().contains(": ")),
        }
    }

    #[test]
    fn events_survive_text_bytes_and_json(event in arbitrary::event(arbitrary::run())) {
        prop_assert_eq!(event.to_string().parse(), Ok(event));
        prop_assert_eq!(Event::from_bytes(&event.to_bytes()), Ok(event));
        let json = serde_json::to_string(&event).unwrap();
        prop_assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
    }

    #[test]
    fn policies_survive_text_and_json(policy in arbitrary::policy()) {
        let text = policy.to_string();
        prop_assert_eq!(text.parse(), Ok(policy), "{}", text);
        let json = serde_json::to_string(&policy).unwrap();
        prop_assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
    }

    /// A form that is not printed is not read: neither a sign nor a separator in a number.
    #[test]
    fn numbers_are_digits(
        policy in arbitrary::policy(),
        event in arbitrary::event(arbitrary::run()),
        place in any::<prop::sample::Index>(),
        more in prop::sample::select(vec!['+', '_']),
    ) {
        for text in [policy.to_string(), event.to_string()] {
            let mut longer = text;
            longer.insert(place.index(longer.len() + 1), more);
            prop_assert!(longer.parse::<Policy>().is_err(), "{}", longer);
            prop_assert!(longer.parse::<Event>().is_err(), "{}", longer);
        }
    }

    #[test]
    fn damaged_json_never_hurts(
        policy in arbitrary::policy(),
        event in arbitrary::event(arbitrary::run()),
        place in any::<prop::sample::Index>(),
        damage in "\\PC{0,3}",
    ) {
        for json in [
            serde_json::to_string(&policy).unwrap(),
            serde_json::to_string(&event).unwrap(),
            serde_json::to_string(&State::INITIAL).unwrap(),
        ] {
            let place = place.index(json.len());
            let (head, tail) = (json.get(..place).unwrap_or(""), json.get(place + 1..).unwrap_or(""));
            let damaged = format!("{head}{damage}{tail}");
            if let Ok(policy) = serde_json::from_str::<Policy>(&damaged) {
                prop_assert!(policy.to_builder().build().is_ok(), "an unsound policy came in");
            }
            if let Ok(state) = serde_json::from_str::<State>(&damaged) {
                prop_assert!(state.is_consistent());
            }
            drop(serde_json::from_str::<Event>(&damaged));
        }
    }

    /// Invariant I9 of the bug bank, at each level that a state can hold.
    #[test]
    fn delays_are_positive_capped_and_never_shrink(policy in arbitrary::policy()) {
        let backoff = policy.rules().backoff;
        let zero_is_asked_for = matches!(backoff.curve, Curve::Constant { delay: Millis::ZERO });
        let first_step = u8::from(backoff.first.is_some());
        let mut before = Millis::ZERO;
        for level in 0..=u8::MAX {
            let delay = backoff.delay(level);
            prop_assert_eq!(delay.jitter.as_u32(), jitter(delay.base, backoff.jitter_percent));
            if level < first_step {
                prop_assert_eq!(Some(delay.base), backoff.first);
                continue;
            }
            prop_assert!(delay.base > Millis::ZERO || zero_is_asked_for, "level {level}");
            prop_assert!(delay.base <= backoff.curve.cap(), "level {level}");
            prop_assert!(delay.base >= before, "level {level}: {} after {before}", delay.base);
            before = delay.base;
        }
        prop_assert_eq!(before, backoff.curve.cap(), "the cap is reached");
    }

    #[test]
    fn events_in_any_order_keep_every_state_sound(
        policy in arbitrary::policy(),
        other in arbitrary::policy(),
        events in prop::collection::vec(arbitrary::event(arbitrary::run()), 1..60),
    ) {
        let (mut policy, mut state) = (policy, State::INITIAL);
        for event in events {
            let event = aimed(event, state);
            if event == Event::PolicyChanged {
                policy = other;
            }
            state = check_step(&policy, state, event)?;
            let mut monitor = Monitor::restore(policy, state);
            prop_assert_eq!(monitor.handle(event), policy.step(state, event));
        }
    }

    /// A record that passed `from_bytes` may come from elsewhere, and is as safe.
    #[test]
    fn steps_from_any_accepted_record_keep_it_sound(
        policy in arbitrary::policy(),
        record in state_records(),
        events in prop::collection::vec(arbitrary::event(arbitrary::run()), 1..8),
    ) {
        if let Ok(mut state) = State::from_bytes(&record) {
            for event in events {
                state = check_step(&policy, state, aimed(event, state))?;
            }
        }
    }
}

fn jitter(base: Millis, percent: u8) -> u32 {
    let exact = u64::from(base.as_u32()) * u64::from(percent) / 100;
    u32::try_from(exact).unwrap_or(u32::MAX)
}

#[test]
fn every_phase_reason_and_outcome_is_accepted_or_refused_without_harm() {
    let mut accepted = 0;
    for phase in 0..=u8::MAX {
        for reason in 0..=u8::MAX {
            for kind in 0..8 {
                for run in 0..2 {
                    let mut bytes = State::INITIAL.to_bytes();
                    (bytes[1], bytes[2], bytes[5], bytes[8]) = (phase, reason, kind, run);
                    if let Ok(state) = State::from_bytes(&bytes) {
                        assert!(Phase::ALL.contains(&state.phase()));
                        assert!(Reason::ALL.contains(&state.reason()));
                        assert_eq!(state.outcome() == Outcome::None, kind == 0);
                        accepted += 1;
                    }
                }
            }
        }
    }
    assert!(accepted > 100, "{accepted}");
}

/// A scenario that the compiler steps: a crash, the wait, a stop in it. With another answer this
/// file would not build.
const _: () = {
    const RUN: RunId = RunId::new(1);
    let Ok(policy) = Preset::Docker2014.builder().restart(monitor_core::Restart::Always).build()
    else {
        panic!("the preset is sound");
    };
    let step = policy.step(State::INITIAL, Event::StartRequested);
    assert!(matches!(step.actions.process, monitor_core::ProcessCommand::Spawn));
    let step = policy.step(step.state, Event::Started { run: RUN });
    assert!(matches!(step.state.phase(), Phase::Running));
    let step = policy.step(step.state, Event::Exited { run: RUN, exit: Exit::Code(1) });
    assert!(matches!(step.state.phase(), Phase::Releasing));
    let remains = monitor_core::Remains::Nothing;
    let step = policy.step(step.state, Event::Released { run: RUN, remains });
    assert!(matches!(step.state.phase(), Phase::BackingOff));
    assert!(matches!(
        step.actions.timer,
        monitor_core::TimerCommand::Arm(delay) if delay.base.as_u32() == 200
    ));
    let step = policy.step(step.state, Event::stop());
    assert!(matches!(step.state.phase(), Phase::Stopped));
    assert!(matches!(step.state.reason(), Reason::StopRequested));
    assert!(matches!(step.actions.timer, monitor_core::TimerCommand::Disarm));
};
