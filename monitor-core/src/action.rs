//! The outputs of the machine: at most one command for each kind of effect, in a fixed order.

use core::fmt;

use crate::event::Remains;
use crate::run::{RunId, TimerSlot, TimerToken};
use crate::scope::Scope;
use crate::signal::Signal;
use crate::state::State;
use crate::time::{Delay, Millis};

/// The commands of one step: one slot for each kind of effect, in the order of execution.
///
/// Slots replace a list, because a list has a capacity to exceed. The order is part of the type,
/// and two contradictory commands cannot be expressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actions {
    /// Save the new state before the other commands.
    pub persist: bool,
    /// Act on the process.
    pub process: ProcessCommand,
    /// Begin or end what accompanies the service of the run.
    pub service: ServiceCommand,
    /// Set the timer that the phase owns.
    pub timer: TimerCommand,
    /// Set the watchdog.
    pub watchdog: TimerCommand,
    /// Set the window of the start limit.
    pub window: TimerCommand,
    /// Report to observers.
    pub emit: Option<Lifecycle>,
}

impl Actions {
    /// No command.
    pub const NONE: Self = Self {
        persist: false,
        process: ProcessCommand::Leave,
        service: ServiceCommand::Keep,
        timer: TimerCommand::Keep,
        watchdog: TimerCommand::Keep,
        window: TimerCommand::Keep,
        emit: None,
    };

    /// The command for the timer of a slot.
    #[must_use]
    #[inline]
    pub const fn timer_command(&self, slot: TimerSlot) -> TimerCommand {
        match slot {
            TimerSlot::Phase => self.timer,
            TimerSlot::Watchdog => self.watchdog,
            TimerSlot::Window => self.window,
        }
    }
}

/// The command for the process. A step has one at most, so it cannot spawn and signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProcessCommand {
    /// Nothing.
    #[default]
    Leave,
    /// Make the process of the new state's run. What is left of an earlier run is abandoned.
    Spawn,
    /// Cancel the spawn in flight, which is unwanted now.
    ///
    /// A backend that can make the start fail does so, so that a stop does not wait for a program
    /// that cannot be loaded. If the program runs already, its main process gets the signal. The start
    /// is still answered, by [`Event::Started`](crate::Event::Started) or
    /// [`Event::StartFailed`](crate::Event::StartFailed). A backend that cannot do either ignores
    /// the command.
    CancelSpawn {
        /// The signal by which the run is brought down.
        signal: Signal,
    },
    /// Send a signal to the run.
    Signal {
        /// The signal.
        signal: Signal,
        /// Its receivers.
        scope: Scope,
    },
    /// Release the ended run, and answer with [`Event::Released`](crate::Event::Released). A
    /// release brings down the remains, drains the output and reaps the process.
    Release {
        /// The signal for the remains; `None` if they have had one, or are to be left alone.
        signal: Option<Signal>,
        /// With [`Scope::Group`] the answer waits until the group is empty. With [`Scope::Process`]
        /// it comes at once, and says whether anything is left.
        scope: Scope,
    },
    /// Stop watching the run, whose remains survived the kill: nothing of it is awaited any more.
    Abandon,
}

/// The command for what a backend does beside a process that starts or serves.
///
/// It says what the phase means for probes of readiness and for health checks, so that a backend
/// reads no phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceCommand {
    /// Nothing.
    #[default]
    Keep,
    /// The policy waits for the report that the process serves: look for it, if nobody else reports
    /// it.
    AwaitReady,
    /// The process serves: end the watch for its readiness, and begin its health checks.
    Begin,
    /// The run is no longer up: end its health checks and the watch for its readiness, if there
    /// are any.
    End,
}

/// The command for one timer slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerCommand {
    /// Leave the slot unchanged.
    #[default]
    Keep,
    /// Empty the slot, if it is not empty.
    Disarm,
    /// Set the deadline to the delay after the moment the event was observed.
    Arm(Delay),
    /// Set the deadline in this way, unless the slot has an earlier one.
    Shorten(Millis),
    /// Set the deadline in this way, if the slot has an earlier one.
    Lengthen(Millis),
}

