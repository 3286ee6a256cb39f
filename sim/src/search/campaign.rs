//! Campaigns: many cases, split over threads and machines, with a report that adds up.
//!
//! A case depends on nothing but the campaign's name and its index. Reports of disjoint ranges add
//! up in any order to the report of the whole, so the result does not depend on the number of jobs
//! or shards.
//!
//! # Examples
//! ```
//! use monitor_os::Core;
//! use monitor_sim::search::campaign::{Plan, CampaignReport};
//!
//! let plan = Plan::new("nightly");
//! let whole = plan.run(0..200, Core);
//! let mut halves = plan.run(100..200, Core);
//! halves.add(plan.run(0..100, Core));
//! assert_eq!(whole, halves);
//! assert!(whole.failures.is_empty());
//! # let _: CampaignReport = whole;
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use monitor_core::Phase;
use serde::{Deserialize, Serialize};

use super::alarm::{Alarm, Alarms};
use super::coverage::Coverage;
use super::coverage_marks::{self, CoverageMarks};
use super::digest::{Digest, digest, mix};
use super::harness::{Harness, Standard};
use super::hunt;
use crate::case::definition::Case;
use crate::generate::race::Race;
use crate::generate::seeds::{self, Aim};
use crate::machine::injected_bug::MachineUnderTest;
use crate::model::input::event_name;

/// The cases of a campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub(super) name: String,
    key: u64,
}

impl Plan {
    /// Makes the campaign of this name. Another name means another set of cases.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), key: Digest::default().with(name.as_bytes()).0 }
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Draws the case of an index. The races take turns; after the last race comes a case without
    /// an aim.
    #[must_use]
    pub fn case(&self, index: u64) -> Case {
        seeds::draw(Self::race(index), self.seed(index))
    }

    /// Returns the race that the case of an index aims at.
    pub(super) fn race(index: u64) -> Option<Race> {
        let kinds = Race::ALL.len() as u64 + 1;
        Race::ALL.get(usize::try_from(index % kinds).unwrap_or(usize::MAX)).copied()
    }

    /// Returns the seed of an index.
    #[must_use]
    pub const fn seed(&self, index: u64) -> u64 {
        mix(self.key ^ mix(index))
    }

    /// Runs the cases of a range. Some run twice, to find nondeterminism.
    pub fn run(&self, range: Range<u64>, machine: impl MachineUnderTest + Copy) -> CampaignReport {
        self.run_by(Standard, range, machine)
    }

    /// Runs the cases of a range as [`Self::run`] does, with the parts of `harness`.
    pub fn run_by(
        &self,
        harness: impl Harness,
        range: Range<u64>,
        machine: impl MachineUnderTest + Copy,
    ) -> CampaignReport {
        let mut report = CampaignReport::default();
        let mut marks = CoverageMarks::default();
        let mut aims: BTreeMap<Aim, u64> = BTreeMap::new();
        let mut cells: BTreeMap<(Phase, &'static str), u64> = BTreeMap::new();
        for index in range {
            let (race, seed) = (Self::race(index), self.seed(index));
            let case = harness.draw(race, seed);
            let verdict = harness.run(&case, machine);
            let digest = digest(&verdict);
            if index.is_multiple_of(DOUBLED_EVERY) {
                report.doubled += 1;
                let same = harness.is_deterministic(&case, machine, &verdict);
                report.unequal += u64::from(!same);
            }
            marks.add(&verdict);
            if race.is_none_or(|race| race.occurred(&verdict)) {
                *aims.entry(Aim::of(race, seed)).or_default() += 1;
            }
            report.cases += 1;
            report.steps += verdict.trace.len() as u64;
            report.digest = report.digest.wrapping_add(mix(digest ^ index));
            for line in &verdict.trace {
                *cells.entry((line.before.phase(), event_name(line.event))).or_default() += 1;
            }
            if let Some(property) = verdict.violated() {
                let failure = hunt::confirm(harness, seed, case, property, machine);
                report.unshrunk += u64::from(failure.is_unshrunk);
                report.add_failure(FailureNote {
                    property: property.name().to_owned(),
                    index,
                    inputs: failure.case.inputs.len(),
                    case: failure.case.to_string(),
                    aim: Some(Aim::of(race, seed).name().to_owned()),
                    panic: failure.panic,
                    is_unshrunk: failure.is_unshrunk,
                });
            }
        }
        report.aims = aims.into_iter().map(|(aim, count)| (aim.name().to_owned(), count)).collect();
        report.coverage_marks = marks.met().map(str::to_owned).collect();
        report.cells = cells
            .into_iter()
            .map(|((phase, event), count)| (format!("{phase} × {event}"), count))
            .collect();
        report
    }
}

/// The interval of the cases that run twice. It has no common factor with the number of kinds of
/// cases, so that each kind has its turn.
pub(crate) const DOUBLED_EVERY: u64 = 19;

/// The results of a range of cases. Addition is associative and commutative.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignReport {
    /// Cases run.
    pub cases: u64,
    /// Steps taken in them.
    pub steps: u64,
    /// Cases that were run twice.
    pub doubled: u64,
    /// Cases whose second run differed: nondeterminism.
    pub unequal: u64,
    /// The sum of the hashes of all traces: equal for equal sets of cases.
    pub digest: u64,
    /// How often each event came in each phase.
    pub cells: BTreeMap<String, u64>,
    /// The number of cases in which each race took place, and that each chooser drew.
    pub aims: BTreeMap<String, u64>,
    /// The names of the [coverage marks](coverage_marks::MARKS) that were met.
    pub coverage_marks: BTreeSet<String>,
    /// Cases that failed, and of which the shortened form did not fail in the same way.
    pub unshrunk: u64,
    /// The failures by property: the shortest cases, at most three each.
    pub failures: BTreeMap<String, Vec<FailureNote>>,
}

