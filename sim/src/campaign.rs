//! Campaigns: many cases, split over threads and machines, with a report that adds up.
//!
//! A case depends on nothing but the campaign's name and its index. Reports of disjoint ranges add up in
//! any order to the report of the whole, so the result does not depend on the number of jobs or shards.
//!
//! # Examples
//! ```
//! use monitor_os::Core;
//! use monitor_sim::campaign::{Plan, CampaignReport};
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

use monitor_core::{Phase, whole_number};
use serde::{Deserialize, Serialize};

use crate::alarm::{Alarm, Alarms};
use crate::canary::{self, Canary};
use crate::case::Case;
use crate::coverage::{self, Coverage, CoverageMarks};
use crate::harness::{Harness, Standard};
use crate::hunt::{self, Aim};
use crate::model::event_name;
use crate::race::Race;
use crate::world::{MachineUnderTest, Verdict};

/// Which cases a campaign consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    name: String,
    key: u64,
}

impl Plan {
    /// The campaign with this name. Another name is another set of cases.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), key: Digest::default().with(name.as_bytes()).0 }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The case of an index: the races take turns, and after the last of them comes a case that aims at nothing.
    #[must_use]
    pub fn case(&self, index: u64) -> Case {
        hunt::draw(Self::race(index), self.seed(index))
    }

    /// The race that the case of an index aims at.
    fn race(index: u64) -> Option<Race> {
        let kinds = Race::ALL.len() as u64 + 1;
        Race::ALL.get(usize::try_from(index % kinds).unwrap_or(usize::MAX)).copied()
    }

    /// The seed of an index.
    #[must_use]
    pub const fn seed(&self, index: u64) -> u64 {
        mix(self.key ^ mix(index))
    }

    /// Runs the cases of a range; some twice, to see whether they do the same again.
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
            if let Some(property) = verdict.violated {
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

/// One case in so many is run twice. It has no factor in common with the number of races and the one kind
/// of case that aims at nothing, so that each of these kinds has its turn.
pub(crate) const DOUBLED_EVERY: u64 = 19;

/// What the cases of a range have shown. Adding is associative and commutative.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignReport {
    /// Cases run.
    pub cases: u64,
    /// Steps taken in them.
    pub steps: u64,
    /// Cases that were run twice.
    pub doubled: u64,
    /// Of those, the ones that were not the same again: nondeterminism.
    pub unequal: u64,
    /// The sum of the hashes of all traces: equal for equal sets of cases.
    pub digest: u64,
    /// How often each event came in each phase.
    pub cells: BTreeMap<String, u64>,
    /// In how many cases each race took place, and how many each chooser has chosen.
    pub aims: BTreeMap<String, u64>,
    /// The names of the [coverage marks](coverage::MARKS) that were met.
    pub coverage_marks: BTreeSet<String>,
    /// Cases that failed, and of which the shortened form did not fail in the same way.
    pub unshrunk: u64,
    /// What failed, by property: the shortest cases, at most three each.
    pub failures: BTreeMap<String, Vec<FailureNote>>,
}

/// One failing case, shrunk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureNote {
    /// How many inputs the case has.
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

/// How many failing cases of one property are kept.
const KEPT: usize = 3;

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

