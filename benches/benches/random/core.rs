//! Schedules of the bare machine.
//!
//! Equal: machine, policy, environment (`Model::inputs`, uniformly), 32 inputs, all oracles at each
//! step, a stored trace and a rolling hash of the states.
//!
//! Not equal: proptest-state-machine needs a reference state, which is the model a second time, and
//! builds a tree for shrinking.

use std::hint::black_box;

use monitor_core::{Policy, State};
use monitor_os::Core;
use monitor_sim::model::{Input, Model, SearchState, family};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use rand::SeedableRng as _;
use rand_pcg::Pcg64Mcg;

use crate::contest::{Contestant, contest};

const INPUTS: usize = 32;
const SCHEDULES: u64 = 2_000;

thread_local! {
    static MODEL: &'static Model<'static, Core> = Box::leak(Box::new(model()));
}

fn model() -> Model<'static, Core> {
    let member = family().into_iter().find(|member| member.name == "everything");
    let policies = member.map_or_else(|| vec![Policy::DEFAULT], |member| member.policies);
    Model::new(Vec::leak(policies), &Core)
}

pub(crate) fn compare() {
    let model = MODEL.with(|model| *model);
    let mut walker = Walker::default();
    let mut seed = 0;
    let mut runner = TestRunner::new(Config {
        rng_seed: RngSeed::Fixed(0),
        failure_persistence: None,
        ..Config::default()
    });
    contest(
        &format!("the bare machine: schedules of {INPUTS} inputs, oracles, trace, hash"),
        "schedules",
        9,
        &mut [
            Contestant::new("monitor-sim", || {
                for _ in 0..SCHEDULES {
                    seed += 1;
                    black_box(walker.walk(model, seed));
                }
                SCHEDULES
            }),
            Contestant::new("proptest-state-machine", || {
                let strategy = Reference::sequential_strategy(INPUTS);
                let schedules = SCHEDULES / 10;
                for _ in 0..schedules {
                    if let Ok(tree) = strategy.new_tree(&mut runner) {
                        let (state, inputs, seen) = tree.current();
                        Under::test_sequential(Config::default(), state, inputs, seen);
                    }
                }
                schedules
            }),
        ],
    );
}

/// Buffers that the schedules reuse.
#[derive(Default)]
struct Walker {
    sometimes: Vec<Input>,
    trace: Vec<(Input, State)>,
}

impl Walker {
    fn walk(&mut self, model: &Model<'_, Core>, seed: u64) -> u64 {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let mut hash = 0;
        self.trace.clear();
        let mut search_state = model.initial();
        for _ in 0..INPUTS {
            let always = model.always(&search_state);
            model.sometimes(&search_state, &mut self.sometimes);
            let index = rng.random_range(..always.len() + self.sometimes.len());
            let input = match index.checked_sub(always.len()) {
                None => always[index],
                Some(index) => self.sometimes[index],
            };
            let Ok(next) = model.follow(&search_state, input) else { break };
            search_state = next;
            self.trace.push((input, search_state.state));
            hash = rolled(hash, search_state.state);
        }
        hash
    }
}

/// A hash of all states so far, from their stored form.
fn rolled(hash: u64, state: State) -> u64 {
    let eights = state.to_bytes();
    let (eights, rest) = eights.as_chunks::<8>();
    let rest = rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
    let words = eights.iter().map(|eight| u64::from_le_bytes(*eight)).chain([rest]);
    words.fold(hash, |hash, word| (hash ^ word).wrapping_mul(GOLDEN).rotate_left(29))
}

/// An odd number without structure: the fraction of the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

#[derive(Debug)]
struct Reference;

impl ReferenceStateMachine for Reference {
    type State = SearchState;
    type Transition = Input;

    fn init_state() -> BoxedStrategy<SearchState> {
        Just(MODEL.with(|model| model.initial())).boxed()
    }

    fn transitions(search_state: &SearchState) -> BoxedStrategy<Input> {
        let mut inputs = Vec::new();
        MODEL.with(|model| model.inputs(search_state, &mut inputs));
        select(inputs).boxed()
    }

    fn apply(search_state: SearchState, input: &Input) -> SearchState {
        MODEL.with(|model| model.follow(&search_state, *input)).unwrap_or(search_state)
    }
}

struct Under {
    search_state: SearchState,
    trace: Vec<(Input, State)>,
    hash: u64,
}

impl StateMachineTest for Under {
    type SystemUnderTest = Self;
    type Reference = Reference;

    fn init_test(search_state: &SearchState) -> Self {
        Self { search_state: *search_state, trace: Vec::with_capacity(INPUTS), hash: 0 }
    }

    fn apply(mut self_: Self, _: &SearchState, input: Input) -> Self {
        if let Ok(next) = MODEL.with(|model| model.follow(&self_.search_state, input)) {
            self_.search_state = next;
            self_.trace.push((input, next.state));
            self_.hash = rolled(self_.hash, next.state);
        }
        self_
    }

    fn teardown(self_: Self, _: SearchState) {
        black_box((self_.trace, self_.hash));
    }
}
