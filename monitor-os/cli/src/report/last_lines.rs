//! The last lines that a run printed.

use monitor_core::{Policy, Reason, RunId, State};
use monitor_os::{Line, LogRing};

/// Whether a run has failed: it ended by itself and without success.
pub(crate) fn failed(state: State, policy: &Policy) -> bool {
    let wanted = matches!(
        state.reason(),
        Reason::StopRequested | Reason::ShutdownRequested | Reason::RestartRequested
    );
    !wanted && state.exit().is_some_and(|exit| !policy.is_success(exit))
}

/// The last lines of a run, at most so many.
pub(crate) fn last_of(ring: &LogRing, run: RunId, count: usize) -> Vec<Line> {
    let mut lines = ring.lines();
    let begin = lines.iter().rev().take_while(|line| line.run == run).take(count).count();
    lines.drain(..lines.len() - begin);
    lines
}
