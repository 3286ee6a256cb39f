//! The outcome of a stop.

use monitor_os::{LeftoverProcess, StopResult};
use serde::{Deserialize, Serialize};

/// The outcome of a stop: [`StopResult`] on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StopOutcome {
    /// It ended without a kill.
    Graceful,
    /// It was sent the kill.
    Killed,
    /// Processes that it started run on: those that are visible, each as `NAME (pid N)`.
    Leaked(Vec<String>),
    /// There was no process to stop.
    NotRunning,
}

impl StopOutcome {
    /// The outcome of a result; `None` if the monitor does not know it.
    pub(crate) fn of(result: StopResult, leftover: &[LeftoverProcess]) -> Option<Self> {
        match result {
            StopResult::Graceful => Some(Self::Graceful),
            StopResult::Killed => Some(Self::Killed),
            StopResult::Leaked => {
                Some(Self::Leaked(leftover.iter().map(ToString::to_string).collect()))
            }
            StopResult::NotRunning => Some(Self::NotRunning),
            StopResult::SupervisorGone => None,
            // A later release of the library may have other results.
            _ => None,
        }
    }
}
