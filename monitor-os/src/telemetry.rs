//! The events for `tracing`, with their fields, in one place so that their names stay consistent.
//!
//! TRACE: every event and command. DEBUG: events without an effect. INFO: the life of a process.
//! WARN: problems for the operator. ERROR: the monitor itself cannot continue. The output,
//! arguments and environment of children are never logged.

use std::fmt::Display;
use std::io;
use std::path::Path;

use monitor_core::Signal;
use tracing::{error, warn};

/// The kernel refused a signal.
pub(crate) fn not_signalled(signal: Signal, error: &impl Display) {
    warn!(signal = %signal, %error, "signal not sent");
}

/// The kernel refused a signal for the remaining processes of an ended run.
pub(crate) fn leftover_not_signalled(error: &impl Display) {
    warn!(%error, "signal to remaining processes not sent");
}

/// The members of a group could not be listed; the scan is retried.
pub(crate) fn group_unreadable(error: &io::Error) {
    warn!(errno = error.raw_os_error(), "cannot list remaining processes; retrying");
}

/// No control group could be made for a run, which has its process group instead.
pub(crate) fn no_cgroup(error: &io::Error) {
    warn!(errno = error.raw_os_error(), "no control group for this run; a process group instead");
}

/// Orphans could not be listed or held; the search is retried.
pub(crate) fn orphans_unreadable(error: &io::Error) {
    warn!(errno = error.raw_os_error(), "cannot list orphans; retrying");
}

/// A process could not be watched; a timer polls for its end instead.
pub(crate) fn unwatched(error: &io::Error) {
    warn!(errno = error.raw_os_error(), "no watch for a process; asking by a timer");
}

/// The notifications of a run cannot be received.
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

/// The processes in the group of an earlier monitor's run may be foreign, and were spared.
pub(crate) fn left_alone(unit: &str, doubtful: &[impl Display]) {
    let processes: Vec<_> = doubtful.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    let more = doubtful.len() - processes.len();
    let processes = processes.join(", ");
    warn!(
        unit,
        processes,
        more,
        "origin of these processes unproved; left running, end them if they belong to the run of an earlier monitor"
    );
}

/// The most processes that a line names.
const NAMED_MAX: usize = 8;

/// A program requested an effect that this monitor does not have.
pub(crate) fn not_honoured(name: &str) {
    warn!(name, "notification not supported");
}

/// A state, or the identity of a process, was not saved; a state is retried.
pub(crate) fn not_saved(error: &impl Display) {
    warn!(%error, "not saved");
}

/// The reactor ends; the programs of stored units continue without a monitor.
pub(crate) fn cannot_go_on(error: &io::Error) {
    error!(
        errno = error.raw_os_error(),
        "cannot wait for events; the monitor ends, and only programs of stored units run on"
    );
}

/// A sink of captured output took nothing; the sink counts it.
pub(crate) fn log_not_written(error: &io::Error) {
    warn!(errno = error.raw_os_error(), %error, "captured output not written");
}

/// A log file could not be rotated; it is written on.
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

/// A run is released although its output was not passed on within the limit.
pub(crate) fn not_drained() {
    warn!("output of an ended run not taken by its sinks in time; going on, it is read later");
}

/// The output of an adopted process is not read.
pub(crate) fn not_captured(error: &impl Display) {
    warn!(%error, "output of an adopted process not captured");
}
