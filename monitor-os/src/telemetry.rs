//! What is told to `tracing`: events with fields, in one place so that their names stay the same.
//!
//! TRACE: every event and command. DEBUG: events that did not count. INFO: the life of a process. WARN:
//! what somebody should look at. ERROR: the monitor itself cannot go on. What children print, their
//! arguments and their environment are never logged.

use std::io;
use std::path::Path;

use monitor_core::{Lifecycle, Note, Outcome, RunId, Signal};
use tracing::{debug, error, info, info_span, trace, trace_span, warn};

use crate::kernel::Report;
use crate::linux::{
    CheckResult, Containment, Health, SignalError, SpawnError, StateError, Status, Survivor,
};

/// Tells one event of a unit and what came of it.
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
            | Outcome::StartFailed(_) => info!(run, "exited, and nobody knows how"),
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

/// The kernel refused a signal.
pub(crate) fn not_signalled(signal: Signal, error: &SignalError) {
    warn!(signal = %signal, %error, "signal not sent");
}

/// The kernel refused a signal for what an ended run left.
pub(crate) fn leftover_not_signalled(error: &SignalError) {
    warn!(%error, "signal for what the run left not sent");
}

/// The members of a group could not be listed; it is tried again.
pub(crate) fn group_unreadable(error: &io::Error) {
    warn!(errno = error.raw_os_error(), "cannot see what the run left; looking again");
}

/// No control group could be made for a run, which has its process group instead.
pub(crate) fn no_cgroup(error: &io::Error) {
    warn!(errno = error.raw_os_error(), "no control group for this run; a process group instead");
}

/// Orphans could not be listed or held; they are looked for again.
pub(crate) fn orphans_unreadable(error: &io::Error) {
    warn!(errno = error.raw_os_error(), "cannot see who lost a parent; looking again");
}

/// No watch could be had for a process; a timer asks for its end instead.
pub(crate) fn unwatched(error: &io::Error) {
    warn!(errno = error.raw_os_error(), "no watch for a process; asking by a timer");
}

/// A run could not be listened to.
pub(crate) fn no_notifications(error: &io::Error) {
    if error.kind() == io::ErrorKind::AddrInUse {
        warn!(
            "cannot receive notifications of an adopted program: another process has taken its notify address; \
             it counts as ready and has no watchdog until its next start"
        );
    } else {
        warn!(errno = error.raw_os_error(), "cannot receive notifications of a program");
    }
}

/// What is in the group of a run of an earlier monitor may be a stranger's by now, and was left alone.
pub(crate) fn left_alone(unit: &str, doubtful: &[Survivor]) {
    let processes: Vec<_> = doubtful.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    let more = doubtful.len() - processes.len();
    let processes = processes.join(", ");
    warn!(
        unit,
        processes,
        more,
        "nothing proves that these are of the run that an earlier monitor left; they were left alone, end them if they are"
    );
}

/// How many processes a line names.
const NAMED_MAX: usize = 8;

/// A program has asked for something that this monitor does not do.
pub(crate) fn not_honoured(name: &str) {
    warn!(name, "what the program asks for is not honoured");
}

/// A health check is over.
pub(crate) fn checked(unit: &str, run: RunId, health: &Health, checked: &CheckResult) {
    let (run, failures) = (run.as_u32(), health.failures);
    match checked.passed() {
        Some(true) => debug!(unit, run, "health check passed"),
        Some(false) => warn!(unit, run, failures, %checked, "health check failed"),
        None => warn!(unit, run, %checked, "no room for a health check"),
    }
}

/// A state, or which process was made, was not saved. A state is tried again.
pub(crate) fn not_saved(error: &StateError) {
    warn!(%error, "not saved");
}

/// The reactor ends; programs of stored units go on without a monitor.
pub(crate) fn cannot_go_on(error: &io::Error) {
    error!(
        errno = error.raw_os_error(),
        "cannot wait for events; the monitor ends, and only programs of stored units run on"
    );
}

/// A sink of captured output took nothing; it is counted.
pub(crate) fn log_not_written(error: &io::Error) {
    warn!(errno = error.raw_os_error(), %error, "captured output not written");
}

/// A log file could not be put aside; it is written on.
pub(crate) fn not_rotated(path: &Path, error: &io::Error) {
    let errno = error.raw_os_error();
    warn!(path = %path.display(), errno, %error, "log file not rotated; writing on");
}

/// Captured output is not read any more.
pub(crate) fn log_ended(error: &io::Error) {
    error!(
        errno = error.raw_os_error(),
        "cannot wait for captured output; it is not read any more"
    );
}

/// A run is released though its output was not passed on within the limit.
pub(crate) fn not_drained() {
    warn!("output of an ended run not taken by its sinks in time; going on, it is read later");
}

/// What an adopted process prints is not read.
pub(crate) fn not_captured(error: &SpawnError) {
    warn!(%error, "output of an adopted process not captured");
}
