//! Everything that can be verified in one go, as numbers: what the program `monitor-sim check` prints.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use monitor_os::Machine;

use crate::bank::{self, Bug, Layer};
use crate::case::Case;
use crate::choices::Seeded;
use crate::family::{Member, family};
use crate::generate;
use crate::hunt::{self, Failure, Hunt, STEPS_MAX};
use crate::model::{self, Counterexample, Exploration};
use crate::race::Race;
use crate::watch::Property;
use crate::world::{self, Suspect};

/// The exhaustive search of one member of the family.
#[derive(Clone, Debug)]
pub struct Explored {
    /// The member.
    pub member: Member,
    /// Reachable situations: machine and oracles together.
    pub situations: usize,
    /// Distinct states of the machine among them.
    pub states: usize,
    /// Transitions, each judged by every oracle.
    pub transitions: usize,
    /// Transitions that change something.
    pub effective: usize,
    /// Ordered pairs of inputs that both matter in one situation.
    pub race_pairs: usize,
    /// A shortest way to a violation, if there is one.
    pub counterexample: Option<Counterexample>,
}

impl Explored {
    fn new(member: Member, found: Exploration) -> Self {
        Self {
            member,
            situations: found.nodes,
            states: found.states.len(),
            transitions: found.transitions,
            effective: found.effective,
            race_pairs: found.race_pairs,
            counterexample: found.counterexample,
        }
    }
}

/// Explores every member of the family with `machine` on all processors, calling `progress` after each.
pub fn explore_family(machine: &(impl Machine + Sync), progress: impl FnMut()) -> Vec<Explored> {
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    explore_family_on(threads, machine, progress)
}

/// Explores every member of the family with `machine` on so many threads, at least one.
///
/// The result is in the order of the family and does not depend on `threads`.
pub fn explore_family_on(
    threads: usize,
    machine: &(impl Machine + Sync),
    mut progress: impl FnMut(),
) -> Vec<Explored> {
    let mut members: Vec<(usize, Member)> = family().into_iter().enumerate().collect();
    // The largest searches first, so that no thread begins one when the others are done.
    members.sort_by_key(|(place, member)| (std::cmp::Reverse(member.policies.len()), *place));
    let next = AtomicUsize::new(0);
    let (sender, results) = mpsc::channel();
    let mut explored: Vec<(usize, Explored)> = thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let (sender, members, next) = (sender.clone(), &members, &next);
            scope.spawn(move || {
                while let Some((place, member)) = members.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let found = model::explore(&member.policies, machine);
                    if sender.send((*place, Explored::new(member.clone(), found))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        results.iter().inspect(|_| progress()).collect()
    });
    explored.sort_by_key(|(place, _)| *place);
    explored.into_iter().map(|(_, explored)| explored).collect()
}

/// The hunt for one race, or for anything at all.
#[derive(Clone, Debug)]
pub struct Hunted {
    /// The race that was aimed at; `None` for the general hunt.
    pub race: Option<Race>,
    /// What was seen.
    pub hunt: Hunt,
}

/// Hunts each race, and then anything, with cases from `seeds`.
pub fn hunt_races(
    seeds: std::ops::Range<u64>,
    machine: impl Suspect + Copy,
    mut progress: impl FnMut(),
) -> Vec<Hunted> {
    let races = Race::ALL.into_iter().map(Some).chain([None]);
    races
        .map(|race| Hunted { race, hunt: hunt::hunt(race, seeds.clone(), machine, &mut progress) })
        .collect()
}

/// Runs each case of `seeds` that aims at nothing twice; returns the first that is not the same again.
pub fn differs_again(
    seeds: std::ops::Range<u64>,
    suspect: impl Suspect + Copy,
) -> Option<(Property, Case)> {
    seeds.into_iter().find_map(|seed| {
        let case = generate::case(&mut Seeded::new(seed));
        world::run_again(&case, suspect, STEPS_MAX).map(|property| (property, case))
    })
}

/// Whether the harness finds a bug that was put in on purpose.
#[derive(Clone, Debug)]
pub struct SelfTest {
    /// The bug.
    pub bug: Bug,
    /// How the hunt of its race found it, and after how many cases.
    pub hunted: Option<(Failure, u64)>,
    /// A shortest case under one member, by exhaustive search.
    pub exhausted: Option<(Counterexample, Member)>,
}

impl SelfTest {
    /// Whether an engine that could have found the bug did not; below the machine there is the random one
    /// alone.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.hunted.is_none() || (self.bug.layer == Layer::Core && self.exhausted.is_none())
    }
}

/// Puts each bug of [`bank::self_test`] in and looks for it with both engines.
pub fn self_test(cases_max: u64, mut progress: impl FnMut()) -> Vec<SelfTest> {
    bank::self_test()
        .map(|bug| {
            let hunt = hunt::hunt(bug.race, 0..cases_max, bug, || {});
            let cases = hunt.cases;
            let searched = if bug.layer == Layer::Core { family() } else { Vec::new() };
            let exhausted = searched.into_iter().find_map(|member| {
                let found = model::explore(&member.policies, &bug);
                found.counterexample.map(|example| (example, member))
            });
            progress();
            let hunted = hunt.failure.map(|failure| (failure, cases));
            SelfTest { bug, hunted, exhausted }
        })
        .collect()
}
