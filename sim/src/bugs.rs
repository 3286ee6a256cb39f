//! The hunt for the whole bug bank: by which engine and oracle each bug is found, how soon, and how short
//! the case is that is shown.

use monitor_os::Machine;

use crate::bank::{Bug, Layer};
use crate::family::family;
use crate::hunt::{self, Hunt};
use crate::model;
use crate::race::Race;
use crate::reference::Compared;
use crate::watch::Property;

/// What the hunt for one bug has shown.
#[derive(Clone, Copy, Debug)]
pub struct Catch {
    /// The bug.
    pub bug: Bug,
    /// Campaigns of the random engine that found it, of all.
    pub found: (usize, usize),
    /// Who spoke.
    pub oracle: Option<Oracle>,
    /// Cases until it was found, the median over campaigns.
    pub cases: u64,
    /// Milliseconds until it was found and shrunk: the median over the campaigns that found it, or those of
    /// the exhaustive search if none did.
    pub median_ms: f64,
    /// The same, in 95 of 100 campaigns.
    pub p95_ms: f64,
    /// Steps of the case that the random engine has shrunk: the median over campaigns.
    pub shrunk_len: Option<usize>,
    /// Steps of the case that exhaustive search has found, a shortest one under the family's policies.
    pub exhaustive_len: Option<usize>,
}

impl Catch {
    /// Steps of the case that is shown: that of the exhaustive engine where it has one.
    #[must_use]
    pub fn shown_len(&self) -> Option<usize> {
        self.exhaustive_len.or(self.shrunk_len)
    }

    /// Steps of the shortest case that any engine knows; `None` where the exhaustive one is out of reach.
    #[must_use]
    pub fn shortest_len(&self) -> Option<usize> {
        self.exhaustive_len.map(|len| len.min(self.shrunk_len.unwrap_or(len)))
    }

    /// Whether any engine found it.
    #[must_use]
    pub const fn is_found(&self) -> bool {
        self.found.0 > 0 || self.exhaustive_len.is_some()
    }

    /// The engine that found it.
    #[must_use]
    pub const fn engine(&self) -> &'static str {
        match (self.found.0, self.exhaustive_len) {
            (0, None) => "none",
            (0, Some(_)) => "exhaustive",
            (_, None) => "random",
            (_, Some(_)) => "random, exhaustive",
        }
    }
}

/// Who noticed a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oracle {
    /// A property of the trace.
    Property(Property),
    /// The second implementation of the rules.
    Reference,
}

impl Oracle {
    /// The name, as printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Property(property) => property.name(),
            Self::Reference => "reference",
        }
    }
}

/// Cases of one stage of a campaign: aimed at the bug's race, then at anything; first the properties judge
/// alone, because what they say is about the rule that is broken, then the reference as well.
const CASES: u64 = 1_000;

/// Hunts one bug in `campaigns` campaigns from different seeds; `clock` tells milliseconds.
pub fn hunt_bug(bug: Bug, campaigns: usize, mut clock: impl FnMut() -> f64) -> Catch {
    let mut times = Vec::new();
    let mut cases = Vec::new();
    let mut lengths = Vec::new();
    let mut oracle = None;
    for campaign in 0..campaigns {
        let begin = clock();
        let Some(sighting) = campaign_for(bug, campaign as u64 * 1_000_003) else { continue };
        times.push(clock() - begin);
        cases.push(sighting.cases);
        lengths.push(sighting.steps);
        oracle.get_or_insert(sighting.oracle);
    }
    let found = (times.len(), campaigns);
    times.sort_by(f64::total_cmp);
    cases.sort_unstable();
    lengths.sort_unstable();
    let strict = oracle == Some(Oracle::Reference);
    let begin = clock();
    let mut exhausted = None;
    // The exhaustive engine has no world below the machine.
    let searched = bug.layer == Layer::Core;
    if searched
        && !strict
        && let Some((property, len)) = shortest(&bug)
    {
        oracle.get_or_insert(Oracle::Property(property));
        exhausted = Some(len);
    }
    if searched && exhausted.is_none() {
        let compared = Compared::strict(bug);
        exhausted = shortest(&&compared).map(|(_, len)| len);
        if exhausted.is_some() {
            oracle.get_or_insert(Oracle::Reference);
        }
    }
    let spent = clock() - begin;
    Catch {
        bug,
        found,
        oracle,
        cases: quantile(&cases, 50).unwrap_or(0),
        median_ms: quantile(&times, 50).unwrap_or(spent),
        p95_ms: quantile(&times, 95).unwrap_or(spent),
        shrunk_len: quantile(&lengths, 50),
        exhaustive_len: exhausted,
    }
}

