//! Alarms: a check of the harness is switched off or blind, so that its silence proves nothing.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A fault of the harness itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// The canaries did not run, or find their bugs where none are injected.
    CanariesOff,
    /// The choosers always draw the same.
    ChoosersDoNotChoose,
    /// Nothing goes wrong in the virtual world.
    NoFaultInjected,
    /// A shortened case does not fail as the drawn one does.
    ShrunkCasePasses,
    /// No case is compared with its second run.
    SecondRunSkipped,
    /// What is owed at the end of a case is not demanded.
    EndNotChecked,
    /// The second machine agrees with a wrong answer.
    ReferenceAlwaysAgrees,
    /// Too little was met for the number of cases.
    CoverageBelowFloor,
    /// Nothing is demanded of the coverage.
    CoverageNotChecked,
    /// A panic of the machine ends the search, or is no finding.
    PanicNotCaught,
    /// The exhaustive search misses a wrong step, or has explored too little.
    SearchMissesSteps,
    /// The exhaustive search does not check liveness.
    LivenessNotChecked,
    /// A wrong record is accepted.
    ReplayAcceptsAll,
    /// A wrong expectation is accepted.
    ExpectationsAcceptAll,
    /// Bugs of the bank are gone.
    BankTooSmall,
    /// The number of cases that ran is not the number asked for, or is zero.
    CasesMissing,
}

impl Alarm {
    /// All alarms.
    pub const ALL: [Self; 16] = [
        Self::CanariesOff,
        Self::ChoosersDoNotChoose,
        Self::NoFaultInjected,
        Self::ShrunkCasePasses,
        Self::SecondRunSkipped,
        Self::EndNotChecked,
        Self::ReferenceAlwaysAgrees,
        Self::CoverageBelowFloor,
        Self::CoverageNotChecked,
        Self::PanicNotCaught,
        Self::SearchMissesSteps,
        Self::LivenessNotChecked,
        Self::ReplayAcceptsAll,
        Self::ExpectationsAcceptAll,
        Self::BankTooSmall,
        Self::CasesMissing,
    ];

