//! The reason of a state, and the next event that the machine waits for, as data and as one
//! sentence.

use core::fmt;

use crate::policy::{Counts, Policy, Retries, Rules, StartsCounted};
use crate::state::{Phase, Reason, State};
use crate::time::{Delay, Millis};

/// The reason of a state and the next event: made by [`Policy::explain`], printed as one sentence.
///
/// # Examples
/// ```
/// use monitor_core::{Event, Monitor, Policy};
/// let mut monitor = Monitor::new(Policy::DEFAULT);
/// assert_eq!(
///     monitor.explain().to_string(),
///     "idle: never started; nothing happens until somebody starts it"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The state that is explained.
    pub state: State,
    /// The event that the machine waits for.
    pub next: Next,
    /// Automatic restarts that the retry budget still allows; `None` without a budget.
    pub retries_left: Option<u16>,
    /// Starts that the open window still allows, of those that the start limit counts; `None`
    /// without a start limit.
    pub starts_left: Option<u8>,
    rules: Rules,
}

/// The event that the machine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the process is down until a start is requested.
    Nothing,
    /// The process must exist, at most after this time, so that it can go on.
    Spawn(Option<Millis>),
    /// The process must exist, so that it can be stopped.
    SpawnToStop,
    /// The process must report that it serves, at most after this time.
    Ready(Option<Millis>),
    /// The process must have served for this time; `None` if no time makes it healthy, or if it is
    /// healthy.
    Healthy(Option<Millis>),
    /// The process must end by itself, for the last time.
    LastExit,
    /// The process must end; the kill follows the policy's grace, unless the stop named another.
    Exit(Option<Millis>),
    /// The kill must work; it is repeated after this time.
    Death(Millis),
    /// The remains of the run must be gone.
    Release,
    /// The delay before the next attempt must be over.
    Attempt(Delay),
    /// The window of the start limit must end.
    WindowEnd(Millis),
}

impl Policy {
    /// Explains `state`: its reason, the awaited event, and the rest of the budgets.
    #[must_use]
    pub const fn explain(&self, state: State) -> Explanation {
        let rules = self.rules;
        let last = state.reason.is_stop();
        let next = match state.phase {
            Phase::Idle | Phase::Stopped => Next::Nothing,
            Phase::Activating | Phase::Running | Phase::Healthy | Phase::Starting if last => {
                Next::LastExit
            }
            Phase::Starting => Next::Spawn(rules.start.timeout),
            Phase::Cancelling | Phase::Aborting => Next::SpawnToStop,
            Phase::Activating => Next::Ready(rules.start.timeout),
            Phase::Running => match rules.healthy {
                Some(healthy) => Next::Healthy(Some(healthy.after)),
                None => Next::Healthy(None),
            },
            Phase::Healthy => Next::Healthy(None),
            Phase::Stopping => Next::Exit(rules.stop.grace),
            Phase::Killing => Next::Death(rules.stop.kill_window),
            Phase::Releasing | Phase::Purging => Next::Release,
            Phase::BackingOff => Next::Attempt(rules.backoff.delay(state.level.saturating_sub(1))),
            Phase::Throttled => match rules.limit {
                Some(limit) => Next::WindowEnd(limit.window),
                None => Next::WindowEnd(Millis::ZERO),
            },
        };
        let retries_left = match rules.retries {
            Some(retries) => Some(allowed(retries).saturating_sub(state.strikes)),
            None => None,
        };
        let starts_left = match rules.limit {
            Some(limit) => Some(limit.burst.saturating_sub(state.starts)),
            None => None,
        };
        Explanation { state, next, retries_left, starts_left, rules }
    }
}

impl Explanation {
    /// The reason alone: the part of the sentence between the phase and the awaited event.
    #[must_use]
    pub const fn why(self) -> Why {
        Why(self)
    }
}

