//! The command line.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::path::PathBuf;

use clap::{ArgAction, ArgGroup, Command, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use super::help::{AFTER_HELP, ASK_HELP, COMPLETIONS_HELP, MAN_HELP, UP_HELP};
use super::target::{StateDirArgs, TargetArgs};
use crate::completion::candidates::{
    command_line, names, offered, target_and_rules, target_and_signal,
};
use crate::config::options::UnitOptions;
use crate::view::event_line::EventsFormat;

/// Keeps a command running: starts it, watches it, restarts it by a policy, and stops it cleanly.
#[derive(Debug, Parser)]
#[command(name = "monitor", version, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) task: Task,
}

impl Args {
    /// The command line. Its help has the long comment of a command after the options, where clap would begin with it and put an
    /// empty line between any two options.
    pub(crate) fn line() -> Command {
        Self::command().mut_subcommands(|command| {
            let Some(long) = command.get_long_about().map(ToString::to_string) else {
                return command;
            };
            let paragraphs = long.split_once("\n\n").map(|(_, rest)| rest.to_owned());
            let after = command.get_after_help().map(ToString::to_string);
            let texts: Vec<_> = paragraphs.into_iter().chain(after).collect();
            command.long_about(None::<&str>).after_help(texts.join("\n\n"))
        })
    }

    /// Ends as a wrong option does.
    pub(crate) fn refuse(command: &str, error: impl Display) -> ! {
        let mut program = Self::line();
        program.build();
        let kind = clap::error::ErrorKind::ValueValidation;
        match program.find_subcommand_mut(command) {
            Some(command) => command.error(kind, error).exit(),
            None => program.error(kind, error).exit(),
        }
    }
}

/// What is done. The first paragraph of a comment is shown in the list of commands, all of it by the help and the manual page
/// of the command itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Run a command under supervision until it is down for good
    ///
    /// The command has the standard input, output and error of the monitor, unless it is said otherwise, and a session
    /// of its own. Without options it is restarted when it fails, after 100ms, 200ms and so on up to 1m (each up to 10%
    /// longer), for ever; ten seconds of service forgive all earlier failures.
    Run(Box<RunArgs>),
    /// Run many commands from one process, as files in TOML say
    ///
    /// PATH is a directory, of which each file `UNIT.toml` is a unit, or a file with a table `[unit.UNIT]` for each; see
    /// `monitor example-config`. Each unit is supervised alone, as by `monitor run`, and stored and controlled as with
    /// --name. Nothing is started if there is a mistake in any file. The monitor stays also if all units are down.
    Up(UpArgs),
    /// Say how the command is, why, and what comes next
    ///
    /// The memory is the sum of what each process has resident; the CPU time is that of all that live and of their
    /// children that were waited for. Both are of the main process, what descends from it, and what is left of its
    /// session.
    Status(StatusArgs),
    /// List all monitors and their units, also those that no monitor has at present
    ///
    /// Without a NAME all are meant that have a place below the directory `$XDG_RUNTIME_DIR/monitor`, or for root without
    /// it `/run/monitor`. A unit without a running monitor is shown as its journal says.
    List(NamesArgs),
    /// Watch all monitors and their units live, on a terminal
    ///
    /// Where the standard output is no terminal it is the same as `monitor list`.
    Top(NamesArgs),
    /// Show what the command printed, of which the monitor keeps the last lines
    ///
    /// It is shown as it was printed, if that is captured: see --log of `monitor run`. The monitor keeps the last 64
    /// KiB, or what --log-ring says. A reader that is slower than the lines holds nobody up, and learns how many are
    /// missing. Of a monitor of many units one is to be named: NAME/UNIT.
    ///
    /// If no monitor runs, because it was killed, what it kept is gone, and the last lines are those of the files to
    /// which the command or the monitor wrote: of --log with those that were rotated, and of those given to the
    /// command. Which it is is said on standard error. Without --lines it is the last 64 KiB; with --follow it ends
    /// there. What the command has printed since for a monitor waits for the next one, and is not shown.
    Logs(LogsArgs),
    /// Show what happened, of which the monitor keeps the last 256 steps
    Events(EventsArgs),
    /// Bring the command down: the stop signal, the grace, then the kill
    ///
    /// It is the stop of a user, so no policy brings the command up again, and the monitor ends with it, unless it was
    /// started with --stay, or is one of `monitor up`.
    Stop(StopArgs),
    /// Bring the command up, if it is down or waits
    Start(TargetOnlyArgs),
    /// Bring the command down and up again
    Restart(TargetOnlyArgs),
    /// Forget earlier failures: the growth of the delay, the retries used, the starts counted
    Reset(TargetOnlyArgs),
    /// Send a signal to the main process of the command
    ///
    /// What the policy wants is not changed by it.
    Signal(SignalArgs),
    /// Change rules of the policy, without a restart
    ///
    /// The rules are in the text form of `monitor run --policy`, such as restart=always jitter=0. All of them are put in
    /// force, or none. They are in force from the next decision on, and for as long as this monitor runs. With preset=NAME
    /// in the first place nothing of the policy before is kept.
    Set(SetArgs),
    /// Say what files in TOML would have done, and what is wrong in them
    ///
    /// Nothing is started. The exit status is 0 if all of them can be used, else 2.
    CheckConfig(CheckConfigArgs),
    /// Print a file in TOML with every key, annotated
    ExampleConfig,
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print a manual page, or write all of them
    Man(ManArgs),
}

/// Asks a running monitor.
#[derive(Debug, clap::Args)]
#[command(after_help = ASK_HELP)]
pub(crate) struct TargetOnlyArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// Says how the command is.
#[derive(Debug, clap::Args)]
#[command(after_help = ASK_HELP)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// Write one JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which monitors are listed.
#[derive(Debug, clap::Args)]
pub(crate) struct NamesArgs {
    /// The names that were given to `monitor run --name` and `monitor up`
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(names))]
    pub(crate) names: Vec<String>,
}

