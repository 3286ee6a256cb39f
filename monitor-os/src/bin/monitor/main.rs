//! `monitor`: keeps one command running by a restart policy, says in plain lines what it does, and lets itself
//! be asked while it runs.

mod args;
mod ask;
mod check_config;
mod complete;
mod config;
mod control;
mod diagnostics;
mod example;
mod kept;
mod line_queue;
mod lines;
mod list;
mod manual;
mod mistake;
mod options;
mod orders;
mod policy;
mod roster;
mod run;
mod screen;
mod spec;
mod state;
mod streams;
mod table;
mod tail;
mod terminal;
mod told;
mod top;
mod up;

use std::fmt::Display;
use std::process::ExitCode;

use clap::{ArgMatches, FromArgMatches};
use monitor_os::Launcher;

use crate::args::{Args, RunArgs, Task, target_first};
use crate::control::client::Patience;
use crate::control::protocol::Ask;
use crate::roster::Extent;
use crate::spec::Spec;

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
            let patience = if args.wait { Patience::Endless } else { Patience::Short };
            ask::stop(args.target.whom(), patience)
        }
        Task::Start(args) => ask::tell(args.target.whom(), Ask::Start),
        Task::Restart(args) => ask::tell(args.target.whom(), Ask::Restart),
        Task::Reset(args) => ask::tell(args.target.whom(), Ask::Reset),
        Task::Signal(args) => match target_first(args.place, args.words, "one signal") {
            Ok((target, signal)) => ask::signal(target.whom(), signal.join(" ")),
            Err(error) => wrong("signal", error),
        },
        Task::Set(args) => match target_first(args.place, args.words, "rules") {
            Ok((target, rules)) => ask::set(target.whom(), rules),
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
        let written = match config::read_one(file) {
            Ok(written) => written,
            Err(mistakes) => {
                check_config::tell(&mistakes);
                return ExitCode::from(check_config::WRONG);
            }
        };
        let mut options = written.options;
        if let Some(given) = given
            && let Err(error) = options.update_from_arg_matches(given)
        {
            error.exit();
        }
        args.unit = options;
        if args.command.is_empty() {
            args.command = written.words;
        }
        if args.command.is_empty() {
            wrong("run", format_args!("write `-- COMMAND`: {} has none", file.display()));
        }
    }
    let words = std::mem::take(&mut args.command);
    let name = words.first().map(|program| program.to_string_lossy().into_owned());
    match Spec::new(&args.unit, words, Extent::One) {
        Ok(spec) => run::run(args, spec, name.unwrap_or_default(), launcher),
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
