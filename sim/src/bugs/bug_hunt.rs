//! The hunt for the whole bug bank.
//!
//! The result of each bug names the engine and the oracle that found it, the time, and the length
//! of the shown case.

use super::bug::{Bug, Layer};
use crate::generate::race::Race;
use crate::generate::seeds::Aim;
use crate::model::family::{FamilyMember, family};
use crate::model::finding::Counterexample;
use crate::oracle::compared::Compared;
use crate::oracle::verdict::Oracle;
use crate::search::failure::Failure;
use crate::search::harness::Harness;
use crate::search::hunt::{self, Hunt};

/// The result of the hunt for one bug.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct BugResult {
    /// The bug.
    pub bug: Bug,
    /// Campaigns of the random engine that found it, of all.
    pub found: (usize, usize),
    /// The oracle that found it.
    pub oracle: Option<Oracle>,
    /// The aim of the case that found it first.
    pub aim: Option<Aim>,
    /// Cases until it was found, the median over campaigns.
    pub cases: u64,
    /// Milliseconds until it was found and shrunk: the median over the campaigns that found it, or
    /// those of the exhaustive search if none did.
    pub median_ms: f64,
    /// The time within which 95 of 100 campaigns found and shrank it.
    pub p95_ms: f64,
    /// Steps of the case that the random engine has shrunk: the median over campaigns.
    pub shrunk_len: Option<usize>,
    /// Steps of the case that exhaustive search has found, a shortest one under the family's
    /// policies.
    pub exhaustive_len: Option<usize>,
    /// Whether a shortened case did not fail as the drawn one, which is shown in its place:
    /// [`Alarm::ShrunkCasePasses`](crate::search::alarm::Alarm::ShrunkCasePasses).
    pub is_unshrunk: bool,
}

impl BugResult {
    /// Steps of the case that is shown: that of the exhaustive engine where it has one.
    #[must_use]
    pub fn shown_len(&self) -> Option<usize> {
        self.exhaustive_len.or(self.shrunk_len)
    }

    /// Steps of the shortest case that any engine knows; `None` where the exhaustive one is out of
    /// reach.
    #[must_use]
    pub fn shortest_len(&self) -> Option<usize> {
        self.exhaustive_len.map(|len| len.min(self.shrunk_len.unwrap_or(len)))
    }

    /// Returns whether any engine found it.
    #[must_use]
    pub const fn is_found(&self) -> bool {
        self.found.0 > 0 || self.exhaustive_len.is_some()
    }

    /// Returns the name of the engines that found it.
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

/// Cases of one round of a campaign: aimed at the bug's race, then at anything; first the
/// properties check alone, because what they say is about the rule that is broken, then the
/// reference as well.
pub const CASES: u64 = 1_000;

/// Hunts one bug in `campaigns` campaigns from different seeds; `clock` tells milliseconds.
pub fn hunt_bug(
    harness: impl Harness,
    bug: Bug,
    campaigns: usize,
    mut clock: impl FnMut() -> f64,
) -> BugResult {
    let mut is_unshrunk = false;
    let mut times = Vec::new();
    let mut cases = Vec::new();
    let mut lengths = Vec::new();
    let mut oracle = None;
    let mut aim = None;
    for campaign in 0..campaigns {
        let begin = clock();
        let first = campaign as u64 * 1_000_003;
        let Some(detection) = detect(harness, bug, first..first + CASES, || {}) else { continue };
        times.push(clock() - begin);
        cases.push(detection.cases);
        lengths.push(detection.failure.trace.len());
        oracle.get_or_insert(detection.failure.oracle);
        is_unshrunk |= detection.failure.is_unshrunk;
        aim = aim.or(detection.failure.aim);
    }
    let found = (times.len(), campaigns);
    times.sort_by(f64::total_cmp);
    cases.sort_unstable();
    lengths.sort_unstable();
    let begin = clock();
    let proof = prove(harness, bug, oracle != Some(Oracle::Reference));
    if let Some(proof) = &proof {
        oracle.get_or_insert(proof.oracle);
    }
    let spent = clock() - begin;
    BugResult {
        bug,
        found,
        oracle,
        aim,
        cases: quantile(&cases, 50).unwrap_or(0),
        median_ms: quantile(&times, 50).unwrap_or(spent),
        p95_ms: quantile(&times, 95).unwrap_or(spent),
        shrunk_len: quantile(&lengths, 50),
        exhaustive_len: proof.map(|proof| proof.example.path.len()),
        is_unshrunk,
    }
}

fn quantile<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().checked_sub(1)?)).copied()
}

