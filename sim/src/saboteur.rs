//! Bugs put in on purpose, outside production code: a harness is as good as what it finds.
//!
//! Each saboteur wraps the machine and is wrong in one way in which a real supervisor was wrong.

use std::fmt;

use monitor_core::{
    Actions, Event, Note, Phase, Policy, ProcessCommand, Reason, Signal, State, Step, TimerCommand,
};
use monitor_os::Machine;

use crate::race::Race;

/// A broken machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Saboteur {
    /// A stop in the backoff is a no-op, because nothing runs (BB-1, BB-16).
    IgnoresStopInBackoff,
    /// A stop in the backoff leaves the timer armed (BB-1, BB-120).
    KeepsBackoffTimer,
    /// A stop while the spawn is in flight is lost (seed.md D11, BB-5).
    LosesStopWhileStarting,
    /// A process wanted down is not signalled when it appears (seed.md D12, BB-5).
    ForgetsStopAtStarted,
    /// A second stop sends the signal again (Docker sends TERM twice).
    RepeatsStopSignal,
    /// A second stop begins the grace anew (BB-36).
    LengthensGrace,
    /// An exit before the acknowledgement of the start is dropped (BB-122).
    DropsEarlyExit,
    /// A second status replaces the first (BB-46).
    LastStatusWins,
    /// A restart in the backoff ends stopped (BB-18).
    RestartEndsStopped,
    /// A restart spawns at once, beside the old process (BB-138).
    RestartSpawnsTwice,
    /// A timer of another run or phase is believed (BB-118).
    BelievesStaleTimers,
    /// Any signal turns the restart policy off (seed.md D15, BB-31).
    SignalIsStop,
}

impl Saboteur {
    /// All saboteurs.
    pub const ALL: [Self; 12] = [
        Self::IgnoresStopInBackoff,
        Self::KeepsBackoffTimer,
        Self::LosesStopWhileStarting,
        Self::ForgetsStopAtStarted,
        Self::RepeatsStopSignal,
        Self::LengthensGrace,
        Self::DropsEarlyExit,
        Self::LastStatusWins,
        Self::RestartEndsStopped,
        Self::RestartSpawnsTwice,
        Self::BelievesStaleTimers,
        Self::SignalIsStop,
    ];

    /// The name, as printed and as given on command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IgnoresStopInBackoff => "ignores-stop-in-backoff",
            Self::KeepsBackoffTimer => "keeps-backoff-timer",
            Self::LosesStopWhileStarting => "loses-stop-while-starting",
            Self::ForgetsStopAtStarted => "forgets-stop-at-started",
            Self::RepeatsStopSignal => "repeats-stop-signal",
            Self::LengthensGrace => "lengthens-grace",
            Self::DropsEarlyExit => "drops-early-exit",
            Self::LastStatusWins => "last-status-wins",
            Self::RestartEndsStopped => "restart-ends-stopped",
            Self::RestartSpawnsTwice => "restart-spawns-twice",
            Self::BelievesStaleTimers => "believes-stale-timers",
            Self::SignalIsStop => "signal-is-stop",
        }
    }

    /// The race in which it shows.
    #[must_use]
    pub const fn race(self) -> Race {
        match self {
            Self::IgnoresStopInBackoff | Self::KeepsBackoffTimer => Race::StopDuringBackoff,
            Self::LosesStopWhileStarting => Race::StopWhileStarting,
            Self::ForgetsStopAtStarted => Race::StopBetweenTimerAndSpawn,
            Self::RepeatsStopSignal | Self::LengthensGrace => Race::DoubleStop,
            Self::DropsEarlyExit | Self::LastStatusWins => Race::ExitBeforeStarted,
            Self::RestartEndsStopped | Self::RestartSpawnsTwice => Race::RestartDuringBackoff,
            Self::BelievesStaleTimers | Self::SignalIsStop => Race::StaleTimers,
        }
    }
}

