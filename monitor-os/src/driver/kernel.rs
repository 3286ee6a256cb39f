//! What a driver needs of the world, real or virtual.

use core::fmt;
use std::sync::Arc;

use monitor_core::{
    Event, Exit, Millis, Policy, Remains, RunId, Scope, Signal, StartFailure, State, Step,
};

/// A point on a monotonic clock, in nanoseconds from an arbitrary origin; saturates after 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The origin of the clock.
    pub const ORIGIN: Self = Self(0);

    /// The point `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The point `millis` milliseconds after the origin; saturates.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(NANOS_PER_MILLI))
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the origin, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / NANOS_PER_MILLI
    }

    /// The point `delay` later; saturates.
    #[must_use]
    pub const fn after(self, delay: Millis) -> Self {
        Self(self.0.saturating_add(delay.as_u32() as u64 * NANOS_PER_MILLI))
    }

    /// Nanoseconds from `earlier` to this point, or 0 if it is not earlier.
    #[must_use]
    pub const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Prints seconds with three decimals, `12.345s`.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.as_millis();
        write!(f, "{}.{:03}s", millis / 1_000, millis % 1_000)
    }
}

const NANOS_PER_MILLI: u64 = 1_000_000;

/// One supervised process among those of a driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitId(u32);

impl UnitId {
    /// The unit with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The unit's number.
    #[must_use]
    pub const fn as_u32(self) -> u32 {
        self.0
    }
}

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unit {}", self.0)
    }
}

/// The world under a [`Driver`](crate::Driver): it acts and observes, and decides nothing.
///
/// Implemented by the Linux backend and by the simulator, so that the driver that is tested is the
/// driver that ships. Every method gets the moment at which the event behind it was observed.
pub trait Kernel {
    /// Makes the process of a run. The answer may also come later, as an event.
    fn spawn(&mut self, at: Moment, unit: UnitId, run: RunId) -> Spawned;

    /// Sends a signal to the main process of a run or to everything that the run started.
    ///
    /// It must reach that run or nothing: never a process that got its number since.
    fn signal(
        &mut self,
        at: Moment,
        unit: UnitId,
        run: RunId,
        signal: Signal,
        scope: Scope,
    ) -> Signalled;

    /// Brings down what an ended run left, drains its output, and reaps it.
    ///
    /// Returns what remains, or `None` if [`Event::Released`] comes later. With [`Scope::Process`]
    /// nothing but the output is waited for. Doing it twice for one run is harmless, and of a run that was never
    /// spawned, because it could not be saved, there remains nothing.
    fn release(
        &mut self,
        at: Moment,
        unit: UnitId,
        run: RunId,
        signal: Option<Signal>,
        scope: Scope,
    ) -> Option<Remains>;

    /// Saves a unit's state.
    ///
    /// # Errors
    /// [`SaveFailed`] if the state before is what a later monitor would find. The driver goes on, tries
    /// again every second, and reports both.
    fn save(&mut self, at: Moment, unit: UnitId, state: State) -> Result<(), SaveFailed>;

    /// The watchdog period that the program of a run was started with; `None` if it was started without a watchdog.
    ///
    /// The driver asks whenever it arms the watchdog of a run: the program pings by the period of its start, whatever
    /// the policy says since.
    ///
    /// # Source
    /// `sd_watchdog_enabled(3)`; systemd keeps the `WatchdogSec` with which a service was started until its next start,
    /// also over a reload and over its own restart (`watchdog_original_usec`).
    fn watchdog(&mut self, unit: UnitId, run: RunId) -> Option<Millis>;

    /// Draws uniformly from 0 to `jitter`, both included.
    fn draw(&mut self, jitter: Millis) -> Millis;

    /// Observes a step after its execution: the last call for an event.
    fn observe(&mut self, report: &Report<'_>);

    /// Waits for the next input, at most until `deadline`.
    ///
    /// Returns [`DriverInput::DeadlineReached`] when the deadline is reached. Of an event and a deadline at the same
    /// moment either may come first: the driver puts them in order.
    fn wait(&mut self, deadline: Option<Moment>) -> ObservedInput;
}

/// The answer to a spawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spawned {
    /// The process exists.
    Started,
    /// The answer comes as an event.
    Pending,
    /// There is no process.
    Failed(StartFailure),
}

/// The answer to a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signalled {
    /// It was sent.
    Sent,
    /// The process is gone, and this is what is known of its end. Counts as the report of its exit, so
    /// that a stop does not wait for a notice that was lost (BB-33, BB-34 of the bug bank).
    Gone(Exit),
    /// The kernel refused. The escalation goes on by its timers.
    Refused,
}

/// A state was not saved. The kernel's own log has the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaveFailed;

impl fmt::Display for SaveFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the state was not saved; it is tried again every second")
    }
}

impl core::error::Error for SaveFailed {}

/// An input of the driver, and when it was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedInput {
    /// When it was observed. Never earlier than the input before.
    pub at: Moment,
    /// The input.
    pub input: DriverInput,
}

/// What a driver reacts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DriverInput {
    /// The deadline is reached.
    DeadlineReached,
    /// An event for a unit.
    Event(UnitId, Event),
    /// Adds a unit with the state to go on from, in place of an earlier unit of that number. Units may share a
    /// policy, because most have the same one.
    UnitAdded(UnitId, Arc<Policy>, State),
    /// Gives a unit another policy.
    PolicyChanged(UnitId, Arc<Policy>),
    /// Removes a unit: drops its timers and its state. The processes of its run are not touched.
    UnitRemoved(UnitId),
    /// The driver is to end.
    Quit,
}

/// One event and everything that came of it.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// When the event was observed.
    pub at: Moment,
    /// The unit.
    pub unit: UnitId,
    /// The policy in force.
    pub policy: &'a Arc<Policy>,
    /// The state before the event.
    pub before: State,
    /// The event.
    pub event: Event,
    /// The machine's answer, executed by now.
    pub step: Step,
    /// The delay that was drawn, if the step armed the phase's timer.
    pub delay: Option<Millis>,
    /// Whether the last state of this unit is saved.
    pub saved: bool,
}