/// A find of the random engine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Detection {
    /// Cases until the find, over all rounds.
    pub cases: u64,
    /// The case, shrunk.
    pub failure: Failure,
}

/// Hunts a bug with the random engine, round after round, each with the cases of `seeds`.
///
/// `progress` is called after each case.
pub fn detect(
    harness: impl Harness,
    bug: Bug,
    seeds: impl IntoIterator<Item = u64> + Clone,
    mut progress: impl FnMut(),
) -> Option<Detection> {
    let mut cases = 0;
    let mut round = |race: Option<Race>, strict: bool| {
        let seeds = seeds.clone();
        let hunted = if strict {
            let compared = Compared::strictly_by(bug, harness.reference());
            hunt::hunt_by(harness, race, seeds, &compared, &mut progress)
        } else {
            hunt::hunt_by(harness, race, seeds, bug, &mut progress)
        };
        let Hunt { cases: run, failure, .. } = hunted;
        cases += run;
        let mut failure = failure?;
        if strict {
            failure.oracle = Oracle::Reference;
            // The trace has answers that were put there for the oracles. Those of the bug replace
            // them.
            let steps = failure.trace.len();
            failure.trace = harness.run(&failure.case, bug).trace;
            failure.trace.truncate(steps);
        }
        Some(Detection { cases, failure })
    };
    let aimed = bug.race.is_some();
    let first = if aimed { round(bug.race, false) } else { None };
    first
        .or_else(|| round(None, false))
        .or_else(|| round(bug.race, true))
        .or_else(|| if aimed { round(None, true) } else { None })
}

/// A find of the exhaustive engine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Proof {
    /// The oracle that found it.
    pub oracle: Oracle,
    /// The member of the family under which it is found.
    pub member: FamilyMember,
    /// A shortest case under any member.
    pub example: Counterexample,
}

