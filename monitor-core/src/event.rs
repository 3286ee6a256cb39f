//! The inputs of the machine: requests of its user, and facts about the world.

use crate::exit::{Exit, StartFailure};
use crate::run::{RunId, TimerKind, TimerToken};
use crate::signal::Signal;
use crate::time::Millis;

/// One input of the machine. Requests end in `Requested`; facts are in the past tense.
///
/// A fact about a process names its run. A fact about another run changes nothing, and its answer
/// is [`Note::Stale`](crate::Note::Stale). Case files use the text form (`Display`, `FromStr`).
///
/// The enum is exhaustive. A new variant is a breaking change, so that the compiler shows each driver
/// the place that must handle it.
///
/// # Examples
/// ```
/// use monitor_core::{Event, Exit, RunId};
/// let event: Event = "exited #1 code=7".parse()?;
/// assert_eq!(event, Event::Exited { run: RunId::new(1), exit: Exit::Code(7) });
/// # Ok::<(), monitor_core::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Event {
    /// Requests the process up. Forgets earlier failures.
    StartRequested,
    /// Requests the process down. Recorded in every phase, even when nothing runs.
    StopRequested {
        /// How the process is brought down.
        mode: StopMode,
        /// The source of the request.
        origin: Origin,
    },
    /// Requests the process down and up again: one intent, not two.
    RestartRequested {
        /// How long the stop half may take before the kill.
        grace: Grace,
    },
    /// Requests a signal. Changes neither policy nor intent.
    SignalRequested {
        /// The signal, for the main process alone.
        signal: Signal,
    },
    /// Reports that `step` is called with another policy than before.
    ///
    /// The new policy is in force at the next decision. It ends a wait that it would not have
    /// begun. It resets nothing and starts nothing.
    ///
    /// It can take the watchdog of a run away. It cannot bring one, because a program pings only if
    /// it was started with a watchdog.
    PolicyChanged,
    /// Requests that earlier failures are forgotten: the growth of the delay, the retries used, the
    /// starts counted. The count of restarts stays.
    ResetRequested,
    /// Requests the next attempt now, before the end of a backoff or of a full window.
    RetryRequested,

    /// The process exists.
    Started {
        /// The run it belongs to.
        run: RunId,
    },
    /// The process could not be made.
    StartFailed {
        /// The run it belongs to.
        run: RunId,
        /// Whether another attempt can succeed.
        failure: StartFailure,
    },
    /// The process reports that it serves.
    Ready {
        /// The run it belongs to.
        run: RunId,
    },
    /// The process reports that it is alive.
    Ping {
        /// The run it belongs to.
        run: RunId,
    },
    /// The process asks for more time to start: its start timeout is not over before `by` is over.
    ///
    /// The request counts while readiness is awaited, and never shortens the remaining time. It
    /// does not extend a stop.
    ///
    /// # Source
    /// `EXTEND_TIMEOUT_USEC` of `sd_notify(3)`. systemd extends a stop, too: `systemd.service(5)`.
    Extended {
        /// The run it belongs to.
        run: RunId,
        /// The time, counted from now.
        by: Millis,
    },
    /// A health check found the process unhealthy.
    Unhealthy {
        /// The run it belongs to.
        run: RunId,
    },
    /// The main process has ended.
    Exited {
        /// The run it belongs to.
        run: RunId,
        /// How it ended.
        exit: Exit,
    },
    /// The remains of the run are gone, or given up as leaked. Answers the command `Release`.
    Released {
        /// The run it belongs to.
        run: RunId,
        /// Whether anything is left.
        remains: Remains,
    },
    /// An armed timer is due.
    TimerFired {
        /// The timer.
        timer: TimerToken,
    },
    /// The monitor was started again with a saved state, and reports the fate of its run.
    Recovered {
        /// The run that the saved state names.
        run: RunId,
        /// The fate of that run.
        found: Found,
    },
}

impl Event {
    /// The run of this event, if it must be the current one to count.
    ///
    /// The timer of the window outlives runs, so it names none.
    #[must_use]
    pub const fn run(self) -> Option<RunId> {
        match self {
            Self::StartRequested
            | Self::StopRequested { .. }
            | Self::RestartRequested { .. }
            | Self::SignalRequested { .. }
            | Self::PolicyChanged
            | Self::ResetRequested
            | Self::RetryRequested => None,
            Self::Started { run }
            | Self::StartFailed { run, .. }
            | Self::Ready { run }
            | Self::Ping { run }
            | Self::Extended { run, .. }
            | Self::Unhealthy { run }
            | Self::Exited { run, .. }
            | Self::Released { run, .. }
            | Self::Recovered { run, .. } => Some(run),
            Self::TimerFired { timer } => match timer.kind {
                TimerKind::Window => None,
                TimerKind::StartTimeout
                | TimerKind::Healthy
                | TimerKind::StopGrace
                | TimerKind::KillWindow
                | TimerKind::Backoff
                | TimerKind::Watchdog => Some(timer.run),
            },
        }
    }

