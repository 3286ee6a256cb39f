//! Simpler policies, scripts and times, which the shrinker tries.

use monitor_core::{Event, Grace, Millis, Origin, Policy, Rules, StopMode};

use crate::case::definition::Case;
use crate::case::script::{Script, Start};
use crate::generate::choices::FromBytes;
use crate::generate::elements;
use crate::oracle::trace::TraceLine;

/// The case without what lies between two steps: the inputs after the first up to the second, and
/// the processes that were started there. What comes later comes that much sooner.
pub(super) fn without_loop(case: &Case, from: &TraceLine, to: &TraceLine) -> Case {
    let millis = |line: &TraceLine| u32::try_from(line.at.as_millis()).unwrap_or(u32::MAX);
    let (from_ms, to_ms) = (millis(from), millis(to));
    let mut shorter = case.clone();
    shorter.inputs.retain(|input| {
        !(from_ms..=to_ms).contains(&input.at.as_u32()) || input.at.as_u32() == from_ms
    });
    for input in &mut shorter.inputs {
        if input.at.as_u32() > to_ms {
            input.at = Millis::new(input.at.as_u32() - to_ms.saturating_sub(from_ms));
        }
    }
    // Scripts are dropped for the first unit only.
    if from.unit.as_u32() == 0 && !shorter.scripts.is_empty() {
        let last = shorter.scripts.len() - 1;
        let run = |line: &TraceLine| (line.step.state.run().as_u32() as usize).min(last);
        // Run numbers may go back if a crash loses an unsaved state.
        shorter.scripts.drain(run(from).min(run(to))..run(to));
    }
    shorter
}

/// The requests that take the fewest words.
pub(super) const SIMPLEST: [Event; 4] = [
    Event::StartRequested,
    Event::StopRequested { mode: StopMode::Graceful(Grace::Policy), origin: Origin::User },
    Event::StopRequested { mode: StopMode::Kill, origin: Origin::User },
    Event::RestartRequested { grace: Grace::Policy },
];

/// The number with its first digit, and with its first two digits, and zeros.
pub(super) fn rounded(number: u32) -> impl Iterator<Item = u32> {
    let unit = 10_u32.pow(number.checked_ilog10().unwrap_or(0));
    [unit, (unit / 10).max(1)].into_iter().map(move |unit| number / unit * unit)
}

/// The policy with one item each as in the simplest one.
pub(super) fn simpler_policies(policy: Policy) -> Vec<Policy> {
    let simplest = elements::policy(&mut FromBytes(&[]));
    let (rules, plain) = (*policy.rules(), *simplest.rules());
    let mut candidates = vec![plain];
    macro_rules! plain {
        ($($item:ident),*) => {
            $(candidates.push(Rules { $item: plain.$item, ..rules });)*
        };
    }
    plain!(restart, retries, early_exit, backoff, healthy, limit, stop, start, watchdog, save);
    candidates.push(Rules {
        backoff: monitor_core::Backoff { jitter_percent: 0, ..rules.backoff },
        ..rules
    });
    candidates.into_iter().filter_map(|rules| Policy::try_from(rules).ok()).collect()
}

/// The script with one word each as in the simplest one, with rounder times, and with a start that
/// is slow or fails: where the acknowledgement does not matter, it only adds a step.
pub(super) fn other_scripts(script: Script) -> Vec<Script> {
    let plain = Script::OBEDIENT;
    let slow = Start::After(Millis::from_mins(60));
    let mut candidates = vec![
        plain,
        Script { start: plain.start, ..script },
        Script { start: slow, ..script },
        Script { start: slow, lives: Some(Millis::ZERO), ..plain },
        Script { lives: plain.lives, ..script },
        Script { lives: Some(Millis::ZERO), ..script },
        Script { exits: plain.exits, ..script },
        Script { on_stop: plain.on_stop, ..script },
        Script { leaves: None, ..script },
        Script { ready: None, ..script },
        Script { pings: None, ..script },
        Script { extends: None, ..script },
        Script { unhealthy: None, ..script },
    ];
    candidates.extend(script.without_a_fault());
    if let Start::Fails(delay, failure) = script.start {
        candidates.push(Script { start: Start::Fails(Millis::ZERO, failure), ..plain });
        candidates.extend(
            rounded(delay.as_u32())
                .map(|delay| Script { start: Start::Fails(Millis::new(delay), failure), ..script }),
        );
    }
    if let Start::After(delay) = script.start {
        candidates.extend(
            rounded(delay.as_u32())
                .map(|delay| Script { start: Start::After(Millis::new(delay)), ..script }),
        );
    }
    if let Some(lives) = script.lives {
        let halves = std::iter::once(lives.as_u32() / 2).chain(rounded(lives.as_u32()));
        candidates.extend(halves.map(|lives| Script { lives: Some(Millis::new(lives)), ..script }));
    }
    candidates
}
