//! The options of one unit: flags of `monitor run`, and keys of a file.
//!
//! A field of [`UnitOptions`] is both. Its long name is the flag and the key. Its doc comment is
//! the help and the comment in the annotated example. Its parser reads both. To add one:
//! - write the field, an `Option` or a `Vec`, with a doc comment and a `help_heading`. A
//!   `default_value` could not be distinguished from a written value, so the default is in the
//!   comment and in `Spec::new`;
//! - a switch is an `Option<bool>` with `num_args = 0..=1, require_equals = true,
//!   default_missing_value = "true"`, so that a flag can override the key of a file;
//! - a `Vec` is a flag that may be repeated, and an array in a file;
//! - write a line for it into [`EXAMPLES`], which a test demands, and use it in `Spec::new`.

use std::path::PathBuf;

use clap_complete::engine::ArgValueCompleter;
use monitor_core::{ExitSet, Factor, Millis, Signal, StartLimit};
use monitor_os::{Limit, Rotation};

use super::stream_values::{OutputOption, RingSize, StdinOption, WhenSlow, rotation};
use super::values::{
    ContainmentOption, OnCrashOption, OrNever, ReadyOption, ScopeOption, assignment, limit, octal,
    percent, preset_names, ready, time_or_never, time_or_none,
};
use crate::completion::candidates::{restart_rules, signals};