    /// How much the cases have met.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        let met = |is_fault: bool| {
            let marks = coverage::MARKS.iter().filter(|mark| mark.is_fault() == is_fault);
            marks.filter(|mark| self.coverage_marks.contains(mark.name)).count() as u64
        };
        let met = [self.cells.len() as u64, met(false), met(true), self.aims.len() as u64];
        Coverage { cases: self.cases, met: met.map(Some) }
    }

    /// What the cases show to be wrong with the harness.
    #[must_use]
    pub fn alarms(&self, harness: impl Harness) -> Alarms {
        let mut alarms = self.coverage().alarms(harness);
        if self.unshrunk > 0 {
            let detail = format!("{} failing cases are shown as they were drawn", self.unshrunk);
            alarms.ring(Alarm::ShrunkCasePasses, detail);
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

/// The report of one shard, as it is kept in a file: what was done, and how far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardFile {
    /// The version of the crate that ran it: cases are the same only within one.
    pub version: String,
    /// The campaign's name.
    pub campaign: String,
    /// Which shard of how many.
    pub shard: Shard,
    /// How many cases the whole campaign has.
    pub total: u64,
    /// The index that comes next; everything from the shard's first index up to it is in the report.
    pub next: u64,
    /// What the cases have shown.
    pub report: CampaignReport,
    /// By the name of each canary what it has found: the proof that it ran.
    pub canaries: BTreeMap<String, String>,
    /// The alarms that ring: a check of the harness is blind.
    pub alarms: Alarms,
}

impl ShardFile {
    /// A shard of which nothing was run yet.
    #[must_use]
    pub fn new(plan: &Plan, shard: Shard, total: u64) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            campaign: plan.name.clone(),
            shard,
            total,
            next: shard.range(total).start,
            report: CampaignReport::default(),
            canaries: BTreeMap::new(),
            alarms: Alarms::default(),
        }
    }

    /// What shows the harness of this shard to be blind, but for what the sum of all shards shows: the
    /// alarms that it has on record, and what its numbers show.
    #[must_use]
    pub fn own_alarms(&self) -> Alarms {
        let whose = self.name();
        let mut alarms = canary::missing(&self.canaries, &Canary::CAMPAIGN, &self.alarms, &whose);
        alarms.add_of(&whose, &self.alarms);
        let Range { start, end } = self.done();
        if (start, self.report.cases) != (end, 0) {
            alarms.count([(&whose, self.report.cases, end.saturating_sub(start))]);
        }
        let due = end.div_ceil(DOUBLED_EVERY).saturating_sub(start.div_ceil(DOUBLED_EVERY));
        if self.report.doubled != due {
            let ran = self.report.doubled;
            let detail = format!("{whose}: {ran} cases were run twice, and {due} were due");
            alarms.ring(Alarm::SecondRunSkipped, detail);
        }
        alarms
    }

    /// All that shows the harness of this shard to be blind.
    #[must_use]
    pub fn all_alarms(&self, harness: impl Harness) -> Alarms {
        let mut alarms = self.own_alarms();
        alarms.add(self.report.alarms(harness));
        alarms
    }

    fn name(&self) -> String {
        format!("shard {}/{}", self.shard.index, self.shard.count)
    }

    /// Whether `next` lies within the shard, and the shard within the campaign.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let Shard { index, count } = self.shard;
        index < count && {
            let Range { start, end } = self.shard.range(self.total);
            (start..=end).contains(&self.next)
        }
    }

    /// Whether every case of the shard was run.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.next == self.shard.range(self.total).end
    }

    /// The indices that are in the report.
    #[must_use]
    pub fn done(&self) -> Range<u64> {
        self.shard.range(self.total).start..self.next
    }

    /// Whether two files are about the same cases, so that they may be merged or resumed.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        (&self.version, &self.campaign, self.total)
            == (&other.version, &other.campaign, other.total)
    }
}

/// One part of a campaign: the `index`th of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// Which part, from 0.
    pub index: u64,
    /// Of how many.
    pub count: u64,
}

impl Shard {
    /// The whole.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// The indices that belong to the part, of `total`. Parts are disjoint and cover everything.
    #[must_use]
    pub fn range(self, total: u64) -> Range<u64> {
        let edge = |part: u64| {
            let wide = u128::from(total) * u128::from(part) / u128::from(self.count.max(1));
            u64::try_from(wide).unwrap_or(total)
        };
        edge(self.index)..edge(self.index + 1)
    }
}

/// Reads `K/N`, with K from 0.
impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (index, count) = text.split_once('/').unwrap_or((text, ""));
        match (whole_number(index), whole_number(count)) {
            (Some(index), Some(count)) if index < count => Ok(Self { index, count }),
            _ => Err(format!("{text:?} is no shard: write K/N with K from 0 to N-1, such as 0/4")),
        }
    }
}

/// What several shards add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The sum.
    pub report: CampaignReport,
    /// How many cases the campaign has.
    pub total: u64,
    /// Indices that no shard has run.
    pub gaps: Vec<Range<u64>>,
    /// How many files were copies of others.
    pub duplicates: usize,
    /// What shows the harness to be blind: that of any shard, or that of the sum.
    pub alarms: Alarms,
}

/// Why files do not add up. Nothing was merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeError {
    /// There is no file.
    Nothing,
    /// Two files are of different campaigns, sizes or versions.
    Foreign {
        /// The campaign, version and size of the first file.
        first: String,
        /// Those of the other.
        other: String,
    },
    /// Two files have run some of the same cases, without one being the other's beginning.
    Overlap {
        /// The ranges.
        ranges: [Range<u64>; 2],
    },
}

