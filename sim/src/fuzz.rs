//! The functions of the fuzz targets in `sim/fuzz`: bytes in, a panic if anything is wrong.
//!
//! A plain test runs them over the committed corpus. Each panics with its finding, so that the
//! fuzzer notices it.

use monitor_core::{Event, State};
use monitor_os::Core;

use crate::case::definition::Case;
use crate::generate::choices::FromBytes;
use crate::generate::{elements, seeds};
use crate::oracle::compared::Compared;
use crate::report::failure_report::FailureReport;
use crate::search::harness::Standard;
use crate::search::hunt;
use crate::world::simulation::{self, STEPS_MAX};

/// Draws a case from the bytes as choices, and demands that it violates nothing and that the
/// reference agrees with every step.
///
/// # Panics
/// With the failure report if a property is violated or a step differs.
pub fn case(bytes: &[u8]) {
    let case = seeds::case(&mut FromBytes(bytes));
    let compared = Compared::strict(Core);
    if let Some(property) = simulation::run(&case, &compared, STEPS_MAX).violated() {
        let failure = hunt::confirm(Standard, case.seed, case, property, &compared);
        let report = FailureReport::of(&failure);
        fail(&report.to_string());
    }
}

/// Reads a state and an event in their byte forms, and demands that whatever can be read survives
/// its round trip, that the machine has an answer to it under a policy drawn from the rest, and
/// that the state of the answer can be stored.
///
/// # Panics
/// If any of that does not hold.
pub fn wire(bytes: &[u8]) {
    let Some((state, rest)) = bytes.split_at_checked(State::WIRE_LEN) else { return };
    let Some((event, rest)) = rest.split_at_checked(Event::WIRE_LEN) else { return };
    let (Ok(read_state), Ok(read_event)) = (State::from_bytes(state), Event::from_bytes(event))
    else {
        return;
    };
    assert_eq!(read_state.to_bytes(), state, "{read_state:?} is written otherwise");
    assert_eq!(read_event.to_bytes(), event, "{read_event:?} is written otherwise");
    let policy = elements::policy(&mut FromBytes(rest));
    let step = policy.step(read_state, read_event);
    let stored = State::from_bytes(&step.state.to_bytes());
    assert_eq!(stored, Ok(step.state), "after {read_event} in {read_state:?}");
}

/// Reads a case from text, and demands that what it prints is the same case.
///
/// # Panics
/// If it does not.
pub fn text(bytes: &[u8]) {
    let Ok(case) = String::from_utf8_lossy(bytes).parse::<Case>() else { return };
    let printed = case.to_string();
    match printed.parse::<Case>() {
        Ok(again) if again == case => {}
        Ok(_) => fail(&format!("another case is read from\n{printed}")),
        Err(error) => fail(&format!("{error}, in\n{printed}")),
    }
}

#[expect(clippy::panic, reason = "a fuzzer notices a panic")]
fn fail(what: &str) -> ! {
    panic!("{what}")
}
