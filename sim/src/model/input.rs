//! The inputs of the exhaustive search, and their names.

use monitor_core::{Event, Found, StopMode, TimerKind};

/// An input of the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Input {
    /// Send an event to the machine.
    Event(Event),
    /// Put the policy of this index in force.
    Policy(u16),
    /// Crash the monitor, start it again from its saved state, and report the fate of the run.
    Crash(Found),
}

/// The name of an input without its details, for the arrows of a diagram.
#[must_use]
pub const fn input_name(input: Input) -> &'static str {
    match input {
        Input::Policy(_) => "policy-changed",
        Input::Crash(_) => "recovered",
        Input::Event(event) => event_name(event),
    }
}

/// The name of an event without its details.
#[must_use]
pub const fn event_name(event: Event) -> &'static str {
    match event {
        Event::StartRequested => "start",
        Event::StopRequested { mode: StopMode::Graceful(_), .. } => "stop",
        Event::StopRequested { mode: StopMode::Kill, .. } => "kill",
        Event::StopRequested { mode: StopMode::OnNextExit, .. } => "stop on next exit",
        Event::RestartRequested { .. } => "restart",
        Event::SignalRequested { .. } => "signal",
        Event::PolicyChanged => "policy-changed",
        Event::ResetRequested => "reset",
        Event::RetryRequested => "retry",
        Event::Started { .. } => "started",
        Event::StartFailed { .. } => "start-failed",
        Event::Ready { .. } => "ready",
        Event::Ping { .. } => "ping",
        Event::Extended { .. } => "extended",
        Event::Unhealthy { .. } => "unhealthy",
        Event::Exited { .. } => "exited",
        Event::Released { .. } => "released",
        Event::TimerFired { timer } => match timer.kind {
            TimerKind::StartTimeout => "start-timeout",
            TimerKind::Healthy => "healthy",
            TimerKind::StopGrace => "stop-grace",
            TimerKind::KillWindow => "kill-window",
            TimerKind::Backoff => "backoff",
            TimerKind::Watchdog => "watchdog",
            TimerKind::Window => "window",
        },
        Event::Recovered { .. } => "recovered",
    }
}
