//! The canaries: for each check of the harness a bug that only this check finds.

use std::collections::BTreeMap;
use std::fmt;

use super::alarm::{Alarm, Alarms};

/// A check of the harness, with an injected bug that only this check finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Canary {
    /// Wrong answers to inputs that only a working chooser draws.
    Choosers,
    /// Bugs of a backend that only an injected fault shows.
    Faults,
    /// A wrong answer in a case that is much longer than it must be.
    Shrinker,
    /// A machine whose second run differs in a way that no oracle sees.
    SecondRun,
    /// A stop that loses its timer, and a process that is never reaped: no step is wrong.
    End,
    /// A wrong answer that no oracle sees.
    Reference,
    /// Many cases that met nothing.
    Coverage,
    /// A panic.
    Panics,
    /// A wrong step that is reachable.
    Search,
    /// A stop that loses its timer, in the exhaustive search.
    Liveness,
    /// A record with a wrong command in it.
    Replay,
    /// A case with a wrong expectation.
    Expectations,
}

impl Canary {
    /// The canaries of every campaign.
    pub const CAMPAIGN: [Self; 8] = [
        Self::Choosers,
        Self::Faults,
        Self::Shrinker,
        Self::SecondRun,
        Self::End,
        Self::Reference,
        Self::Coverage,
        Self::Panics,
    ];

    /// All canaries, for `check`.
    pub const ALL: [Self; 12] = [
        Self::Choosers,
        Self::Faults,
        Self::Shrinker,
        Self::SecondRun,
        Self::End,
        Self::Reference,
        Self::Coverage,
        Self::Panics,
        Self::Search,
        Self::Liveness,
        Self::Replay,
        Self::Expectations,
    ];

    /// Returns the name, as printed and as kept in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Choosers => "choosers",
            Self::Faults => "faults",
            Self::Shrinker => "shrinker",
            Self::SecondRun => "second-run",
            Self::End => "end",
            Self::Reference => "reference",
            Self::Coverage => "coverage",
            Self::Panics => "panics",
            Self::Search => "search",
            Self::Liveness => "liveness",
            Self::Replay => "replay",
            Self::Expectations => "expectations",
        }
    }

    /// Returns the alarm that is raised if its bug is not found.
    #[must_use]
    pub const fn alarm(self) -> Alarm {
        match self {
            Self::Choosers => Alarm::ChoosersDoNotChoose,
            Self::Faults => Alarm::NoFaultInjected,
            Self::Shrinker => Alarm::ShrunkCasePasses,
            Self::SecondRun => Alarm::SecondRunSkipped,
            Self::End => Alarm::EndNotChecked,
            Self::Reference => Alarm::ReferenceAlwaysAgrees,
            Self::Coverage => Alarm::CoverageNotChecked,
            Self::Panics => Alarm::PanicNotCaught,
            Self::Search => Alarm::SearchMissesSteps,
            Self::Liveness => Alarm::LivenessNotChecked,
            Self::Replay => Alarm::ReplayAcceptsAll,
            Self::Expectations => Alarm::ExpectationsAcceptAll,
        }
    }
}

impl fmt::Display for Canary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The findings of canaries, as proof that they ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The findings, by the name of the canary.
    pub found: BTreeMap<String, String>,
    /// The raised alarms.
    pub alarms: Alarms,
}

/// Raises [`Alarm::CanariesOff`] if a proof is missing that each of `canaries` ran. `whose` names
/// the owner of the proof. `known` are alarms that explain a missing proof.
#[must_use]
pub fn missing(
    found: &BTreeMap<String, String>,
    canaries: &[Canary],
    known: &Alarms,
    whose: &str,
) -> Alarms {
    let mut alarms = Alarms::default();
    let silent = canaries.iter().filter(|canary| {
        let is_proved = found.get(canary.name()).is_some_and(|what| !what.is_empty());
        !is_proved && !known.has(canary.alarm())
    });
    let silent: Vec<&str> = silent.map(|canary| canary.name()).collect();
    if !silent.is_empty() {
        let detail = format!("{whose}: nothing was found by {}", silent.join(", "));
        alarms.raise(Alarm::CanariesOff, detail);
    }
    alarms
}

/// A canary that was not found: what is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed(String);

impl From<String> for Missed {
    fn from(missing: String) -> Self {
        Self(missing)
    }
}

impl From<&str> for Missed {
    fn from(missing: &str) -> Self {
        Self(missing.to_owned())
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missed {}
