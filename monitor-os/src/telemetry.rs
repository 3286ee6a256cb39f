//! What is told to `tracing`: events with fields, in one place so that their names stay the same.
//!
//! TRACE: every event and command. DEBUG: events that did not count. INFO: the life of a process. WARN:
//! what somebody should look at. ERROR: the monitor itself cannot go on. What children print, their
//! arguments and their environment are never logged.

use std::fmt::Display;
use std::io;
use std::path::Path;

use monitor_core::Signal;
use tracing::{error, warn};

/// The kernel refused a signal.
pub(crate) fn not_signalled(signal: Signal, error: &impl Display) {
    warn!(signal = %signal, %error, "signal not sent");
}

/// The kernel refused a signal for what an ended run left.
pub(crate) fn leftover_not_signalled(error: &impl Display) {
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
pub(crate) fn left_alone(unit: &str, doubtful: &[impl Display]) {
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

/// A state, or which process was made, was not saved. A state is tried again.
pub(crate) fn not_saved(error: &impl Display) {
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
pub(crate) fn not_captured(error: &impl Display) {
    warn!(%error, "output of an adopted process not captured");
}
