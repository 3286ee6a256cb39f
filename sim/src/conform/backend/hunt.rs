//! Hunts a planted bug: the suite must find it.

use std::io;

use monitor_core::Millis;
use monitor_os::Kernel;

use super::finding::Finding;
use super::mutant::Mutant;
use super::mutated::Mutated;
use super::scenario::Scenario;
use super::scenarios::scenarios;
use super::session::{self, Play};
use super::setup::BackendSetup;

/// The result of a hunt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HuntResult {
    /// The suite finds the bug: this finding names the rule that the bug breaks.
    Found(Finding),
    /// The suite is blind for the bug on this backend.
    Missed,
    /// The backend has no part in which the bug could be, for this reason.
    Skipped(&'static str),
}

/// Plants a bug in the backend that `make` makes, and hunts it with its scenario, up to three times.
///
/// # Errors
/// No temporary folder can be made, or `/proc` cannot be read.
pub fn hunt<K: Kernel>(
    mutant: &Mutant,
    make: impl Fn(&BackendSetup) -> K + Clone + Send + 'static,
) -> io::Result<HuntResult> {
    let kind = mutant.kind;
    let play = Play { patience: PATIENCE, wanted: Some(mutant.rule()) };
    let aimed = |scenario: &Scenario| scenario.id() == mutant.scenario;
    for scenario in scenarios().into_iter().filter(aimed).cycle().take(TRIES) {
        let make = make.clone();
        let make = move |setup: &BackendSetup| Mutated::new(make(setup), kind);
        let verdict = session::play(&scenario, play, make)?;
        let found = verdict.findings.into_iter().find(|finding| finding.rule == mutant.rule());
        if let Some(finding) = found {
            return Ok(HuntResult::Found(finding));
        }
        if let Some(reason) = verdict.skipped {
            return Ok(HuntResult::Skipped(reason));
        }
    }
    Ok(HuntResult::Missed)
}

/// How often a bug is hunted: on a busy machine a process may be too late to show it.
const TRIES: usize = 3;

/// How long an answer is awaited that the mutant does not give.
const PATIENCE: Millis = Millis::from_secs(3);
