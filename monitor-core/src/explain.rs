//! Why a process is as it is, and what comes next, as data and as one sentence.

use core::fmt;

use crate::policy::{Counts, Policy, Retries, Rules};
use crate::state::{Phase, Reason, State};
use crate::time::{Delay, Millis};

/// The answer to "why, and what next": made by [`Policy::explain`], printed as one sentence.
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
    /// What the machine waits for.
    pub next: Next,
    /// Automatic restarts that the retry budget still allows; `None` without a budget.
    pub retries_left: Option<u16>,
    /// Counted starts that the open window still allows; `None` without a start limit.
    pub starts_left: Option<u8>,
    rules: Rules,
}

/// What the machine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it is down until somebody starts it.
    Nothing,
    /// The process to exist, so that it can go on; at most so long.
    Spawn(Option<Millis>),
    /// The process to exist, so that it can be stopped.
    SpawnToStop,
    /// The process to say that it serves; at most so long.
    Ready(Option<Millis>),
    /// The process to have served this long; `None` when no time makes it healthy, or it is already.
    Healthy(Option<Millis>),
    /// The process to end by itself, for the last time.
    LastExit,
    /// The process to end; the kill follows the policy's grace unless the stop named another.
    Exit(Option<Millis>),
    /// The kill to work; it is repeated this often.
    Death(Millis),
    /// What the run left to be gone.
    Release,
    /// The delay before the next attempt to be over.
    Attempt(Delay),
    /// The window of the start limit to end.
    WindowEnd(Millis),
}

impl Policy {
    /// Explains `state`: the reason, what is waited for, and what the budgets still allow.
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
    /// The reason alone: the part of the sentence between the phase and what comes next.
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
        if let Some(left) = self.starts_left {
            write!(f, "; {} left in this window", Starts(left))?;
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
                    Starts(limit.burst),
                    limit.window
                ),
                None => write!(f, "the limit of starts is reached, last {outcome}"),
            },
            Reason::StartFailed => write!(f, "{outcome}, which is not retried"),
        }
    }
}

struct Starts(u8);

impl fmt::Display for Starts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let starts = if self.0 == 1 { "start" } else { "starts" };
        write!(f, "{} {starts}", self.0)
    }
}

/// How many restarts a budget allows.
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
