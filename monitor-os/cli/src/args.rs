//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, ArgGroup, Command, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use clap_complete::engine::ArgValueCompleter;

use crate::complete::{
    command_line, names, pages, target_and_rules, target_and_signal, targets, units,
};
use crate::options::UnitOptions;

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

/// Which monitor is asked, and which of its units.
#[derive(Debug, clap::Args)]
pub(crate) struct TargetArgs {
    /// The name that was given to `monitor run --name`; of `monitor up` also NAME/UNIT for one of its units
    #[arg(
        value_name = "NAME", required_unless_present = "state", conflicts_with = "state",
        add = ArgValueCompleter::new(targets)
    )]
    pub(crate) name: Option<String>,

    #[command(flatten)]
    pub(crate) place: StateDirArgs,
}

/// What stands in the place of a name.
#[derive(Debug, clap::Args)]
pub(crate) struct StateDirArgs {
    /// The directory that was given to `monitor run --state`, in the place of NAME
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,

    /// With --state: one unit of `monitor up`
    #[arg(
        long, value_name = "UNIT", requires = "state", add = ArgValueCompleter::new(units)
    )]
    pub(crate) unit: Option<String>,
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

/// Parts the words of a command that has a target first, unless `--state` names that.
///
/// # Errors
/// What is missing.
pub(crate) fn target_first(
    place: StateDirArgs,
    mut words: Vec<String>,
    what: &str,
) -> Result<(TargetArgs, Vec<String>), String> {
    let name = if place.state.is_some() { None } else { Some(words.remove(0)) };
    if words.is_empty() {
        return Err(format!("write NAME, or --state DIR, and then {what}"));
    }
    Ok((TargetArgs { name, place }, words))
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

/// How lifecycle lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventsFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
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

const COMPLETIONS_HELP: &str = "\
The shell asks `monitor` itself, so the names of monitors and of their units are offered too, as they are at that
moment: of NAME, NAME/UNIT, and --unit after --state DIR. No monitor is asked for it.

Examples, for the start-up file of the shell:
  source <(monitor completions bash)                      in ~/.bashrc
  source <(monitor completions zsh)                       in ~/.zshrc, after compinit
  monitor completions fish | source                       in ~/.config/fish/config.fish";

const MAN_HELP: &str = "\
Examples:
  monitor man run | man -l -
  monitor man --out ~/.local/share/man/man1               then: man monitor-run";

const ASK_HELP: &str = "\
The place of a NAME is $XDG_RUNTIME_DIR/monitor/NAME, or for root without it /run/monitor/NAME.
Of a monitor of many units (`monitor up`), NAME alone means all of them, or is refused where only one can be meant.

Exit status:
  0  done; of `status`: the command runs, or will
  1  the monitor refused, and nothing was done, or it cannot be asked
  2  the options are wrong
  3  no monitor runs there; of `logs`: and there is no file to be read
  4  the command is down; of `stop --wait` and `signal`: it had no process
  5  of `stop --wait`: it is down, after a kill
  6  of `stop --wait`: it is down, and something that it had started runs on";

const UP_HELP: &str = "\
Examples:
  monitor up ./fleet                 run ./fleet/*.toml
  monitor status fleet               all units, a line each
  monitor status fleet/web           one of them in full
  monitor logs fleet/web -f          what it prints, if that is captured
  monitor restart fleet/web          and so stop, start, reset, signal, set, events
  monitor stop fleet --wait          all of them; the monitor stays

Signals to the monitor:
  HUP          read the files again: new units are started, those that are gone are stopped, changed
               ones get their new policy at once and their new command and streams with their next
               run; if there is a mistake in any file, nothing changes
  TERM, INT    stop all units (each as its policy says), then exit; so do QUIT, PWR and 37 (RTMIN+3)
  second INT   kill them at once
  Other signals are answered as by `monitor run`, see there. No signal leaves a unit alone: if one
  kills the monitor, the next monitor goes on with the units.

Diagnostics:
  Lines about the units go to standard error, and never hold up the monitor; see `monitor run`.

  A unit reads nothing, unless its file says stdin, and prints where the monitor does, unless its
  file says log, stdout or stderr. No two have the same log.
  What goes where the monitor prints is not read by it, which costs nothing and needs no monitor, so it does not say
  whose it is. With stdout = 'log' and stderr = 'log' each line begins with the name of its unit, in colour on
  a terminal (NO_COLOR: without), and is kept for `monitor logs`.

  A unit whose file has gone while no monitor ran is taken over and stopped. One that a user has
  stopped stays down, whatever the files say, until `monitor start`, also after a crash.

Exit status:
  0    all units were stopped
  2    there is a mistake in a file, or in the options; nothing was started
  125  the monitor itself failed, or another has the state directory";

const AFTER_HELP: &str = "\
Examples:
  monitor run -- ./server --port 80           restart it when it fails, for ever
  monitor run --restart on-failure:3 -- job   at most 3 restarts in a row, then give up
  monitor run --restart always --backoff-initial 1s --backoff-max 5m -- worker
  monitor run --preset systemd --restart always -- daemon
  monitor run --stop-signal INT --stop-timeout 30s --record run.jsonl -- db
  monitor run --name web -- ./server          survive a kill of the monitor itself
  monitor run --config web.toml --restart no  options and command from a file, but for the one given
  monitor run --log web.log --log-rotate 10M:5 -- ./server
  monitor status web                          how it is, why, and what comes next
  monitor logs web -f                         what it prints, if that is captured

A preset has defaults of its own in place of those shown above.

Times: 100ms, 10s, 1m30s, 2h.

State directory:
  With --name or --state, what a monitor must know is written down before the command runs. If
  the monitor is killed, start it again in the same way: it finds the command by its identity,
  never by a number alone, and goes on. A stop that had begun is finished, the retries that were
  used stay used, and there are never two. A second monitor for the same directory is refused.
  The place of a name is $XDG_RUNTIME_DIR/monitor/NAME, or for root without it /run/monitor/NAME.
  How a command ended that an earlier monitor had started is known from Linux 6.15 on, and unknown
  (255) before. The record ends when the monitor ends by itself: the next one begins afresh.
  Without either option nothing is stored.

Streams:
  Without options they are the monitor's. A file (file:PATH) is written by the command itself. With log, the
  monitor reads what is printed: it writes it to --log, keeps the last lines for `monitor logs`, and shows them
  when a run fails. --log-rotate makes web.log into web.log.1 and so on, between two lines; nobody else
  may write the file. With a state directory nothing is lost when the monitor is killed: the command can print 64 KiB
  more, then waits for the next monitor. Without one it gets a SIGPIPE.
  Files and logs are opened so that the user of the command cannot lead them elsewhere. A directory that others
  than root and this user may write is refused, but for one like /tmp (mode 1777). A file: that is a FIFO is opened
  in both directions: the command starts without a peer, and its peer may come and go.
  With --tty, keys such as Ctrl-C are the command's; end the monitor by `kill`.

Control:
  A monitor with --name or --state can be asked: `monitor status NAME`, and stop, start, restart,
  reset, signal, set, logs, events; with `--state DIR` in the place of NAME. It listens at a socket in
  its state directory, to its own user and to root.
  A stop by `monitor stop` ends the monitor too, with the exit status of the command; with --stay it
  waits for `monitor start` then, and ends by TERM, INT or HUP.

Signals to the monitor:
  TERM, INT, HUP,  stop the command (stop signal, grace, kill), then exit; 37 is RTMIN+3, by which
  QUIT, PWR, 37    systemd is halted. While the monitor starts, it ends 5s later with status 125 if a
                   file that it opens hangs
  a second INT     kill the command at once
  USR1, USR2,      do nothing; each is said when it comes first. So are STKFLT, XCPU, XFSZ, VTALRM,
  ALRM             PROF, IO and the other real-time signals
  TSTP, TTIN,      stop and continue the monitor, not the command. CHLD, URG, WINCH and PIPE do
  TTOU, STOP, CONT nothing
  KILL, and ILL,   kill the monitor. With a state directory the command runs on, and the next monitor goes on
  TRAP, ABRT, BUS, with it. Without one the kernel kills the command too, but not what it has started,
  FPE, SEGV, SYS   and not a program that has changed its user, group or capabilities: by itself, as
                   setpriv, su and gosu do, or as set-user-ID programs do. Those run on; give --user
                   in the place of setpriv. So does 32, where the C library has no use for it
  With --forward-signals, and as the first process of a container (PID 1): HUP, QUIT, USR1, USR2,
  ALRM, CONT and WINCH go to the command. Zombies of others are reaped in any case.
  A signal that was ignored when the monitor was started stays ignored (nohup).
  Keys such as Ctrl-C reach the monitor only: the command has a session of its own.

Diagnostics:
  Lines about the command, mistakes and MONITOR_LOG go to standard error. The monitor never waits for
  it: up to 512 KiB are kept while nobody reads. Further lines are dropped, and `[monitor: N lines
  lost]` stands in their place; with --events json, an object with the event `lines-lost`. At its
  end the monitor waits for a reader for up to 1s after it has taken something last, and at most 5s. A
  --record of which so much waits ends there, which is said.
  The output of the command that the monitor passes on is waited for at the end of a run: as long as
  its reader takes bytes, at most 5s, and 1s while it takes none. A second INT does not wait.

Exit status: that of the command's last run, also after a stop by a signal to the monitor:
  0-255  its exit code
  128+N  signal N ended it (143 for TERM, 137 for KILL)
  255    nobody knows how it ended
  127    the command was not found
  126    it was found and cannot be run
  125    the monitor itself failed, or a limit of the machine was reached
  2      the options are wrong

Environment:
  NO_COLOR      no colours, which are used on a terminal only
  MONITOR_LOG   diagnostics on standard error, such as monitor_os=debug";
