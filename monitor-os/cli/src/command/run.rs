//! `monitor run`.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgMatches, FromArgMatches};
use monitor_core::{Exit, Grace, Origin, StopMode};
use monitor_os::{Launcher, Status, StopSignals, Supervisor, Unit};

use super::check_config::{WRONG, print_errors};
use super::event_sinks::{Sinks, WhenDown};
use super::signal_actions::{Forwarding, SignalAction, SignalFollower};
use crate::cli::args::{Args, RunArgs};
use crate::config::file::read_one;
use crate::config::opened_streams::Opened;
use crate::config::spec::Spec;
use crate::report::unit_mode::UnitMode;
use crate::state_dir::CommandStore;
use crate::units::{UnitEntry, Units};
use crate::view::diagnostics::{Diagnostics, monitor_failed};
use crate::view::terminal::RawTerminal;

/// Supervises the command of the options and the file. A flag overrides the key of the file.
pub(crate) fn run(args: RunArgs, given: Option<&ArgMatches>, launcher: &Launcher) -> ExitCode {
    let mut args = args;
    if let Some(file) = &args.config {
        let config = match read_one(file) {
            Ok(config) => config,
            Err(errors) => {
                print_errors(&errors);
                return ExitCode::from(WRONG);
            }
        };
        let mut options = config.options;
        if let Some(given) = given
            && let Err(error) = options.update_from_arg_matches(given)
        {
            error.exit();
        }
        args.unit = options;
        if args.command.is_empty() {
            args.command = config.words;
        }
        if args.command.is_empty() {
            Args::refuse("run", format_args!("write `-- COMMAND`: {} has none", file.display()));
        }
    }
    let words = std::mem::take(&mut args.command);
    let name = words.first().map(|program| program.to_string_lossy().into_owned());
    match Spec::new(&args.unit, words, UnitMode::One) {
        Ok(spec) => start(args, spec, name.unwrap_or_default(), launcher),
        Err(error) => match error.option() {
            Some(option) => Args::refuse("run", format_args!("--{option}: {error}")),
            None => Args::refuse("run", error),
        },
    }
}

/// Supervises the command until it is down, and returns its exit status.
fn start(args: RunArgs, spec: Spec, name: String, launcher: &Launcher) -> ExitCode {
    let _diagnostics = match Diagnostics::begin(args.output.events) {
        Ok(diagnostics) => diagnostics,
        Err(error) => return monitor_failed(&error),
    };
    match supervise(args, spec, name, launcher) {
        Ok(status) => ExitCode::from(exit_status(&status)),
        Err(error) => monitor_failed(&error),
    }
}

fn supervise(
    args: RunArgs,
    spec: Spec,
    name: String,
    launcher: &Launcher,
) -> Result<Status, Box<dyn std::error::Error>> {
    let when_down = if args.stay { WhenDown::Stay } else { WhenDown::End };
    // Before any other thread starts, so that all threads block these signals.
    let forwards = args.forward_signals.unwrap_or_else(|| std::process::id() == 1);
    let (signals, forwarding) = if forwards {
        (StopSignals::and_others()?, Forwarding::On)
    } else {
        (StopSignals::new()?, Forwarding::Off)
    };
    let follower = SignalFollower::begin(signals, forwarding)?;
    let memory = CommandStore::open(&args)?;
    let mut sinks = Sinks::open(args.output, UnitMode::One)?;
    let Spec { command, policy, on_crash, streams } = spec;
    let (opened, Opened { ring, echoed, terminal }) = streams.open(command.clone(), None, None)?;
    // This program has no other children, so it may reap orphans.
    let supervisor = Supervisor::builder().launcher(launcher).with_orphans().start()?;
    let unit = match &memory {
        Some(memory) => memory.restore(&supervisor, opened, policy, on_crash)?,
        None => supervisor.add(name, opened, policy),
    };
    let (entry, policy) = (unit.clone(), Arc::new(policy));
    let units = Units::one(UnitEntry {
        unit: entry,
        command,
        policy,
        streams,
        ring,
        echoed,
        configured: true,
    });
    let mut events = unit.events();
    let control = memory.as_ref().map(|memory| memory.control(units.clone(), &unit)).transpose()?;
    // After all calls that may block, because a stop may end the program there. Every return
    // restores it.
    let _raw_terminal = terminal.map(RawTerminal::enter);
    unit.resume();
    let stopped = unit.clone();
    follower.serve(move |action| apply(action, &stopped));
    sinks.follow(&mut events, &units, when_down);
    sinks.finish();
    let status = unit.state();
    if !status.is_down() {
        return Err("the supervisor ended before the command; MONITOR_LOG=error tells why".into());
    }
    if let Some(memory) = memory {
        // Nothing must be saved after this.
        drop(supervisor);
        if let Some(control) = control {
            control.finish();
        }
        memory.forget()?;
    }
    Ok(status)
}

/// Applies the action of a signal to the monitor.
fn apply(action: SignalAction, unit: &Unit) {
    let mode = match action {
        SignalAction::Forward(signal) => return unit.signal(signal),
        // There are no files to read again.
        SignalAction::Stop | SignalAction::Reload => StopMode::Graceful(Grace::Policy),
        SignalAction::Kill => StopMode::Kill,
    };
    // The answer comes with the events.
    drop(unit.stop_with(mode, Origin::Shutdown));
}

/// The status by the shell's convention.
fn exit_status(status: &Status) -> u8 {
    match (status.exit(), status.start_error()) {
        (_, Some(error)) => error.exit_code(),
        (Some(exit), None) => exit.shell_status(),
        (None, None) => status
            .ended()
            .map_or(Exit::Unknown.shell_status(), |ended| Exit::from(ended).shell_status()),
    }
}
