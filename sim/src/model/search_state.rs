//! A node of the exhaustive search.

use monitor_core::State;

use crate::oracle::safety_oracle::SafetyOracle;

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
