//! The world under a driver, real or virtual: its operations and its inputs.

use core::fmt;
use std::sync::Arc;

use monitor_core::{
    Event, Exit, Millis, Policy, Remains, RunId, Scope, ServiceCommand, Signal, StartFailure,
    State, Step,
};

/// A point on a monotonic clock, in nanoseconds from an arbitrary origin; saturates after 584
/// years.
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

/// Number that its giver finds again in the answer.
///
/// The kernel gives a ticket with a request, and finds it in the report of that request. The driver
/// gives a ticket with a save, and finds it in the answer to that save. So nothing is found again by
/// comparing events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl Ticket {
    /// The ticket with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The ticket's number.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ticket {}", self.0)
    }
}

/// The world under a [`Driver`](crate::Driver): it acts and observes, and decides nothing.
///
/// The Linux backend and the simulator implement it, so that tests run the shipped driver. Every
/// method gets the moment at which its event was observed. The page `CONTRACT` of `monitor-core`
/// says all that an implementation must keep to.
pub trait Kernel {
    /// Makes the process of a run; the answer may come later, as an event.
    ///
    /// What is left of an earlier run of the unit is abandoned first, as by [`Kernel::abandon`].
    fn spawn(&mut self, at: Moment, unit: UnitId, run: RunId) -> SpawnOutcome;

    /// Cancels a spawn whose answer is pending, because the run is unwanted now.
    ///
    /// A kernel that can make the start fail does so. If the program runs already, its main
    /// process gets the signal. The spawn is still answered, as an event. By default nothing
    /// happens, and the stop goes on when the spawn is answered.
    fn cancel_spawn(&mut self, at: Moment, unit: UnitId, run: RunId, signal: Signal) {
        let _ignored = (at, unit, run, signal);
    }

    /// Sends a signal to the main process of a run, or to all processes that the run started.
    ///
    /// The signal must reach that run or no process. It must never reach a process that reuses a
    /// number of the run.
    fn signal(
        &mut self,
        at: Moment,
        unit: UnitId,
        run: RunId,
        signal: Signal,
        scope: Scope,
    ) -> SignalOutcome;

    /// Stops the remaining processes of an ended run, drains its output, and reaps it.
    ///
    /// The result is the remains; it is `None` if [`Event::Released`] comes later. With
    /// [`Scope::Process`] the call waits only for the output. A second call for one run is
    /// harmless. For a run that was never spawned, because it could not be saved, nothing remains.
    fn release(
        &mut self,
        at: Moment,
        unit: UnitId,
        run: RunId,
        signal: Option<Signal>,
        scope: Scope,
    ) -> Option<Remains>;

    /// Stops watching a run whose remains survived the kill. By default nothing happens.
    fn abandon(&mut self, at: Moment, unit: UnitId, run: RunId) {
        let _ignored = (at, unit, run);
    }

    /// Begins or ends the watch for readiness and the health checks of a run.
    ///
    /// A kernel to which readiness is only reported, and that makes no health checks, need not
    /// care: by default nothing happens.
    fn service(&mut self, at: Moment, unit: UnitId, run: RunId, command: ServiceCommand) {
        let _ignored = (at, unit, run, command);
    }

    /// Saves a unit's state, at once or later.
    ///
    /// After [`SaveStatus::Pending`] the answer is one [`DriverInput::Saved`] with this ticket.
    /// A later state of the unit replaces one that is not saved yet; both tickets are answered.
    /// [`SaveStatus::Failed`] says that a later monitor would find an earlier state. The driver
    /// goes on, and saves again after a second.
    ///
    /// No command waits for a pending save, but one: a spawn, if the policy has
    /// [`SaveRule::Required`](monitor_core::SaveRule::Required).
    fn save(&mut self, at: Moment, unit: UnitId, state: State, ticket: Ticket) -> SaveStatus;

    /// The watchdog period at the start of a run's program; `None` if it started without a
    /// watchdog.
    ///
    /// The driver calls this whenever it arms the watchdog of a run. The program pings by the
    /// period of its start, whatever the later policy.
    ///
    /// # Source
    /// `sd_watchdog_enabled(3)`. systemd keeps the `WatchdogSec` of a service's start until its
    /// next start, even across a reload and its own restart (`watchdog_original_usec`).
    fn watchdog(&mut self, unit: UnitId, run: RunId) -> Option<Millis>;