/// Brings the command down.
#[derive(Debug, clap::Args)]
#[command(after_help = ASK_HELP)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// Wait until it is over, and say how it went
    #[arg(long)]
    pub(crate) wait: bool,
}

/// Sends a signal to the main process of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = ASK_HELP, override_usage = "monitor signal <NAME|--state <DIR>> <SIGNAL>")]
pub(crate) struct SignalArgs {
    /// NAME, if --state is not given, and the signal by name or number, such as HUP
    #[arg(
        required = true, value_name = "WORDS", add = ArgValueCompleter::new(target_and_signal)
    )]
    pub(crate) words: Vec<String>,

    #[command(flatten)]
    pub(crate) place: StateDirArgs,
}

/// Changes rules of the policy.
#[derive(Debug, clap::Args)]
#[command(after_help = ASK_HELP, override_usage = "monitor set <NAME|--state <DIR>> <KEY=VALUE>...")]
pub(crate) struct SetArgs {
    /// NAME, if --state is not given, and the rules
    #[arg(
        required = true, value_name = "WORDS", add = ArgValueCompleter::new(target_and_rules)
    )]
    pub(crate) words: Vec<String>,

    #[command(flatten)]
    pub(crate) place: StateDirArgs,
}

/// Shows what the command printed.
#[derive(Debug, clap::Args)]
#[command(after_help = ASK_HELP)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// Go on with what is printed, until the monitor ends
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// Begin with so many of the last lines [default: all that are kept]
    #[arg(long, short = 'n', value_name = "COUNT")]
    pub(crate) lines: Option<u32>,

    /// Show standard output only
    #[arg(long, conflicts_with = "stderr")]
    pub(crate) stdout: bool,

    /// Show standard error only
    #[arg(long)]
    pub(crate) stderr: bool,

    /// Write the time and the stream before each line
    #[arg(long, short)]
    pub(crate) timestamps: bool,
}

/// Shows what happened.
#[derive(Debug, clap::Args)]
#[command(after_help = ASK_HELP)]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// Go on with what happens, until the monitor ends
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// Write one JSON object a line, as `monitor run --events json` does
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs a command under supervision.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
#[command(group(ArgGroup::new("stored").args(["name", "state"]).multiple(true)))]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) unit: UnitOptions,

    /// Read options and command from a file in TOML, whose keys are the long names of these flags; a flag
    /// takes the place of the key. See `monitor example-config`
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    pub(crate) config: Option<PathBuf>,

    /// Remember the command under this name, so that a monitor that was killed can be started again; see
    /// below
    #[arg(long, value_name = "NAME", help_heading = "State directory")]
    pub(crate) name: Option<String>,

    /// Remember it in this directory [default with --name: see below]
    #[arg(long, value_name = "DIR", help_heading = "State directory")]
    pub(crate) state: Option<PathBuf>,

    /// Stay when the command is down, until it is started by `monitor start`
    #[arg(long, help_heading = "State directory", requires = "stored")]
    pub(crate) stay: bool,

    /// Give HUP, QUIT, USR1, USR2, ALRM, CONT and WINCH on to the command; TERM and INT stop it all the same [default:
    /// true as the first process of a container, else false]
    #[arg(
        long, value_name = "BOOL", help_heading = "Start and stop",
        num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    pub(crate) forward_signals: Option<bool>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,

    /// The command to run, and its arguments
    #[arg(
        required_unless_present = "config", value_name = "COMMAND", trailing_var_arg = true,
        add = ArgValueCompleter::new(command_line)
    )]
    pub(crate) command: Vec<OsString>,
}

/// Runs many commands from one process.
#[derive(Debug, clap::Args)]
#[command(after_help = UP_HELP)]
pub(crate) struct UpArgs {
    /// The directory or file that says what to run
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,

    /// Remember the units under this name [default: the name of PATH, without .toml]
    #[arg(long, value_name = "NAME", help_heading = "State directory", conflicts_with = "state")]
    pub(crate) name: Option<String>,

    /// Remember them in this directory
    #[arg(long, value_name = "DIR", help_heading = "State directory")]
    pub(crate) state: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// The format of events.
#[derive(Debug, clap::Args)]
pub(crate) struct OutputArgs {
    /// How lifecycle lines are written to standard error
    #[arg(long, value_name = "FORM", help_heading = "Output", value_enum, default_value = "text")]
    pub(crate) events: EventsFormat,

    /// Write no lifecycle lines, only errors
    #[arg(long, short, help_heading = "Output", action = ArgAction::SetTrue)]
    pub(crate) quiet: bool,

    /// Write every event and every decision to a file, one JSON object a line
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) record: Option<PathBuf>,
}

/// Says what files in TOML would have done.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckConfigArgs {
    /// Files, and directories of which the files `*.toml` are meant
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

/// Prints completions for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub(crate) shell: Shell,
}

/// Prints a manual page, or writes all of them.
#[derive(Debug, clap::Args)]
#[command(after_help = MAN_HELP)]
pub(crate) struct ManArgs {
    /// The command whose page is printed, such as run; without it that of `monitor` itself
    #[arg(value_name = "COMMAND", conflicts_with = "out", add = ArgValueCompleter::new(pages))]
    pub(crate) command: Option<String>,

    /// Write all pages into this directory, which must be there
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// Offers the commands that have a manual page.
fn pages(current: &OsStr) -> Vec<CompletionCandidate> {
    let program = Args::command();
    let names = program.get_subcommands().map(|command| command.get_name().to_owned());
    offered(names, current)
}