/// The options of one unit.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct UnitOptions {
    /// When to restart: no, on-failure, on-failure:N (at most N restarts in a row), always,
    /// unless-stopped [default: on-failure]
    #[arg(
        long, value_name = "RULE", help_heading = "Restarts",
        add = ArgValueCompleter::new(restart_rules)
    )]
    pub(crate) restart: Option<String>,

    /// Begin with the rules of a well-known system; other options change them
    #[arg(long, value_name = "NAME", help_heading = "Restarts", value_parser = preset_names())]
    pub(crate) preset: Option<String>,

    /// Rules in the text form, such as "restart=always limit=5/10s:wait"; the other options
    /// override them
    #[arg(long, value_name = "RULES", help_heading = "Restarts")]
    pub(crate) policy: Option<String>,

    /// The first delay before a restart [default: 100ms]
    #[arg(long, value_name = "TIME", help_heading = "Restarts")]
    pub(crate) backoff_initial: Option<Millis>,

    /// The longest delay before a restart [default: 1m]
    #[arg(long, value_name = "TIME", help_heading = "Restarts")]
    pub(crate) backoff_max: Option<Millis>,

    /// The factor from each delay to the next, 1.01 to 100 [default: 2]
    #[arg(long, value_name = "FACTOR", help_heading = "Restarts")]
    pub(crate) backoff_factor: Option<Factor>,

    /// The random addition to a delay, at most 0 to 100 percent of it [default: 10%]
    #[arg(long, value_name = "PERCENT", help_heading = "Restarts", value_parser = percent)]
    pub(crate) jitter: Option<u8>,

    /// How long a run must last so that earlier failures are forgiven; "none" for never [default:
    /// 10s]
    #[arg(long, value_name = "TIME", help_heading = "Restarts", value_parser = time_or_none)]
    pub(crate) healthy_after: Option<OrNever>,

    /// The most restarts within a time, such as 5/10s; with ":wait" the monitor waits instead of
    /// giving up
    #[arg(long, value_name = "N/TIME", help_heading = "Restarts", value_parser = limit)]
    pub(crate) start_limit: Option<StartLimit>,

    /// Exits that count as success, beside 0: codes, ranges and signals, such as 2,64-78,SIGHUP
    #[arg(long, value_name = "EXITS", help_heading = "Exit statuses")]
    pub(crate) success: Option<ExitSet>,

    /// Exits after which the monitor never restarts
    #[arg(long, value_name = "EXITS", help_heading = "Exit statuses")]
    pub(crate) prevent: Option<ExitSet>,

    /// Exits after which the monitor always restarts
    #[arg(long, value_name = "EXITS", help_heading = "Exit statuses")]
    pub(crate) force: Option<ExitSet>,

    /// How long a start may take; "none" for no limit [default: none]
    #[arg(long, value_name = "TIME", help_heading = "Start and stop", value_parser = time_or_none)]
    pub(crate) start_timeout: Option<OrNever>,

    /// How the command shows that it is ready: none (by its start), notify (READY=1, see `man
    /// sd_notify`), fd:N (a newline on this descriptor), tcp:PORT or tcp:ADDRESS:PORT (the port
    /// accepts a connection), line:PATTERN (it prints a line that matches a regular expression; the
    /// monitor captures its output) [default: none, and notify if --policy waits]
    #[arg(long, value_name = "SIGN", help_heading = "Start and stop", value_parser = ready)]
    pub(crate) ready: Option<ReadyOption>,

    /// The signal that asks the command to end, by name or number [default: TERM]
    #[arg(
        long, value_name = "SIGNAL", help_heading = "Start and stop",
        add = ArgValueCompleter::new(signals)
    )]
    pub(crate) stop_signal: Option<Signal>,

    /// How long the command may take to end before the kill; "never" for no kill [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = "Start and stop", value_parser = time_or_never)]
    pub(crate) stop_timeout: Option<OrNever>,

    /// The time after which a kill without effect is repeated and reported [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = "Start and stop")]
    pub(crate) kill_window: Option<Millis>,

    /// Which processes a stop signals: the main process alone, or also all that it started
    /// [default: group]
    #[arg(long, value_name = "WHO", help_heading = "Start and stop", value_enum)]
    pub(crate) scope: Option<ScopeOption>,

    /// The directory in which the command runs [default: that of the monitor]
    #[arg(long, value_name = "DIR", help_heading = "Start and stop")]
    pub(crate) cwd: Option<PathBuf>,

    /// How the monitor contains all processes that the command starts, to stop them with it
    /// [default: auto]
    #[arg(long, value_name = "WHAT", help_heading = "Start and stop", value_enum)]
    pub(crate) containment: Option<ContainmentOption>,

    /// Give the command a variable; may be repeated
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Process", value_parser = assignment)]
    pub(crate) env: Vec<(String, String)>,

    /// Give the command the variables in a file of NAME=VALUE lines; may be repeated. The file is
    /// read at each start, and --env overrides it
    #[arg(long, value_name = "FILE", help_heading = "Process")]
    pub(crate) env_file: Vec<PathBuf>,

    /// Do not give the command this variable of the monitor; may be repeated
    #[arg(long, value_name = "NAME", help_heading = "Process")]
    pub(crate) env_unset: Vec<String>,

    /// Give the command no variable of the monitor [default: false]
    #[arg(
        long, value_name = "BOOL", help_heading = "Process",
        num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    pub(crate) env_clear: Option<bool>,

    /// The user and the group of the command, by names or numbers [default: those of the monitor]
    #[arg(long, value_name = "USER[:GROUP]", help_heading = "Process")]
    pub(crate) user: Option<String>,

    /// The supplementary groups of the command, separated by commas; "none" for none
    /// [default: all groups that have the user]
    #[arg(long, value_name = "GROUPS", help_heading = "Process")]
    pub(crate) groups: Option<String>,

    /// The file mode mask of the command, in octal digits
    #[arg(long, value_name = "MASK", help_heading = "Process", value_parser = octal)]
    pub(crate) umask: Option<u16>,

    /// A limit on what each process of the command may use, such as nofile=1024:4096 or core=0; may
    /// be repeated
    #[arg(long, value_name = "NAME=SOFT[:HARD]", help_heading = "Process")]
    pub(crate) limit: Vec<Limit>,

    /// The nice value of the command, -20 to 19
    #[arg(long, value_name = "N", help_heading = "Process", allow_negative_numbers = true)]
    pub(crate) nice: Option<i8>,

    /// The OOM score of the command, -1000 (never killed when memory is short) to 1000
    #[arg(long, value_name = "N", help_heading = "Process", allow_negative_numbers = true)]
    pub(crate) oom_score: Option<i16>,

    /// The source of standard input: inherit, null, file: and a path, or pipe, a new one for each
    /// run into which the monitor copies its own input [default: inherit, of `monitor up` null]
    #[arg(long, value_name = "FROM", help_heading = "Streams")]
    pub(crate) stdin: Option<StdinOption>,

    /// The target of standard output: inherit, null, file: and a path (the command itself appends
    /// to it), or log [default: log with one of the options below, else inherit]
    #[arg(long, value_name = "TO", help_heading = "Streams")]
    pub(crate) stdout: Option<OutputOption>,

    /// The target of standard error: one of those, or stdout for the target of standard output
    #[arg(long, value_name = "TO", help_heading = "Streams")]
    pub(crate) stderr: Option<OutputOption>,

    /// Run the command on a terminal of its own, whose output the terminal of the monitor shows
    #[arg(
        long, value_name = "BOOL", help_heading = "Streams",
        num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    pub(crate) tty: Option<bool>,

    /// Append the output to this file
    #[arg(long, value_name = "FILE", help_heading = "Streams")]
    pub(crate) log: Option<PathBuf>,

    /// Rotate the log file when it has this size, and keep so many old ones, such as 10M:5
    /// [default: never]
    #[arg(long, value_name = "SIZE:COUNT", help_heading = "Streams", value_parser = rotation)]
    pub(crate) log_rotate: Option<Rotation>,

    /// Write the time and the stream before each line, as Kubernetes does
    #[arg(
        long, value_name = "BOOL", help_heading = "Streams",
        num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    pub(crate) log_prefix: Option<bool>,

    /// Write the output to the streams of the monitor too; where there are many units, with the
    /// name of the unit before each line [default: without --log]
    #[arg(
        long, value_name = "BOOL", help_heading = "Streams",
        num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    pub(crate) log_echo: Option<bool>,

    /// How many bytes of the last lines the monitor keeps [default: 64K]
    #[arg(long, value_name = "SIZE", help_heading = "Streams")]
    pub(crate) log_ring: Option<RingSize>,

    /// What happens while the log accepts nothing [default: block]
    #[arg(long, value_name = "WHAT", help_heading = "Streams", value_enum)]
    pub(crate) log_slow: Option<WhenSlow>,

    /// The health check: a command line for a shell, or in a file an array of a program and its
    /// arguments. It runs while the command serves. Every exit status but 0 is a failure
    #[arg(long, value_name = "COMMAND", help_heading = "Health")]
    pub(crate) health: Vec<String>,

    /// The time between two checks [default: 30s]
    #[arg(long, value_name = "TIME", help_heading = "Health")]
    pub(crate) health_interval: Option<Millis>,

    /// How long a check may take before the monitor kills it, which is a failure [default: 30s]
    #[arg(long, value_name = "TIME", help_heading = "Health")]
    pub(crate) health_timeout: Option<Millis>,

    /// How many failures in a row make the command unhealthy: the monitor stops it, and the restart
    /// rule decides [default: 3]
    #[arg(long, value_name = "N", help_heading = "Health")]
    pub(crate) health_retries: Option<u32>,

    /// The time before the first check of a run [default: the interval]
    #[arg(long, value_name = "TIME", help_heading = "Health")]
    pub(crate) health_start_delay: Option<Millis>,

    /// What happens to a command that outlived its monitor [default: adopt]
    #[arg(long, value_name = "WHAT", help_heading = "State directory", value_enum)]
    pub(crate) on_crash: Option<OnCrashOption>,
}

