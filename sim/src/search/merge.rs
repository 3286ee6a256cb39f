//! Adds the files of shards up.

use std::collections::BTreeMap;
use std::ops::Range;

use super::alarm::Alarms;
use super::campaign::CampaignReport;
use super::harness::Standard;
use super::shard::{Shard, ShardFile};

/// The sum of several shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The sum.
    pub report: CampaignReport,
    /// The number of cases of the campaign.
    pub total: u64,
    /// Indices that no shard has run.
    pub gaps: Vec<Range<u64>>,
    /// The number of files that are copies of others.
    pub duplicates: usize,
    /// The alarms of all shards, and of the sum.
    pub alarms: Alarms,
}

/// An error in files that are to be merged.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MergeError {
    /// No file was given.
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

/// Prints as `Display` does, so that `unwrap` shows the text.
impl std::fmt::Debug for MergeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for MergeError {}

/// Adds shard files up. Of several files of one shard, the most advanced one counts.
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
        // If a shard has two files, the alarms of both count.
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

#[cfg(test)]
mod tests {
    use monitor_os::Core;

    use super::*;
    use crate::bugs::bug::Bug;
    use crate::case::definition::Case;
    use crate::search::alarm::Alarm;
    use crate::search::campaign::{KEPT, Plan};
    use crate::search::canary::Canary;

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
        assert!(whole.alarms.is_empty(), "{}", whole.alarms);
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
            file.alarms.raise(alarm, "it");
            let text = serde_json::to_string(&file).unwrap();
            assert_eq!(serde_json::from_str::<ShardFile>(&text).unwrap(), file);
            let said = merge([shard_file(0, 3), file]).unwrap().alarms.to_string();
            assert!(said.contains(&format!("ALARM {alarm}: ")), "{said}");
            assert!(said.contains("shard 1/3: it"), "{said}");
            let mut copy = ShardFile { next: 100, ..shard_file(1, 3) };
            copy.alarms.raise(alarm, "it");
            let merged = merge([shard_file(1, 3), copy]).unwrap();
            assert!(merged.alarms.has(alarm), "{alarm} of a copy");
        }
        assert!(rung(|file| file.report.cases = 99).has(Alarm::CasesMissing));
        assert!(rung(|file| file.report = CampaignReport::default()).has(Alarm::CasesMissing));
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
        assert!(merged.alarms.has(Alarm::CasesMissing), "{}", merged.alarms);
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
        let aims = kept.iter().filter_map(|note| Some((note, Plan::race(note.index)?)));
        assert!(aims.clone().count() > 0, "{kept:?}");
        assert!(
            aims.clone().all(|(note, race)| note.aim.as_deref() == Some(race.name())),
            "{kept:?}"
        );
    }
}
