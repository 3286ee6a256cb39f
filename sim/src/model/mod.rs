//! The exhaustive engine: every reachable state of the machine in an adversarial environment.
//!
//! The environment may do anything a driver could pass on: every request at any time, every fact about the
//! current run early, late or twice, news of other runs, any armed timer (and, to be refused, any other),
//! another policy, and a crash of the monitor followed by its recovery. Durations are abstracted: an
//! armed timer may fire at any time, which covers every real order. A save that fails is an input as
//! well: where the policy requires it, a driver turns it into a start that fails transiently, and
//! elsewhere it changes nothing that the machine sees.
//!
//! Breadth first, so the first violation found is a shortest one. What holds only in the long run is
//! asked of the finished graph: every stop and every restart ends, and no run follows the other without
//! any time having passed.

mod inputs;
mod interner;
mod liveness;
mod packed;
mod product;
mod search;
mod search_states;
mod settings;

use std::collections::{BTreeMap, BTreeSet};

use monitor_core::{Event, Found, Phase, Policy, State, Step, StopMode, TimerKind};
use monitor_os::Machine;

use crate::guard::{self, Guarded};
use crate::oracle::{Property, SafetyOracle};

pub use inputs::Model;

/// One thing that the environment may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Input {
    /// Tell the machine.
    Event(Event),
    /// Put the policy of this index in force.
    Policy(u16),
    /// Crash the monitor, start it again from what it saved, and report what became of the run.
    Crash(Found),
}

/// One reachable search state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SearchState {
    /// What the machine remembers, with its counters cut where they cease to matter.
    pub state: State,
    /// What the oracles remember.
    pub oracle: SafetyOracle,
    /// Which policy is in force, by its index.
    pub policy: u16,
}

/// A violation and a shortest way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// What is violated.
    pub property: Property,
    /// The inputs from the initial state; the last one violates, leads into a dead end, or closes a lap
    /// that may be repeated for ever.
    pub path: Vec<Input>,
    /// How many of the last inputs are that lap; zero for a violation or a dead end.
    pub lap: usize,
    /// The panic with which the machine answers the last input, as one line with its place.
    pub panic: Option<String>,
}

/// What an exhaustive search has found. Every count is exact: if there is no counterexample, every
/// input was followed in every search state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exploration {
    /// Reachable search states.
    pub search_states: usize,
    /// Transitions between them, those that change nothing included.
    pub transitions: usize,
    /// Transitions that change something.
    pub effective: usize,
    /// Ordered pairs of different inputs that both change something in one search state: the races. Both
    /// orders are counted, and both were followed.
    pub race_pairs: usize,
    /// Which machine states were reached, in their order.
    pub states: Vec<State>,
    /// Changes of phase, with the names of the events that cause them. If there is a counterexample, some of them may
    /// lead on from search states that were reached and not followed any more.
    pub phase_changes: BTreeMap<(Phase, Phase), BTreeSet<&'static str>>,
    /// The first violation, if there is one.
    pub counterexample: Option<Counterexample>,
}

/// Explores everything reachable under `policies`, of which the first is in force at the beginning.
///
/// Each policy may replace each other at any time, so time and memory grow with the square of how many there are:
/// meant for a few. A panic of the machine is a violation of [`Property::NoPanic`].
///
/// # Panics
/// If there are more than 2^32 search states or transitions to note, which take over ten gigabytes of memory.
pub fn explore(policies: &[Policy], machine: &impl Machine) -> Exploration {
    let bare = || search::Search::new(Model::new(policies, machine)).run();
    guard::catch(bare).unwrap_or_else(|panic| explore_guarded(policies, machine, panic))
}

/// Explores a machine that panics, so that the search ends with the shortest way to its panic.
fn explore_guarded(policies: &[Policy], machine: &dyn Machine, panic: String) -> Exploration {
    let guard = Guarded::refusing(machine);
    let mut found = search::Search::new(Model::new(policies, &&guard)).run();
    let Some(example) = &mut found.counterexample else {
        // It is not the same again, and the way is lost.
        let property = Property::NoPanic;
        let lost = Counterexample { property, path: Vec::new(), lap: 0, panic: Some(panic) };
        found.counterexample = Some(lost);
        return found;
    };
    // What came before the last step was followed, so it was answered.
    let guard = Guarded::refusing(machine);
    walk_guarded(policies, &guard, &example.path);
    if let Some(panic) = guard.panic() {
        example.property = Property::NoPanic;
        example.panic = Some(panic.to_owned());
    }
    found
}

/// The name of an input without its details, for the arrows of a diagram.
#[must_use]
pub const fn input_name(input: Input) -> &'static str {
    match input {
        Input::Policy(_) => "policy-changed",
        Input::Crash(_) => "recovered",
        Input::Event(event) => event_name(event),
    }
}

/// The name of an event without its details.
#[must_use]
pub const fn event_name(event: Event) -> &'static str {
    match event {
        Event::StartRequested => "start",
        Event::StopRequested { mode: StopMode::Graceful(_), .. } => "stop",
        Event::StopRequested { mode: StopMode::Kill, .. } => "kill",
        Event::StopRequested { mode: StopMode::OnNextExit, .. } => "stop on next exit",
        Event::RestartRequested { .. } => "restart",
        Event::SignalRequested { .. } => "signal",
        Event::PolicyChanged => "policy-changed",
        Event::ResetRequested => "reset",
        Event::RetryRequested => "retry",
        Event::Started { .. } => "started",
        Event::StartFailed { .. } => "start-failed",
        Event::Ready { .. } => "ready",
        Event::Ping { .. } => "ping",
        Event::Extended { .. } => "extended",
        Event::Unhealthy { .. } => "unhealthy",
        Event::Exited { .. } => "exited",
        Event::Released { .. } => "released",
        Event::TimerFired { timer } => match timer.kind {
            TimerKind::StartTimeout => "start-timeout",
            TimerKind::Healthy => "healthy",
            TimerKind::StopGrace => "stop-grace",
            TimerKind::KillWindow => "kill-window",
            TimerKind::Backoff => "backoff",
            TimerKind::Watchdog => "watchdog",
            TimerKind::Window => "window",
        },
        Event::Recovered { .. } => "recovered",
    }
}

/// Replays a path and returns every step of it, up to and including the one that violates. A step in which
/// the machine panics is shown as one that does not apply and saves nevertheless.
pub fn walk(
    policies: &[Policy],
    machine: &impl Machine,
    path: &[Input],
) -> Vec<(usize, Event, State, Step)> {
    walk_guarded(policies, &Guarded::refusing(machine), path)
}

fn walk_guarded(
    policies: &[Policy],
    machine: &Guarded<'_>,
    path: &[Input],
) -> Vec<(usize, Event, State, Step)> {
    let mut state = State::INITIAL;
    let mut policy = 0_usize;
    path.iter()
        .map(|&input| {
            let event = match input {
                Input::Event(event) => event,
                Input::Policy(index) => {
                    policy = usize::from(index);
                    Event::PolicyChanged
                }
                Input::Crash(found) => Event::Recovered { run: state.run(), found },
            };
            let before = state;
            let step = (&machine).step(&policies[policy], before, event);
            state = step.state.canonical();
            (policy, event, before, step)
        })
        .collect()
}
