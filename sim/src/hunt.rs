//! The random engine: runs cases drawn from seeds, and shrinks what fails.

use monitor_core::{Millis, Policy};

use crate::case::{Case, Script};
use crate::choices::Seeded;
use crate::generate;
use crate::marks::Marks;
use crate::race::Race;
use crate::watch::Property;
use crate::world::{self, Suspect, TraceLine};

/// How many steps a case may take; enough for every lawful stop, too few for an endless loop to hurt.
pub const STEPS_MAX: usize = 400;

/// A case that violates a property, and where it came from.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed that the unshrunk case was drawn from.
    pub seed: u64,
    /// The property.
    pub property: Property,
    /// The shrunk case.
    pub case: Case,
    /// Its trace.
    pub trace: Vec<TraceLine>,
}

/// What a hunt has seen.
#[derive(Clone, Debug, Default)]
pub struct Hunt {
    /// Cases run.
    pub cases: u64,
    /// Steps taken in all of them.
    pub steps: u64,
    /// Cases in which the race really took place.
    pub occurred: u64,
    /// Situations that were met in any of them.
    pub marks: Marks,
    /// The first failure.
    pub failure: Option<Failure>,
}

/// Runs the cases of `seeds`, aimed at `race` or at nothing, until one fails.
///
/// `progress` is called after each case.
pub fn hunt(
    race: Option<Race>,
    seeds: std::ops::Range<u64>,
    machine: impl Suspect + Copy,
    mut progress: impl FnMut(),
) -> Hunt {
    let mut hunt = Hunt::default();
    for seed in seeds {
        let mut choices = Seeded::new(seed);
        let case = match race {
            Some(race) => race.case(&mut choices),
            None => generate::case(&mut choices),
        };
        let verdict = world::run(&case, machine, STEPS_MAX);
        hunt.cases += 1;
        hunt.steps += verdict.trace.len() as u64;
        hunt.occurred += u64::from(race.is_none_or(|race| race.occurred(&verdict)));
        hunt.marks = hunt.marks.or(Marks::of(&verdict));
        progress();
        if let Some(property) = verdict.violated {
            hunt.failure = Some(shrink(seed, case, property, machine));
            break;
        }
    }
    hunt
}

/// Makes a failing case simpler as long as it violates the same property.
pub fn shrink(seed: u64, case: Case, property: Property, machine: impl Suspect + Copy) -> Failure {
    let fails = |candidate: &Case| {
        let verdict = world::run(candidate, machine, STEPS_MAX);
        (verdict.violated == Some(property)).then_some(verdict)
    };
    let mut best = case;
    let mut verdict = fails(&best).unwrap_or_default();
    loop {
        let simpler = simplifications(&best)
            .find_map(|candidate| fails(&candidate).map(|found| (candidate, found)));
        let Some((simpler, found)) = simpler else { break };
        (best, verdict) = (simpler, found);
    }
    Failure { seed, property, case: best, trace: verdict.trace }
}

/// Cases that are simpler in one respect, the boldest first. Each is strictly simpler, so that
/// shrinking ends.
fn simplifications(case: &Case) -> impl Iterator<Item = Case> + '_ {
    let change = move |change: &dyn Fn(&mut Case)| {
        let mut simpler = case.clone();
        change(&mut simpler);
        simpler
    };
    let inputs = (0..case.inputs.len()).map(move |index| {
        change(&|simpler| {
            simpler.inputs.remove(index);
        })
    });
    let scripts = (0..case.scripts.len()).filter(|_| case.scripts.len() > 1).map(move |index| {
        change(&|simpler| {
            simpler.scripts.remove(index);
        })
    });
    let whole = [
        change(&|simpler| simpler.timers_late = Millis::ZERO),
        change(&|simpler| simpler.saves_fail_until = Millis::ZERO),
        change(&|simpler| simpler.seed = 0),
    ]
    .into_iter()
    .chain(case.without_a_fault());
    let policies = simpler_policies(case.policy)
        .into_iter()
        .map(move |policy| change(&|simpler| simpler.policy = policy));
    let words = (0..case.scripts.len()).flat_map(move |index| {
        simpler_scripts(case.scripts[index])
            .into_iter()
            .map(move |script| change(&|simpler| simpler.scripts[index] = script))
    });
    let times = (0..case.inputs.len()).flat_map(move |index| {
        let at = case.inputs[index].at.as_u32();
        let before = index.checked_sub(1).map_or(0, |before| case.inputs[before].at.as_u32());
        // Half the way, a quarter, and so on: a threshold is found in a few steps.
        let gaps = std::iter::successors(Some(at - before), |gap| Some(gap / 2));
        gaps.take_while(|&gap| gap > 0)
            .map(move |gap| at - gap)
            .map(move |earlier| change(&|simpler| simpler.inputs[index].at = Millis::new(earlier)))
    });
    inputs
        .chain(scripts)
        .chain(whole)
        .chain(policies)
        .chain(words)
        .chain(times)
        .filter(move |simpler| simpler != case)
}

/// The policy with one item each as in the simplest one.
fn simpler_policies(policy: Policy) -> Vec<Policy> {
    let simplest = generate::policy(&mut crate::choices::FromBytes(&[]));
    let (rules, plain) = (*policy.rules(), *simplest.rules());
    let mut candidates = vec![plain];
    macro_rules! plain {
        ($($item:ident),*) => {
            $(candidates.push(monitor_core::Rules { $item: plain.$item, ..rules });)*
        };
    }
    plain!(restart, retries, early_exit, backoff, healthy, limit, stop, start, watchdog, save);
    candidates.into_iter().filter_map(|rules| Policy::try_from(rules).ok()).collect()
}

/// The script with one word each as in the simplest one, and with rounder times.
fn simpler_scripts(script: Script) -> Vec<Script> {
    let plain = Script::OBEDIENT;
    let mut candidates = vec![
        plain,
        Script { start: plain.start, ..script },
        Script { lives: plain.lives, ..script },
        Script { exits: plain.exits, ..script },
        Script { on_stop: plain.on_stop, ..script },
        Script { leaves: None, ..script },
        Script { ready: None, ..script },
        Script { pings: None, ..script },
        Script { unhealthy: None, ..script },
    ];
    candidates.extend(script.without_a_fault());
    if let Some(lives) = script.lives {
        candidates.push(Script { lives: Some(Millis::ZERO), ..script });
        candidates.push(Script { lives: Some(Millis::new(lives.as_u32() / 2)), ..script });
    }
    candidates
}
