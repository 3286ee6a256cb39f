//! Runs a case in the virtual world.

use monitor_os::{Core, Driver, Kernel};

use super::state::{Checks, TimeFaults, World};
use crate::case::definition::Case;
use crate::machine::guard::{self, Guarded};
use crate::machine::injected_bug::MachineUnderTest;
use crate::oracle::property::Property;
use crate::oracle::trace::TraceLine;
use crate::oracle::verdict::Verdict;
use crate::oracle::violation::Violation;

/// Runs a case through `machine` under the driver, until nothing more can happen, or for
/// `steps_max` steps.
///
/// A case with a set wall clock or a sleep runs once more without it, because neither may make a
/// difference.
pub fn run(case: &Case, machine: impl MachineUnderTest + Copy, steps_max: usize) -> Verdict {
    run_checked(case, machine, steps_max, Checks::All)
}

/// Runs a case as [`run`] does, with some checks only.
pub fn run_checked(
    case: &Case,
    machine: impl MachineUnderTest + Copy,
    steps_max: usize,
    checks: Checks,
) -> Verdict {
    let mut verdict = run_once(case, machine, steps_max, TimeFaults::AsGiven, checks);
    if checks == Checks::None {
        return verdict;
    }
    for (time_faults, property) in [
        (TimeFaults::WithoutJumps, Property::WallChangesNothing),
        (TimeFaults::WithoutSleep, Property::SleepChangesNothing),
    ] {
        if verdict.violation.is_none()
            && case.inputs.iter().any(|input| time_faults.hides(input.kind))
        {
            // The same trace would be checked in the same way.
            let plain = run_once(case, machine, steps_max, time_faults, Checks::None);
            if plain.violation.as_ref().is_some_and(|violation| violation.panic.is_some()) {
                verdict = plain;
            } else if plain.trace != verdict.trace {
                verdict.violation = Some(Violation::new(property, verdict.trace.len()));
            }
        }
    }
    verdict
}

/// Runs a case as [`run`] does, and asks every oracle: the properties, the reference machine, and
/// what the case expects.
pub fn judge(case: &Case, machine: impl MachineUnderTest + Copy, steps_max: usize) -> Verdict {
    run(case, machine, steps_max).compared(case)
}

/// Returns the steps of a case as [`run`] takes them, unchecked.
pub fn trace(
    case: &Case,
    machine: impl MachineUnderTest + Copy,
    steps_max: usize,
) -> Vec<TraceLine> {
    run_checked(case, machine, steps_max, Checks::None).trace
}

fn run_once(
    case: &Case,
    machine: impl MachineUnderTest + Copy,
    steps_max: usize,
    time_faults: TimeFaults,
    checks: Checks,
) -> Verdict {
    let world = World::new(case, &machine, machine.injected_bug(), steps_max, time_faults, checks);
    let (verdict, panic) = world.run(machine);
    let Some(first) = panic else { return verdict };
    // Once more, so that the trace ends with the step that has no answer.
    let guard = Guarded::new(&machine, machine.injected_bug());
    let asked = &guard;
    let mut world =
        World::new(case, &asked, machine.injected_bug(), steps_max, time_faults, checks);
    world.guard = Some(&guard);
    let (mut verdict, again) = world.run(&guard);
    let (property, line) = match (guard.panic(), again) {
        (Some(line), _) => (Property::NoPanic, line.to_owned()),
        // Not the machine: the driver above it.
        (None, Some(line)) => (Property::Total, line),
        (None, None) => (Property::NoPanic, first),
    };
    let step = verdict.trace.len();
    let violation = verdict.violation.get_or_insert_with(|| Violation::new(property, step));
    if violation.property == property {
        violation.panic = Some(line);
    }
    verdict
}

impl<'a> World<'a> {
    /// Runs the driver in this world, and checks the end. Returns the panic with which it broke
    /// off, if any; the verdict is on what was noted by then.
    pub(super) fn run(mut self, machine: impl MachineUnderTest) -> (Verdict, Option<String>) {
        let mut driver = Driver::with_machine(machine);
        let panic = guard::catch(|| driver.run(&mut self)).err();
        (self.conclude(panic.is_some()), panic)
    }

    /// Checks the end, unless the run broke off, and returns the verdict on what was noted.
    fn conclude(mut self, broke_off: bool) -> Verdict {
        if !broke_off
            && self.checks == Checks::All
            && self.violated.is_none()
            && (self.monitor_gave_up || self.trace.len() < self.steps_max)
        {
            self.violated = self.check_end();
        }
        let Self { trace, fault_effects, violated, .. } = self;
        let violation = violated.map(|property| Violation::new(property, trace.len()));
        Verdict { trace, fault_effects, violation, ..Verdict::default() }
    }
}

/// Runs a case with a loop of the caller's in the place of the driver. Returns the panic with which
/// it broke off, if any.
pub(crate) fn run_loop(
    case: &Case,
    steps_max: usize,
    driver_loop: impl FnOnce(&mut dyn Kernel),
) -> (Verdict, Option<String>) {
    let mut world = World::new(case, &Core, None, steps_max, TimeFaults::AsGiven, Checks::All);
    let panic = guard::catch(|| driver_loop(&mut world)).err();
    (world.conclude(panic.is_some()), panic)
}

/// The most steps of a case: enough for every lawful stop, and few enough to cut an endless loop
/// short.
pub const STEPS_MAX: usize = 400;
