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
    /// The command line. Its help has the long comment of a command after the options. By itself
    /// clap begins with it, and puts an empty line between any two options.
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

    /// Ends the program as a wrong option does.
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

/// The commands. The list of commands shows the first paragraph of a comment. The help and the
/// manual page of the command itself show all of it.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Run a command under supervision until it is down for good
    ///
    /// The command has the standard input, output and error of the monitor, unless options say
    /// otherwise, and a session of its own. Without options the monitor restarts it whenever it
    /// fails, after 100ms, 200ms and so on up to 1m (each up to 10% longer). Ten seconds of service
    /// forgive all earlier failures.
    Run(Box<RunArgs>),
    /// Run many commands from one process, as files in TOML say
    ///
    /// PATH is a directory with a file `UNIT.toml` for each unit, or a file with a table
    /// `[unit.UNIT]` for each. `monitor example-config` shows one. The monitor supervises each unit
    /// alone, as `monitor run` does, and stores and controls it as with --name. If there is an
    /// error in any file, it starts nothing. The monitor stays when all units are down.
    Up(UpArgs),
    /// Show the state of the command, its reason, and what comes next
    ///
    /// The memory is the sum of the resident memory of each process. The CPU time is that of the
    /// living processes and of their children that were waited for. Both count the main process,
    /// its descendants, and what is left of its session.
    Status(StatusArgs),
    /// List all monitors and their units, also units without a running monitor
    ///
    /// Without a NAME the list has every monitor with a directory below `$XDG_RUNTIME_DIR/monitor`,
    /// or, for root without that variable, below `/run/monitor`. A unit without a running monitor
    /// is shown as its journal says.
    List(NamesArgs),
    /// Watch all monitors and their units live, on a terminal
    ///
    /// Where the standard output is no terminal, it prints what `monitor list` prints.
    Top(NamesArgs),
    /// Show the last lines that the command printed
    ///
    /// The lines are shown as they were printed, if the monitor captures them: see --log of
    /// `monitor run`. The monitor keeps the last 64 KiB, or as much as --log-ring says. A reader
    /// that is slower than the lines blocks nobody, and learns how many lines are missing. Where a
    /// monitor has many units, name one: NAME/UNIT.
    ///
    /// A monitor that was killed keeps nothing. The last lines then come from the files to which
    /// the command or the monitor wrote: the --log file with its rotated files, and the files given
    /// to the command. Standard error says which files. Without --lines the last 64 KiB are shown.
    /// With --follow the answer ends there. Lines that wait in a pipe for the next monitor are not
    /// shown.
    Logs(LogsArgs),
    /// Show the last events, of which the monitor keeps 256
    Events(EventsArgs),
    /// Bring the command down: the stop signal, the grace, then the kill
    ///
    /// No policy brings the command up again after a stop by a user. The monitor ends with the
    /// command, unless it was started with --stay or by `monitor up`.
    Stop(StopArgs),
    /// Bring the command up, if it is down or waits for a restart
    Start(TargetOnlyArgs),
    /// Bring the command down and up again
    Restart(TargetOnlyArgs),
    /// Forget earlier failures: the growth of the delay, the retries used, the starts counted
    Reset(TargetOnlyArgs),
    /// Send a signal to the main process of the command
    ///
    /// A signal does not change what the policy wants.
    Signal(SignalArgs),
    /// Change rules of the policy, without a restart
    ///
    /// The rules are in the text form of `monitor run --policy`, such as restart=always jitter=0.
    /// The monitor puts all of them in force, or none. They are in force from the next decision on,
    /// and for as long as this monitor runs. If preset=NAME comes first, it replaces the whole
    /// policy.
    Set(SetArgs),
    /// Show what files in TOML configure, and their errors
    ///
    /// Nothing is started. The exit status is 0 if all files can be used, else 2.
    CheckConfig(CheckConfigArgs),
    /// Print a file in TOML with every key, annotated
    ExampleConfig,
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print a manual page, or write all of them
    Man(ManArgs),
}

/// Requests something of a running monitor.
#[derive(Debug, clap::Args)]
#[command(after_help = ASK_HELP)]
pub(crate) struct TargetOnlyArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// Shows the state of the command.
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

    /// Wait until the stop is over, and say how it went
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

/// Shows the lines that the command printed.
#[derive(Debug, clap::Args)]
#[command(after_help = ASK_HELP)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// Go on with new lines, until the monitor ends
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// Begin with so many of the last lines [default: all that the monitor keeps]
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

/// Shows events.
#[derive(Debug, clap::Args)]
#[command(after_help = ASK_HELP)]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// Go on with new events, until the monitor ends
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

    /// Read options and command from a file in TOML. Its keys are the long names of these flags. A
    /// flag overrides the key. See `monitor example-config`
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    pub(crate) config: Option<PathBuf>,

    /// Store the state of the command under this name, so that a monitor that was killed can be
    /// started again; see below
    #[arg(long, value_name = "NAME", help_heading = "State directory")]
    pub(crate) name: Option<String>,

    /// Store the state in this directory [default with --name: see below]
    #[arg(long, value_name = "DIR", help_heading = "State directory")]
    pub(crate) state: Option<PathBuf>,

    /// Stay when the command is down, and wait for `monitor start`
    #[arg(long, help_heading = "State directory", requires = "stored")]
    pub(crate) stay: bool,

    /// Forward HUP, QUIT, USR1, USR2, ALRM, CONT and WINCH to the command. TERM and INT still stop
    /// it [default: true as the first process of a container, else false]
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

    /// Store the state of the units under this name [default: the name of PATH, without .toml]
    #[arg(long, value_name = "NAME", help_heading = "State directory", conflicts_with = "state")]
    pub(crate) name: Option<String>,

    /// Store the state in this directory
    #[arg(long, value_name = "DIR", help_heading = "State directory")]
    pub(crate) state: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// How events are written.
#[derive(Debug, clap::Args)]
pub(crate) struct OutputArgs {
    /// The form of lifecycle lines on standard error
    #[arg(long, value_name = "FORM", help_heading = "Output", value_enum, default_value = "text")]
    pub(crate) events: EventsFormat,

    /// Write no lifecycle lines, only errors
    #[arg(long, short, help_heading = "Output", action = ArgAction::SetTrue)]
    pub(crate) quiet: bool,

    /// Write every event and every decision to a file, one JSON object a line
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) record: Option<PathBuf>,
}

/// Shows what files in TOML configure.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckConfigArgs {
    /// Files, and directories with files `*.toml`
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
    /// The command whose page is printed, such as run [default: the page of `monitor` itself]
    #[arg(value_name = "COMMAND", conflicts_with = "out", add = ArgValueCompleter::new(pages))]
    pub(crate) command: Option<String>,

    /// Write all pages into this directory, which must exist
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// Offers the commands that have a manual page.
fn pages(current: &OsStr) -> Vec<CompletionCandidate> {
    let program = Args::command();
    let names = program.get_subcommands().map(|command| command.get_name().to_owned());
    offered(names, current)
}
