//! The whole verification as numbers, which `monitor-sim check` prints.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use monitor_os::Machine;

use super::self_test::SelfTest;
use crate::bugs::bank;
use crate::case::definition::Case;
use crate::generate::race::Race;
use crate::machine::injected_bug::MachineUnderTest;
use crate::model::family::{FamilyMember, family};
use crate::model::finding::{Counterexample, Exploration};
use crate::oracle::property::Property;
use crate::search::alarm::{Alarm, Alarms};
use crate::search::canary::{self, Canary, Evidence};
use crate::search::coverage::Coverage;
use crate::search::coverage_marks::{self, CoverageMarks};
use crate::search::harness::Harness;
use crate::search::hunt::{self, Hunt};

/// The exhaustive search of one member of the family.
#[derive(Clone, Debug)]
pub struct Explored {
    /// The member.
    pub member: FamilyMember,
    /// Reachable search states: machine and oracles together.
    pub search_states: usize,
    /// Distinct states of the machine among them.
    pub states: usize,
    /// Transitions, each checked by every oracle.
    pub transitions: usize,
    /// Transitions that change something.
    pub effective: usize,
    /// Ordered pairs of inputs that both matter in one search state.
    pub race_pairs: usize,
    /// A shortest path to a violation, if there is one.
    pub counterexample: Option<Counterexample>,
}

impl Explored {
    fn new(member: FamilyMember, found: Exploration) -> Self {
        Self {
            member,
            search_states: found.search_states,
            states: found.states.len(),
            transitions: found.transitions,
            effective: found.effective,
            race_pairs: found.race_pairs,
            counterexample: found.counterexample,
        }
    }
}

/// Explores every member of the family with `machine` on all processors, calling `progress` after
/// each.
pub fn explore_family(
    harness: impl Harness,
    machine: &(impl Machine + Sync),
    progress: impl FnMut(),
) -> Vec<Explored> {
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    explore_family_on(harness, threads, machine, progress)
}

/// Explores every member of the family with `machine` on so many threads, at least one.
///
/// The result is in the order of the family and does not depend on `threads`.
pub fn explore_family_on(
    harness: impl Harness,
    threads: usize,
    machine: &(impl Machine + Sync),
    mut progress: impl FnMut(),
) -> Vec<Explored> {
    let mut members: Vec<(usize, FamilyMember)> = family().into_iter().enumerate().collect();
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
                    let found = harness.explore(&member.policies, machine);
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
    /// The result of the hunt.
    pub hunt: Hunt,
}

impl Hunted {
    /// Whether so many cases ran, and the race took place in none of them.
    const fn never_occurred(&self) -> bool {
        self.hunt.cases >= OCCURS_WITHIN && self.hunt.occurred == 0
    }
}

/// The race that takes place most rarely, `stop-while-starting`, does so in one of six of its
/// cases.
const OCCURS_WITHIN: u64 = 100;

/// The rows of a check: each race, and then anything.
fn aims() -> impl Iterator<Item = Option<Race>> {
    Race::ALL.into_iter().map(Some).chain([None])
}

fn aim_name(race: Option<Race>) -> &'static str {
    race.map_or("anything", Race::name)
}

/// Hunts each race, and then anything, with cases from `seeds`.
pub fn hunt_races(
    harness: impl Harness,
    seeds: impl IntoIterator<Item = u64> + Clone,
    machine: impl MachineUnderTest + Copy,
    mut progress: impl FnMut(),
) -> Vec<Hunted> {
    aims()
        .map(|race| {
            let hunt = hunt::hunt_by(harness, race, seeds.clone(), machine, &mut progress);
            Hunted { race, hunt }
        })
        .collect()
}

