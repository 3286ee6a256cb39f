//! The calls that a driver makes to its kernel, as they are compared.

use std::fmt;

use monitor_core::{Event, Millis, Remains, RunId, Scope, ServiceCommand, Signal, State, Step};
use monitor_os::{DriverInput, Moment, Report, SaveStatus, SignalOutcome, SpawnOutcome, UnitId};

/// One call of a driver to its kernel, with the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The unit; `None` for a wait and for a drawn jitter.
    pub unit: Option<UnitId>,
    /// The moment that the driver gave, or that a wait returned.
    pub at: Option<Moment>,
    /// What is asked.
    pub what: What,
}

/// What a call asks.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// To wait until a deadline.
    Wait(Option<Moment>, DriverInput),
    /// To make a process.
    Spawn(RunId, SpawnOutcome),
    /// To cancel a spawn.
    CancelSpawn(RunId, Signal),
    /// To send a signal.
    Signal(RunId, Signal, Scope, SignalOutcome),
    /// To release a run.
    Release(RunId, Option<Signal>, Scope, Option<Remains>),
    /// To abandon a run.
    Abandon(RunId),
    /// To begin or end what accompanies the service of a run.
    Service(RunId, ServiceCommand),
    /// To save a state; the number of the save, from 1.
    Save(usize, State, SaveStatus),
    /// To say the watchdog period of a run.
    Watchdog(RunId, Option<Millis>),
    /// To draw a jitter.
    Draw(Millis, Millis),
    /// To observe a step.
    Observe(Box<Observed>),
    /// To observe the status of a save.
    ObserveSave(SaveStatus),
}

/// A reported step.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Observed {
    /// The event.
    pub event: Event,
    /// The state before.
    pub before: State,
    /// The answer of the machine.
    pub step: Step,
    /// The drawn delay.
    pub delay: Option<Millis>,
    /// Whether the state is saved.
    pub save: SaveStatus,
    /// Whether the ticket of a request came back.
    pub has_ticket: bool,
}

impl From<&Report<'_>> for Observed {
    fn from(report: &Report<'_>) -> Self {
        let &Report { event, before, step, delay, save, ticket, .. } = report;
        Self { event, before, step, delay, save, has_ticket: ticket.is_some() }
    }
}

impl Call {
    /// The rules of the contract that are about such a call.
    #[must_use]
    pub const fn rules(&self) -> &'static str {
        match self.what {
            What::Wait(..) => "C7 to C13, and C25 for the deadline of a save",
            What::Spawn(..) => "C15 and C26",
            What::CancelSpawn(..) => "C16 and C26",
            What::Signal(..) => "C14",
            What::Release(..) => "C17 and C18",
            What::Abandon(_) => "C19",
            What::Service(..) => "C21, and C26 for a spawn that waits",
            What::Save(..) => "C2 and C24 to C26",
            What::Watchdog(..) => "C10",
            What::Draw(..) => "C9",
            What::Observe(_) => "C1 to C5, C27 and C29",
            What::ObserveSave(_) => "C25",
        }
    }

    /// Whether the call changes the world. The others show what the driver knows.
    #[must_use]
    pub const fn is_effect(&self) -> bool {
        match self.what {
            What::Spawn(..)
            | What::CancelSpawn(..)
            | What::Signal(..)
            | What::Release(..)
            | What::Abandon(_)
            | What::Service(..)
            | What::Save(..) => true,
            What::Wait(..)
            | What::Watchdog(..)
            | What::Draw(..)
            | What::Observe(_)
            | What::ObserveSave(_) => false,
        }
    }
}

