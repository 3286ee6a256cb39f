//! Event entries: one for each step in the life of a unit. The terminal, JSON and the control
//! socket show the same entries.

use monitor_os::Moment;
use serde::{Deserialize, Serialize};

/// One entry. As JSON it is one object on one line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventEntry {
    /// Microseconds since the first entry of this monitor.
    pub(crate) at_us: u64,
    pub(crate) unit: String,
    /// The name of a [`monitor_core::Lifecycle`], or `recovered`.
    pub(crate) event: String,
    /// With `recovered`: what is left of an earlier monitor's run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) found: Option<String>,
    pub(crate) run: u32,
    pub(crate) phase: String,
    pub(crate) reason: String,
    pub(crate) restarts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<String>,
    /// The delay before the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delay_ms: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) errno: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) leaked: Option<bool>,
    /// With `leaked`: the processes that run on, as far as they are visible, each as `NAME (pid
    /// N)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) leftover: Vec<String>,
    /// Whether the kernel killed it because memory was short; absent if that is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) oom_killed: Option<bool>,
    pub(crate) explain: String,
    /// The text for a person; absent where a neighbouring entry has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
}

impl EventEntry {
    /// The time since the first entry of this monitor.
    pub(crate) const fn at(&self) -> Moment {
        Moment::from_nanos(self.at_us.saturating_mul(NANOS_PER_MICRO))
    }
}

pub(super) const NANOS_PER_MICRO: u64 = 1_000;
