//! The log events of a step of the machine and of a health check.

use monitor_core::{Lifecycle, Note, Outcome, RunId};
use tracing::{debug, info, info_span, trace, trace_span, warn};

use crate::backend::health::{CheckResult, Health};
use crate::backend::status::unit_status::Status;
use crate::driver::kernel::Report;
use crate::linux::containment::Containment;

/// Logs an event of a unit and its effects.
pub(crate) fn step(unit: &str, report: &Report<'_>, status: &Status) {
    let span = info_span!("unit", unit, number = report.unit.as_u32());
    let _entered = span.enter();
    let (before, after) = (report.before, report.step.state);
    let step = trace_span!("step", event = %report.event, run = after.run().as_u32());
    let _stepping = step.enter();
    trace!(
        phase_from = before.phase().name(),
        phase_to = after.phase().name(),
        note = report.step.note.name(),
        "event"
    );
    report.step.for_each(|action| trace!(action = %action, "command"));
    match report.step.note {
        Note::Applied => {}
        note @ (Note::Stale | Note::NotApplicable) => {
            debug!(event = %report.event, note = note.name(), "event did not count");
        }
    }
    if let Some(lifecycle) = report.step.actions.emit {
        lifecycle_event(lifecycle, report, status);
    }
}

fn lifecycle_event(lifecycle: Lifecycle, report: &Report<'_>, status: &Status) {
    let after = report.step.state;
    let run = after.run().as_u32();
    let cause = after.reason().name();
    match lifecycle {
        Lifecycle::Starting => info!(run, restarts = after.restarts(), "starting"),
        Lifecycle::Started => {
            let held_by = status.containment().map(Containment::name);
            info!(run, pid = status.pid(), held_by, "started");
        }
        Lifecycle::Ready => info!(run, "ready"),
        Lifecycle::Healthy => info!(run, "healthy"),
        Lifecycle::Stopping => info!(run, cause, "stopping"),
        Lifecycle::Killing => warn!(run, cause, "killing"),
        Lifecycle::Unkillable => warn!(run, cause, "survived the kill, which was repeated"),
        Lifecycle::Exited => match after.outcome() {
            Outcome::Exited(monitor_core::Exit::Code(code)) => {
                info!(run, exit_code = code, "exited");
            }
            Outcome::Exited(monitor_core::Exit::Signal(signal)) => {
                info!(run, signal = %signal, "exited");
            }
            Outcome::Exited(monitor_core::Exit::Unknown)
            | Outcome::None
            | Outcome::StartFailed(_) => info!(run, "exited, status unknown"),
        },
        Lifecycle::StartFailed => {
            if let Some(error) = status.start_error() {
                warn!(run, step = error.step(), errno = error.errno(), %error, "start failed");
            } else {
                warn!(run, "start failed");
            }
        }
        Lifecycle::BackingOff => info!(
            run,
            cause,
            failures = after.strikes(),
            delay_ms = report.delay.map(monitor_core::Millis::as_u32),
            "backing off"
        ),
        Lifecycle::Throttled => info!(run, starts = after.starts(), "start limit reached"),
        Lifecycle::Stopped { .. } => info!(run, cause, "stopped"),
        Lifecycle::GaveUp { .. } => warn!(run, cause, failures = after.strikes(), "gave up"),
    }
}

/// Logs the result of a health check.
pub(crate) fn checked(unit: &str, run: RunId, health: &Health, checked: &CheckResult) {
    let (run, failures) = (run.as_u32(), health.failures);
    match checked.passed() {
        Some(true) => debug!(unit, run, "health check passed"),
        Some(false) => warn!(unit, run, failures, %checked, "health check failed"),
        None => warn!(unit, run, %checked, "no room for a health check"),
    }
}
