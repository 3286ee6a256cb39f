//! Explores all that is reachable, and replays the path to a violation.

use monitor_core::{Event, Policy, State, Step};
use monitor_os::Machine;

use super::finding::{Counterexample, Exploration};
use super::input::Input;
use super::inputs::Model;
use super::search;
use crate::machine::guard::{self, Guarded};
use crate::oracle::property::Property;

/// Explores all that is reachable under `policies`. The first policy is in force at the beginning.
///
/// Each policy may replace each other at any time, so time and memory grow with the square of how
/// many there are: meant for a few. A panic of the machine is a violation of [`Property::NoPanic`].
///
/// # Panics
/// If there are more than 2^32 search states or transitions to note, which take over ten gigabytes
/// of memory.
pub fn explore(policies: &[Policy], machine: &impl Machine) -> Exploration {
    let bare = || search::Search::new(Model::new(policies, machine)).run();
    guard::catch(bare).unwrap_or_else(|panic| explore_guarded(policies, machine, panic))
}

/// Explores a machine that panics, so that the search ends with the shortest path to its panic.
fn explore_guarded(policies: &[Policy], machine: &dyn Machine, panic: String) -> Exploration {
    let guard = Guarded::refusing(machine);
    let mut found = search::Search::new(Model::new(policies, &&guard)).run();
    let Some(example) = &mut found.counterexample else {
        // It is not the same again, and the path is lost.
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

/// Replays a path and returns every step of it, up to and including the one that violates. A step
/// in which the machine panics is shown as one that does not apply and saves nevertheless.
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
