//! `monitor`: keeps commands running by a restart policy, prints a line for each step, and serves
//! requests while it runs.

mod cli;
mod command;
mod completion;
mod config;
mod control;
mod logs;
mod names;
mod report;
mod state_dir;
mod units;
mod view;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use monitor_os::Launcher;

use crate::cli::args::{Args, Task};
use crate::cli::target::target_first;
use crate::command::{check_config, inspect, list, manual, requests, run, top, up};
use crate::completion::script;
use crate::config::example;
use crate::control::request::ChangeRequest;

fn main() -> ExitCode {
    // Before anything else: this may be the helper that starts a program.
    let launcher = Launcher::enter();
    script::answer(Args::command);
    let matches = Args::line().get_matches();
    let args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match args.task {
        Task::Run(args) => run::run(*args, matches.subcommand_matches("run"), &launcher),
        Task::Up(args) => up::up(args, launcher),
        Task::CheckConfig(args) => check_config::check(&args.paths),
        Task::ExampleConfig => manual::print(example::example().as_bytes()),
        Task::Completions(args) => manual::completions(args.shell),
        Task::Man(args) => match (args.out, args.command) {
            (Some(directory), _) => manual::write_pages(&directory),
            (None, command) => match manual::page(command.as_deref()) {
                Ok(page) => manual::print(&page),
                Err(error) => Args::refuse("man", error),
            },
        },
        Task::Status(args) => inspect::status(&args),
        Task::List(args) => list::list(&args.names),
        Task::Top(args) => top::top(args.names),
        Task::Stop(args) if args.wait => requests::stop_and_wait(args.target.resolve()),
        Task::Stop(args) => requests::stop(args.target.resolve()),
        Task::Start(args) => requests::request(args.target.resolve(), ChangeRequest::Start),
        Task::Restart(args) => requests::request(args.target.resolve(), ChangeRequest::Restart),
        Task::Reset(args) => requests::request(args.target.resolve(), ChangeRequest::Reset),
        Task::Signal(args) => match target_first(args.place, args.words, "one signal") {
            Ok((target, signal)) => requests::signal(target.resolve(), signal.join(" ")),
            Err(error) => Args::refuse("signal", error),
        },
        Task::Set(args) => match target_first(args.place, args.words, "rules") {
            Ok((target, rules)) => requests::set(target.resolve(), rules),
            Err(error) => Args::refuse("set", error),
        },
        Task::Events(args) => inspect::events(&args),
        Task::Logs(args) => inspect::logs(&args),
    }
}
