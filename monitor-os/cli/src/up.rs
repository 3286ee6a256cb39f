//! `monitor up`: many units in one process, as files say.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use monitor_core::{Origin, StopMode};
use monitor_os::{
    Command, Launcher, StateDir, StopSignals, Supervisor, Unit, stored_units, trim_memory,
};
use rustix::process::{Resource, getrlimit};

use crate::args::UpArgs;
use crate::check_config::{WRONG, print_mistakes};
use crate::config::{ReadPhase, ResolvedUnit, read_all};
use crate::control::server::Control;
use crate::diagnostics::{Diagnostics, say};
use crate::mistake::Mistake;
use crate::options::UnitOptions;
use crate::run_command::{Sinks, failed};
use crate::signal_actions::{Forwarding, SignalAction, SignalFollower};
use crate::spec::Spec;
use crate::state_dir::default_directory;
use crate::streams::{Opened, StreamSetup, StreamsError};
use crate::units::{UnitEntry, UnitMode, Units};

/// Supervises what the files say until a signal ends it.
pub(crate) fn up(args: UpArgs, launcher: Launcher) -> ExitCode {
    let _diagnostics = match Diagnostics::begin(args.output.events) {
        Ok(diagnostics) => diagnostics,
        Err(error) => return failed(&error),
    };
    // Before any other thread is started, so that all of them block these signals.
    let follower = StopSignals::new()
        .and_then(|signals| SignalFollower::begin(signals, Forwarding::Impossible));
    let follower = match follower {
        Ok(follower) => follower,
        Err(error) => return failed(&error),
    };
    let units = match read(&args.path, ReadPhase::AtStart) {
        Ok(units) => units,
        Err(mistakes) => {
            print_mistakes(&mistakes);
            return ExitCode::from(WRONG);
        }
    };
    match supervise(args, units, launcher, &follower) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn supervise(
    args: UpArgs,
    units: Vec<(String, Spec)>,
    mut launcher: Launcher,
    follower: &SignalFollower,
) -> Result<(), Box<dyn std::error::Error>> {
    launcher.raise_descriptor_limit()?;
    let room = getrlimit(Resource::Nofile).current;
    let streams = units.iter().map(|(_, spec)| spec.descriptors()).sum::<u64>();
    let needed = PER_UNIT * units.len() as u64 + streams + DESCRIPTORS;
    if room.is_some_and(|room| room < needed) {
        return Err(format!(
            "{} units need {needed} descriptors, and the hard limit is {}; \
             raise it as root by `ulimit -n {needed}`, or by LimitNOFILE={needed} of systemd",
            units.len(),
            room.unwrap_or_default()
        )
        .into());
    }
    let state = match (args.state, args.name) {
        (Some(state), _) => state,
        (None, Some(name)) => default_directory(&name)?,
        (None, None) => default_directory(&name_of(&args.path)?)?,
    };
    let directory = StateDir::open(state)?;
    let mut sinks = Sinks::open(args.output, UnitMode::Many)?;
    // This program has no other children, so orphans are its to reap.
    let supervisor = Supervisor::builder().launcher(&launcher).with_orphans().start()?;
    let mut events = supervisor.events();
    let registry = Units::many();
    let control_events = supervisor.events();
    let ending = AtomicBool::new(false);
    let manager =
        Arc::new(UnitManager { path: args.path, directory, supervisor, units: registry, ending });
    manager.add_all(units)?;
    // What was read takes several times as much as what is kept of it.
    trim_memory();
    let control = Control::begin(&manager.directory, manager.units.clone(), control_events)?;
    manager.units.configured().iter().for_each(Unit::resume);
    // One that waits is enough: it will read what the files say by then.
    let (reload, reloads) = mpsc::sync_channel(1);
    let (commanded, reloading) = (Arc::clone(&manager), Arc::clone(&manager));
    follower.serve(move |action| commanded.apply(action, &reload));
    // Ends with the program: it has nothing to clean up.
    thread::Builder::new()
        .name("monitor-reload".into())
        .spawn(move || reloads.into_iter().for_each(|()| reloading.reload()))?;
    while let Some(notice) = events.blocking_next() {
        sinks.write(&notice, &manager.units);
        if notice.missed > 0 {
            // Some of them may have come down unnoticed.
            manager.units.removed().iter().for_each(|name| manager.forget_removed(name));
        }
        if notice.status.is_down() {
            manager.forget_removed(&notice.name);
        }
    }
    sinks.finish();
    control.finish();
    // What is down for good is not stored; the next monitor begins afresh.
    for unit in manager.units.visible() {
        if !unit.state().is_down() {
            return Err("the supervisor ended before its units; MONITOR_LOG=error tells why".into());
        }
        manager.directory.forget(unit.name())?;
    }
    Ok(())
}

/// Reads the specifications of the units, by their names, and drops the text.
fn read(path: &Path, when: ReadPhase) -> Result<Vec<(String, Spec)>, Vec<Mistake>> {
    let units = read_all(path, UnitMode::Many, when)?;
    Ok(units.into_iter().map(|ResolvedUnit { config, spec, .. }| (config.name, spec)).collect())
}

/// The name that a path gives.
fn name_of(path: &Path) -> Result<String, String> {
    let whole = path.canonicalize();
    let whole = whole.map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
    let name = if whole.is_dir() { whole.file_name() } else { whole.file_stem() };
    let name = name.and_then(|name| name.to_str()).map(ToOwned::to_owned);
    name.ok_or_else(|| format!("{} gives no name; write --name NAME", path.display()))
}

/// The units, and where they come from.
#[derive(Debug)]
struct UnitManager {
    path: PathBuf,
    directory: StateDir,
    supervisor: Supervisor,
    units: Units,
    /// Whether it was asked to stop.
    ending: AtomicBool,
}

impl UnitManager {
    /// Adds all units, and stops what an earlier monitor left and nobody wants any more.
    ///
    /// # Errors
    /// A journal or a stream cannot be opened. Nothing was started; what was taken over by then is stopped with the
    /// supervisor.
    fn add_all(&self, units: Vec<(String, Spec)>) -> Result<(), Box<dyn std::error::Error>> {
        // All journals are believed before anything is touched.
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
            // What was left is stopped, and no other run follows.
            let spec = Spec::new(&UnitOptions::default(), vec!["true".into()], UnitMode::Many)?;
            self.add(&gone.unit, spec)?;
            self.stop_removed(&gone.unit);
        }
        Ok(())
    }

    /// Adds a unit, held.
    ///
    /// # Errors
    /// Its journal or a stream of it cannot be opened; nothing is added.
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

    /// Stops a unit that the files do not have any more.
    fn stop_removed(&self, name: &str) {
        if let Some(entry) = self.units.get(name) {
            self.units.insert(UnitEntry { configured: false, ..UnitEntry::clone(&entry) });
            // The answer comes with the events.
            drop(entry.unit.stop());
        }
    }

    /// Forgets a unit that is down, if the files do not have it any more.
    fn forget_removed(&self, name: &str) {
        self.units.if_removed(name, || {
            if let Err(error) = self.directory.forget(name) {
                say(&format_args!("monitor: {name}: {error}"));
            }
        });
    }

    /// Carries out what a signal to the monitor asks for. It never waits: files are read by another thread, which
    /// may find a disk that hangs.
    fn apply(&self, action: SignalAction, reload: &SyncSender<()>) {
        match action {
            SignalAction::Reload => {
                reload.try_send(()).ok();
                return;
            }
            // There is no one program to give it to.
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

    /// Does what the files say by now, if there is no mistake in them.
    fn reload(&self) {
        let units = match read(&self.path, ReadPhase::Again) {
            Ok(units) => units,
            Err(mistakes) => {
                print_mistakes(&mistakes);
                say(&"monitor: nothing is changed: mend the files, and send HUP again");
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
            // A unit that was added after the stop was asked for is to stop as well.
            drop(self.supervisor.shutdown());
        }
        say(&format_args!("monitor: read the files again: {summary}"));
    }

    /// Gives a unit what the files say by now: the policy at once, the command and its streams with its next run.
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
        // One that a user has set is not the files', and stays until these change.
        if entry.policy != policy {
            unit.set_policy(Arc::clone(&policy));
        }
        let configured = true;
        self.units.insert(UnitEntry { unit, command, policy, streams, ring, echoed, configured });
        Ok(())
    }
}

impl UnitEntry {
    /// What of it the files say otherwise; `None` if nothing.
    fn differs(&self, spec: &Spec) -> Option<&'static str> {
        match (self.runs(&spec.command, &spec.streams), *self.policy == spec.policy) {
            (true, true) => None,
            (true, false) => Some("policy"),
            (false, true) => Some("command, from its next run on"),
            (false, false) => Some("policy; command, from its next run on"),
        }
    }

    /// Whether its runs are of this command, on these streams.
    fn runs(&self, command: &Command, streams: &StreamSetup) -> bool {
        (&self.command, &self.streams) == (command, streams)
    }
}

/// What has come of reading the files again.
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

/// Of its process, and of its control group.
const PER_UNIT: u64 = 2;
/// How many descriptors a monitor has beside those of its units: its own, and those of starts that are going on.
const DESCRIPTORS: u64 = 64;
