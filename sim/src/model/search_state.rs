//! A node of the exhaustive search.

use monitor_core::State;

use crate::oracle::safety_oracle::SafetyOracle;

/// One reachable search state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SearchState {
    /// The state of the machine. Its counters are cut where they cease to matter.
    pub state: State,
    /// The memory of the oracles.
    pub oracle: SafetyOracle,
    /// The index of the policy in force.
    pub policy: u16,
}
