//! Completions and manual pages, made from the definitions of the command line.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::args::Args;
use crate::completion::script::script;
use crate::view::diagnostics::failed;

/// `monitor completions`.
pub(crate) fn completions(shell: Shell) -> ExitCode {
    match script(&shell.to_string()) {
        Some(script) => print(&script),
        None => failed(&format_args!("there are no completions for {shell}")),
    }
}

/// The page of a command, or of the program.
///
/// # Errors
/// There is no such command.
pub(crate) fn page(command: Option<&str>) -> Result<Vec<u8>, String> {
    let mut program = Args::command().disable_help_subcommand(true);
    program.build();
    let found = match command {
        None => Some(&program),
        Some(name) => program.find_subcommand(name),
    };
    let Some(found) = found else {
        let names: Vec<_> = program.get_subcommands().map(clap::Command::get_name).collect();
        let name = command.unwrap_or_default();
        return Err(format!("there is no command {name:?}; write one of {}", names.join(", ")));
    };
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    Man::new(found.clone()).render(&mut text).ok();
    Ok(text)
}

/// Writes `monitor.1` and a page for each command.
pub(crate) fn write_pages(directory: &Path) -> ExitCode {
    let program = Args::command().disable_help_subcommand(true);
    match clap_mangen::generate_to(program, directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format_args!(
            "cannot write to {}: {error}; make the directory, or correct its mode",
            directory.display()
        )),
    }
}

/// Writes to the standard output, whose reader may have seen enough before the end.
pub(crate) fn print(text: &[u8]) -> ExitCode {
    let mut output = io::stdout().lock();
    match output.write_all(text).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            failed(&format_args!("cannot write to the standard output: {error}"))
        }
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}