/// The stages of a run that observers see. [`Step::state`](crate::Step) has all other facts.
///
/// The grammar of one run: `Starting (Started Ready?)? Healthy? (Stopping Killing? Unkillable*)?
/// (Exited | StartFailed)`. One of `BackingOff`, `Throttled`, `Stopped`, `GaveUp`, or the
/// `Starting` of the next run follows. A run that ends before its start was acknowledged has no
/// `Started`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Lifecycle {
    /// A process is being made.
    Starting,
    /// The process exists.
    Started,
    /// The process serves.
    Ready,
    /// The process has served long enough for its earlier failures to be forgiven.
    Healthy,
    /// The process is being stopped; the reason of the state says why.
    Stopping,
    /// The process is being killed.
    Killing,
    /// The process was killed and still exists; the kill was repeated.
    Unkillable,
    /// The process ended; the outcome of the state says how.
    Exited,
    /// The process could not be made; the outcome of the state says why.
    StartFailed,
    /// The next attempt follows the delay of this step's timer.
    BackingOff,
    /// The start limit is reached; the next attempt follows the end of the window.
    Throttled,
    /// The process is down by request, or because its policy asks for no restart.
    Stopped {
        /// Whether anything of the last run is left.
        remains: Remains,
    },
    /// The process is down because its policy has given up; the reason of the state says why.
    GaveUp {
        /// Whether anything of the last run is left.
        remains: Remains,
    },
}

impl Lifecycle {
    /// The name in texts, without the mark of a leak.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Started => "started",
            Self::Ready => "ready",
            Self::Healthy => "healthy",
            Self::Stopping => "stopping",
            Self::Killing => "killing",
            Self::Unkillable => "unkillable",
            Self::Exited => "exited",
            Self::StartFailed => "start-failed",
            Self::BackingOff => "backing-off",
            Self::Throttled => "throttled",
            Self::Stopped { .. } => "stopped",
            Self::GaveUp { .. } => "gave-up",
        }
    }

    /// Whether anything of the last run is left; `Nothing` unless the process is down for good.
    #[must_use]
    pub const fn remains(self) -> Remains {
        match self {
            Self::Stopped { remains } | Self::GaveUp { remains } => remains,
            Self::Starting
            | Self::Started
            | Self::Ready
            | Self::Healthy
            | Self::Stopping
            | Self::Killing
            | Self::Unkillable
            | Self::Exited
            | Self::StartFailed
            | Self::BackingOff
            | Self::Throttled => Remains::Nothing,
        }
    }
}

/// Prints the name, and ` leaked` where something is left.
impl fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self.remains() {
            Remains::Nothing => Ok(()),
            Remains::Leaked => f.write_str(" leaked"),
        }
    }
}

/// One command with all its operands: the flat view of [`Actions`].
///
/// The enum is exhaustive. A new variant is a breaking change, so that the compiler shows each driver
/// the place that must handle it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Save this state.
    Persist(State),
    /// Make the process of this run.
    Spawn {
        /// The run.
        run: RunId,
    },
    /// Send a signal.
    Signal {
        /// The run.
        run: RunId,
        /// The signal.
        signal: Signal,
        /// Its receivers.
        scope: Scope,
    },
    /// Release an ended run.
    Release {
        /// The run.
        run: RunId,
        /// The signal for the remains.
        signal: Option<Signal>,
        /// Whether to wait until nothing is left.
        scope: Scope,
    },
    /// Cancel the spawn of this run.
    CancelSpawn {
        /// The run.
        run: RunId,
        /// The signal by which the run is brought down.
        signal: Signal,
    },
    /// Stop watching what is left of a run.
    Abandon {
        /// The run.
        run: RunId,
    },
    /// Begin to watch for the report that the process serves.
    AwaitReady {
        /// The run.
        run: RunId,
    },
    /// Begin the health checks of a process that serves.
    BeginService {
        /// The run.
        run: RunId,
    },
    /// End the health checks of a process, and the watch for its readiness.
    EndService {
        /// The run.
        run: RunId,
    },
    /// Empty a timer slot.
    Disarm {
        /// The slot.
        slot: TimerSlot,
    },
    /// Set the slot of the timer to this delay after the moment the event was observed.
    Arm {
        /// The timer.
        timer: TimerToken,
        /// The delay.
        delay: Delay,
    },
    /// Set the slot in this way, unless it has an earlier deadline.
    Shorten {
        /// The timer.
        timer: TimerToken,
        /// The longest delay.
        delay: Millis,
    },
    /// Set the slot in this way, if it has an earlier deadline.
    Lengthen {
        /// The timer.
        timer: TimerToken,
        /// The shortest delay.
        delay: Millis,
    },
    /// Report to observers.
    Emit(Lifecycle),
}

