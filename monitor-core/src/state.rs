//! All that the machine stores of a process, in sixteen bytes.

use core::fmt;

use crate::exit::{Exit, Outcome};
use crate::run::{RunId, TimerKind};

/// The position of a process in its lifecycle.
///
/// Phases are flat, with one name for each situation, so that every cell of the phase × event table
/// can be read.
///
/// The enum is exhaustive. A new variant is a breaking change, so that the compiler shows each driver
/// the place that must handle it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Phase {
    /// The process was never started.
    #[default]
    Idle,
    /// A spawn is in flight.
    Starting,
    /// A spawn is in flight and unwanted: the process is stopped as soon as it exists.
    Cancelling,
    /// A spawn is in flight and unwanted: the process is killed as soon as it exists.
    Aborting,
    /// The process lives and has not reported that it serves.
    Activating,
    /// The process serves.
    Running,
    /// The process has served long enough for its earlier failures to be forgiven.
    Healthy,
    /// The process was sent the stop signal.
    Stopping,
    /// The process was sent the kill.
    Killing,
    /// The process has ended; its remains are being brought down.
    Releasing,
    /// The process has ended; its remains were sent the kill.
    Purging,
    /// The unit waits for the delay before the next attempt.
    BackingOff,
    /// The unit waits for the window of the start limit to end.
    Throttled,
    /// The unit is down, and nothing is pending.
    Stopped,
}

impl Phase {
    /// All phases, in the order of their wire numbers.
    pub const ALL: [Self; 14] = [
        Self::Idle,
        Self::Starting,
        Self::Cancelling,
        Self::Aborting,
        Self::Activating,
        Self::Running,
        Self::Healthy,
        Self::Stopping,
        Self::Killing,
        Self::Releasing,
        Self::Purging,
        Self::BackingOff,
        Self::Throttled,
        Self::Stopped,
    ];

    /// The only kind of timer that the slot of the phase may hold; `None` if it holds none.
    #[must_use]
    pub const fn timer(self) -> Option<TimerKind> {
        match self {
            Self::Starting | Self::Activating => Some(TimerKind::StartTimeout),
            Self::Running => Some(TimerKind::Healthy),
            Self::Cancelling | Self::Stopping | Self::Releasing => Some(TimerKind::StopGrace),
            Self::Killing | Self::Purging => Some(TimerKind::KillWindow),
            Self::BackingOff => Some(TimerKind::Backoff),
            Self::Idle | Self::Aborting | Self::Healthy | Self::Throttled | Self::Stopped => None,
        }
    }

    /// Whether a main process may exist: from the spawn until its exit is known.
    #[must_use]
    pub const fn is_live(self) -> bool {
        match self {
            Self::Starting
            | Self::Cancelling
            | Self::Aborting
            | Self::Activating
            | Self::Running
            | Self::Healthy
            | Self::Stopping
            | Self::Killing => true,
            Self::Idle
            | Self::Releasing
            | Self::Purging
            | Self::BackingOff
            | Self::Throttled
            | Self::Stopped => false,
        }
    }

    /// Whether the process serves.
    #[must_use]
    pub const fn is_serving(self) -> bool {
        matches!(self, Self::Running | Self::Healthy)
    }

    /// Whether a main process has ended whose run is not released yet.
    #[must_use]
    pub const fn is_releasing(self) -> bool {
        matches!(self, Self::Releasing | Self::Purging)
    }

    /// Whether a run goes on, from its spawn to its release.
    #[must_use]
    pub const fn has_run(self) -> bool {
        self.is_live() || self.is_releasing()
    }

    /// Whether nothing is pending: no process, no wait, no release.
    #[must_use]
    pub const fn is_down(self) -> bool {
        matches!(self, Self::Idle | Self::Stopped)
    }

    /// The name in texts: `idle`, `backing-off` and so on.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Starting => "starting",
            Self::Cancelling => "cancelling",
            Self::Aborting => "aborting",
            Self::Activating => "activating",
            Self::Running => "running",
            Self::Healthy => "healthy",
            Self::Stopping => "stopping",
            Self::Killing => "killing",
            Self::Releasing => "releasing",
            Self::Purging => "purging",
            Self::BackingOff => "backing-off",
            Self::Throttled => "throttled",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The standing intent, or the verdict once the process is down.
///
/// One field holds both, because a verdict exists only where no intent is left. The first fault of
/// a run is kept (BB-54 of the bug bank). A request of the user replaces it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Reason {
    /// Intent: none yet.
    #[default]
    Created,
    /// Intent: up.
    Wanted,
    /// Intent: up; this run took too long to start.
    StartTimeout,
    /// Intent: up; this run stopped sending pings.
    Watchdog,
    /// Intent: up; this run failed its health check.
    Unhealthy,
    /// Intent: up; this run ended before it served, or before it was healthy if the policy asks for
    /// that.
    EarlyExit,
    /// Intent: down and up again.
    RestartRequested,
    /// Intent: down, requested by a user.
    StopRequested,
    /// Intent: down with the monitor, and up with it.
    ShutdownRequested,
    /// Verdict: the restart rule asks for no restart.
    Completed,
    /// Verdict: the policy forbids a restart after this exit status.
    Prevented,
    /// Verdict: all retries are used.
    Exhausted,
    /// Verdict: the window has too many starts.
    StartLimit,
    /// Verdict: a start failed, and the policy does not retry such a failure.
    StartFailed,
}

