//! Lifecycle steps as JSON, one object a line.

use monitor_core::{Event, Found, Lifecycle, Millis, Outcome, Remains};
use monitor_os::{Moment, Notice};
use serde::Serialize;

/// Turns notices into JSON lines.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    origin: Option<Moment>,
}

#[derive(Serialize)]
struct Object<'a> {
    at_us: u64,
    unit: &'a str,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<&'static str>,
    run: u32,
    phase: &'static str,
    reason: &'static str,
    restarts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaked: Option<bool>,
    explain: String,
}

impl Objects {
    /// The line for a step in the life of the process, and one before it for what an earlier monitor left;
    /// `None` for any other.
    pub(crate) fn line(&mut self, notice: &Notice) -> Option<String> {
        let origin = *self.origin.get_or_insert(notice.at);
        let found = if let Event::Recovered { found, .. } = notice.event {
            object(origin, notice, None, Some(name(found)))
        } else {
            None
        };
        let happened =
            notice.lifecycle().and_then(|lifecycle| object(origin, notice, Some(lifecycle), None));
        match (found, happened) {
            (Some(found), Some(happened)) => Some(format!("{found}\n{happened}")),
            (found, happened) => found.or(happened),
        }
    }
}

fn object(
    origin: Moment,
    notice: &Notice,
    lifecycle: Option<Lifecycle>,
    found: Option<&'static str>,
) -> Option<String> {
    let state = notice.step.state;
    let status = &notice.status;
    let error = status.start_error();
    let outcome = match state.outcome() {
        Outcome::None => None,
        outcome @ (Outcome::Exited(_) | Outcome::StartFailed(_)) => Some(outcome.to_string()),
    };
    serde_json::to_string(&Object {
        at_us: notice.at.nanos_since(origin) / 1_000,
        unit: &notice.name,
        event: lifecycle.map_or("recovered", Lifecycle::name),
        found,
        run: state.run().as_u32(),
        phase: state.phase().name(),
        reason: state.reason().name(),
        restarts: state.restarts(),
        pid: status.pid().filter(|_| lifecycle != Some(Lifecycle::Starting)),
        outcome,
        // In other steps it is the time that the phase has, which the policy says as well.
        delay_ms: notice
            .delay
            .filter(|_| lifecycle == Some(Lifecycle::BackingOff))
            .map(Millis::as_u32),
        error: error.map(ToString::to_string),
        errno: error.map(monitor_os::SpawnError::errno),
        leaked: (lifecycle.map(Lifecycle::remains) == Some(Remains::Leaked)).then_some(true),
        explain: status.explain().to_string(),
    })
    .ok()
}

const fn name(found: Found) -> &'static str {
    match found {
        Found::Alive => "alive",
        Found::Exited(_) => "exited",
        Found::Gone => "gone",
        Found::Rebooted => "rebooted",
    }
}
