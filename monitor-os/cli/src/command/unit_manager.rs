//! The units of `monitor up`, and the files that they come from.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;

use monitor_core::{Origin, StopMode};
use monitor_os::{StateDir, Supervisor, stored_units, trim_memory};

use super::check_config::print_errors;
use super::signal_actions::SignalAction;
use crate::config::config_error::ConfigError;
use crate::config::file::{ReadPhase, ResolvedUnit, read_all};
use crate::config::opened_streams::{Opened, StreamsError};
use crate::config::options::UnitOptions;
use crate::config::spec::Spec;
use crate::report::unit_mode::UnitMode;
use crate::units::{UnitEntry, Units};
use crate::view::diagnostics::say;

/// The units, and where they come from.
#[derive(Debug)]
pub(super) struct UnitManager {
    pub(super) path: PathBuf,
    pub(super) directory: StateDir,
    pub(super) supervisor: Supervisor,
    pub(super) units: Units,
    /// Whether a stop of the monitor was requested.
    pub(super) ending: AtomicBool,
}

impl UnitManager {
    /// Adds all units, and stops the units of an earlier monitor that are gone from the files.
    ///
    /// # Errors
    /// A journal or a stream cannot be opened. Nothing was started; adopted units stop with the
    /// supervisor.
    pub(super) fn add_all(
        &self,
        units: Vec<(String, Spec)>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        // All journals are read before any unit is changed.
        let left = stored_units(self.directory.path())?;
        let wanted: BTreeSet<_> = units.iter().map(|(name, _)| name.clone()).collect();
        for (name, spec) in units {
            self.add(&name, spec).map_err(|error| format!("{name}: {error}"))?;
        }
        for gone in left.into_iter().filter(|left| !wanted.contains(&left.unit)) {
            if gone.state.phase().is_down() && gone.pid.is_none() {
                self.directory.forget(&gone.unit)?;
                continue;
            }
            // The adopted run is stopped, and no other run follows.
            let spec = Spec::new(&UnitOptions::default(), vec!["true".into()], UnitMode::Many)?;
            self.add(&gone.unit, spec)?;
            self.stop_removed(&gone.unit);
        }
        Ok(())
    }

    /// Adds a unit, which does not start yet.
    ///
    /// # Errors
    /// Its journal or one of its streams cannot be opened; nothing is added.
    fn add(&self, name: &str, spec: Spec) -> Result<(), Box<dyn std::error::Error>> {
        let Spec { command, policy, on_crash, streams } = spec;
        let (opened, Opened { ring, echoed, .. }) =
            streams.open(command.clone(), None, Some(name))?;
        let policy = self.units.shared_policy(policy);
        let kept = Arc::clone(&policy);
        let unit = self.supervisor.restore(&self.directory, on_crash, name, opened, kept)?;
        let configured = true;
        self.units.insert(UnitEntry { unit, command, policy, streams, ring, echoed, configured });
        Ok(())
    }

    /// Stops a unit that is gone from the files.
    fn stop_removed(&self, name: &str) {
        if let Some(entry) = self.units.get(name) {
            self.units.insert(UnitEntry { configured: false, ..UnitEntry::clone(&entry) });
            // The answer comes with the events.
            drop(entry.unit.stop());
        }
    }

    /// Forgets a unit that is down and gone from the files.
    pub(super) fn forget_removed(&self, name: &str) {
        self.units.if_removed(name, || {
            if let Err(error) = self.directory.forget(name) {
                say(&format_args!("monitor: {name}: {error}"));
            }
        });
    }

    /// Carries out the action of a signal to the monitor. It never waits: another thread reads
    /// files, because a disk may hang.
    pub(super) fn apply(&self, action: SignalAction, reload: &SyncSender<()>) {
        match action {
            SignalAction::Reload => {
                reload.try_send(()).ok();
                return;
            }
            // There is no single command to forward it to.
            SignalAction::Forward(_) => return,
            SignalAction::Stop => {}
            SignalAction::Kill => {
                for unit in self.units.visible() {
                    drop(unit.stop_with(StopMode::Kill, Origin::Shutdown));
                }
            }
        }
        self.ending.store(true, Ordering::SeqCst);
        // The request is made by the call, and the end comes with the events.
        drop(self.supervisor.shutdown());
    }