/// Prints the form of case files: `save`, `spawn #1`, `signal #1 TERM group`, `release #1 TERM
/// group`, `cancel-spawn #1 TERM`, `abandon #1`, `await-ready #1`, `begin-service #1`,
/// `end-service #1`, `disarm phase`, `arm backoff #1 100ms`, `shorten stop-grace #1 1s`, `lengthen
/// start-timeout #1 1s`, `emit started`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Persist(_) => f.write_str("save"),
            Self::Spawn { run } => write!(f, "spawn {run}"),
            Self::Signal { run, signal, scope } => write!(f, "signal {run} {signal} {scope}"),
            Self::Release { run, signal: Some(signal), scope } => {
                write!(f, "release {run} {signal} {scope}")
            }
            Self::Release { run, signal: None, scope } => write!(f, "release {run} - {scope}"),
            Self::CancelSpawn { run, signal } => write!(f, "cancel-spawn {run} {signal}"),
            Self::Abandon { run } => write!(f, "abandon {run}"),
            Self::AwaitReady { run } => write!(f, "await-ready {run}"),
            Self::BeginService { run } => write!(f, "begin-service {run}"),
            Self::EndService { run } => write!(f, "end-service {run}"),
            Self::Disarm { slot } => write!(f, "disarm {slot}"),
            Self::Arm { timer, delay } => write!(f, "arm {timer} {delay}"),
            Self::Shorten { timer, delay } => write!(f, "shorten {timer} {delay}"),
            Self::Lengthen { timer, delay } => write!(f, "lengthen {timer} {delay}"),
            Self::Emit(lifecycle) => write!(f, "emit {lifecycle}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::TimerKind;

    #[test]
    fn actions_are_printed_as_in_case_files() {
        let run = RunId::new(1);
        let timer = TimerToken { run, kind: TimerKind::Backoff };
        let (signal, scope, delay) = (Signal::TERM, Scope::Group, Millis::new(100));
        for (action, text) in [
            (Action::Persist(State::INITIAL), "save"),
            (Action::Spawn { run }, "spawn #1"),
            (Action::Signal { run, signal, scope }, "signal #1 TERM group"),
            (Action::Release { run, signal: Some(signal), scope }, "release #1 TERM group"),
            (Action::Release { run, signal: None, scope: Scope::Process }, "release #1 - process"),
            (Action::CancelSpawn { run, signal }, "cancel-spawn #1 TERM"),
            (Action::Abandon { run }, "abandon #1"),
            (Action::AwaitReady { run }, "await-ready #1"),
            (Action::BeginService { run }, "begin-service #1"),
            (Action::EndService { run }, "end-service #1"),
            (Action::Disarm { slot: TimerSlot::Watchdog }, "disarm watchdog"),
            (Action::Arm { timer, delay: Delay::exact(delay) }, "arm backoff #1 100ms"),
            (Action::Shorten { timer, delay }, "shorten backoff #1 100ms"),
            (Action::Lengthen { timer, delay }, "lengthen backoff #1 100ms"),
            (Action::Emit(Lifecycle::Started), "emit started"),
        ] {
            assert_eq!(action.to_string(), text);
        }
    }

    #[test]
    fn only_the_last_word_on_a_process_tells_of_a_leak() {
        let remains = Remains::Leaked;
        for (lifecycle, text) in [
            (Lifecycle::Starting, "starting"),
            (Lifecycle::Started, "started"),
            (Lifecycle::Ready, "ready"),
            (Lifecycle::Healthy, "healthy"),
            (Lifecycle::Stopping, "stopping"),
            (Lifecycle::Killing, "killing"),
            (Lifecycle::Unkillable, "unkillable"),
            (Lifecycle::Exited, "exited"),
            (Lifecycle::StartFailed, "start-failed"),
            (Lifecycle::BackingOff, "backing-off"),
            (Lifecycle::Throttled, "throttled"),
            (Lifecycle::Stopped { remains: Remains::Nothing }, "stopped"),
            (Lifecycle::Stopped { remains }, "stopped leaked"),
            (Lifecycle::GaveUp { remains: Remains::Nothing }, "gave-up"),
            (Lifecycle::GaveUp { remains }, "gave-up leaked"),
        ] {
            assert_eq!(lifecycle.to_string(), text);
        }
    }
}