impl fmt::Display for Saboteur {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl crate::world::Suspect for Saboteur {}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a saboteur is wrong in one place and honest everywhere else"
)]
impl Machine for Saboteur {
    fn step(&self, policy: &Policy, state: State, event: Event) -> Step {
        let honest = policy.step(state, event);
        let phase = state.phase();
        let stop = matches!(event, Event::StopRequested { .. }) && honest.note == Note::Applied;
        let restart = matches!(event, Event::RestartRequested { .. });
        match self {
            Self::IgnoresStopInBackoff if stop && phase == Phase::BackingOff => nothing(state),
            Self::KeepsBackoffTimer if stop && phase == Phase::BackingOff => {
                with(honest, |actions| actions.timer = TimerCommand::Keep)
            }
            Self::LosesStopWhileStarting if stop && phase == Phase::Starting => nothing(state),
            Self::ForgetsStopAtStarted
                if matches!(event, Event::Started { .. })
                    && matches!(phase, Phase::Cancelling | Phase::Aborting) =>
            {
                with(honest, |actions| actions.process = ProcessCommand::Leave)
            }
            Self::RepeatsStopSignal if stop && phase == Phase::Stopping => {
                let stop = policy.rules().stop;
                with(honest, |actions| {
                    actions.process =
                        ProcessCommand::Signal { signal: stop.signal, scope: stop.scope };
                })
            }
            Self::LengthensGrace => match honest.actions.timer {
                TimerCommand::Shorten(grace) => with(honest, |actions| {
                    actions.timer = TimerCommand::Arm(monitor_core::Delay::exact(grace));
                }),
                TimerCommand::Keep | TimerCommand::Disarm | TimerCommand::Arm(_) => honest,
            },
            Self::DropsEarlyExit
                if matches!(event, Event::Exited { .. }) && phase == Phase::Starting =>
            {
                nothing(state)
            }
            Self::LastStatusWins => match event {
                Event::Exited { exit, run } if phase == Phase::Releasing && run == state.run() => {
                    let running = State::from_bytes(&edited(state, Phase::Running, Reason::Wanted));
                    let ended = policy.step(running.unwrap_or(state), Event::Exited { run, exit });
                    Step { actions: Actions { persist: true, ..Actions::NONE }, ..ended }
                }
                _ => honest,
            },
            Self::RestartEndsStopped if restart && phase == Phase::BackingOff => {
                policy.step(state, Event::stop())
            }
            Self::RestartSpawnsTwice
                if restart && matches!(phase, Phase::Running | Phase::Healthy) =>
            {
                let idle = State::from_bytes(&edited(state, Phase::Stopped, Reason::StopRequested));
                policy.step(idle.unwrap_or(state), Event::StartRequested)
            }
            Self::BelievesStaleTimers => match event {
                Event::TimerFired { timer } if honest.note == Note::Stale => {
                    let kind = phase.timer().unwrap_or(timer.kind);
                    let timer = monitor_core::TimerToken { run: state.run(), kind };
                    policy.step(state, Event::TimerFired { timer })
                }
                _ => honest,
            },
            Self::SignalIsStop if matches!(event, Event::SignalRequested { .. }) => {
                let step = policy.step(
                    state,
                    Event::StopRequested {
                        mode: monitor_core::StopMode::OnNextExit,
                        origin: monitor_core::Origin::User,
                    },
                );
                with(step, |actions| actions.process = honest.actions.process)
            }
            Self::IgnoresStopInBackoff
            | Self::KeepsBackoffTimer
            | Self::LosesStopWhileStarting
            | Self::ForgetsStopAtStarted
            | Self::RepeatsStopSignal
            | Self::DropsEarlyExit
            | Self::RestartEndsStopped
            | Self::RestartSpawnsTwice
            | Self::SignalIsStop => honest,
        }
    }
}

pub(crate) const fn nothing(state: State) -> Step {
    Step { state, actions: Actions::NONE, note: Note::NotApplicable }
}

pub(crate) fn with(mut step: Step, change: impl FnOnce(&mut Actions)) -> Step {
    change(&mut step.actions);
    step
}

/// The wire form of a state with phase, reason and, where the phase asks for it, outcome replaced.
pub(crate) fn edited(state: State, phase: Phase, reason: Reason) -> [u8; State::WIRE_LEN] {
    let mut bytes = state.to_bytes();
    let place =
        |found: Option<usize>| found.and_then(|place| u8::try_from(place).ok()).unwrap_or(0);
    bytes[1] = place(Phase::ALL.iter().position(|&other| other == phase));
    bytes[2] = place(Reason::ALL.iter().position(|&other| other == reason));
    let ended = phase == Phase::Stopped;
    (bytes[5], bytes[6]) = if ended { (2, Signal::KILL.number()) } else { (0, 0) };
    bytes
}