    /// Draws uniformly from 0 to `jitter`, both included.
    fn draw(&mut self, jitter: Millis) -> Millis;

    /// Observes a step after its execution; this is the last call for an event.
    fn observe(&mut self, report: &Report<'_>);

    /// Observes that the save of a unit's last state has another status, without a step.
    ///
    /// By default nothing happens: the next report has the status, too.
    fn observe_save(&mut self, at: Moment, unit: UnitId, status: SaveStatus) {
        let _ignored = (at, unit, status);
    }

    /// Waits for the next input, at most until `deadline`.
    ///
    /// A kernel wakes up, reads in one bounded pass all that is readable, and returns those inputs
    /// one by one, all with the moment of that wake. If `deadline` is reached by then, it returns
    /// [`DriverInput::DeadlineReached`] next, before it waits again. So a ping that arrived before
    /// the monitor was woken counts before the watchdog that is due.
    fn wait(&mut self, deadline: Option<Moment>) -> ObservedInput;
}

/// The answer to a spawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpawnOutcome {
    /// The process exists.
    Started,
    /// The answer comes as an event.
    Pending,
    /// There is no process.
    Failed(StartFailure),
}

/// The answer to a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalOutcome {
    /// The signal was sent.
    Sent,
    /// The process is gone, with this exit.
    ///
    /// The answer counts as the report of the exit, so that a stop does not wait for a lost notice.
    ///
    /// # Source
    /// BB-33, BB-34 of the bug bank.
    Gone(Exit),
    /// The kernel refused; the escalation continues by its timers.
    Refused,
}

/// The status of the save of a unit's last state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveStatus {
    /// A later monitor finds the state.
    Saved,
    /// The answer is awaited, and less than a second has passed since the first save that is not
    /// answered.
    Pending,
    /// The save has failed, or its answer is overdue: it took longer than a second.
    Failed,
}

/// Error of a state that was not saved; the kernel's log has the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaveFailed;

impl fmt::Display for SaveFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the state was not saved; it is tried again every second")
    }
}

impl core::error::Error for SaveFailed {}

/// An input of the driver, and the moment at which it was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedInput {
    /// The moment at which it was observed, never earlier than that of the previous input.
    pub at: Moment,
    /// The input.
    pub input: DriverInput,
    /// The ticket of a request, which its report has again; `None` if nobody waits for the report.
    pub ticket: Option<Ticket>,
}

impl ObservedInput {
    /// The input without a ticket.
    #[must_use]
    pub const fn new(at: Moment, input: DriverInput) -> Self {
        Self { at, input, ticket: None }
    }
}

/// Input of a driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DriverInput {
    /// The deadline is reached.
    DeadlineReached,
    /// An event for a unit.
    Event(UnitId, Event),
    /// Adds a unit with its initial state; replaces an earlier unit of that number.
    ///
    /// Units may share a policy, because most units have equal ones.
    UnitAdded(UnitId, Arc<Policy>, State),
    /// Gives a unit another policy.
    PolicyChanged(UnitId, Arc<Policy>),
    /// Answers the save with this ticket.
    ///
    /// The answer to the last save of the unit counts. A good answer to an earlier one shows that the
    /// store makes progress, and gives the last save another second.
    Saved(UnitId, Ticket, Result<(), SaveFailed>),
    /// Removes a unit with its timers and its state; the processes of its run are not touched.
    UnitRemoved(UnitId),
    /// Ends the driver.
    Quit,
}

/// The report of an event and its effects.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The moment at which the event was observed.
    pub at: Moment,
    /// The unit.
    pub unit: UnitId,
    /// The policy in force.
    pub policy: &'a Arc<Policy>,
    /// The state before the event.
    pub before: State,
    /// The event.
    pub event: Event,
    /// The machine's answer; its commands are executed already.
    pub step: Step,
    /// The delay that was drawn, if the step armed the phase's timer.
    pub delay: Option<Millis>,
    /// Whether the last state of this unit is saved.
    pub save: SaveStatus,
    /// The ticket of the request that this step answers.
    ///
    /// A request to a unit that was not added has no report.
    pub ticket: Option<Ticket>,
}