/// Returns the coverage of hunts. Cells are not counted, because the exhaustive search visits all
/// of them.
#[must_use]
pub fn coverage(hunted: &[Hunted]) -> Coverage {
    let mut marks = CoverageMarks::default();
    hunted.iter().for_each(|found| marks = marks.or(found.hunt.coverage_marks));
    let met = |is_fault: bool| {
        let of_kind = |name: &&str| {
            coverage_marks::MARKS
                .iter()
                .any(|mark| mark.name == *name && mark.is_fault() == is_fault)
        };
        marks.met().filter(of_kind).count() as u64
    };
    let cases = hunted.iter().map(|found| found.hunt.cases).sum();
    let aims = hunted.iter().map(|found| found.hunt.aims.len() as u64).sum();
    Coverage { cases, met: [None, Some(met(false)), Some(met(true)), Some(aims)] }
}

/// The results of a whole check, and the numbers that were asked for.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The findings of the canaries.
    pub evidence: Evidence,
    /// The exhaustive search.
    pub explored: Vec<Explored>,
    /// The hunts.
    pub hunted: Vec<Hunted>,
    /// The number of cases that each hunt was asked for.
    pub cases: u64,
    /// The number of cases that ran twice.
    pub doubled: u64,
    /// The number of cases that should have run twice.
    pub doubled_due: u64,
    /// The bugs that were injected.
    pub tested: Vec<SelfTest>,
}

/// Returns the alarms that a whole check without a violation raises.
#[must_use]
pub fn alarms(harness: impl Harness, checked: &Checked) -> Alarms {
    let Checked { evidence, explored, hunted, tested, .. } = checked;
    let mut alarms = evidence.alarms.clone();
    let rows = aims().map(|race| {
        let row = hunted.iter().find(|found| found.race == race);
        (aim_name(race), row.map_or(0, |found| found.hunt.cases), checked.cases)
    });
    alarms.count(rows.chain([("second runs", checked.doubled, checked.doubled_due)]));
    let absent = hunted.iter().filter(|found| found.never_occurred());
    let absent: Vec<&str> = absent.map(|found| aim_name(found.race)).collect();
    if !absent.is_empty() {
        let detail =
            format!("in {} cases each, never took place: {}", checked.cases, absent.join(", "));
        alarms.raise(Alarm::CoverageBelowFloor, detail);
    }
    alarms.add(canary::missing(&evidence.found, &Canary::ALL, &evidence.alarms, "this check"));
    if explored.len() < EXPLORED_MIN {
        let detail = format!("{} policies were explored, not {EXPLORED_MIN}", explored.len());
        alarms.raise(Alarm::SearchMissesSteps, detail);
    }
    for found in explored.iter().filter(|found| found.states < STATES_MIN) {
        let Explored { member, states, .. } = found;
        let detail = format!("{} has {states} states, and not {STATES_MIN}", member.name);
        alarms.raise(Alarm::SearchMissesSteps, detail);
    }
    alarms.add(coverage(hunted).alarms(|measure, cases| harness.floor(measure, cases)));
    let unshrunk =
        |test: &&SelfTest| test.hunted.as_ref().is_some_and(|(failure, _)| failure.is_unshrunk);
    if let Some(test) = tested.iter().find(unshrunk) {
        alarms.raise(Alarm::ShrunkCasePasses, format!("the case that finds {}", test.bug));
    }
    if tested.len() < bank::SELF_TEST.len() {
        let detail = format!("{} bugs were injected, not {}", tested.len(), bank::SELF_TEST.len());
        alarms.raise(Alarm::BankTooSmall, detail);
    }
    alarms
}

/// How many policies, or sets of them, the family has.
const EXPLORED_MIN: usize = 19;

/// No policy has fewer states: the smallest has 97.
const STATES_MIN: usize = 50;

/// Runs each case of `seeds` that aims at nothing twice; returns how many there were.
///
/// # Errors
/// The first case that is not the same again.
pub fn first_nondeterminism(
    harness: impl Harness,
    seeds: impl IntoIterator<Item = u64>,
    machine: impl MachineUnderTest + Copy,
) -> Result<u64, Box<(Property, Case)>> {
    let mut doubled = 0;
    for seed in seeds {
        let case = harness.draw(None, seed);
        let first = harness.run(&case, machine);
        if !harness.is_deterministic(&case, machine, &first) {
            return Err(Box::new((Property::Deterministic, case)));
        }
        doubled += 1;
    }
    Ok(doubled)
}