impl Reason {
    /// All reasons, in the order of their wire numbers.
    pub const ALL: [Self; 14] = [
        Self::Created,
        Self::Wanted,
        Self::StartTimeout,
        Self::Watchdog,
        Self::Unhealthy,
        Self::EarlyExit,
        Self::RestartRequested,
        Self::StopRequested,
        Self::ShutdownRequested,
        Self::Completed,
        Self::Prevented,
        Self::Exhausted,
        Self::StartLimit,
        Self::StartFailed,
    ];

    /// Whether the monitor itself judged the run as failed, whatever its exit status.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        matches!(self, Self::StartTimeout | Self::Watchdog | Self::Unhealthy | Self::EarlyExit)
    }

    /// Whether a stop is requested, by a user or with the monitor.
    #[must_use]
    pub const fn is_stop(self) -> bool {
        matches!(self, Self::StopRequested | Self::ShutdownRequested)
    }

    /// Whether this is a verdict of the policy, reached only in [`Phase::Stopped`].
    #[must_use]
    pub const fn is_verdict(self) -> bool {
        self.is_give_up() || matches!(self, Self::Completed)
    }

    /// Whether this is a verdict that needs attention.
    #[must_use]
    pub const fn is_give_up(self) -> bool {
        matches!(self, Self::Prevented | Self::Exhausted | Self::StartLimit | Self::StartFailed)
    }

    /// The name in texts: `stop-requested`, `watchdog` and so on.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Wanted => "wanted",
            Self::StartTimeout => "start-timeout",
            Self::Watchdog => "watchdog",
            Self::Unhealthy => "unhealthy",
            Self::EarlyExit => "early-exit",
            Self::RestartRequested => "restart-requested",
            Self::StopRequested => "stop-requested",
            Self::ShutdownRequested => "shutdown-requested",
            Self::Completed => "completed",
            Self::Prevented => "prevented",
            Self::Exhausted => "exhausted",
            Self::StartLimit => "start-limit",
            Self::StartFailed => "start-failed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The whole state of one supervised process: 16 bytes, `Copy`, comparable, hashable.
///
/// Its fields are private. Only [`Policy::step`](crate::Policy::step) makes new states, and
/// [`State::from_bytes`] refuses impossible ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "[u8; 20]", into = "[u8; 20]"))]
pub struct State {
    pub(crate) run: RunId,
    pub(crate) restarts: u32,
    pub(crate) strikes: u16,
    pub(crate) outcome: Outcome,
    pub(crate) level: u8,
    pub(crate) starts: u8,
    pub(crate) phase: Phase,
    pub(crate) reason: Reason,
}

impl State {
    /// The state of a process that was never started.
    pub const INITIAL: Self = Self {
        run: RunId::NONE,
        restarts: 0,
        strikes: 0,
        outcome: Outcome::None,
        level: 0,
        starts: 0,
        phase: Phase::Idle,
        reason: Reason::Created,
    };

    /// The position in the lifecycle.
    #[must_use]
    pub const fn phase(self) -> Phase {
        self.phase
    }

    /// The standing intent, or the verdict once the process is down.
    #[must_use]
    pub const fn reason(self) -> Reason {
        self.reason
    }

    /// The current run, or the last one if no run is current.
    #[must_use]
    pub const fn run(self) -> RunId {
        self.run
    }

    /// The end of the current run; [`Outcome::None`] while it lives.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        self.outcome
    }

    /// The exit of the last process, if a process existed and is known to have ended.
    #[must_use]
    pub const fn exit(self) -> Option<Exit> {
        match self.outcome {
            Outcome::Exited(exit) => Some(exit),
            Outcome::None | Outcome::StartFailed(_) => None,
        }
    }

    /// Automatic restarts since the last start by a user; saturates at 4,294,967,295.
    #[must_use]
    pub const fn restarts(self) -> u32 {
        self.restarts
    }

    /// Runs that count against the retry budget; saturates at 65,535.
    #[must_use]
    pub const fn strikes(self) -> u16 {
        self.strikes
    }

    /// The number of steps by which the backoff has grown; saturates at 255.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.level
    }

    /// Starts counted in the open window of the start limit; saturates at 255.
    #[must_use]
    pub const fn starts(self) -> u8 {
        self.starts
    }

    /// The part of the state that behaviour depends on: the run renamed to 1, restarts cut to 1.
    ///
    /// For model checkers: run ids and restarts count without bound. A step depends only on which
    /// run is current, and on whether it is the first since the start.
    #[must_use]
    pub const fn canonical(mut self) -> Self {
        if self.run.as_u32() > 0 {
            self.run = RunId::new(1);
        }
        if self.restarts > 0 {
            self.restarts = 1;
        }
        self
    }
}