    /// Whether somebody requests something: the events that end in `Requested`. All others are facts.
    #[must_use]
    pub const fn is_request(self) -> bool {
        match self {
            Self::StartRequested
            | Self::StopRequested { .. }
            | Self::RestartRequested { .. }
            | Self::SignalRequested { .. }
            | Self::ResetRequested
            | Self::RetryRequested => true,
            Self::PolicyChanged
            | Self::Started { .. }
            | Self::StartFailed { .. }
            | Self::Ready { .. }
            | Self::Ping { .. }
            | Self::Extended { .. }
            | Self::Unhealthy { .. }
            | Self::Exited { .. }
            | Self::Released { .. }
            | Self::TimerFired { .. }
            | Self::Recovered { .. } => false,
        }
    }

    /// A graceful stop by the stop rule of the policy, requested by a user.
    #[must_use]
    pub const fn stop() -> Self {
        Self::StopRequested { mode: StopMode::Graceful(Grace::Policy), origin: Origin::User }
    }

    /// A kill, requested by a user.
    #[must_use]
    pub const fn kill() -> Self {
        Self::StopRequested { mode: StopMode::Kill, origin: Origin::User }
    }

    /// A graceful stop because the monitor goes down: the process stays wanted.
    #[must_use]
    pub const fn shutdown() -> Self {
        Self::StopRequested { mode: StopMode::Graceful(Grace::Policy), origin: Origin::Shutdown }
    }

    /// A restart by the stop rule of the policy.
    #[must_use]
    pub const fn restart() -> Self {
        Self::RestartRequested { grace: Grace::Policy }
    }
}

/// How a process is brought down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum StopMode {
    /// The stop signal first, the kill at the end of the grace.
    Graceful(Grace),
    /// The kill at once.
    Kill,
    /// No signal: the run may end by itself, and is then the last. The seed's `ExitOnNext`.
    OnNextExit,
}

/// How long a stop may take before the kill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Grace {
    /// The grace of the policy.
    #[default]
    Policy,
    /// This time.
    After(Millis),
    /// For ever: there is no kill.
    Never,
}

/// The source of a stop.
///
/// # Source
/// BB-23 of the bug bank: a shutdown recorded as a user's stop keeps processes down after the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Origin {
    /// A user: the process stays down until a start is requested.
    User,
    /// The monitor goes down: the process comes up again with it.
    Shutdown,
}

/// The remains of a run after its release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Remains {
    /// Nothing.
    Nothing,
    /// Processes that the stop did not reach, or that the policy does not touch.
    Leaked,
}

/// The fate of the run in a saved state, as a restarted monitor found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Found {
    /// The main process lives, and its identity was proved.
    Alive,
    /// The process ended meanwhile, with this exit.
    Exited(Exit),
    /// The process is gone, and its exit is unknown.
    Gone,
    /// The machine was booted since: no process of the run can be left.
    Rebooted,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request and the end of the window, which outlives runs, belong to no run.
    #[test]
    fn facts_belong_to_their_run() {
        for (text, run) in [
            ("start", None),
            ("stop", None),
            ("restart", None),
            ("signal HUP", None),
            ("policy-changed", None),
            ("reset", None),
            ("retry", None),
            ("fired window #3", None),
            ("fired backoff #3", Some(3)),
            ("started #3", Some(3)),
            ("start-failed #3 transient", Some(3)),
            ("ready #3", Some(3)),
            ("ping #3", Some(3)),
            ("extended #3 1s", Some(3)),
            ("unhealthy #3", Some(3)),
            ("exited #3 code=0", Some(3)),
            ("released #3", Some(3)),
            ("recovered #3 gone", Some(3)),
        ] {
            let event: Event = text.parse().unwrap();
            assert_eq!(event.run(), run.map(RunId::new), "{text}");
        }
    }

    /// The name of an event says whether it is a request.
    #[test]
    fn requests_are_named_so() {
        for text in crate::text::tests::EVENTS {
            let event: Event = text.parse().unwrap();
            let debug = format!("{event:?}");
            let name = debug.split(' ').next().unwrap();
            assert_eq!(event.is_request(), name.ends_with("Requested"), "{text}");
        }
    }

    #[test]
    fn short_forms_are_the_everyday_requests() {
        let requests = [Event::stop(), Event::kill(), Event::shutdown(), Event::restart()];
        let texts = requests.map(|request| request.to_string());
        assert_eq!(texts, ["stop", "stop kill", "shutdown", "restart"]);
    }
}
