//! The inputs of the machine: requests of its user, and facts about the world.

use crate::exit::{Exit, StartFailure};
use crate::run::{RunId, TimerKind, TimerToken};
use crate::signal::Signal;
use crate::time::Millis;

/// One input of the machine. Requests end in `Requested`; facts are in the past tense.
///
/// A fact about a process names its run. For a fact of another run the machine changes nothing and answers
/// [`Note::Stale`](crate::Note::Stale). The text form (`Display`, `FromStr`) is the one of case files.
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
    /// Somebody wants the process up. Forgets earlier failures.
    StartRequested,
    /// Somebody wants the process down. Recorded in every phase, also when nothing runs.
    StopRequested {
        /// How it is to be brought down.
        mode: StopMode,
        /// On whose behalf.
        origin: Origin,
    },
    /// Somebody wants the process down and up again: one intent, not two.
    RestartRequested {
        /// How long the stop half may take before the kill.
        grace: Grace,
    },
    /// Somebody wants a signal sent. Touches neither policy nor intent.
    SignalRequested {
        /// The signal, for the main process alone.
        signal: Signal,
    },
    /// The policy that `step` is called with is another than before.
    ///
    /// It is in force at the next decision, ends a wait that it would not have begun, resets nothing
    /// and starts nothing. It takes away the watchdog of what runs, and brings it none, since a program pings only if
    /// it was started with a watchdog.
    PolicyChanged,
    /// Somebody wants earlier failures forgotten: the growth of the delay, the retries used, the starts
    /// counted. The count of restarts is history and stays.
    ResetRequested,
    /// Somebody does not want to wait for the end of a backoff or of a full window.
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
        /// Whether trying again can help.
        failure: StartFailure,
    },
    /// The process says that it serves.
    Ready {
        /// The run it belongs to.
        run: RunId,
    },
    /// The process says that it is alive.
    Ping {
        /// The run it belongs to.
        run: RunId,
    },
    /// The process asks for more time to start: it is not to be found late before this is over.
    ///
    /// It counts while its readiness is waited for, and never shortens what is left. Nobody can hold up a stop by it.
    ///
    /// # Source
    /// `EXTEND_TIMEOUT_USEC` of `sd_notify(3)`; systemd heeds it in a stop too, `systemd.service(5)`.
    Extended {
        /// The run it belongs to.
        run: RunId,
        /// How long from now.
        by: Millis,
    },
    /// A health check found the process unfit.
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
    /// What the run left behind is gone, or given up as leaked. Answers the command `Release`.
    Released {
        /// The run it belongs to.
        run: RunId,
        /// Whether anything is left.
        remains: Remains,
    },
    /// An armed timer is due.
    TimerFired {
        /// Which one.
        timer: TimerToken,
    },
    /// The monitor itself was started again with a saved state, and this is what it found.
    Recovered {
        /// The run that the saved state names.
        run: RunId,
        /// What has become of it.
        found: Found,
    },
}

impl Event {
    /// The run whose news this is, if it must be the current one to count.
    ///
    /// The window's timer outlives runs and so names none.
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

    /// A graceful stop by the policy's own stop rule, on behalf of a user.
    #[must_use]
    pub const fn stop() -> Self {
        Self::StopRequested { mode: StopMode::Graceful(Grace::Policy), origin: Origin::User }
    }

    /// A kill, on behalf of a user.
    #[must_use]
    pub const fn kill() -> Self {
        Self::StopRequested { mode: StopMode::Kill, origin: Origin::User }
    }

    /// A graceful stop because the monitor itself is going down: the process stays wanted.
    #[must_use]
    pub const fn shutdown() -> Self {
        Self::StopRequested { mode: StopMode::Graceful(Grace::Policy), origin: Origin::Shutdown }
    }

    /// A restart by the policy's own stop rule.
    #[must_use]
    pub const fn restart() -> Self {
        Self::RestartRequested { grace: Grace::Policy }
    }
}

/// How a process is to be brought down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum StopMode {
    /// The stop signal first, the kill when the grace is over.
    Graceful(Grace),
    /// The kill at once.
    Kill,
    /// No signal: the run may end by itself and is then the last. The seed's `ExitOnNext`.
    OnNextExit,
}

/// How long a stop may take before the kill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Grace {
    /// As long as the policy says.
    #[default]
    Policy,
    /// This long.
    After(Millis),
    /// For ever: there is no kill.
    Never,
}

/// On whose behalf a stop happens.
///
/// # Source
/// BB-23 of the bug bank: a shutdown recorded as a user's stop keeps processes down after the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Origin {
    /// A user wants it down, until somebody starts it again.
    User,
    /// The monitor is going down; the process is wanted up again with it.
    Shutdown,
}

/// What is left of a run after its release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Remains {
    /// Nothing.
    Nothing,
    /// Processes that the stop did not reach, or that the policy leaves alone.
    Leaked,
}

/// What a monitor that was started again found of the run in its saved state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Found {
    /// The main process lives, and its identity was proved.
    Alive,
    /// It ended meanwhile, and how is known.
    Exited(Exit),
    /// It is gone and how is not known.
    Gone,
    /// The machine was booted since: nothing of the run can be left.
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

    #[test]
    fn short_forms_are_the_everyday_requests() {
        let requests = [Event::stop(), Event::kill(), Event::shutdown(), Event::restart()];
        let texts = requests.map(|request| request.to_string());
        assert_eq!(texts, ["stop", "stop kill", "shutdown", "restart"]);
    }
}