    /// Returns the printed name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CanariesOff => "canaries-off",
            Self::ChoosersDoNotChoose => "choosers-do-not-choose",
            Self::NoFaultInjected => "no-fault-injected",
            Self::ShrunkCasePasses => "shrunk-case-passes",
            Self::SecondRunSkipped => "second-run-skipped",
            Self::EndNotChecked => "end-not-checked",
            Self::ReferenceAlwaysAgrees => "reference-always-agrees",
            Self::CoverageBelowFloor => "coverage-below-floor",
            Self::CoverageNotChecked => "coverage-not-checked",
            Self::PanicNotCaught => "panic-not-caught",
            Self::SearchMissesSteps => "search-misses-steps",
            Self::LivenessNotChecked => "liveness-not-checked",
            Self::ReplayAcceptsAll => "replay-accepts-all",
            Self::ExpectationsAcceptAll => "expectations-accept-all",
            Self::BankTooSmall => "bank-too-small",
            Self::CasesMissing => "cases-missing",
        }
    }

    /// Returns the blind check and its consequence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::CanariesOff => {
                "the checks of the checks do not work, so any other check may be off unnoticed"
            }
            Self::ChoosersDoNotChoose => {
                "the choosers draw the same again and again, so most orders of events were never tried"
            }
            Self::NoFaultInjected => {
                "faults do not reach the virtual world, so nothing was tried in which something goes wrong"
            }
            Self::ShrunkCasePasses => {
                "a shortened case does not fail as the drawn case does, so the drawn case is shown instead"
            }
            Self::SecondRunSkipped => {
                "second runs are not compared with the first, so nondeterminism would pass"
            }
            Self::EndNotChecked => {
                "the end of a case is not checked, so a stop or a reply that never comes would pass"
            }
            Self::ReferenceAlwaysAgrees => {
                "the second machine agrees with wrong answers, so broken rules would pass"
            }
            Self::CoverageBelowFloor => {
                "the cases met far less than so many cases do, so a silent search proves little"
            }
            Self::CoverageNotChecked => {
                "nothing is demanded of the coverage, so cases that meet nothing would pass"
            }
            Self::PanicNotCaught => {
                "a panic of the machine is no finding, so it would end the search or pass"
            }
            Self::SearchMissesSteps => {
                "the exhaustive search misses states or wrong steps, so they would pass"
            }
            Self::LivenessNotChecked => {
                "the exhaustive search does not check liveness, so a stop without an end would pass"
            }
            Self::ReplayAcceptsAll => {
                "replay accepts a wrong record, so a wrong supervision would pass"
            }
            Self::ExpectationsAcceptAll => {
                "cases are not held against what they expect, so a changed behaviour would pass"
            }
            Self::BankTooSmall => {
                "bugs of the bank are gone, so it is not known that the checks would find them"
            }
            Self::CasesMissing => {
                "the number of cases that ran is not the number asked for, or is zero, so silence proves nothing"
            }
        }
    }

    /// Returns the place to look at.
    #[must_use]
    pub const fn mend(self) -> &'static str {
        match self {
            Self::CanariesOff => {
                "look at sim/src/verification/canary_search.rs and at what calls it"
            }
            Self::ChoosersDoNotChoose => "look at the files of sim/src/generate",
            Self::NoFaultInjected => {
                "look at `inject_faults` in sim/src/generate/faults.rs and at sim/src/world/backend.rs"
            }
            Self::ShrunkCasePasses => "look at sim/src/search/shrink.rs",
            Self::SecondRunSkipped => {
                "look at `is_deterministic` in sim/src/search/harness.rs and its callers"
            }
            Self::EndNotChecked => "look at `check_end` in sim/src/world/end_checks.rs",
            Self::ReferenceAlwaysAgrees => "look at `compare` in sim/src/oracle/comparison.rs",
            Self::CoverageBelowFloor => {
                "look at what draws the cases, or lower the floor in sim/src/search/coverage.rs with its reason"
            }
            Self::CoverageNotChecked => "look at sim/src/search/coverage.rs",
            Self::PanicNotCaught => "look at sim/src/machine/guard.rs and at what calls it",
            Self::SearchMissesSteps => "look at the files of sim/src/model",
            Self::LivenessNotChecked => "look at `question` in sim/src/model/search.rs",
            Self::ReplayAcceptsAll => "look at the files of sim/src/conform/record",
            Self::ExpectationsAcceptAll => "look at `compare` in sim/src/oracle/expectation.rs",
            Self::BankTooSmall => "look at sim/src/bugs/bank.rs",
            Self::CasesMissing => {
                "give cases, time and a sound report; else look at `seeds` in sim/src/generate/seeds.rs and at its callers"
            }
        }
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The raised alarms, each with its detail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarms(BTreeMap<Alarm, String>);

impl Alarms {
    /// Raises an alarm. Of two details of one alarm the smaller one is kept, so that the order of
    /// the calls does not matter.
    pub fn raise(&mut self, alarm: Alarm, detail: impl Into<String>) {
        let detail = detail.into();
        self.0
            .entry(alarm)
            .and_modify(|known| {
                if detail < *known {
                    known.clone_from(&detail);
                }
            })
            .or_insert_with(|| detail.clone());
    }

    /// Raises all alarms of another set.
    pub fn add(&mut self, other: Self) {
        other.0.into_iter().for_each(|(alarm, detail)| self.raise(alarm, detail));
    }

    /// Compares the cases that ran with those that were asked for. Raises [`Alarm::CasesMissing`]
    /// unless each row has run exactly its cases, and at least one.
    ///
    /// A row is its name, the cases that ran, and the cases asked for.
    pub fn count<N: fmt::Display>(&mut self, rows: impl IntoIterator<Item = (N, u64, u64)>) {
        let short = rows.into_iter().filter(|&(_, ran, asked)| ran == 0 || ran != asked);
        let short: Vec<String> = short
            .map(|(row, ran, asked)| format!("{row}: {ran} cases ran, and {asked} were asked for"))
            .collect();
        if !short.is_empty() {
            self.raise(Alarm::CasesMissing, short.join("; "));
        }
    }

