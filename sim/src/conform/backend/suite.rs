//! Runs the scenarios on a backend.

use std::io;

use monitor_core::Millis;
use monitor_os::Kernel;

use super::finding::{BackendVerdict, ScenarioVerdict};
use super::scenario::Scenario;
use super::scenarios::scenarios;
use super::session::{self, Play};
use super::setup::BackendSetup;

/// Runs all scenarios, one after another, each on a backend that `make` makes.
///
/// # Errors
/// No temporary folder can be made, or `/proc` cannot be read.
pub fn check<K: Kernel>(
    make: impl Fn(&BackendSetup) -> K + Clone + Send + 'static,
) -> io::Result<BackendVerdict> {
    let mut verdict = BackendVerdict::default();
    for scenario in scenarios() {
        verdict.scenarios.push(check_scenario(&scenario, make.clone())?);
    }
    Ok(verdict)
}

/// Runs one scenario on the backend that `make` makes.
///
/// No other scenario may run at the same time in this process. A backend that hangs keeps its
/// thread.
///
/// # Errors
/// No temporary folder can be made, or `/proc` cannot be read.
pub fn check_scenario<K: Kernel>(
    scenario: &Scenario,
    make: impl FnOnce(&BackendSetup) -> K + Send + 'static,
) -> io::Result<ScenarioVerdict> {
    session::play(scenario, Play { patience: PATIENCE, wanted: None }, make)
}

/// How long each answer is awaited.
const PATIENCE: Millis = Millis::from_secs(30);
