//! The verdict on a backend.

use std::fmt;

/// A rule of the page `CONTRACT` of `monitor-core`, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule(u8);

impl Rule {
    pub(super) const ANSWERED_BY_EVENT: Self = Self(3);
    pub(super) const MOMENTS: Self = Self(4);
    pub(super) const FACTS: Self = Self(5);
    pub(super) const ORDER: Self = Self(6);
    pub(super) const JITTER: Self = Self(9);
    pub(super) const DEADLINES: Self = Self(11);
    pub(super) const SIGNALS: Self = Self(14);
    pub(super) const SPAWNS: Self = Self(15);
    pub(super) const RELEASES: Self = Self(17);
    pub(super) const RELEASED_ONCE: Self = Self(18);
    pub(super) const ONE_RUN: Self = Self(20);
    pub(super) const SAVES: Self = Self(25);
    pub(super) const REQUESTS: Self = Self(27);

    /// The number after the `C`.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// Prints `C14`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "C{}", self.0)
    }
}

/// A difference between a backend and the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The id of the scenario.
    pub scenario: &'static str,
    /// The rule that does not hold.
    pub rule: Rule,
    /// The behaviour that the rule demands.
    pub expected: String,
    /// The behaviour of the backend.
    pub seen: String,
}

/// Prints three lines: the rule with its scenario, what was expected, and what was seen.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, rule, expected, seen } = self;
        writeln!(f, "FAIL {rule} in {scenario}")?;
        writeln!(f, "  expected  {expected}")?;
        write!(f, "  seen      {seen}")
    }
}

impl std::error::Error for Finding {}

/// The verdict on one scenario.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScenarioVerdict {
    /// The id of the scenario.
    pub scenario: &'static str,
    /// The differences, in the order in which they were seen.
    pub findings: Vec<Finding>,
    /// Why the scenario proves nothing on this backend, if it does not.
    pub skipped: Option<&'static str>,
}

/// Prints the findings, or one line without any.
impl fmt::Display for ScenarioVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.findings.split_last(), self.skipped) {
            (Some((last, others)), _) => {
                others.iter().try_for_each(|finding| writeln!(f, "{finding}"))?;
                last.fmt(f)
            }
            (None, Some(reason)) => write!(f, "skipped {}: {reason}", self.scenario),
            (None, None) => write!(f, "ok {}", self.scenario),
        }
    }
}

/// The verdict on a backend: one for each scenario.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct BackendVerdict {
    /// The verdicts, in the order of the scenarios.
    pub scenarios: Vec<ScenarioVerdict>,
}

impl BackendVerdict {
    /// All findings, in the order of the scenarios.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.scenarios.iter().flat_map(|verdict| &verdict.findings)
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings().next().is_none()
    }
}

/// Prints a line or a finding for each scenario.
impl fmt::Display for BackendVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.scenarios.iter().try_for_each(|verdict| writeln!(f, "{verdict}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_names_rule_and_scenario() {
        let finding = Finding {
            scenario: "stop-in-grace",
            rule: Rule::SIGNALS,
            expected: "TERM reaches run #1".into(),
            seen: "nothing".into(),
        };
        let failed =
            ScenarioVerdict { scenario: "stop-in-grace", findings: vec![finding], skipped: None };
        let passed = ScenarioVerdict { scenario: "restart", findings: Vec::new(), skipped: None };
        let verdict = BackendVerdict { scenarios: vec![failed, passed] };
        assert!(!verdict.is_clean());
        assert_eq!(
            verdict.to_string(),
            "FAIL C14 in stop-in-grace\n  expected  TERM reaches run #1\n  seen      nothing\n\
             ok restart\n"
        );
    }
}
