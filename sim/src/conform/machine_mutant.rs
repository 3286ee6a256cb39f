//! Bugs of machines, planted in the answers of a machine.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a bug is wrong in one place and right everywhere else"
)]

use std::fmt;

use monitor_core::{
    Actions, Delay, Event, Lifecycle, Note, Policy, ProcessCommand, ServiceCommand, Signal, State,
    Step, TimerCommand,
};
use monitor_os::Machine;

use crate::machine::injected_bug::MachineUnderTest;

/// A bug that is planted in the answers of a machine: one command is dropped or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MachineMutant {
    /// No process is made.
    SpawnDropped,
    /// A stop sends no signal.
    StopSignalDropped,
    /// The kill is not sent.
    KillDropped,
    /// A run that has ended is not released.
    ReleaseDropped,
    /// A spawn that is not wanted is not cancelled.
    CancelDropped,
    /// What survived the kill is not abandoned.
    AbandonDropped,
    /// The begin and the end of the service are not told.
    ServiceDropped,
    /// The timer of the phase is not armed.
    TimerDropped,
    /// The timer of the phase is left armed.
    DisarmDropped,
    /// The watchdog is not armed.
    WatchdogDropped,
    /// The window of the start limit never closes.
    WindowDropped,
    /// Each delay is doubled.
    DelayDoubled,
    /// A changed state is not saved.
    SaveDropped,
    /// The end of a run is not told.
    ExitUntold,
    /// A stop leaves the state as it was.
    StopForgotten,
    /// An event that does not count is said to count.
    IgnoredCounts,
}

impl MachineMutant {
    /// All mutants.
    pub const ALL: [Self; 16] = [
        Self::SpawnDropped,
        Self::StopSignalDropped,
        Self::KillDropped,
        Self::ReleaseDropped,
        Self::CancelDropped,
        Self::AbandonDropped,
        Self::ServiceDropped,
        Self::TimerDropped,
        Self::DisarmDropped,
        Self::WatchdogDropped,
        Self::WindowDropped,
        Self::DelayDoubled,
        Self::SaveDropped,
        Self::ExitUntold,
        Self::StopForgotten,
        Self::IgnoredCounts,
    ];

    /// Returns the printed name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SpawnDropped => "spawn-dropped",
            Self::StopSignalDropped => "stop-signal-dropped",
            Self::KillDropped => "kill-dropped",
            Self::ReleaseDropped => "release-dropped",
            Self::CancelDropped => "cancel-dropped",
            Self::AbandonDropped => "abandon-dropped",
            Self::ServiceDropped => "service-dropped",
            Self::TimerDropped => "timer-dropped",
            Self::DisarmDropped => "disarm-dropped",
            Self::WatchdogDropped => "watchdog-dropped",
            Self::WindowDropped => "window-dropped",
            Self::DelayDoubled => "delay-doubled",
            Self::SaveDropped => "save-dropped",
            Self::ExitUntold => "exit-untold",
            Self::StopForgotten => "stop-forgotten",
            Self::IgnoredCounts => "ignored-counts",
        }
    }

    fn change(self, before: State, event: Event, step: &mut Step) {
        let Actions { process, service, timer, watchdog, window, persist, emit } =
            &mut step.actions;
        let drops_command = match (self, &*process) {
            (Self::SpawnDropped, ProcessCommand::Spawn)
            | (Self::ReleaseDropped, ProcessCommand::Release { .. })
            | (Self::CancelDropped, ProcessCommand::CancelSpawn { .. })
            | (Self::AbandonDropped, ProcessCommand::Abandon) => true,
            (Self::KillDropped, ProcessCommand::Signal { signal, .. }) => *signal == Signal::KILL,
            (Self::StopSignalDropped, ProcessCommand::Signal { signal, .. }) => {
                *signal != Signal::KILL && matches!(event, Event::StopRequested { .. })
            }
            _ => false,
        };
        if drops_command {
            *process = ProcessCommand::Leave;
        }
        match self {
            Self::ServiceDropped => *service = ServiceCommand::Keep,
            Self::TimerDropped if matches!(timer, TimerCommand::Arm(_)) => {
                *timer = TimerCommand::Keep;
            }
            Self::DisarmDropped if matches!(timer, TimerCommand::Disarm) => {
                *timer = TimerCommand::Keep;
            }
            Self::WatchdogDropped => *watchdog = TimerCommand::Keep,
            Self::WindowDropped => *window = TimerCommand::Keep,
            Self::DelayDoubled => {
                if let TimerCommand::Arm(Delay { base, .. }) = timer {
                    *base = base.saturating_add(*base);
                }
            }
            Self::SaveDropped => *persist = false,
            Self::ExitUntold if *emit == Some(Lifecycle::Exited) => *emit = None,
            Self::StopForgotten if matches!(event, Event::StopRequested { .. }) => {
                *step = Step { state: before, ..*step };
            }
            Self::IgnoredCounts => step.note = Note::Applied,
            _ => {}
        }
    }
}

impl fmt::Display for MachineMutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A machine with a planted bug; without one it changes nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct MutatedMachine<M> {
    pub(super) machine: M,
    pub(super) mutant: Option<MachineMutant>,
}

impl<M: Machine> Machine for MutatedMachine<M> {
    fn step(&self, policy: &Policy, state: State, event: Event) -> Step {
        let mut step = self.machine.step(policy, state, event);
        if let Some(mutant) = self.mutant {
            mutant.change(state, event, &mut step);
        }
        step
    }
}

impl<M: Machine> MachineUnderTest for MutatedMachine<M> {}
