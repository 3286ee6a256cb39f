//! One part of a campaign, and the file of its report.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use monitor_core::whole_number;
use serde::{Deserialize, Serialize};

use super::alarm::{Alarm, Alarms};
use super::campaign::{CampaignReport, DOUBLED_EVERY, Plan};
use super::canary::{self, Canary};
use super::harness::Harness;

/// The file of one shard: its progress and its report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardFile {
    /// The version of the crate that ran it: cases are the same only within one.
    pub version: String,
    /// The campaign's name.
    pub campaign: String,
    /// The shard.
    pub shard: Shard,
    /// The number of cases of the whole campaign.
    pub total: u64,
    /// The next index. All cases of the shard before it are in the report.
    pub next: u64,
    /// The results of the cases.
    pub report: CampaignReport,
    /// The finding of each canary by its name: the proof that it ran.
    pub canaries: BTreeMap<String, String>,
    /// The raised alarms: a check of the harness is blind.
    pub alarms: Alarms,
}

impl ShardFile {
    /// Makes the file of a shard that has not begun.
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

    /// Returns the alarms of this shard alone: those on record, and those that its numbers raise.
    /// The coverage is left to the sum of all shards.
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
            alarms.raise(Alarm::SecondRunSkipped, detail);
        }
        alarms
    }

    /// Returns all alarms of this shard, with those of its coverage.
    #[must_use]
    pub fn all_alarms(&self, harness: impl Harness) -> Alarms {
        let mut alarms = self.own_alarms();
        alarms.add(self.report.alarms(harness));
        alarms
    }

    pub(super) fn name(&self) -> String {
        format!("shard {}/{}", self.shard.index, self.shard.count)
    }

    /// Returns whether `next` lies within the shard, and the shard within the campaign.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let Shard { index, count } = self.shard;
        index < count && {
            let Range { start, end } = self.shard.range(self.total);
            (start..=end).contains(&self.next)
        }
    }

    /// Returns whether every case of the shard was run.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.next == self.shard.range(self.total).end
    }

    /// Returns the indices that are in the report.
    #[must_use]
    pub fn done(&self) -> Range<u64> {
        self.shard.range(self.total).start..self.next
    }

    /// Returns whether two files are about one set of cases, so that they may be merged or resumed.
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
    /// The part, from 0.
    pub index: u64,
    /// The number of parts.
    pub count: u64,
}

impl Shard {
    /// The whole.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Returns the indices of the part, of `total`. Parts are disjoint and cover everything.
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
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let (index, count) = text.split_once('/').unwrap_or((text, ""));
        match (whole_number(index), whole_number(count)) {
            (Some(index), Some(count)) if index < count => Ok(Self { index, count }),
            _ => Err(ShardError { text: text.to_owned() }),
        }
    }
}

/// A text that is no shard.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardError {
    /// The text.
    pub text: String,
}

impl fmt::Display for ShardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no shard: write K/N with K from 0 to N-1, such as 0/4", self.text)
    }
}

/// Prints as `Display` does, so that `unwrap` shows the text.
impl fmt::Debug for ShardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ShardError {}
