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

/// Plants a bug in the backend that `make` makes, and returns the finding that names the rule which
/// the bug breaks.
///
/// `None` says that the suite is blind for this bug on this backend.
///
/// # Errors
/// No temporary folder can be made, or `/proc` cannot be read.
pub fn hunt<K: Kernel>(
    mutant: &Mutant,
    make: impl Fn(&BackendSetup) -> K + Clone + Send + 'static,
) -> io::Result<Option<Finding>> {
    let kind = mutant.kind;
    let aimed = |scenario: &Scenario| scenario.id() == mutant.scenario;
    for scenario in scenarios().into_iter().filter(aimed) {
        let make = make.clone();
        let make = move |setup: &BackendSetup| Mutated::new(make(setup), kind);
        let play = Play { patience: PATIENCE, wanted: Some(mutant.rule()) };
        let verdict = session::play(&scenario, play, make)?;
        let found = verdict.findings.into_iter().find(|finding| finding.rule == mutant.rule());
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// How long an answer is awaited that the mutant does not give.
const PATIENCE: Millis = Millis::from_secs(3);
