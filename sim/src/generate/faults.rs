//! Draws what goes wrong in a case.

use monitor_core::{Event, Millis};

use super::choices::Choices;
use super::elements;
use crate::case::definition::{Case, Other};
use crate::case::input::{InputKind, Jump, TimedInput};
use crate::case::script::{ExitNotice, OutputHold, Script, SignalDelivery};

/// Lets something go wrong with some of the processes.
pub(crate) fn inject_faults(scripts: &mut [Script], choices: &mut impl Choices) {
    for script in scripts {
        match choices.below(7) {
            0 | 1 => script.notice = ExitNotice::Lost,
            2 => script.notice = ExitNotice::Late(elements::delay(choices)),
            3 => script.notice = ExitNotice::Twice,
            4 => script.signals = SignalDelivery::Refused,
            5 => script.signals = SignalDelivery::Missed,
            _ => {
                script.output = Some(match choices.below(2) {
                    0 => OutputHold::ForEver,
                    _ => OutputHold::For(elements::delay(choices)),
                });
            }
        }
    }
}

/// Puts one or two more units on the driver, often with processes like those of the first.
pub(crate) fn join_others(case: &mut Case, choices: &mut impl Choices) {
    for _ in 0..=choices.below(2) {
        let policy = if choices.below(2) == 0 { case.policy } else { elements::policy(choices) };
        let scripts = match choices.below(2) {
            0 => case.scripts.clone(),
            _ => vec![elements::script(choices)],
        };
        case.others.push(Other { policy, scripts });
    }
}

/// Starts every unit at the beginning.
pub(crate) fn start_all(case: &mut Case) {
    for unit in 0..case.units() {
        let (unit, kind) =
            (u8::try_from(unit).unwrap_or(0), InputKind::Event(Event::StartRequested));
        case.inputs.push(TimedInput { at: Millis::ZERO, unit, kind });
    }
}

/// The monitor dies, at once or at one of its next operations.
pub(crate) fn crash(choices: &mut impl Choices) -> InputKind {
    let down = match choices.below(3) {
        0 | 1 => Millis::ZERO,
        _ => elements::delay(choices),
    };
    InputKind::Crash { after: after(choices), down }
}

pub(crate) fn after(choices: &mut impl Choices) -> u8 {
    choices.pick(&[0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 9, 11])
}

/// The wall clock is set, or the machine sleeps.
pub(crate) fn clock(choices: &mut impl Choices) -> InputKind {
    let by = choices.pick(&[Millis::from_mins(60), Millis::from_secs(1), Millis::from_secs(20)]);
    match choices.below(4) {
        0 => InputKind::Wall(Jump::Ahead(by)),
        1 | 2 => InputKind::Wall(Jump::Back(by)),
        _ => InputKind::Suspend(by),
    }
}