/// One failing case, shrunk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureNote {
    /// The number of inputs of the case.
    pub inputs: usize,
    /// The index that it was drawn from.
    pub index: u64,
    /// The property that is violated.
    pub property: String,
    /// The case, as text.
    pub case: String,
    /// The race that it aimed at, or how its inputs were chosen; older reports do not say.
    #[serde(default)]
    pub aim: Option<String>,
    /// The panic that was caught, where it is the violation.
    pub panic: Option<String>,
    /// Whether the case is as it was drawn, because the shortened one did not fail in the same way.
    pub is_unshrunk: bool,
}

/// The number of failing cases that are kept of one property.
pub(super) const KEPT: usize = 3;

impl CampaignReport {
    /// Adds the report of another range.
    pub fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.steps += other.steps;
        self.doubled += other.doubled;
        self.unequal += other.unequal;
        self.digest = self.digest.wrapping_add(other.digest);
        for (cell, count) in other.cells {
            *self.cells.entry(cell).or_default() += count;
        }
        for (aim, count) in other.aims {
            *self.aims.entry(aim).or_default() += count;
        }
        self.coverage_marks.extend(other.coverage_marks);
        self.unshrunk += other.unshrunk;
        for failure in other.failures.into_values().flatten() {
            self.add_failure(failure);
        }
    }

    /// Returns the coverage of the cases.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        let met = |is_fault: bool| {
            let marks = coverage_marks::MARKS.iter().filter(|mark| mark.is_fault() == is_fault);
            marks.filter(|mark| self.coverage_marks.contains(mark.name)).count() as u64
        };
        let met = [self.cells.len() as u64, met(false), met(true), self.aims.len() as u64];
        Coverage { cases: self.cases, met: met.map(Some) }
    }

    /// Returns the alarms that the cases raise.
    #[must_use]
    pub fn alarms(&self, harness: impl Harness) -> Alarms {
        let mut alarms = self.coverage().alarms(|measure, cases| harness.floor(measure, cases));
        if self.unshrunk > 0 {
            let detail = format!("{} failing cases are shown as they were drawn", self.unshrunk);
            alarms.raise(Alarm::ShrunkCasePasses, detail);
        }
        alarms
    }

    fn add_failure(&mut self, failure: FailureNote) {
        let kept = self.failures.entry(failure.property.clone()).or_default();
        kept.push(failure);
        kept.sort();
        kept.dedup_by(|later, earlier| later.case == earlier.case);
        kept.truncate(KEPT);
    }
}
