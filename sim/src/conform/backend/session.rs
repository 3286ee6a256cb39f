//! Plays a scenario on a backend, in a thread of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{env, io, panic, thread};

use monitor_core::{Millis, Policy, State};
use monitor_os::{Driver, DriverInput, Kernel, UnitId, now};
use tempfile::TempDir;

use super::finding::{Finding, Rule, ScenarioVerdict};
use super::scenario::{Scenario, UnitScript};
use super::setup::{BackendSetup, UnitProgram};
use super::tap::Tap;
use super::watch::{UnitWatch, Watch};
use crate::case::definition::Case;
use crate::case::script::Script;
use crate::real::child_record::inherited_descriptors;
use crate::real::scan::Leftovers;
use crate::real::scripted_child::ScriptedChild;

/// How a scenario is played.
#[derive(Clone, Copy, Debug)]
pub(super) struct Play {
    /// How long each answer is awaited.
    pub(super) patience: Millis,
    /// The rule whose first finding ends the scenario.
    pub(super) wanted: Option<Rule>,
}

/// Plays a scenario on the backend that `make` makes.
///
/// # Errors
/// No temporary folder can be made, or `/proc` cannot be read.
pub(super) fn play<K: Kernel>(
    scenario: &Scenario,
    Play { patience, wanted }: Play,
    make: impl FnOnce(&BackendSetup) -> K + Send + 'static,
) -> io::Result<ScenarioVerdict> {
    let folder = TempDir::with_prefix("monitor-sim-backend-")?;
    let before = Leftovers::find(folder.path())?;
    let (setup, units, mut watch) = set_up(scenario, folder.path())?;
    watch.wanted = wanted;
    let (acts, twice) = (scenario.acts.clone(), scenario.releases_twice);
    let (sender, receiver) = mpsc::channel();
    let session = thread::Builder::new().name(scenario.id().into()).spawn(move || {
        let mut tap = Tap::new(make(&setup), &mut watch, acts, twice, patience);
        tap.add(units);
        Driver::new().run(&mut tap);
        drop(tap);
        sender.send(watch).ok();
    })?;
    let mut verdict =
        ScenarioVerdict { scenario: scenario.id(), findings: Vec::new(), skipped: None };
    match receiver
        .recv_timeout(Duration::from_millis(u64::from(patience.as_u32()) * 4) + SESSION_EXTRA)
    {
        Ok(mut watch) => {
            if !watch.is_found() {
                watch.check_processes();
                watch.check_strangers(&Leftovers::find(folder.path())?.children);
            }
            if !watch.is_found() {
                check_zombies(&mut watch, folder.path(), before.zombies)?;
            }
            let mut children = watch.units.iter().flat_map(|unit| &unit.children);
            if scenario.needs_notify && !children.any(|child| child.is_ready) {
                verdict.skipped = Some("the backend gives its programs no NOTIFY_SOCKET");
            }
            verdict.findings = watch.findings;
        }
        Err(RecvTimeoutError::Timeout) => verdict.findings.push(Finding {
            scenario: scenario.id(),
            rule: Rule::DEADLINES,
            expected: "each call returns, and a wait at the latest at its deadline".into(),
            seen: "a call that does not return".into(),
        }),
        Err(RecvTimeoutError::Disconnected) => {
            if let Err(panic) = session.join() {
                end_leftovers(folder.path())?;
                panic::resume_unwind(panic);
            }
        }
    }
    end_leftovers(folder.path())?;
    Ok(verdict)
}

/// Makes the programs of a scenario, its units for a driver, and what watches them.
fn set_up(
    scenario: &Scenario,
    folder: &Path,
) -> io::Result<(BackendSetup, Vec<DriverInput>, Watch)> {
    let mut units = Vec::new();
    let (mut programs, mut watches) = (Vec::new(), Vec::new());
    for (number, script) in scenario.units.iter().enumerate() {
        let unit = UnitId::new(number as u32);
        let policy: Policy = script.policy.parse().map_err(io::Error::other)?;
        units.push(DriverInput::UnitAdded(unit, Arc::new(policy), State::INITIAL));
        let record = folder.join(format!("{number}.record"));
        let child = ScriptedChild::write(folder, &number.to_string(), &case(script, policy)?, 0)?
            .with_record(record.clone());
        let path = if script.is_missing { folder.join("missing") } else { env::current_exe()? };
        let arguments = child.arguments().map(PathBuf::into_os_string).collect();
        programs.push(UnitProgram::new(unit, path, arguments));
        watches.push(UnitWatch::new(&record, script.is_missing));
    }
    let watch = Watch {
        scenario: scenario.id(),
        units: watches,
        findings: Vec::new(),
        wanted: None,
        inherited: inherited_descriptors()?,
    };
    Ok((BackendSetup::new(programs), units, watch))
}

/// The case whose scripts the children of a unit follow.
fn case(unit: &UnitScript, policy: Policy) -> io::Result<Case> {
    let scripts: Result<Vec<Script>, _> = unit.scripts.iter().map(|text| text.parse()).collect();
    Ok(Case { scripts: scripts.map_err(io::Error::other)?, ..Case::new(policy) })
}

/// Checks that every child of this process is reaped: those that an answer did not wait for, too.
fn check_zombies(watch: &mut Watch, folder: &Path, before: usize) -> io::Result<()> {
    let end = now().after(ZOMBIES_MAX);
    loop {
        let zombies = Leftovers::find(folder)?.zombies;
        if zombies <= before {
            return Ok(());
        }
        if now() >= end {
            let seen = format!("{} zombies", zombies - before);
            watch.find(Rule::RELEASES, "each child of this process is reaped at the end", seen);
            return Ok(());
        }
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// Kills what is left of a scenario, and waits until it is dead.
fn end_leftovers(folder: &Path) -> io::Result<()> {
    let end = now().after(ZOMBIES_MAX);
    loop {
        let left = Leftovers::find(folder)?;
        if left.children.is_empty() || now() >= end {
            return Ok(());
        }
        left.end(folder);
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// How much longer than its waits a scenario may take.
const SESSION_EXTRA: Duration = Duration::from_secs(30);

/// How long a dead process may stay.
const ZOMBIES_MAX: Millis = Millis::from_secs(5);
