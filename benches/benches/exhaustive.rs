//! The exhaustive engine against the breadth-first search of stateright, on one thread each.
//!
//! Equal: search states, inputs, machine and oracles. Each step is checked. Both engines must reach
//! the same number of search states, or the benchmark ends. stateright calls `Model::inputs` and
//! `Model::follow`.
//!
//! The family of `check` has its counts cut to two and three, so that a `cargo test` can search it.
//! The last contest searches the largest member of that family with realistic counts.
//!
//! Not equal: our engine knows that a search state is a setting of the machine and a state of the
//! oracles, and explores the two apart. It counts inputs that change nothing, keeps the edges of
//! the world, and checks liveness on the finished graph. stateright gets two readings. In the
//! easier one an input that changes nothing is no transition. In the literal one it is.

mod contest;

use monitor_core::{Curve, Millis, Policy, PolicyError, Retries, Rules, StartLimit};
use monitor_os::Core;
use monitor_sim::model::{self, FamilyMember, Input, Model, SearchState, family};
use stateright::{Checker as _, Model as _};

use contest::{Contestant, contest};

const ROUNDS: usize = 7;

/// The model in the form of stateright.
struct Peer {
    model: Model<'static, Core>,
    /// Whether an input that changes nothing is a transition.
    literal: bool,
}

impl stateright::Model for Peer {
    type State = SearchState;
    type Action = Input;

    fn init_states(&self) -> Vec<SearchState> {
        vec![self.model.initial()]
    }

    fn actions(&self, search_state: &SearchState, inputs: &mut Vec<Input>) {
        self.model.inputs(search_state, inputs);
    }

    fn next_state(&self, search_state: &SearchState, input: Input) -> Option<SearchState> {
        let next = self.model.follow(search_state, input).ok()?;
        (self.literal || next != *search_state).then_some(next)
    }

    fn properties(&self) -> Vec<stateright::Property<Self>> {
        // The oracles have checked the step in `next_state`. Without a property, stateright does
        // not search.
        vec![stateright::Property::always("checked", |_, _| true)]
    }
}

fn stateright(policies: &'static [Policy], literal: bool) -> u64 {
    let peer = Peer { model: Model::new(policies, &Core), literal };
    peer.checker().threads(1).spawn_bfs().join().unique_state_count() as u64
}

/// The same policies with realistic counts: five retries, five starts in a window, and delays that
/// double up to a minute.
fn uncut(policies: &[Policy]) -> Result<Vec<Policy>, PolicyError> {
    let with_counts = |policy: &Policy| {
        let mut rules: Rules = *policy.rules();
        rules.retries = rules.retries.map(|retries| Retries { max: 5, ..retries });
        rules.limit = rules.limit.map(|limit| StartLimit { burst: 5, ..limit });
        if let Curve::Exponential { cap, .. } = &mut rules.backoff.curve {
            *cap = Millis::from_secs(60);
        }
        Policy::try_from(rules)
    };
    policies.iter().map(with_counts).collect()
}

fn main() -> Result<(), PolicyError> {
    let largest = "unless-stopped, then no, then always with everything";
    for FamilyMember { name, policies } in family() {
        if ["default", "everything", largest].contains(&name.as_str()) {
            search(&name, policies.clone());
        }
        if name == largest {
            search(&format!("{name}, uncut"), uncut(&policies)?);
        }
    }
    Ok(())
}

fn search(name: &str, policies: Vec<Policy>) {
    let policies: &'static [Policy] = policies.leak();
    let search_states = model::explore(policies, &Core).search_states as u64;
    assert_eq!(stateright(policies, false), search_states, "both search the same graph");
    contest(
        &format!("{name}: {search_states} search states"),
        "search states",
        if search_states > 100_000 { 3 } else { ROUNDS },
        &mut [
            Contestant::new("monitor-sim, with liveness", || {
                model::explore(policies, &Core).search_states as u64
            }),
            Contestant::new("stateright, only inputs that change something", || {
                stateright(policies, false)
            }),
            Contestant::new("stateright, every input", || stateright(policies, true)),
        ],
    );
}