/// The reason of a state, printed as a clause: made by [`Explanation::why`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why(Explanation);

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state;
        write!(f, "{}", state.phase)?;
        if state.run.as_u32() > 0 {
            write!(f, " {}", state.run)?;
        }
        write!(f, ": {}; ", self.why())?;
        self.what_next(f)?;
        if state.phase.is_down() {
            return Ok(());
        }
        if let Some(left) = self.retries_left {
            write!(f, "; {left} {} left", if left == 1 { "retry" } else { "retries" })?;
        }
        if let (Some(left), Some(limit)) = (self.starts_left, self.rules.limit) {
            write!(f, "; {} left in this window", Starts(left, limit.counts))?;
        }
        Ok(())
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explanation { state, rules, .. } = &self.0;
        let outcome = state.outcome;
        match state.reason {
            Reason::Created => f.write_str("never started"),
            Reason::Wanted if state.phase.is_live() => f.write_str("wanted up"),
            Reason::Wanted => write!(f, "wanted up, and ended with {outcome}"),
            Reason::StartTimeout => f.write_str("took too long to start"),
            Reason::Watchdog => f.write_str("sent no ping in time"),
            Reason::Unhealthy => f.write_str("failed its health check"),
            Reason::EarlyExit => write!(f, "ended too early, with {outcome}"),
            Reason::RestartRequested => f.write_str("a restart was requested"),
            Reason::StopRequested => f.write_str("a stop was requested"),
            Reason::ShutdownRequested => f.write_str("the monitor is going down"),
            Reason::Completed => {
                write!(f, "ended with {outcome}, after which the policy asks for no restart")
            }
            Reason::Prevented => {
                write!(f, "ended with {outcome}, after which the policy forbids a restart")
            }
            Reason::Exhausted => match rules.retries.map_or(0, allowed) {
                0 => write!(f, "no retry is allowed, last {outcome}"),
                1 => write!(f, "the only retry is used, last {outcome}"),
                max => write!(f, "all {max} retries are used, last {outcome}"),
            },
            Reason::StartLimit => match rules.limit {
                Some(limit) => write!(
                    f,
                    "the limit of {} within {} is reached, last {outcome}",
                    Starts(limit.burst, limit.counts),
                    limit.window
                ),
                None => write!(f, "the limit of starts is reached, last {outcome}"),
            },
            Reason::StartFailed => write!(f, "{outcome}, which is not retried"),
        }
    }
}

/// A number of counted starts.
struct Starts(u8, StartsCounted);

impl fmt::Display for Starts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, counted) = *self;
        let automatic = match counted {
            StartsCounted::Automatic => "automatic ",
            StartsCounted::All => "",
        };
        let starts = if number == 1 { "start" } else { "starts" };
        write!(f, "{number} {automatic}{starts}")
    }
}

/// The number of restarts that a budget allows.
const fn allowed(retries: Retries) -> u16 {
    match retries.counts {
        Counts::Restarts => retries.max,
        Counts::Runs => retries.max.saturating_sub(1),
    }
}

