//! The measured loops.

use std::hint::black_box;

use monitor_core::{Actions, Event, Note, Policy, State, Step};

use crate::mix::Mix;

/// Answers one event: [`Policy::step`], or a function to compare it with.
///
/// The loops call it through a pointer that the optimiser cannot see through, so it is never
/// inlined. A driver in another crate pays for the call, too.
pub type Transition = fn(&Policy, State, Event) -> Step;

/// Answers every event of the log, keeps the state, and reads each step.
pub fn replay(mix: &Mix, transition: Transition) -> State {
    let transition = black_box(transition);
    let mut state = State::INITIAL;
    for event in &mix.events {
        let step = transition(&mix.policy, state, *event);
        state = black_box(&step).state;
    }
    state
}

/// Answers every event and visits each command, as a driver does. Returns the number of commands.
pub fn deliver(mix: &Mix, transition: Transition) -> usize {
    let transition = black_box(transition);
    let mut state = State::INITIAL;
    let mut commands = 0;
    for event in &mix.events {
        let step = transition(&mix.policy, state, *event);
        step.for_each(|action| {
            black_box(&action);
            commands += 1;
        });
        state = step.state;
    }
    commands
}

/// The loop alone: reads each event and answers none.
pub fn empty(mix: &Mix) {
    for event in &mix.events {
        black_box(event);
    }
}

/// The floor: takes and returns as much as a transition, and decides nothing.
pub const fn stand_still(_: &Policy, state: State, event: Event) -> Step {
    black_box(&event);
    Step { state, actions: Actions::NONE, note: Note::Applied }
}