impl std::fmt::Display for MergeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("no shard files: give the folders that `run --out` wrote"),
            Self::Foreign { first, other } => {
                write!(f, "{other} does not belong to {first}: merge each campaign by itself")
            }
            Self::Overlap { ranges: [first, other] } => write!(
                f,
                "two shards have run some of the same cases, {first:?} and {other:?}: use one number of shards"
            ),
        }
    }
}

impl std::error::Error for MergeError {}

/// Adds shard files up. Of files about the same shard the one that has come furthest counts.
///
/// # Errors
/// [`MergeError`] if they are not of one campaign.
pub fn merge(files: impl IntoIterator<Item = ShardFile>) -> Result<Merged, MergeError> {
    let mut shards: BTreeMap<Shard, ShardFile> = BTreeMap::new();
    let mut duplicates = 0;
    let mut alarms = Alarms::default();
    for file in files {
        if let Some(first) = shards.values().next()
            && !first.is_of(&file)
        {
            let name = |file: &ShardFile| {
                format!(
                    "campaign {:?} of {} cases, version {}",
                    file.campaign, file.total, file.version
                )
            };
            return Err(MergeError::Foreign { first: name(first), other: name(&file) });
        }
        // Those of a copy too, whichever of the two counts.
        alarms.add_of(&file.name(), &file.alarms);
        match shards.get_mut(&file.shard) {
            Some(known) => {
                duplicates += 1;
                if file.next > known.next {
                    *known = file;
                }
            }
            None => {
                shards.insert(file.shard, file);
            }
        }
    }
    let mut files: Vec<ShardFile> = shards.into_values().collect();
    files.sort_by_key(|file| file.done().start);
    let total = files.first().ok_or(MergeError::Nothing)?.total;
    let mut merged =
        Merged { report: CampaignReport::default(), total, gaps: Vec::new(), duplicates, alarms };
    let mut reached = 0;
    let mut covered = 0_u64;
    let mut before = 0..0;
    for file in files {
        let done = file.done();
        if done.start < reached {
            return Err(MergeError::Overlap { ranges: [before, done] });
        }
        if done.start > reached {
            merged.gaps.push(reached..done.start);
        }
        reached = done.end;
        covered += done.end.saturating_sub(done.start);
        before = done;
        merged.alarms.add(file.own_alarms());
        merged.report.add(file.report);
    }
    merged.alarms.add(merged.report.alarms(Standard));
    merged.alarms.count([("the sum of all shards", merged.report.cases, covered)]);
    if reached < total {
        merged.gaps.push(reached..total);
    }
    Ok(merged)
}

/// The hash of everything that a run has shown.
#[must_use]
pub fn digest(verdict: &Verdict) -> u64 {
    let mut digest = Digest::default();
    for line in &verdict.trace {
        digest = digest
            .with(&line.at.as_nanos().to_le_bytes())
            .with(&line.event.to_bytes())
            .with(&line.step.state.to_bytes());
        line.step.for_each(|action| digest = digest.with(&[action_byte(action)]));
    }
    digest.with(verdict.violated.map_or("", crate::oracle::Property::name).as_bytes()).0
}

const fn action_byte(action: monitor_core::Action) -> u8 {
    use monitor_core::Action;
    match action {
        Action::Persist(_) => 0,
        Action::Spawn { .. } => 1,
        Action::Signal { signal, .. } => 64 + signal.number(),
        Action::Release { .. } => 2,
        Action::Disarm { .. } => 3,
        Action::Arm { .. } => 4,
        Action::Shorten { .. } => 5,
        Action::Emit(_) => 6,
        Action::Lengthen { .. } => 7,
    }
}

/// FNV-1a, 64 bits, finished by [`mix`]: the same on every machine and in every release.
#[derive(Clone, Copy, Debug)]
struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    fn with(self, bytes: &[u8]) -> Self {
        let step =
            |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Self(bytes.iter().fold(self.0, step))
    }
}

