//! What the machine asks for: at most one command per kind of effect, in a fixed order.

use core::fmt;

use crate::event::Remains;
use crate::run::{RunId, TimerSlot, TimerToken};
use crate::scope::Scope;
use crate::signal::Signal;
use crate::state::State;
use crate::time::{Delay, Millis};

/// The commands of one step, one slot per kind of effect, in the order of execution.
///
/// Slots instead of a list: there is no capacity to exceed, the order is part of the type, and two
/// contradictory commands cannot be said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actions {
    /// Save the new state before anything else is done.
    pub persist: bool,
    /// Act on the process.
    pub process: ProcessCommand,
    /// Set the timer that the phase owns.
    pub timer: TimerCommand,
    /// Set the watchdog.
    pub watchdog: TimerCommand,
    /// Set the window of the start limit.
    pub window: TimerCommand,
    /// Tell observers.
    pub emit: Option<Lifecycle>,
}

impl Actions {
    /// Nothing to do.
    pub const NONE: Self = Self {
        persist: false,
        process: ProcessCommand::Leave,
        timer: TimerCommand::Keep,
        watchdog: TimerCommand::Keep,
        window: TimerCommand::Keep,
        emit: None,
    };

    /// What to do to the timer of a slot.
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

/// What to do to the process. At most one such command per step, so "spawn and signal" cannot be said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProcessCommand {
    /// Nothing.
    #[default]
    Leave,
    /// Make the process of the new state's run.
    Spawn,
    /// Send a signal to the run.
    Signal {
        /// Which signal.
        signal: Signal,
        /// Its receivers.
        scope: Scope,
    },
    /// Release the ended run: bring down what it left, drain its output, reap it, and answer with
    /// [`Event::Released`](crate::Event::Released).
    Release {
        /// The signal for what is left, or none if it has had one or is to be left alone.
        signal: Option<Signal>,
        /// With [`Scope::Group`] the answer waits until the group is empty; with [`Scope::Process`]
        /// it comes at once and says whether anything is left.
        scope: Scope,
    },
}

/// What to do to one timer slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerCommand {
    /// Leave it as it is.
    #[default]
    Keep,
    /// Empty the slot; nothing happens if it is empty.
    Disarm,
    /// Set the deadline to the delay after the moment the event was observed, whatever it was.
    Arm(Delay),
    /// The same, but never to a later deadline than the one that is set.
    Shorten(Millis),
    /// Set it if there is one, but never to an earlier one.
    Lengthen(Millis),
}

/// The events for observers. Everything else about it stands in [`Step::state`](crate::Step).
///
/// Grammar of one run: `Starting (Started Ready?)? Healthy? (Stopping Killing? Unkillable*)?
/// (Exited | StartFailed)`, then one of `BackingOff`, `Throttled`, `Stopped`, `GaveUp`, or the next
/// run's `Starting`. A run that ends before its start was acknowledged has no `Started`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Lifecycle {
    /// A process is being made.
    Starting,
    /// It exists.
    Started,
    /// It serves.
    Ready,
    /// It has run long enough to be forgiven its past.
    Healthy,
    /// It is being stopped; the state's reason says why.
    Stopping,
    /// It is being killed.
    Killing,
    /// It was killed and is still there; the kill was repeated.
    Unkillable,
    /// It ended; the state's outcome says how.
    Exited,
    /// It could not be made; the state's outcome says why.
    StartFailed,
    /// The next attempt comes after the delay of this step's timer.
    BackingOff,
    /// The start limit is reached; the next attempt comes when the window ends.
    Throttled,
    /// It is down because that was wanted, or because its policy is content.
    Stopped {
        /// Whether anything of the last run is left.
        remains: Remains,
    },
    /// It is down because its policy has given up; the state's reason says why.
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

    /// Whether anything of the last run is left; only said when the process is down for good.
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

/// One command with everything needed to execute it: the flat view of [`Actions`].
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
        /// Which signal.
        signal: Signal,
        /// Its receivers.
        scope: Scope,
    },
    /// Release an ended run.
    Release {
        /// The run.
        run: RunId,
        /// The signal for what is left.
        signal: Option<Signal>,
        /// Whether to wait until nothing is left.
        scope: Scope,
    },
    /// Empty a timer slot.
    Disarm {
        /// Which slot.
        slot: TimerSlot,
    },
    /// Set the timer's slot to this delay from the moment the event was observed.
    Arm {
        /// Which timer.
        timer: TimerToken,
        /// How long.
        delay: Delay,
    },
    /// The same, but never later than what is set.
    Shorten {
        /// Which timer.
        timer: TimerToken,
        /// How long at most.
        delay: Millis,
    },
    /// The same, but never earlier than what is set, and nothing if nothing is set.
    Lengthen {
        /// Which timer.
        timer: TimerToken,
        /// How long at least.
        delay: Millis,
    },
    /// Tell observers.
    Emit(Lifecycle),
}

/// Prints the form of case files: `save`, `spawn #1`, `signal #1 TERM group`, `release #1 TERM group`,
/// `disarm phase`, `arm backoff #1 100ms`, `shorten stop-grace #1 1s`, `lengthen start-timeout #1 1s`, `emit started`.
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