/// Prints the call on one line, in the words of cases.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.at {
            write!(f, "{at} ")?;
        }
        if let Some(unit) = self.unit {
            write!(f, "@{} ", unit.as_u32())?;
        }
        match &self.what {
            What::Wait(deadline, input) => {
                match deadline {
                    Some(deadline) => write!(f, "wait until {deadline}: ")?,
                    None => f.write_str("wait: ")?,
                }
                write_input(f, input)
            }
            What::Spawn(run, outcome) => match outcome {
                SpawnOutcome::Started => write!(f, "spawn {run}: started"),
                SpawnOutcome::Pending => write!(f, "spawn {run}: pending"),
                SpawnOutcome::Failed(failure) => {
                    write!(
                        f,
                        "spawn {run}: {}",
                        Event::StartFailed { run: *run, failure: *failure }
                    )
                }
            },
            What::CancelSpawn(run, signal) => write!(f, "cancel-spawn {run} {signal}"),
            What::Signal(run, signal, scope, outcome) => {
                write!(f, "signal {run} {signal} {scope}: ")?;
                match outcome {
                    SignalOutcome::Sent => f.write_str("sent"),
                    SignalOutcome::Gone(exit) => write!(f, "gone, {exit}"),
                    SignalOutcome::Refused => f.write_str("refused"),
                }
            }
            What::Release(run, signal, scope, remains) => {
                let signal = signal.map_or_else(|| "-".to_owned(), |signal| signal.to_string());
                let answer = match remains {
                    Some(Remains::Nothing) => "nothing is left",
                    Some(Remains::Leaked) => "leaked",
                    None => "pending",
                };
                write!(f, "release {run} {signal} {scope}: {answer}")
            }
            What::Abandon(run) => write!(f, "abandon {run}"),
            What::Service(run, command) => match command {
                ServiceCommand::Keep => write!(f, "service {run}: nothing"),
                ServiceCommand::AwaitReady => write!(f, "await-ready {run}"),
                ServiceCommand::Begin => write!(f, "begin-service {run}"),
                ServiceCommand::End => write!(f, "end-service {run}"),
            },
            What::Save(number, state, status) => {
                write!(f, "save {number}, {state}: {}", status_name(*status))
            }
            What::Watchdog(run, Some(period)) => write!(f, "watchdog of {run}: {period}"),
            What::Watchdog(run, None) => write!(f, "watchdog of {run}: none"),
            What::Draw(jitter, drawn) => write!(f, "draw up to {jitter}: {drawn}"),
            What::Observe(seen) => {
                let Observed { event, step, delay, save, has_ticket, .. } = &**seen;
                write!(f, "report {event} > {} ({})", step.state, step.note.name())?;
                if let Some(delay) = delay {
                    write!(f, ", delay {delay}")?;
                }
                if *save != SaveStatus::Saved {
                    write!(f, ", save {}", status_name(*save))?;
                }
                f.write_str(if *has_ticket { ", with its ticket" } else { "" })
            }
            What::ObserveSave(status) => write!(f, "report of the save: {}", status_name(*status)),
        }
    }
}

const fn status_name(status: SaveStatus) -> &'static str {
    match status {
        SaveStatus::Saved => "saved",
        SaveStatus::Pending => "pending",
        SaveStatus::Failed => "failed",
    }
}

fn write_input(f: &mut fmt::Formatter<'_>, input: &DriverInput) -> fmt::Result {
    match input {
        DriverInput::DeadlineReached => f.write_str("the deadline is reached"),
        DriverInput::Event(unit, event) => write!(f, "@{} {event}", unit.as_u32()),
        DriverInput::UnitAdded(unit, _, state) => {
            write!(f, "@{} is added, {state}", unit.as_u32())
        }
        DriverInput::PolicyChanged(unit, policy) => {
            write!(f, "@{} policy {policy}", unit.as_u32())
        }
        DriverInput::Saved(unit, number, result) => {
            let result = if result.is_ok() { "is done" } else { "has failed" };
            write!(f, "@{} save {} {result}", unit.as_u32(), number.as_u64())
        }
        DriverInput::UnitRemoved(unit) => write!(f, "@{} is removed", unit.as_u32()),
        DriverInput::Quit => f.write_str("quit"),
    }
}