fn quantile<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().checked_sub(1)?)).copied()
}

struct Sighting {
    oracle: Oracle,
    cases: u64,
    steps: usize,
}

fn campaign_for(bug: Bug, first: u64) -> Option<Sighting> {
    let mut cases = 0;
    let mut stage = |race: Option<Race>, strict: bool| {
        let seeds = first..first + CASES;
        let hunted = if strict {
            let compared = Compared::strict(bug);
            hunt::hunt(race, seeds, &compared, || {})
        } else {
            hunt::hunt(race, seeds, bug, || {})
        };
        let Hunt { cases: run, failure, .. } = hunted;
        cases += run;
        let failure = failure?;
        let oracle = if strict { Oracle::Reference } else { Oracle::Property(failure.property) };
        Some(Sighting { oracle, cases, steps: failure.trace.len() })
    };
    let aimed = bug.race.is_some();
    let first = if aimed { stage(bug.race, false) } else { None };
    first
        .or_else(|| stage(None, false))
        .or_else(|| stage(bug.race, true))
        .or_else(|| if aimed { stage(None, true) } else { None })
}

/// The shortest way to a violation under any policy of the family: of what, and its length.
fn shortest(machine: &impl Machine) -> Option<(Property, usize)> {
    family()
        .into_iter()
        .filter_map(|member| model::explore(&member.policies, machine).counterexample)
        .map(|found| (found.property, found.path.len()))
        .min_by_key(|&(_, len)| len)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use monitor_core::{
        Actions, Delay, Event, Millis, Note, Phase, Policy, State, Step, TimerCommand, TimerKind,
    };
    use monitor_os::Core;

    use super::*;
    use crate::bank;
    use crate::case::Case;
    use crate::screen::FailureScreen;
    use crate::world::{self, Suspect};

    #[test]
    fn every_bug_of_the_bank_is_found_and_every_oracle_fires() {
        let mut silent = Property::ALL.to_vec();
        for bug in bank::ALL {
            let found = campaign_for(*bug, 0).map(|sighting| sighting.oracle);
            let oracle = found.or_else(|| shortest(bug).map(|(found, _)| Oracle::Property(found)));
            let Some(oracle) = oracle else { panic!("{bug} ({}) is not found", bug.symptom) };
            silent.retain(|&property| oracle != Oracle::Property(property));
        }
        // These are about the harness itself, and fire in the tests below.
        silent.retain(|property| !PLANTED.contains(property));
        assert!(silent.is_empty(), "never seen to fail: {silent:?}");
    }

    const PLANTED: [Property; 3] = [Property::NoHotLoop, Property::SameAgain, Property::EarlyEnd];

    /// A machine that goes from step to step without time: every timer is due at once.
    #[derive(Clone, Copy)]
    struct Hot;

    impl Suspect for Hot {}

    impl Machine for Hot {
        fn step(&self, policy: &Policy, state: State, event: Event) -> Step {
            let mut step = Core.step(policy, state, event);
            if let TimerCommand::Arm(delay) = &mut step.actions.timer
                && step.state.phase() == Phase::Healthy
            {
                *delay = Delay::exact(Millis::ZERO);
            }
            if let Event::TimerFired { timer } = event
                && timer.kind == TimerKind::Watchdog
            {
                let watchdog = TimerCommand::Arm(Delay::exact(Millis::ZERO));
                let actions = Actions { watchdog, ..Actions::NONE };
                step = Step { state, actions, note: Note::Applied };
            }
            step
        }
    }

    #[test]
    fn a_loop_without_time_is_found() {
        let case: Case =
            "policy restart=always watchdog=1s\nprocess rest\n0ms start".parse().unwrap();
        assert_eq!(world::run(&case, Hot, 400).violated, Some(Property::NoHotLoop));
        assert_eq!(world::run(&case, Core, 400).violated, None);
    }

    /// A machine that remembers what it must not: how often it was asked.
    struct Moody(Cell<u32>);

    impl Suspect for &Moody {}

    impl Machine for &Moody {
        fn step(&self, policy: &Policy, state: State, event: Event) -> Step {
            self.0.set(self.0.get() + 1);
            let event = if self.0.get() > 3 { Event::stop() } else { event };
            Core.step(policy, state, event)
        }
    }

    #[test]
    fn a_case_that_is_not_the_same_again_is_found() {
        let case: Case =
            "policy restart=no\nprocess rest\n0ms start\n5ms signal HUP".parse().unwrap();
        assert_eq!(world::run_again(&case, &Moody(Cell::new(0)), 400), Some(Property::SameAgain));
        assert_eq!(world::run_again(&case, Core, 400), None);
    }

    /// A machine that counts an end before the acknowledgement against the budget twice.
    #[derive(Clone, Copy)]
    struct Harsh;

    impl Suspect for Harsh {}

    impl Machine for Harsh {
        fn step(&self, policy: &Policy, state: State, event: Event) -> Step {
            let mut step = Core.step(policy, state, event);
            if let (Event::Exited { .. }, Phase::Starting) = (event, state.phase()) {
                let mut bytes = step.state.to_bytes();
                bytes[16] = bytes[16].wrapping_add(1);
                step.state = State::from_bytes(&bytes).unwrap_or(step.state);
            }
            step
        }
    }

    #[test]
    fn an_early_end_that_leads_elsewhere_is_found() {
        let text = "policy restart=always\nprocess rest starts=5ms lives=1ms\n0ms start\n1s stop";
        let case: Case = text.parse().unwrap();
        assert_eq!(world::run(&case, Harsh, 400).violated, Some(Property::EarlyEnd));
        assert_eq!(world::run(&case, Core, 400).violated, None);
    }

    /// A machine that has no answer.
    #[derive(Clone, Copy)]
    struct Partial;

    impl Suspect for Partial {}

    impl Machine for Partial {
        fn step(&self, policy: &Policy, state: State, event: Event) -> Step {
            assert_ne!(event, Event::ResetRequested, "no answer");
            Core.step(policy, state, event)
        }
    }

    #[test]
    fn a_machine_that_panics_is_found() {
        let case: Case = "policy restart=no\nprocess rest\n0ms start\n5ms reset".parse().unwrap();
        assert_eq!(world::run(&case, Partial, 400).violated, Some(Property::Total));
    }

    #[test]
    fn every_invariant_of_the_collection_has_a_property() {
        let sources: Vec<&str> =
            Property::ALL.iter().flat_map(|property| property.source().split(' ')).collect();
        for number in 1..=36 {
            let id = format!("I{number}");
            assert!(sources.contains(&id.as_str()), "{id}");
        }
    }

    #[test]
    fn the_machine_that_ships_is_not_caught() {
        let compared = Compared::strict(Core);
        for race in Race::ALL.into_iter().map(Some).chain([None]) {
            if let Some(failure) = hunt::hunt(race, 0..CASES, &compared, || {}).failure {
                let screen = FailureScreen { failure: &failure, kept: None, options: "" };
                panic!("{screen}");
            }
        }
    }

    #[test]
    fn ids_are_unique() {
        let mut ids: Vec<&str> = bank::ALL.iter().map(|bug| bug.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), bank::ALL.len());
    }
}
