//! What an exhaustive search finds.

use std::collections::{BTreeMap, BTreeSet};

use monitor_core::{Phase, State};

use super::input::Input;
use crate::oracle::property::Property;

/// A violation and a shortest way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
#[non_exhaustive]
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
