//! `monitor`: keeps one command running by a restart policy, says in plain lines what it does, and lets itself
//! be asked while it runs.

mod args;
mod ask;
mod check_config;
mod complete;
mod config;
mod control;
mod diagnostics;
mod event_entry;
mod event_text;
mod example;
mod line_queue;
mod list;
mod manual;
mod mistake;
mod options;
mod policy;
mod run_command;
mod signal_actions;
mod spec;
mod state_dir;
mod status_view;
mod stored_logs;
mod streams;
mod table;
mod tail;
mod terminal;
mod top;
mod units;
mod up;

use std::fmt::Display;
use std::process::ExitCode;

use clap::{ArgMatches, FromArgMatches};
use monitor_os::Launcher;

use crate::args::{Args, RunArgs, Task, target_first};
use crate::control::client::ReplyTimeout;
use crate::control::protocol::Ask;
use crate::spec::Spec;
use crate::units::UnitMode;

fn main() -> ExitCode {
    // Before anything else: this may be the helper that starts a program.
    let launcher = Launcher::enter();
    complete::answer();
    let matches = Args::line().get_matches();
    let args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match args.task {
        Task::Run(args) => run(*args, matches.subcommand_matches("run"), &launcher),
        Task::Up(args) => up::up(args, launcher),
        Task::CheckConfig(args) => check_config::check(&args.paths),
        Task::ExampleConfig => manual::print(example::example().as_bytes()),
        Task::Completions(args) => manual::completions(args.shell),
        Task::Man(args) => match (args.out, args.command) {
            (Some(directory), _) => manual::write_pages(&directory),
            (None, command) => match manual::page(command.as_deref()) {
                Ok(page) => manual::print(&page),
                Err(error) => wrong("man", error),
            },
        },
        Task::Status(args) => ask::status(&args),
        Task::List(args) => list::list(&args.names),
        Task::Top(args) => top::top(args.names),
        Task::Stop(args) => {
            let timeout = if args.wait { ReplyTimeout::Endless } else { ReplyTimeout::Short };
            ask::stop(args.target.resolve(), timeout)
        }
        Task::Start(args) => ask::request(args.target.resolve(), Ask::Start),
        Task::Restart(args) => ask::request(args.target.resolve(), Ask::Restart),
        Task::Reset(args) => ask::request(args.target.resolve(), Ask::Reset),
        Task::Signal(args) => match target_first(args.place, args.words, "one signal") {
            Ok((target, signal)) => ask::signal(target.resolve(), signal.join(" ")),
            Err(error) => wrong("signal", error),
        },
        Task::Set(args) => match target_first(args.place, args.words, "rules") {
            Ok((target, rules)) => ask::set(target.resolve(), rules),
            Err(error) => wrong("set", error),
        },
        Task::Events(args) => ask::events(&args),
        Task::Logs(args) => ask::logs(&args),
    }
}

/// Supervises what the options and the file say; a flag that was given takes the place of the file's key.
fn run(args: RunArgs, given: Option<&ArgMatches>, launcher: &Launcher) -> ExitCode {
    let mut args = args;
    if let Some(file) = &args.config {
        let config = match config::read_one(file) {
            Ok(config) => config,
            Err(mistakes) => {
                check_config::print_mistakes(&mistakes);
                return ExitCode::from(check_config::WRONG);
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
            wrong("run", format_args!("write `-- COMMAND`: {} has none", file.display()));
        }
    }
    let words = std::mem::take(&mut args.command);
    let name = words.first().map(|program| program.to_string_lossy().into_owned());
    match Spec::new(&args.unit, words, UnitMode::One) {
        Ok(spec) => run_command::run(args, spec, name.unwrap_or_default(), launcher),
        Err(error) => match error.option() {
            Some(option) => wrong("run", format_args!("--{option}: {error}")),
            None => wrong("run", error),
        },
    }
}

/// Ends as a wrong option does.
fn wrong(command: &str, error: impl Display) -> ! {
    let mut program = Args::line();
    program.build();
    let kind = clap::error::ErrorKind::ValueValidation;
    match program.find_subcommand_mut(command) {
        Some(command) => command.error(kind, error).exit(),
        None => program.error(kind, error).exit(),
    }
}
