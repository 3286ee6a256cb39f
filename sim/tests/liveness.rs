//! The questions about the long run can be answered with no: machines with injected livelocks that
//! no single step gives away.

use monitor_core::{
    Actions, Backoff, Delay, Event, Grace, Millis, Note, Phase, Policy, Restart, State, Step,
    StopMode, TimerCommand, TimerKind,
};
use monitor_os::{Core, Machine};
use monitor_sim::model::{self, Counterexample, Input};
use monitor_sim::oracle::Property;

/// The machine that ships, except for what the function answers.
struct WithBug(fn(&Policy, State, Event) -> Option<Step>);

impl Machine for WithBug {
    fn step(&self, policy: &Policy, state: State, event: Event) -> Step {
        (self.0)(policy, state, event).unwrap_or_else(|| policy.step(state, event))
    }
}

fn explore(
    policy: Policy,
    bug: fn(&Policy, State, Event) -> Option<Step>,
) -> Option<Counterexample> {
    assert_eq!(model::explore(&[policy], &Core).counterexample, None, "the honest machine");
    model::explore(&[policy], &WithBug(bug)).counterexample
}

fn fired(event: Event, state: State, kind: TimerKind) -> bool {
    matches!(event, Event::TimerFired { timer } if timer.kind == kind && timer.run == state.run())
}

fn in_phase(state: State, phase: Phase) -> State {
    let mut bytes = state.to_bytes();
    bytes[1] = Phase::ALL.iter().position(|&other| other == phase).unwrap_or(0) as u8;
    State::from_bytes(&bytes).unwrap_or(state)
}

const fn arm(delay: Millis) -> Actions {
    Actions { timer: TimerCommand::Arm(Delay::exact(delay)), ..Actions::NONE }
}

/// The lap of a counterexample, as the timers that fire in it.
fn lap(example: &Counterexample) -> Vec<TimerKind> {
    let laps = &example.path[example.path.len() - example.lap..];
    let timer = |input: &Input| match input {
        Input::Event(Event::TimerFired { timer }) => Some(timer.kind),
        Input::Event(_) | Input::Policy(_) | Input::Crash(_) => None,
    };
    laps.iter().filter_map(timer).collect()
}

/// The grace begins again instead of ending in the kill.
#[test]
fn a_grace_without_end_is_found() {
    let example = explore(Policy::DEFAULT, |_, state, event| {
        let over = state.phase() == Phase::Stopping && fired(event, state, TimerKind::StopGrace);
        over.then(|| Step { state, actions: arm(Millis::new(1)), note: Note::Applied })
    })
    .unwrap();
    assert_eq!(example.property, Property::StopEnds);
}

/// After the kill the machine waits for a stop again, and so on: the process may die in every lap,
/// but in half of each it is not owed.
#[test]
fn a_kill_that_becomes_a_stop_again_is_found() {
    let example = explore(Policy::DEFAULT, |policy, state, event| {
        let over = state.phase() == Phase::Killing && fired(event, state, TimerKind::KillWindow);
        // A kill request acts as a stop here, because a second kill would reveal the bug earlier.
        if let Event::StopRequested { mode: StopMode::Kill, origin } = event
            && state.phase() == Phase::Stopping
        {
            let mode = StopMode::Graceful(Grace::Policy);
            return Some(policy.step(state, Event::StopRequested { mode, origin }));
        }
        over.then(|| Step {
            state: in_phase(state, Phase::Stopping),
            actions: Actions { persist: true, ..arm(Millis::new(1)) },
            note: Note::Applied,
        })
    })
    .unwrap();
    assert_eq!((example.property, example.lap), (Property::StopEnds, 2));
    let mut timers = lap(&example);
    timers.sort();
    assert_eq!(timers, [TimerKind::StopGrace, TimerKind::KillWindow]);
}

/// The machine forgets what it was waiting for: nothing will ever happen again.
#[test]
fn a_stop_that_loses_its_timer_is_found() {
    let example = explore(Policy::DEFAULT, |_, state, event| {
        let over = state.phase() == Phase::Stopping && fired(event, state, TimerKind::StopGrace);
        over.then_some(Step { state, actions: Actions::NONE, note: Note::Applied })
    })
    .unwrap();
    assert_eq!((example.property, example.lap), (Property::StopEnds, 0));
}

/// The delay is free for the first failure, and every failure is taken for the first.
#[test]
fn restarts_without_any_delay_are_found() {
    let rules = *Policy::DEFAULT.rules();
    let backoff = Backoff { first: Some(Millis::ZERO), ..rules.backoff };
    let policy = Policy::builder().restart(Restart::Always).backoff(backoff).build().unwrap();
    let example = explore(policy, |policy, state, event| {
        let mut step = policy.step(state, event);
        (step.state.phase() == Phase::BackingOff && state.phase() != Phase::BackingOff).then(|| {
            let mut bytes = step.state.to_bytes();
            bytes[3] = 1;
            step.state = State::from_bytes(&bytes).unwrap();
            step.actions.timer = TimerCommand::Arm(policy.rules().backoff.delay(0));
            step
        })
    })
    .unwrap();
    assert_eq!(example.property, Property::BackoffWaits);
    assert_eq!(lap(&example), [TimerKind::Backoff]);
    assert!(example.lap >= 3, "spawn, end, release, wait: {example:?}");
}
