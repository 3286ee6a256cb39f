//! Changes of states, steps and policies, of which the bugs of the bank are made.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a bug is wrong in one place and honest everywhere else"
)]

use monitor_core::{
    Actions, Delay, Event, Exit, Note, Phase, Policy, ProcessCommand, Reason, Rules, Scope, Signal,
    State, Step, TimerCommand, TimerKind,
};

pub(super) const UP: [Phase; 4] =
    [Phase::Starting, Phase::Activating, Phase::Running, Phase::Healthy];

pub(super) fn in_phase(state: State, phases: &[Phase]) -> bool {
    phases.contains(&state.phase())
}

pub(super) const fn is_stop(event: Event) -> bool {
    matches!(event, Event::StopRequested { .. })
}

pub(super) const fn is_restart(event: Event) -> bool {
    matches!(event, Event::RestartRequested { .. })
}

pub(super) fn exited_here(state: State, event: Event) -> bool {
    matches!(event, Event::Exited { run, .. } if run == state.run()) && state.phase().is_live()
}

pub(super) fn recovered_here(state: State, event: Event) -> bool {
    matches!(event, Event::Recovered { run, .. } if run == state.run())
}

pub(super) fn fired(event: Event, kind: TimerKind) -> bool {
    matches!(event, Event::TimerFired { timer } if timer.kind == kind)
}

pub(super) fn with_exit(event: Event, change: impl FnOnce(Exit) -> Exit) -> Event {
    match event {
        Event::Exited { run, exit } => Event::Exited { run, exit: change(exit) },
        other => other,
    }
}

/// Returns the policy with changed rules, if they are sound.
pub(super) fn bent(policy: &Policy, change: impl FnOnce(&mut Rules)) -> Policy {
    let mut rules = *policy.rules();
    change(&mut rules);
    Policy::try_from(rules).unwrap_or(*policy)
}

/// Returns the state with changed bytes, if the machine could have made it.
pub(super) fn edit(state: State, change: impl FnOnce(&mut [u8; State::WIRE_LEN])) -> State {
    let mut bytes = state.to_bytes();
    change(&mut bytes);
    State::from_bytes(&bytes).unwrap_or(state)
}

pub(super) fn reasoned(state: State, reason: Reason) -> State {
    edit(state, |bytes| bytes[2] = place(&Reason::ALL, reason))
}

/// Returns the byte of a phase or a reason in the wire form.
fn place<T: PartialEq>(all: &[T], wanted: T) -> u8 {
    let place = all.iter().position(|other| *other == wanted);
    place.and_then(|place| u8::try_from(place).ok()).unwrap_or(0)
}

pub(super) const fn nothing(state: State) -> Step {
    Step { state, actions: Actions::NONE, note: Note::NotApplicable }
}

pub(super) fn with(mut step: Step, change: impl FnOnce(&mut Actions)) -> Step {
    change(&mut step.actions);
    step
}

/// Returns the state as stopped by a kill.
pub(super) fn stopped(state: State) -> State {
    rephased(state, Phase::Stopped, Reason::StopRequested)
}

/// Returns the state in another phase, for this reason. A phase that needs an outcome gets that of
/// a kill.
pub(super) fn rephased(state: State, phase: Phase, reason: Reason) -> State {
    edit(state, |bytes| {
        bytes[1] = place(&Phase::ALL, phase);
        bytes[2] = place(&Reason::ALL, reason);
        let killed = phase == Phase::Stopped;
        (bytes[5], bytes[6]) = if killed { (2, Signal::KILL.number()) } else { (0, 0) };
    })
}

/// Returns the step to another state, with its save.
pub(super) fn restate(
    before: State,
    mut step: Step,
    change: impl FnOnce(&mut [u8; State::WIRE_LEN]),
) -> Step {
    step.state = edit(step.state, change);
    resaved(before, step)
}

pub(super) fn set_reason(before: State, mut step: Step, reason: Reason) -> Step {
    if step.note != Note::Applied {
        return step;
    }
    step.state = reasoned(step.state, reason);
    resaved(before, step)
}

pub(super) fn resaved(before: State, step: Step) -> Step {
    let changed = step.state != before;
    if step.note == Note::Applied { with(step, |actions| actions.persist = changed) } else { step }
}

/// Returns the step with another delay, if a wait begins.
pub(super) fn delayed(
    policy: &Policy,
    state: State,
    event: Event,
    law: impl FnOnce(&Rules, u8, Delay) -> Delay,
) -> Step {
    let step = policy.step(state, event);
    match (step.state.phase(), step.actions.timer) {
        (Phase::BackingOff, TimerCommand::Arm(delay)) => {
            let level = step.state.level().saturating_sub(1);
            with(step, |actions| {
                actions.timer = TimerCommand::Arm(law(policy.rules(), level, delay))
            })
        }
        _ => step,
    }
}

/// Returns the step with signals and releases that reach the process alone.
pub(super) fn scoped(
    policy: &Policy,
    state: State,
    event: Event,
    meant: impl Fn(Signal) -> bool,
) -> Step {
    with(policy.step(state, event), |actions: &mut Actions| match &mut actions.process {
        ProcessCommand::Signal { signal, scope } if meant(*signal) => *scope = Scope::Process,
        _ => {}
    })
}
