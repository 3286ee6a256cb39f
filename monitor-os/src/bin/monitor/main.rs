//! `monitor`: keeps one command running by a restart policy, says in plain lines what it does, and lets itself
//! be asked while it runs.

mod args;
mod ask;
mod control;
mod lines;
mod policy;
mod run;
mod screen;
mod state;
mod told;

use std::fmt::Display;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use monitor_os::Launcher;

use crate::args::{Args, Task, target_first};
use crate::control::client::Patience;
use crate::control::protocol::Ask;

fn main() -> ExitCode {
    // Before anything else: this may be the helper that starts a program.
    let launcher = Launcher::enter();
    match Args::parse().task {
        Task::Run(args) => match policy::policy(&args) {
            Ok(policy) => run::run(args, policy, &launcher),
            Err(error) => wrong("run", error),
        },
        Task::Status(args) => ask::status(&args),
        Task::Stop(args) => {
            let patience = if args.wait { Patience::Endless } else { Patience::Short };
            ask::stop(args.target.place(), patience)
        }
        Task::Start(args) => ask::tell(args.target.place(), Ask::Start),
        Task::Restart(args) => ask::tell(args.target.place(), Ask::Restart),
        Task::Reset(args) => ask::tell(args.target.place(), Ask::Reset),
        Task::Signal(args) => match target_first(args.state, args.words, "one signal") {
            Ok((target, signal)) => ask::signal(target.place(), signal.join(" ")),
            Err(error) => wrong("signal", error),
        },
        Task::Set(args) => match target_first(args.state, args.words, "rules") {
            Ok((target, rules)) => ask::set(target.place(), rules),
            Err(error) => wrong("set", error),
        },
        Task::Events(args) => ask::events(&args),
    }
}

/// Ends as a wrong option does.
fn wrong(command: &str, error: impl Display) -> ! {
    let mut program = Args::command();
    program.build();
    let kind = clap::error::ErrorKind::ValueValidation;
    match program.find_subcommand_mut(command) {
        Some(command) => command.error(kind, error).exit(),
        None => program.error(kind, error).exit(),
    }
}