/// Searches for a shortest case of a bug under all policies of the family, by the properties if
/// `lenient`, and then by the reference.
///
/// The exhaustive engine has no world below the machine, and finds nothing there.
#[must_use]
pub fn prove(harness: impl Harness, bug: Bug, lenient: bool) -> Option<Proof> {
    if bug.layer != Layer::Core {
        return None;
    }
    let shortest = |machine: &dyn Fn(&FamilyMember) -> Option<Counterexample>| {
        let found = family().into_iter().filter_map(|member| Some((machine(&member)?, member)));
        found.min_by_key(|(example, _)| example.path.len())
    };
    let by_property = if lenient {
        shortest(&|member| harness.explore(&member.policies, &bug).counterexample)
    } else {
        None
    };
    if let Some((example, member)) = by_property {
        return Some(Proof { oracle: Oracle::Property(example.property), member, example });
    }
    let compared = Compared::strictly_by(bug, harness.reference());
    let (example, member) =
        shortest(&|member| harness.explore(&member.policies, &&compared).counterexample)?;
    Some(Proof { oracle: Oracle::Reference, member, example })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use monitor_core::{
        Actions, Delay, Event, Millis, Note, Phase, Policy, State, Step, TimerCommand, TimerKind,
    };
    use monitor_os::{Core, Machine};

    use super::*;
    use crate::bugs::bank;
    use crate::case::definition::Case;
    use crate::machine::injected_bug::MachineUnderTest;
    use crate::oracle::property::Property;
    use crate::report::failure_report::FailureReport;
    use crate::search::harness::Standard;
    use crate::world::simulation;

    #[test]
    fn every_bug_of_the_bank_is_found_and_every_oracle_fires() {
        let mut silent = Property::ALL.to_vec();
        for bug in bank::ALL {
            let found =
                detect(Standard, *bug, 0..CASES, || {}).map(|detection| detection.failure.oracle);
            let oracle = found.or_else(|| prove(Standard, *bug, true).map(|proof| proof.oracle));
            let Some(oracle) = oracle else { panic!("{bug} ({}) is not found", bug.symptom) };
            silent.retain(|&property| oracle != Oracle::Property(property));
        }
        // These are about the harness itself, and fire in the tests below.
        silent.retain(|property| !PLANTED.contains(property));
        assert!(silent.is_empty(), "never seen to fail: {silent:?}");
    }

    const PLANTED: [Property; 4] =
        [Property::NoHotLoop, Property::Deterministic, Property::EarlyEnd, Property::NoPanic];

    /// A machine that goes from step to step without time: every timer is due at once.
    #[derive(Clone, Copy)]
    struct Hot;

    impl MachineUnderTest for Hot {}

    impl Machine for Hot {
        fn step(&self, policy: &Policy, state: State, event: Event) -> Step {
            if let Event::TimerFired { timer } = event
                && timer.kind == TimerKind::Healthy
            {
                let again = TimerCommand::Arm(Delay::exact(Millis::ZERO));
                let actions = Actions { timer: again, ..Actions::NONE };
                return Step { state, actions, note: Note::Applied };
            }
            Core.step(policy, state, event)
        }
    }

    #[test]
    fn a_loop_without_time_is_found() {
        let case: Case =
            "policy restart=always healthy-after=1s\nprocess rest\n0ms start".parse().unwrap();
        assert_eq!(simulation::run(&case, Hot, 400).violated(), Some(Property::NoHotLoop));
        assert_eq!(simulation::run(&case, Core, 400).violated(), None);
    }

    /// A machine that remembers what it must not: how often it was asked.
    struct Nondeterministic(Cell<u32>);

    impl MachineUnderTest for &Nondeterministic {}

    impl Machine for &Nondeterministic {
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
        let machine = &Nondeterministic(Cell::new(0));
        let first = Standard.run(&case, machine);
        assert!(!Standard.is_deterministic(&case, machine, &first));
        let first = Standard.run(&case, Core);
        assert!(Standard.is_deterministic(&case, Core, &first));
    }

    /// A machine that counts an end before the acknowledgement against the budget twice.
    #[derive(Clone, Copy)]
    struct Harsh;

    impl MachineUnderTest for Harsh {}

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
        assert_eq!(simulation::run(&case, Harsh, 400).violated(), Some(Property::EarlyEnd));
        assert_eq!(simulation::run(&case, Core, 400).violated(), None);
    }

    /// A machine that has no answer.
    #[derive(Clone, Copy)]
    struct Partial;

    impl MachineUnderTest for Partial {}

    impl Machine for Partial {
        fn step(&self, policy: &Policy, state: State, event: Event) -> Step {
            assert_ne!(event, Event::ResetRequested, "no answer");
            Core.step(policy, state, event)
        }
    }

    #[test]
    fn a_machine_that_panics_is_found() {
        let case: Case = "policy restart=no\nprocess rest\n0ms start\n5ms reset".parse().unwrap();
        let verdict = simulation::run(&case, Partial, 400);
        assert_eq!(verdict.violated(), Some(Property::NoPanic));
        assert_eq!(verdict.trace.last().unwrap().event, Event::ResetRequested);
        assert!(verdict.violation.unwrap().panic.unwrap().contains("no answer"));
        assert_eq!(simulation::run(&case, Core, 400).violated(), None);
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
                panic!("{}", FailureReport::of(&failure));
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
