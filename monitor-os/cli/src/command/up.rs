//! `monitor up`: many units of one process, from files.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self};
use std::thread;

use monitor_os::{Launcher, StateDir, StopSignals, Supervisor, Unit, trim_memory};
use rustix::process::{Resource, getrlimit};

use super::check_config::{WRONG, print_errors};
use super::event_sinks::Sinks;
use super::signal_actions::{Forwarding, SignalFollower};
use super::unit_manager::{UnitManager, read};
use crate::cli::args::UpArgs;
use crate::config::file::ReadPhase;
use crate::config::spec::Spec;
use crate::control::server::Control;
use crate::names::default_directory;
use crate::report::unit_mode::UnitMode;
use crate::units::Units;
use crate::view::diagnostics::{Diagnostics, monitor_failed};

/// Supervises the units of the files until a signal ends the monitor.
pub(crate) fn up(args: UpArgs, launcher: Launcher) -> ExitCode {
    let _diagnostics = match Diagnostics::begin(args.output.events) {
        Ok(diagnostics) => diagnostics,
        Err(error) => return monitor_failed(&error),
    };
    // Before any other thread starts, so that all threads block these signals.
    let follower = StopSignals::new()
        .and_then(|signals| SignalFollower::begin(signals, Forwarding::Impossible));
    let follower = match follower {
        Ok(follower) => follower,
        Err(error) => return monitor_failed(&error),
    };
    let units = match read(&args.path, ReadPhase::AtStart) {
        Ok(units) => units,
        Err(errors) => {
            print_errors(&errors);
            return ExitCode::from(WRONG);
        }
    };
    match supervise(args, units, launcher, &follower) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => monitor_failed(&error),
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
    // This program has no other children, so it may reap orphans.
    let supervisor = Supervisor::builder().launcher(&launcher).with_orphans().start()?;
    let mut events = supervisor.events();
    let registry = Units::many();
    let control_events = supervisor.events();
    let ending = AtomicBool::new(false);
    let manager =
        Arc::new(UnitManager { path: args.path, directory, supervisor, units: registry, ending });
    manager.add_all(units)?;
    // The texts that were read take several times the memory of the units.
    trim_memory();
    let control = Control::begin(&manager.directory, manager.units.clone(), control_events)?;
    manager.units.configured().iter().for_each(Unit::resume);
    // One pending reload is enough: it will read the files as they are then.
    let (reload, reloads) = mpsc::sync_channel(1);
    let (commanded, reloading) = (Arc::clone(&manager), Arc::clone(&manager));
    follower.serve(move |action| commanded.apply(action, &reload));
    // The thread ends with the program: it has nothing to clean up.
    thread::Builder::new()
        .name("monitor-reload".into())
        .spawn(move || reloads.into_iter().for_each(|()| reloading.reload()))?;
    while let Some(notice) = events.blocking_next() {
        sinks.write(&notice, &manager.units);
        if notice.missed > 0 {
            // The end of a removed unit may be among the missed notices.
            manager.units.removed().iter().for_each(|name| manager.forget_removed(name));
        }
        if notice.status.is_down() {
            manager.forget_removed(&notice.name);
        }
    }
    sinks.finish();
    control.finish();
    // A unit that is down for good is not stored, so that the next monitor begins afresh.
    for unit in manager.units.visible() {
        if !unit.state().is_down() {
            return Err("the supervisor ended before its units; MONITOR_LOG=error tells why".into());
        }
        manager.directory.forget(unit.name())?;
    }
    Ok(())
}

/// The name of the monitor that a path gives.
fn name_of(path: &Path) -> Result<String, String> {
    let whole = path.canonicalize();
    let whole = whole.map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
    let name = if whole.is_dir() { whole.file_name() } else { whole.file_stem() };
    let name = name.and_then(|name| name.to_str()).map(ToOwned::to_owned);
    name.ok_or_else(|| format!("{} gives no name; write --name NAME", path.display()))
}

/// The descriptors of a unit: of its process, and of its control group.
const PER_UNIT: u64 = 2;
/// The descriptors of a monitor beside those of its units: its own, and those of pending starts.
const DESCRIPTORS: u64 = 64;
