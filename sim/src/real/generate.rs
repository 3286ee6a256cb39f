//! Draws cases that are over soon, for real processes.

use monitor_core::{Event, Exit, Grace, Millis, Origin, Signal, StopMode};

use crate::case::definition::Case;
use crate::case::input::{InputKind, TimedInput};
use crate::case::script::{OnStop, Script};
use crate::generate::choices::Choices;
use crate::generate::elements;

/// A case of one unit that is over within some seconds: a few requests close to each other, then a
/// stop that ends in a kill.
pub fn case(choices: &mut impl Choices) -> Case {
    let mut case = Case::new(elements::policy(choices));
    case.scripts = (0..=choices.below(3)).map(|_| script(choices)).collect();
    let mut at = Millis::ZERO;
    let mut ask = |at, kind| case.inputs.push(TimedInput { at, unit: 0, kind });
    ask(at, InputKind::Event(Event::StartRequested));
    for _ in 0..choices.below(6) {
        at = at.saturating_add(pause(choices));
        ask(
            at,
            match choices.below(6) {
                0 => InputKind::Policy(elements::policy(choices)),
                1..=4 => InputKind::Event(request(choices)),
                _ => InputKind::Event(elements::stop(choices)),
            },
        );
    }
    at = at.saturating_add(Millis::new(150));
    let grace = StopMode::Graceful(Grace::After(Millis::new(20)));
    ask(at, InputKind::Event(Event::StopRequested { mode: grace, origin: Origin::User }));
    at = at.saturating_add(Millis::new(150));
    ask(at, InputKind::Event(Event::StopRequested { mode: StopMode::Kill, origin: Origin::User }));
    case
}

/// A request with a grace that is over soon.
fn request(choices: &mut impl Choices) -> Event {
    let mut request = elements::request(choices);
    if let Event::StopRequested { mode: StopMode::Graceful(grace), .. }
    | Event::RestartRequested { grace } = &mut request
        && *grace != Grace::Policy
    {
        *grace = Grace::After(Millis::new(10));
    }
    request
}

fn script(choices: &mut impl Choices) -> Script {
    let maybe = |choices: &mut _| (Choices::below(choices, 3) == 2).then(|| pause(choices));
    Script {
        lives: (choices.below(3) > 0).then(|| pause(choices)),
        exits: choices.pick(&[
            Exit::Code(1),
            Exit::Code(0),
            Exit::Code(125),
            Exit::Signal(Signal::KILL),
            Exit::Signal(Signal::ABRT),
        ]),
        on_stop: on_stop(choices),
        leaves: (choices.below(4) == 3).then(|| on_stop(choices)),
        ready: if choices.below(2) == 0 { Some(Millis::ZERO) } else { maybe(choices) },
        pings: maybe(choices).map(|every| every.max(Millis::new(20))),
        unhealthy: maybe(choices),
        ..Script::OBEDIENT
    }
}

fn on_stop(choices: &mut impl Choices) -> OnStop {
    match choices.below(3) {
        0 => OnStop::Dies(Millis::ZERO),
        1 => OnStop::Dies(pause(choices)),
        _ => OnStop::Ignores,
    }
}

/// A time that is likely to meet another one.
fn pause(choices: &mut impl Choices) -> Millis {
    Millis::new(choices.pick(&[0, 1, 2, 3, 5, 8, 10, 20, 49, 50, 51, 100]))
}
