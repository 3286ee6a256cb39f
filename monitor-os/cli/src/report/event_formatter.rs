//! Makes event entries from the notices of a supervisor.

use monitor_core::{Event, Found, Lifecycle, Millis, Outcome, Remains};
use monitor_os::{Moment, UnitEvent};

use super::event_entry::{EventEntry, NANOS_PER_MICRO};
use super::event_text::EventText;

/// Formats notices as entries. Their times count from the first notice.
#[derive(Debug, Default)]
pub(crate) struct EventFormatter {
    origin: Option<Moment>,
    wording: EventText,
}

impl EventFormatter {
    /// The entries of a notice, at most two: the recovery of an earlier monitor's run, and a step
    /// in the life of the process.
    pub(crate) fn format(
        &mut self,
        notice: &UnitEvent,
    ) -> impl Iterator<Item = EventEntry> + use<> {
        let origin = *self.origin.get_or_insert(notice.at);
        let found = if let Event::Recovered { run, found } = notice.event {
            let text = Some(EventText::found(run, found, notice));
            Some(EventEntry {
                event: "recovered".into(),
                found: Some(name(found).into()),
                leftover: names(notice),
                text,
                ..entry(origin, notice)
            })
        } else {
            None
        };
        let happened = notice.lifecycle().map(|lifecycle| EventEntry {
            event: lifecycle.name().into(),
            text: self.wording.happened(notice, lifecycle),
            pid: notice.status.pid().filter(|_| lifecycle != Lifecycle::Starting),
            // In other steps it is the time limit of the phase, which the policy has.
            delay_ms: notice
                .delay
                .filter(|_| lifecycle == Lifecycle::BackingOff)
                .map(Millis::as_u32),
            leaked: (lifecycle.remains() == Remains::Leaked).then_some(true),
            leftover: match lifecycle.remains() {
                Remains::Leaked => names(notice),
                Remains::Nothing => Vec::new(),
            },
            oom_killed: notice.status.oom_killed().filter(|_| lifecycle == Lifecycle::Exited),
            ..entry(origin, notice)
        });
        found.into_iter().chain(happened)
    }
}

/// The fields that every entry of a notice has.
fn entry(origin: Moment, notice: &UnitEvent) -> EventEntry {
    let state = notice.step.state;
    let status = &notice.status;
    let error = status.start_error();
    EventEntry {
        at_us: notice.at.nanos_since(origin) / NANOS_PER_MICRO,
        unit: notice.name.to_string(),
        run: state.run().as_u32(),
        phase: state.phase().name().into(),
        reason: state.reason().name().into(),
        restarts: state.restarts(),
        pid: status.pid(),
        outcome: match state.outcome() {
            Outcome::None => None,
            outcome @ (Outcome::Exited(_) | Outcome::StartFailed(_)) => Some(outcome.to_string()),
        },
        error: error.map(ToString::to_string),
        errno: error.map(monitor_os::SpawnError::errno),
        explain: status.explain().to_string(),
        ..EventEntry::default()
    }
}

fn names(notice: &UnitEvent) -> Vec<String> {
    notice.status.leftover_processes().iter().map(ToString::to_string).collect()
}

const fn name(found: Found) -> &'static str {
    match found {
        Found::Alive => "alive",
        Found::Exited(_) => "exited",
        Found::Gone => "gone",
        Found::Rebooted => "rebooted",
    }
}