impl Explanation {
    fn what_next(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.next {
            Next::Nothing => f.write_str("nothing happens until somebody starts it"),
            Next::Spawn(None) => f.write_str("waiting for the process to exist"),
            Next::Spawn(Some(timeout)) => {
                write!(f, "waiting for the process to exist, at most {timeout}")
            }
            Next::SpawnToStop => f.write_str("to be stopped as soon as the process exists"),
            Next::Ready(None) => f.write_str("waiting for it to be ready"),
            Next::Ready(Some(timeout)) => {
                write!(f, "waiting for it to be ready, at most {timeout}")
            }
            Next::Healthy(Some(after)) => write!(f, "healthy after {after}"),
            Next::Healthy(None) => f.write_str("running on"),
            Next::LastExit => f.write_str("its next exit is its last"),
            Next::Exit(Some(grace)) => write!(f, "to be killed after a grace of {grace}"),
            Next::Exit(None) => f.write_str("waiting for it to end, without a kill"),
            Next::Death(window) => write!(f, "killed, and killed again every {window}"),
            Next::Release => f.write_str("bringing down what it left"),
            Next::Attempt(delay) => write!(f, "next attempt after {delay}"),
            Next::WindowEnd(window) => {
                write!(f, "next attempt when the window of {window} ends")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sentence after `events`, which are separated by commas.
    fn sentence(policy: &str, events: &str) -> String {
        let policy: Policy = policy.parse().unwrap();
        let state = events
            .split_terminator(", ")
            .fold(State::INITIAL, |state, event| policy.step(state, event.parse().unwrap()).state);
        policy.explain(state).to_string()
    }

    #[test]
    fn what_is_waited_for() {
        for (policy, events, expected) in [
            ("", "", "idle: never started; nothing happens until somebody starts it"),
            ("", "stop", "stopped: a stop was requested; nothing happens until somebody starts it"),
            ("", "start", "starting #1: wanted up; waiting for the process to exist"),
            (
                "start-timeout=5s",
                "start",
                "starting #1: wanted up; waiting for the process to exist, at most 5s",
            ),
            (
                "readiness=notify",
                "start, started #1",
                "activating #1: wanted up; waiting for it to be ready",
            ),
            (
                "readiness=notify start-timeout=5s",
                "start, started #1",
                "activating #1: wanted up; waiting for it to be ready, at most 5s",
            ),
            ("", "start, started #1", "running #1: wanted up; healthy after 10s"),
            ("healthy-after=none", "start, started #1", "running #1: wanted up; running on"),
            ("", "start, started #1, fired healthy #1", "healthy #1: wanted up; running on"),
            (
                "",
                "start, stop on-next-exit",
                "starting #1: a stop was requested; its next exit is its last",
            ),
            (
                "readiness=notify",
                "start, started #1, stop on-next-exit",
                "activating #1: a stop was requested; its next exit is its last",
            ),
            (
                "",
                "start, started #1, stop on-next-exit",
                "running #1: a stop was requested; its next exit is its last",
            ),
            (
                "",
                "start, started #1, fired healthy #1, shutdown on-next-exit",
                "healthy #1: the monitor is going down; its next exit is its last",
            ),
            (
                "",
                "start, stop",
                "cancelling #1: a stop was requested; to be stopped as soon as the process exists",
            ),
            (
                "",
                "start, stop kill",
                "aborting #1: a stop was requested; to be stopped as soon as the process exists",
            ),
            (
                "",
                "start, started #1, restart",
                "stopping #1: a restart was requested; to be killed after a grace of 10s",
            ),
            (
                "stop-timeout=never",
                "start, started #1, stop",
                "stopping #1: a stop was requested; waiting for it to end, without a kill",
            ),
            (
                "",
                "start, started #1, stop kill",
                "killing #1: a stop was requested; killed, and killed again every 10s",
            ),
            (
                "",
                "start, exited #1 code=1",
                "releasing #1: wanted up, and ended with code=1; bringing down what it left",
            ),
            (
                "",
                "start, exited #1 code=1, fired stop-grace #1",
                "purging #1: wanted up, and ended with code=1; bringing down what it left",
            ),
            (
                "",
                "start, exited #1 signal=KILL, released #1",
                "backing-off #1: wanted up, and ended with signal=KILL; next attempt after 100ms..110ms",
            ),
            (
                "limit=1/10s:wait:all",
                "start, exited #1 code=1, released #1, fired backoff #1",
                "throttled #1: wanted up, and ended with code=1; next attempt when the window of 10s ends; 0 starts left in this window",
            ),
        ] {
            assert_eq!(sentence(policy, events), expected, "{policy} after {events}");
        }
    }

    #[test]
    fn faults_and_verdicts_say_what_happened() {
        for (policy, events, why) in [
            ("start-timeout=5s", "start, fired start-timeout #1", "took too long to start"),
            ("watchdog=2s", "start, started #1, fired watchdog #1", "sent no ping in time"),
            ("", "start, started #1, unhealthy #1", "failed its health check"),
            ("early-exit=failure", "start, exited #1 code=0", "ended too early, with code=0"),
            (
                "",
                "start, exited #1 code=0, released #1",
                "ended with code=0, after which the policy asks for no restart",
            ),
            (
                "prevent=3",
                "start, exited #1 code=3, released #1",
                "ended with code=3, after which the policy forbids a restart",
            ),
            (
                "",
                "start, start-failed #1 permanent, released #1",
                "start failed (permanent), which is not retried",
            ),
            (
                "retries=0",
                "start, exited #1 code=1, released #1",
                "no retry is allowed, last code=1",
            ),
            (
                "retries=2:runs",
                "start, exited #1 code=1, released #1, fired backoff #1, exited #2 unknown, released #2",
                "the only retry is used, last unknown",
            ),
            (
                "retries=2",
                "start, exited #1 code=1, released #1, fired backoff #1, exited #2 code=1, released #2, fired backoff #2, exited #3 code=2, released #3",
                "all 2 retries are used, last code=2",
            ),
            (
                "limit=1/10s:stop:all",
                "start, exited #1 code=1, released #1, fired backoff #1",
                "the limit of 1 start within 10s is reached, last code=1",
            ),
            (
                "limit=2/10s:stop",
                "start, exited #1 code=1, released #1, fired backoff #1, exited #2 code=1, released #2, fired backoff #2, exited #3 code=1, released #3, fired backoff #3",
                "the limit of 2 automatic starts within 10s is reached, last code=1",
            ),
        ] {
            let sentence = sentence(policy, events);
            assert_eq!(sentence.split([':', ';']).nth(1), Some(format!(" {why}").as_str()));
        }
    }

    /// Only while something is pending: a process that is down has no use for them.
    #[test]
    fn what_the_budgets_still_allow_comes_last() {
        for (policy, events, budgets) in [
            (
                "retries=3 limit=2/10s",
                "start",
                "; 3 retries left; 2 automatic starts left in this window",
            ),
            ("retries=3:runs", "start", "; 2 retries left"),
            (
                "retries=2 limit=2/10s",
                "start, exited #1 code=1, released #1, fired backoff #1",
                "; 1 retry left; 1 automatic start left in this window",
            ),
            ("retries=3 limit=2/10s", "stop", ""),
        ] {
            let sentence = sentence(policy, events);
            assert_eq!(
                sentence.splitn(3, ';').nth(2).unwrap_or_default(),
                budgets.trim_start_matches(';')
            );
        }
    }
}
