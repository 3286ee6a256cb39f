//! What can be said of one unit: as flags of `monitor run`, and as keys of a file.
//!
//! A field of [`UnitOptions`] is both. Its long name is the flag and the key, its doc comment is the help and the
//! comment in the annotated example, its parser reads both. To add one:
//! - write the field, an `Option` or a `Vec`, with a doc comment and a `help_heading`. No `default_value`, which
//!   could not be distinguished from a written value: the default is in the comment, and in `Spec::new`;
//! - a switch is an `Option<bool>` with `num_args = 0..=1, require_equals = true, default_missing_value =
//!   "true"`, so that a flag can take back what a file says;
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

/// What can be said of one unit.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct UnitOptions {
    /// After which ends to restart: no, on-failure, on-failure:N (at most N restarts in a row), always,
    /// unless-stopped [default: on-failure]
    #[arg(
        long, value_name = "RULE", help_heading = "Restarts",
        add = ArgValueCompleter::new(restart_rules)
    )]
    pub(crate) restart: Option<String>,

    /// Begin with the rules of a well-known system; other options change them
    #[arg(long, value_name = "NAME", help_heading = "Restarts", value_parser = preset_names())]
    pub(crate) preset: Option<String>,

    /// Rules in the text form, such as "restart=always limit=5/10s:wait"; the other options come after
    #[arg(long, value_name = "RULES", help_heading = "Restarts")]
    pub(crate) policy: Option<String>,

    /// The first delay before a restart [default: 100ms]
    #[arg(long, value_name = "TIME", help_heading = "Restarts")]
    pub(crate) backoff_initial: Option<Millis>,

    /// The longest delay before a restart [default: 1m]
    #[arg(long, value_name = "TIME", help_heading = "Restarts")]
    pub(crate) backoff_max: Option<Millis>,

    /// By how much each delay is longer than the one before, 1.01 to 100 [default: 2]
    #[arg(long, value_name = "FACTOR", help_heading = "Restarts")]
    pub(crate) backoff_factor: Option<Factor>,

    /// How much longer a delay may be by chance, 0 to 100 percent of it [default: 10%]
    #[arg(long, value_name = "PERCENT", help_heading = "Restarts", value_parser = percent)]
    pub(crate) jitter: Option<u8>,

    /// How long it must run for its earlier failures to be forgiven; "none" for never [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = "Restarts", value_parser = time_or_none)]
    pub(crate) healthy_after: Option<OrNever>,

    /// How many restarts a time allows, such as 5/10s; with ":wait" it waits instead of giving up
    #[arg(long, value_name = "N/TIME", help_heading = "Restarts", value_parser = limit)]
    pub(crate) start_limit: Option<StartLimit>,

    /// Exits that are a success, beside 0: codes, ranges and signals, such as 2,64-78,SIGHUP
    #[arg(long, value_name = "EXITS", help_heading = "Exit statuses")]
    pub(crate) success: Option<ExitSet>,

    /// Exits after which there is never a restart
    #[arg(long, value_name = "EXITS", help_heading = "Exit statuses")]
    pub(crate) prevent: Option<ExitSet>,

    /// Exits after which there is always a restart
    #[arg(long, value_name = "EXITS", help_heading = "Exit statuses")]
    pub(crate) force: Option<ExitSet>,

    /// How long a start may take; "none" for ever [default: none]
    #[arg(long, value_name = "TIME", help_heading = "Start and stop", value_parser = time_or_none)]
    pub(crate) start_timeout: Option<OrNever>,

    /// By what it shows that it serves: none (by its start), notify (READY=1, see `man sd_notify`), fd:N
    /// (a newline on this descriptor), tcp:PORT and tcp:ADDRESS:PORT (somebody takes a connection), or line:PATTERN (a
    /// regular expression is found in a line that it prints, which is captured for that) [default: none, and notify if
    /// --policy waits]
    #[arg(long, value_name = "SIGN", help_heading = "Start and stop", value_parser = ready)]
    pub(crate) ready: Option<ReadyOption>,

    /// The signal that asks it to end, by name or number [default: TERM]
    #[arg(
        long, value_name = "SIGNAL", help_heading = "Start and stop",
        add = ArgValueCompleter::new(signals)
    )]
    pub(crate) stop_signal: Option<Signal>,

    /// How long it may take to end before it is killed; "never" for no kill [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = "Start and stop", value_parser = time_or_never)]
    pub(crate) stop_timeout: Option<OrNever>,

    /// How often a kill that does not work is repeated and reported [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = "Start and stop")]
    pub(crate) kill_window: Option<Millis>,

    /// Who is stopped: the process alone, or with it everything that it started [default: group]
    #[arg(long, value_name = "WHO", help_heading = "Start and stop", value_enum)]
    pub(crate) scope: Option<ScopeOption>,

    /// The directory in which the command runs [default: that of the monitor]
    #[arg(long, value_name = "DIR", help_heading = "Start and stop")]
    pub(crate) cwd: Option<PathBuf>,

    /// By what everything that the command starts is held together, to be stopped with it [default: auto]
    #[arg(long, value_name = "WHAT", help_heading = "Start and stop", value_enum)]
    pub(crate) containment: Option<ContainmentOption>,

    /// Give the command a variable; may be repeated
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Process", value_parser = assignment)]
    pub(crate) env: Vec<(String, String)>,

    /// Give it the variables in a file of NAME=VALUE lines, which is read at each start; --env prevails; may be
    /// repeated
    #[arg(long, value_name = "FILE", help_heading = "Process")]
    pub(crate) env_file: Vec<PathBuf>,

    /// Keep a variable of the monitor from it; may be repeated
    #[arg(long, value_name = "NAME", help_heading = "Process")]
    pub(crate) env_unset: Vec<String>,

    /// Keep all variables of the monitor from it [default: false]
    #[arg(
        long, value_name = "BOOL", help_heading = "Process",
        num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    pub(crate) env_clear: Option<bool>,

    /// Run it as this user and group, by names or numbers [default: those of the monitor]
    #[arg(long, value_name = "USER[:GROUP]", help_heading = "Process")]
    pub(crate) user: Option<String>,

    /// Give it exactly these supplementary groups, with commas in between; "none" for none [default: all that
    /// name the user]
    #[arg(long, value_name = "GROUPS", help_heading = "Process")]
    pub(crate) groups: Option<String>,

    /// Take these bits from the mode of every file that it makes, in octal digits
    #[arg(long, value_name = "MASK", help_heading = "Process", value_parser = octal)]
    pub(crate) umask: Option<u16>,

    /// Limit what each of its processes may use, such as nofile=1024:4096, core=0; may be repeated
    #[arg(long, value_name = "NAME=SOFT[:HARD]", help_heading = "Process")]
    pub(crate) limit: Vec<Limit>,

    /// How far it steps back for others, -20 to 19
    #[arg(long, value_name = "N", help_heading = "Process", allow_negative_numbers = true)]
    pub(crate) nice: Option<i8>,

    /// How soon it is killed when memory is short, -1000 (never) to 1000
    #[arg(long, value_name = "N", help_heading = "Process", allow_negative_numbers = true)]
    pub(crate) oom_score: Option<i16>,

    /// Where its standard input comes from: inherit, null, file: and a path, or pipe, which is a new one for each
    /// run, fed from that of the monitor [default: inherit, of `monitor up` null]
    #[arg(long, value_name = "FROM", help_heading = "Streams")]
    pub(crate) stdin: Option<StdinOption>,

    /// Where its standard output leads: inherit, null, file: and a path (the command appends by itself), or
    /// log [default: log with one of the options below, else inherit]
    #[arg(long, value_name = "TO", help_heading = "Streams")]
    pub(crate) stdout: Option<OutputOption>,

    /// The same for its standard error, or stdout for where that leads
    #[arg(long, value_name = "TO", help_heading = "Streams")]
    pub(crate) stderr: Option<OutputOption>,

    /// Run it on a terminal of its own, which shows on that of the monitor
    #[arg(long, value_name = "BOOL", help_heading = "Streams", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) tty: Option<bool>,

    /// Append what it prints to this file
    #[arg(long, value_name = "FILE", help_heading = "Streams")]
    pub(crate) log: Option<PathBuf>,

    /// Put the log file aside when it is full, and keep so many old ones, such as 10M:5 [default: never]
    #[arg(long, value_name = "SIZE:COUNT", help_heading = "Streams", value_parser = rotation)]
    pub(crate) log_rotate: Option<Rotation>,

    /// Write the time and the stream before each line, as Kubernetes does
    #[arg(long, value_name = "BOOL", help_heading = "Streams", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) log_prefix: Option<bool>,

    /// Write what it prints to the streams of the monitor too, of many units with the name before each line [default:
    /// without --log]
    #[arg(long, value_name = "BOOL", help_heading = "Streams", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) log_echo: Option<bool>,

    /// How many bytes of its last lines are kept for the monitor's screen [default: 64K]
    #[arg(long, value_name = "SIZE", help_heading = "Streams")]
    pub(crate) log_ring: Option<RingSize>,

    /// What happens while the log takes nothing [default: block]
    #[arg(long, value_name = "WHAT", help_heading = "Streams", value_enum)]
    pub(crate) log_slow: Option<WhenSlow>,

    /// Ask while it serves whether it is well: a line for a shell, or in a file an array with a program and its
    /// arguments; every exit status but 0 is a failure
    #[arg(long, value_name = "COMMAND", help_heading = "Health")]
    pub(crate) health: Vec<String>,

    /// How long to wait between two checks [default: 30s]
    #[arg(long, value_name = "TIME", help_heading = "Health")]
    pub(crate) health_interval: Option<Millis>,

    /// How long a check may take before it is killed and has failed [default: 30s]
    #[arg(long, value_name = "TIME", help_heading = "Health")]
    pub(crate) health_timeout: Option<Millis>,

    /// How many failures in a row make it unhealthy, so that it is stopped and the restart rule decides [default: 3]
    #[arg(long, value_name = "N", help_heading = "Health")]
    pub(crate) health_retries: Option<u32>,

    /// How long to wait before the first check of a run [default: the interval]
    #[arg(long, value_name = "TIME", help_heading = "Health")]
    pub(crate) health_start_delay: Option<Millis>,

    /// What becomes of a command that outlived its monitor [default: adopt]
    #[arg(long, value_name = "WHAT", help_heading = "State directory", value_enum)]
    pub(crate) on_crash: Option<OnCrashOption>,
}

/// A value for each key, as it is written in a file: what is the case without it, or else a likely one.
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
