//! Decides which cases real processes can play.

use std::fmt;

use monitor_core::{Event, Exit, Millis, StopMode};
use monitor_os::Core;

use crate::case::definition::Case;
use crate::case::input::InputKind;
use crate::case::script::{Script, Start};
use crate::world::simulation::{self, STEPS_MAX};

/// A reason why real processes cannot play a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum NotPlayable {
    /// A start takes a time of its own, or fails: the kernel's own starts do not follow a script.
    ScriptedStart,
    /// Notices, signals or the output are at fault.
    Fault,
    /// A process ends, and how is not known.
    UnknownExit,
    /// The numbers, the disk, the timers or the saves are at fault.
    WorldFault,
    /// The case reports facts that only a kernel can report.
    ReportedFact,
    /// The monitor or the machine dies, or the clock is set.
    Accident,
    /// The case takes longer than this in the virtual world.
    TooLong(Millis),
}

impl fmt::Display for NotPlayable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ScriptedStart => f.write_str("its starts are late or fail by a script"),
            Self::Fault => f.write_str("notices, signals or the output are at fault"),
            Self::UnknownExit => f.write_str("a process ends, and how is not known"),
            Self::WorldFault => f.write_str("numbers, disk, timers or saves are at fault"),
            Self::ReportedFact => f.write_str("it reports facts that only a kernel can report"),
            Self::Accident => f.write_str("the monitor or the machine dies, or a clock is set"),
            Self::TooLong(limit) => write!(f, "it takes longer than {limit}, or has no end"),
        }
    }
}

impl std::error::Error for NotPlayable {}

/// Checks that real processes can play a case within `limit`.
///
/// # Errors
/// The first thing that is in the way.
pub fn playable(case: &Case, limit: Millis) -> Result<(), NotPlayable> {
    let nothing = Millis::ZERO;
    let times = [case.timers_late, case.handling_takes, case.saves_fail_until, case.saves_take];
    let plain = times == [nothing; 4];
    if !plain || case.pids.is_some() || case.disk.is_some() {
        return Err(NotPlayable::WorldFault);
    }
    for unit in 0..case.units() {
        case.unit(unit).1.iter().try_for_each(script)?;
    }
    case.inputs.iter().try_for_each(|input| kind(input.kind))?;
    let trace = simulation::run(case, Core, STEPS_MAX).trace;
    let last = trace.last().map_or(0, |line| line.at.as_millis());
    if trace.len() >= STEPS_MAX || last > u64::from(limit.as_u32()) {
        return Err(NotPlayable::TooLong(limit));
    }
    Ok(())
}

fn script(script: &Script) -> Result<(), NotPlayable> {
    if script.start != Start::After(Millis::ZERO) {
        return Err(NotPlayable::ScriptedStart);
    }
    if script.is_faulty() {
        return Err(NotPlayable::Fault);
    }
    if script.exits == Exit::Unknown && script.lives.is_some() {
        return Err(NotPlayable::UnknownExit);
    }
    Ok(())
}

const fn kind(kind: InputKind) -> Result<(), NotPlayable> {
    match kind {
        InputKind::Policy(_) | InputKind::StopFaults => Ok(()),
        InputKind::Crash { .. }
        | InputKind::Reboot { .. }
        | InputKind::Wall(_)
        | InputKind::Suspend(_) => Err(NotPlayable::Accident),
        InputKind::Event(event) => match event {
            Event::StartRequested
            | Event::StopRequested {
                mode: StopMode::Graceful(_) | StopMode::Kill | StopMode::OnNextExit,
                ..
            }
            | Event::RestartRequested { .. }
            | Event::SignalRequested { .. }
            | Event::ResetRequested
            | Event::RetryRequested => Ok(()),
            Event::PolicyChanged
            | Event::Started { .. }
            | Event::StartFailed { .. }
            | Event::Ready { .. }
            | Event::Ping { .. }
            | Event::Extended { .. }
            | Event::Unhealthy { .. }
            | Event::Exited { .. }
            | Event::Released { .. }
            | Event::TimerFired { .. }
            | Event::Recovered { .. } => Err(NotPlayable::ReportedFact),
        },
    }
}