/// The finaliser of `SplitMix64`: spreads every bit over all of them.
const fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use monitor_os::Core;

    use super::*;
    use crate::bank::Bug;

    #[test]
    fn shards_cover_everything_once() {
        for (total, count) in [(10, 3), (7, 7), (5, 8), (1_000_003, 64)] {
            let mut next = 0;
            for index in 0..count {
                let range = Shard { index, count }.range(total);
                assert_eq!(range.start, next);
                next = range.end;
            }
            assert_eq!(next, total);
        }
    }

    fn shard_file(index: u64, count: u64) -> ShardFile {
        let plan = Plan::new("test");
        let shard = Shard { index, count };
        let mut file = ShardFile::new(&plan, shard, 300);
        file.report = plan.run(shard.range(300), Core);
        file.next = shard.range(300).end;
        let found = |canary: Canary| (canary.name().to_owned(), "found".to_owned());
        file.canaries = Canary::CAMPAIGN.map(found).into();
        file
    }

    #[test]
    fn shards_merged_in_any_order_equal_one_run() {
        let whole = merge([shard_file(0, 1)]).unwrap();
        let parts = merge([shard_file(2, 3), shard_file(0, 3), shard_file(1, 3)]).unwrap();
        assert_eq!(whole, parts);
        assert_eq!(whole.gaps, []);
        assert_eq!(whole.report.cases, 300);
        assert!(whole.alarms.is_silent(), "{}", whole.alarms);
    }

    #[test]
    fn a_copy_counts_once_and_a_missing_shard_is_named() {
        let merged = merge([shard_file(0, 3), shard_file(2, 3), shard_file(0, 3)]).unwrap();
        assert_eq!(merged.duplicates, 1);
        assert_eq!(merged.gaps, vec![Range { start: 100, end: 200 }]);
        assert_eq!(merged.report.cases, 200);
    }

    #[test]
    fn alarms_of_a_shard_ring_in_the_sum_and_numbers_are_held_against_its_range() {
        let rung = |spoil: fn(&mut ShardFile)| {
            let mut spoilt = shard_file(1, 3);
            spoil(&mut spoilt);
            merge([shard_file(0, 3), spoilt, shard_file(2, 3)]).unwrap().alarms
        };
        assert_eq!(rung(|_| ()).to_string(), "");
        for alarm in Alarm::ALL {
            let mut file = shard_file(1, 3);
            file.alarms.ring(alarm, "it");
            let text = serde_json::to_string(&file).unwrap();
            assert_eq!(serde_json::from_str::<ShardFile>(&text).unwrap(), file);
            let said = merge([shard_file(0, 3), file]).unwrap().alarms.to_string();
            assert!(said.contains(&format!("ALARM {alarm}: ")), "{said}");
            assert!(said.contains("shard 1/3: it"), "{said}");
            let mut copy = ShardFile { next: 100, ..shard_file(1, 3) };
            copy.alarms.ring(alarm, "it");
            let merged = merge([shard_file(1, 3), copy]).unwrap();
            assert!(merged.alarms.rings(alarm), "{alarm} of a copy");
        }
        assert!(rung(|file| file.report.cases = 99).rings(Alarm::CasesMissing));
        assert!(rung(|file| file.report = CampaignReport::default()).rings(Alarm::CasesMissing));
        // A shard that was interrupted before its first block is a gap, and no alarm of its own.
        let idle = |index| ShardFile {
            next: Shard { index, count: 3 }.range(300).start,
            report: CampaignReport::default(),
            ..shard_file(index, 3)
        };
        let merged = merge([shard_file(0, 3), idle(1), shard_file(2, 3)]).unwrap();
        assert_eq!(
            (merged.alarms.to_string(), merged.gaps),
            (String::new(), vec![Range { start: 100, end: 200 }])
        );
        // But where no shard has run a case, nothing was checked.
        let merged = merge([idle(0), idle(1), idle(2)]).unwrap();
        assert!(merged.alarms.rings(Alarm::CasesMissing), "{}", merged.alarms);
    }

    #[test]
    fn strangers_are_refused() {
        let stranger = ShardFile { campaign: "other".to_owned(), ..shard_file(1, 3) };
        assert!(matches!(merge([shard_file(0, 3), stranger]), Err(MergeError::Foreign { .. })));
        assert!(matches!(
            merge([shard_file(0, 3), shard_file(0, 2)]),
            Err(MergeError::Overlap { .. })
        ));
        assert_eq!(merge([]), Err(MergeError::Nothing));
    }

    #[test]
    fn failures_are_kept_shrunk_and_the_shortest_first() {
        let bug: Bug = "BB-36b".parse().unwrap();
        let report = Plan::new("canary").run(0..400, bug);
        let kept = &report.failures["stops-compose"];
        assert!(kept.len() <= KEPT && kept.is_sorted());
        assert!(kept[0].case.parse::<Case>().is_ok());
        assert_eq!(kept[0].aim.as_deref(), Plan::race(kept[0].index).map(Race::name), "{kept:?}");
    }
}