/// An example of each key, as a file has it: its default, or else a likely value.
pub(crate) const EXAMPLES: &[(&str, &str)] = &[
    ("restart", r#""on-failure""#),
    ("preset", r#""systemd""#),
    ("policy", r#""first-delay=0ms save=required""#),
    ("backoff-initial", r#""100ms""#),
    ("backoff-max", r#""1m""#),
    ("backoff-factor", "2"),
    ("jitter", "10"),
    ("healthy-after", r#""10s""#),
    ("start-limit", r#""5/10s""#),
    ("success", r#""2,64-78,SIGHUP""#),
    ("prevent", r#""78""#),
    ("force", r#""SIGABRT""#),
    ("start-timeout", r#""none""#),
    ("ready", r#""notify""#),
    ("stop-signal", r#""TERM""#),
    ("stop-timeout", r#""10s""#),
    ("kill-window", r#""10s""#),
    ("scope", r#""group""#),
    ("cwd", r#""/""#),
    ("containment", r#""auto""#),
    ("env", r#"["LANG=C.UTF-8", "PORT=80"]"#),
    ("env-file", r#"["/dev/null"]"#),
    ("env-unset", r#"["LD_PRELOAD"]"#),
    ("env-clear", "false"),
    ("user", r#""nobody:nogroup""#),
    ("groups", r#""none""#),
    ("umask", r#""027""#),
    ("limit", r#"["nofile=1024:4096", "core=0"]"#),
    ("nice", "5"),
    ("oom-score", "0"),
    ("stdin", r#""null""#),
    ("stdout", r#""log""#),
    ("stderr", r#""stdout""#),
    ("tty", "false"),
    ("log", r#""/var/log/web.log""#),
    ("log-rotate", r#""10M:5""#),
    ("log-prefix", "false"),
    ("log-echo", "false"),
    ("log-ring", r#""64K""#),
    ("log-slow", r#""block""#),
    ("health", r#"["curl", "-fsS", "http://127.0.0.1:80/"]"#),
    ("health-interval", r#""30s""#),
    ("health-timeout", r#""30s""#),
    ("health-retries", "3"),
    ("health-start-delay", r#""30s""#),
    ("on-crash", r#""adopt""#),
];