    /// Reads the files again and changes the units, unless there is an error in a file.
    pub(super) fn reload(&self) {
        let units = match read(&self.path, ReadPhase::Again) {
            Ok(units) => units,
            Err(errors) => {
                print_errors(&errors);
                say(&"monitor: nothing is changed; correct the files, and send HUP again");
                return;
            }
        };
        if self.ending.load(Ordering::SeqCst) {
            return;
        }
        let mut summary = ReloadSummary::default();
        let said: BTreeSet<_> = units.iter().map(|(name, _)| name.clone()).collect();
        for unit in self.units.configured() {
            if !said.contains(unit.name()) {
                self.stop_removed(unit.name());
                summary.gone.push(unit.name().into());
            }
        }
        for (name, spec) in units {
            match self.units.get(&name) {
                None => match self.add(&name, spec) {
                    Ok(()) => {
                        if let Some(entry) = self.units.get(&name) {
                            entry.unit.resume();
                        }
                        summary.new.push(name);
                    }
                    Err(error) => say(&format_args!("monitor: {name}: {error}")),
                },
                Some(entry) => {
                    let changed = entry.differs(&spec);
                    if let Err(error) = self.amend(&entry, spec) {
                        say(&format_args!("monitor: {name}: {error}; it is not changed"));
                        continue;
                    }
                    match (entry.configured, changed) {
                        (false, _) => {
                            entry.unit.start();
                            summary.new.push(name);
                        }
                        (true, Some(what)) => summary.changed.push(format!("{name} ({what})")),
                        (true, None) => summary.same += 1,
                    }
                }
            }
        }
        trim_memory();
        if self.ending.load(Ordering::SeqCst) {
            // A unit that was added after the stop was requested must stop too.
            drop(self.supervisor.shutdown());
        }
        say(&format_args!("monitor: read the files again: {summary}"));
    }

    /// Changes a unit to its new specification: the policy at once, the command and streams with
    /// the next run.
    ///
    /// # Errors
    /// The streams cannot be opened; nothing is changed.
    fn amend(&self, entry: &UnitEntry, spec: Spec) -> Result<(), StreamsError> {
        let UnitEntry { unit, ring, echoed, .. } = UnitEntry::clone(entry);
        let Spec { command, policy, on_crash: _, streams } = spec;
        let (ring, echoed) = if entry.runs(&command, &streams) {
            (ring, echoed)
        } else {
            let (opened, Opened { ring, echoed, .. }) =
                streams.open(command.clone(), ring, Some(unit.name()))?;
            unit.set_command(opened);
            (ring, echoed)
        };
        let policy = self.units.shared_policy(policy);
        // A policy that a user has set stays until the files change theirs.
        if entry.policy != policy {
            unit.set_policy(Arc::clone(&policy));
        }
        let configured = true;
        self.units.insert(UnitEntry { unit, command, policy, streams, ring, echoed, configured });
        Ok(())
    }
}

/// The changes of a reload.
#[derive(Debug, Default)]
struct ReloadSummary {
    new: Vec<String>,
    gone: Vec<String>,
    changed: Vec<String>,
    same: usize,
}

impl fmt::Display for ReloadSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, names) in [("new", &self.new), ("gone", &self.gone), ("changed", &self.changed)]
        {
            if !names.is_empty() {
                write!(f, "{what}: {}; ", names.join(", "))?;
            }
        }
        write!(f, "as before: {}", self.same)
    }
}

/// Reads the specifications of the units, by their names, and drops the text.
pub(super) fn read(path: &Path, when: ReadPhase) -> Result<Vec<(String, Spec)>, Vec<ConfigError>> {
    let units = read_all(path, UnitMode::Many, when)?;
    Ok(units.into_iter().map(|ResolvedUnit { config, spec, .. }| (config.name, spec)).collect())
}