/// Prints phase and reason, `running #3 (wanted)`.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.phase, self.run, self.reason)
    }
}

const _: () = assert!(size_of::<State>() <= 16, "a state is at most 16 bytes");

#[cfg(test)]
mod tests {
    use super::*;

    /// Each phase with its timer, and whether a process may exist, something else is pending, or
    /// neither.
    #[test]
    fn phases() {
        let table = [
            "idle: no timer, down",
            "starting: start-timeout, live",
            "cancelling: stop-grace, live",
            "aborting: no timer, live",
            "activating: start-timeout, live",
            "running: healthy, live",
            "healthy: no timer, live",
            "stopping: stop-grace, live",
            "killing: kill-window, live",
            "releasing: stop-grace, pending",
            "purging: kill-window, pending",
            "backing-off: backoff, pending",
            "throttled: no timer, pending",
            "stopped: no timer, down",
        ];
        assert_eq!(
            Phase::ALL.map(|phase| {
                let timer = phase.timer().map_or("no timer", TimerKind::name);
                let pending = match (phase.is_live(), phase.is_down()) {
                    (true, false) => "live",
                    (false, false) => "pending",
                    (false, true) => "down",
                    (true, true) => "live and down",
                };
                format!("{phase}: {timer}, {pending}")
            }),
            table
        );
    }

    #[test]
    fn phases_of_a_run() {
        let of = |is: fn(Phase) -> bool| {
            let phases = Phase::ALL.into_iter().filter(|&phase| is(phase));
            phases.map(Phase::name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(Phase::is_serving), "running healthy");
        assert_eq!(of(Phase::is_releasing), "releasing purging");
        let without = of(|phase| !phase.has_run());
        assert_eq!(without, "idle backing-off throttled stopped");
    }

    #[test]
    fn reasons() {
        let table = [
            "created",
            "wanted",
            "start-timeout: fault",
            "watchdog: fault",
            "unhealthy: fault",
            "early-exit: fault",
            "restart-requested",
            "stop-requested: stop",
            "shutdown-requested: stop",
            "completed: verdict",
            "prevented: verdict, give-up",
            "exhausted: verdict, give-up",
            "start-limit: verdict, give-up",
            "start-failed: verdict, give-up",
        ];
        assert_eq!(
            Reason::ALL.map(|reason| {
                let kinds = [
                    (reason.is_fault(), "fault"),
                    (reason.is_stop(), "stop"),
                    (reason.is_verdict(), "verdict"),
                    (reason.is_give_up(), "give-up"),
                ];
                let kinds: Vec<_> =
                    kinds.into_iter().filter(|(is, _)| *is).map(|(_, kind)| kind).collect();
                let colon = if kinds.is_empty() { "" } else { ": " };
                format!("{reason}{colon}{}", kinds.join(", "))
            }),
            table
        );
    }

    #[test]
    fn a_state_tells_all_that_it_holds() {
        let state = State {
            run: RunId::new(9),
            restarts: 7,
            strikes: 5,
            outcome: Outcome::Exited(Exit::Code(3)),
            level: 4,
            starts: 2,
            phase: Phase::BackingOff,
            reason: Reason::Watchdog,
        };
        assert_eq!(state.to_string(), "backing-off #9 (watchdog)");
        assert_eq!((state.phase(), state.reason()), (Phase::BackingOff, Reason::Watchdog));
        assert_eq!((state.run(), state.restarts()), (RunId::new(9), 7));
        assert_eq!((state.strikes(), state.level(), state.starts()), (5, 4, 2));
        assert_eq!(state.outcome(), Outcome::Exited(Exit::Code(3)));
        assert_eq!(state.exit(), Some(Exit::Code(3)));
        assert_eq!(State::INITIAL.exit(), None);
    }

    /// Only the difference between the first and a later one matters for both numbers.
    #[test]
    fn canonical_states_count_to_one() {
        let counted = |run, restarts| State { run: RunId::new(run), restarts, ..State::INITIAL };
        for (number, canonical) in [(0, 0), (1, 1), (2, 1), (u32::MAX, 1)] {
            assert_eq!(counted(number, 0).canonical(), counted(canonical, 0));
            assert_eq!(counted(0, number).canonical(), counted(0, canonical));
        }
    }
}
