//! The inputs of a case, and their times.

use monitor_core::{Event, Millis, Policy};

/// An input and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedInput {
    /// The time since the beginning.
    pub at: Millis,
    /// The unit, if the input concerns one; 0 is the first.
    pub unit: u8,
    /// The input.
    pub kind: InputKind,
}

/// An input of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// An event: a request, or a fact reported late, twice or about a run that is over.
    Event(Event),
    /// Another policy.
    Policy(Policy),
    /// The monitor dies and is started again with its saved state. The input has no effect while
    /// the last state is not saved, or before the first run.
    Crash {
        /// The number of operations until the death. Each spawn, signal and release is one
        /// operation, each save five. 0 is at once.
        after: u8,
        /// The time without a monitor. After 0 the monitor still has its children. After a longer
        /// time, other processes have reaped the children that ended.
        down: Millis,
    },
    /// The machine is rebooted: a crash after which no process is left.
    Reboot {
        /// The number of operations until the death, as for a crash.
        after: u8,
    },
    /// All faults stop, and everything that was held back is reported. The world does this by
    /// itself a minute after the last input.
    StopFaults,
    /// The wall clock is set.
    Wall(Jump),
    /// The machine sleeps for this time: nothing happens, and the monotonic clock stands still.
    Suspend(Millis),
}

/// A change of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jump {
    /// Into the future.
    Ahead(Millis),
    /// Into the past.
    Back(Millis),
}

impl InputKind {
    /// The monitor dies at once, and is started again at once.
    pub const CRASH: Self = Self::Crash { after: 0, down: Millis::ZERO };
}