    /// Returns whether no alarm was raised.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether an alarm was raised.
    #[must_use]
    pub fn has(&self, alarm: Alarm) -> bool {
        self.0.contains_key(&alarm)
    }

    /// Returns the raised alarms, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Alarm> + '_ {
        self.0.keys().copied()
    }

    /// Raises all alarms of another set, each with the name of its subject.
    pub fn add_of(&mut self, whose: &str, other: &Self) {
        for (&alarm, detail) in &other.0 {
            let is_named = detail.starts_with(whose);
            self.raise(alarm, if is_named { detail.clone() } else { format!("{whose}: {detail}") });
        }
    }

    /// Returns the raised alarms by name, each with its meaning and its detail, for reports.
    #[must_use]
    pub fn texts(&self) -> BTreeMap<String, String> {
        let text = |alarm: &Alarm, detail: &String| format!("{}{SEEN}{detail}", alarm.meaning());
        self.0
            .iter()
            .map(|(alarm, detail)| (alarm.name().to_owned(), text(alarm, detail)))
            .collect()
    }
}

/// What stands between the meaning of an alarm and what was seen, in reports.
const SEEN: &str = "; seen: ";

/// Writes [`Alarms::texts`].
impl Serialize for Alarms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.texts().serialize(serializer)
    }
}

/// Reads the written form. An unknown name is an error, so that no alarm is lost.
impl<'de> Deserialize<'de> for Alarms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut alarms = Self::default();
        for (name, text) in BTreeMap::<String, String>::deserialize(deserializer)? {
            let alarm = Alarm::ALL.into_iter().find(|alarm| alarm.name() == name);
            let alarm = alarm.ok_or_else(|| D::Error::custom(format!("{name:?} is no alarm")))?;
            let known = text.strip_prefix(alarm.meaning()).and_then(|rest| rest.strip_prefix(SEEN));
            alarms.raise(alarm, known.unwrap_or(&text));
        }
        Ok(alarms)
    }
}

/// Prints three lines for each raised alarm: its name and meaning, its detail, and the place to
/// look at.
impl fmt::Display for Alarms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (alarm, detail) in &self.0 {
            writeln!(f, "ALARM {alarm}: {}", alarm.meaning())?;
            writeln!(f, "  seen    {detail}")?;
            writeln!(f, "  mend    {}", alarm.mend())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_in_which_alarms_ring_does_not_matter() {
        let rung = |details: [&str; 2]| {
            let mut alarms = Alarms::default();
            details.iter().for_each(|&detail| alarms.raise(Alarm::EndNotChecked, detail));
            alarms
        };
        assert_eq!(rung(["a", "b"]), rung(["b", "a"]));
        assert!(!rung(["a", "b"]).is_empty() && Alarms::default().is_empty());
    }

    #[test]
    fn what_ran_is_held_against_what_was_asked_for() {
        let counted = |rows: &[(&str, u64, u64)]| {
            let mut alarms = Alarms::default();
            alarms.count(rows.iter().copied());
            alarms
        };
        assert!(counted(&[("a", 3, 3), ("b", 1, 1)]).is_empty());
        for (ran, asked) in [(0, 0), (0, 1), (2, 3), (4, 3)] {
            let alarms = counted(&[("a", 3, 3), ("b", ran, asked)]);
            assert!(alarms.has(Alarm::CasesMissing), "{ran} of {asked}");
            assert!(alarms.to_string().contains("b: "), "{alarms}");
            assert!(!alarms.to_string().contains("a: 3"), "{alarms}");
        }
    }

    #[test]
    fn names_are_unique_and_sentences_short() {
        let mut names = Alarm::ALL.map(Alarm::name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        for alarm in Alarm::ALL {
            assert!(alarm.meaning().split_whitespace().count() <= 25, "{alarm}");
        }
    }
}
