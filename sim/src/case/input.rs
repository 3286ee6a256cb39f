//! What a case puts into a run from outside, and when.

use monitor_core::{Event, Millis, Policy};

/// One thing that is asked or injected at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedInput {
    /// When, from the beginning.
    pub at: Millis,
    /// Of which unit, where it concerns one; 0 is the first.
    pub unit: u8,
    /// The input.
    pub kind: InputKind,
}

/// What can be put into a run from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// An event: a request, or a fact reported late, twice or about a run that is over.
    Event(Event),
    /// Another policy.
    Policy(Policy),
    /// The monitor dies and is started again with what it saved. Nothing happens while the last state is
    /// not saved, or before the first run.
    Crash {
        /// After how many of its operations from now on: each spawn, signal and release is one, each save
        /// is five. 0: at once.
        after: u8,
        /// How long it is down. After 0 it has its children still; otherwise others have reaped those that
        /// have ended.
        down: Millis,
    },
    /// The machine is booted: the same, and everything that ran is gone.
    Reboot {
        /// As above.
        after: u8,
    },
    /// From now on nothing goes wrong any more; what was held back is reported. Happens by itself, a minute
    /// after the last input.
    StopFaults,
    /// The wall clock is set.
    Wall(Jump),
    /// The machine sleeps for so long: nothing happens, and the monotonic clock stands still.
    Suspend(Millis),
}

/// By how much the wall clock is set.
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
