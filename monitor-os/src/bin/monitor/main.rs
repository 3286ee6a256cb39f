//! `monitor`: keeps one command running by a restart policy, and says in plain lines what it does.

mod args;
mod json;
mod lines;
mod policy;
mod run;
mod state;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use monitor_os::Launcher;

use crate::args::{Args, Task};

fn main() -> ExitCode {
    // Before anything else: this may be the helper that starts a program.
    let launcher = Launcher::enter();
    let Args { task: Task::Run(args) } = Args::parse();
    match policy::policy(&args) {
        Ok(policy) => run::run(args, policy, &launcher),
        Err(error) => {
            let mut program = Args::command();
            program.build();
            let kind = clap::error::ErrorKind::ValueValidation;
            match program.find_subcommand_mut("run") {
                Some(command) => command.error(kind, error).exit(),
                None => program.error(kind, error).exit(),
            }
        }
    }
}
