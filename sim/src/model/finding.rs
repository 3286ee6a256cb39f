//! The results of an exhaustive search.

use std::collections::{BTreeMap, BTreeSet};

use monitor_core::{Phase, State};

use super::input::Input;
use crate::oracle::property::Property;

/// A violation and a shortest path to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counterexample {
    /// The violated property.
    pub property: Property,
    /// The inputs from the initial state; the last one violates, leads into a dead end, or closes a
    /// lap that may be repeated for ever.
    pub path: Vec<Input>,
    /// The number of inputs of that lap; zero for a violation or a dead end.
    pub lap: usize,
    /// The panic with which the machine answers the last input, as one line with its place.
    pub panic: Option<String>,
}

/// The result of an exhaustive search. Without a counterexample, every input was followed in every
/// search state, so that each count is exact.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exploration {
    /// Reachable search states.
    pub search_states: usize,
    /// Transitions between them, those that change nothing included.
    pub transitions: usize,
    /// Transitions that change something.
    pub effective: usize,
    /// Ordered pairs of different inputs that both change something in one search state: the races.
    /// Both orders are counted, and both were followed.
    pub race_pairs: usize,
    /// The reached machine states, in their order.
    pub states: Vec<State>,
    /// Changes of phase, with the names of the events that cause them. If there is a
    /// counterexample, some of them may start in search states that were reached and not
    /// followed any more.
    pub phase_changes: BTreeMap<(Phase, Phase), BTreeSet<&'static str>>,
    /// The first violation, if there is one.
    pub counterexample: Option<Counterexample>,
}
