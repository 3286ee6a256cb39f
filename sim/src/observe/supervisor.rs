//! The description of a supervisor, as its file gives it.

use std::collections::BTreeMap;
use std::fmt;

use monitor_core::{Millis, Signal};
use serde::Deserialize;
use toml::Spanned;

use super::template::Template;

/// A supervisor: its programs, its configuration, its commands, and what it claims to do.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Supervisor {
    /// The name, which heads a column.
    pub name: Spanned<String>,
    /// The Debian package.
    pub debian: Option<String>,
    /// The programs that must be installed.
    pub programs: Spanned<Vec<String>>,
    /// The command that is the supervisor. It begins the unit and stays in the foreground.
    pub run: CommandLine,
    /// A command that succeeds once the supervisor takes requests.
    pub ready: Option<CommandLine>,
    /// The commands that ask the supervisor.
    pub requests: Requests,
    /// The text of each restart policy that the supervisor has, for the placeholder `{policy}`.
    pub policies: Spanned<BTreeMap<PolicyName, Template>>,
    /// When the next run begins.
    pub restarts: Restarts,
    /// When the supervisor gives up.
    pub limit: Option<Spanned<Limit>>,
    /// How the supervisor stops a run.
    pub stop: Stop,
    /// What happens to processes that a run leaves.
    pub remains: RemainsRules,
    /// How the supervisor itself ends.
    pub shutdown: Shutdown,
    /// What happens when the supervisor is killed.
    pub crash: Crash,
    /// The files that the supervisor reads.
    #[serde(default, rename = "file")]
    pub files: Vec<FileTemplate>,
    /// The known deviations from rules.
    #[serde(default, rename = "deviation")]
    pub deviations: Vec<Deviation>,
    /// Where each feature is documented, by its key, such as `stop.grace`.
    #[serde(default)]
    pub sources: BTreeMap<String, Spanned<String>>,
}

/// A program and its arguments. No shell reads them.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Vec<Template>")]
pub struct CommandLine(Vec<Template>);

impl TryFrom<Vec<Template>> for CommandLine {
    type Error = &'static str;

    fn try_from(words: Vec<Template>) -> Result<Self, &'static str> {
        if words.is_empty() {
            return Err("the command is empty: write the program and its arguments");
        }
        Ok(Self(words))
    }
}

impl CommandLine {
    /// Returns the program and its arguments.
    #[must_use]
    pub fn words(&self) -> &[Template] {
        &self.0
    }
}

/// A request to a supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// End the run, and begin no other.
    Stop,
    /// Begin a run.
    Start,
    /// End the run, and begin another.
    Restart,
    /// Say whether a run lives.
    Status,
}

impl Request {
    /// Returns the key of the request.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Status => "status",
        }
    }
}

/// The commands that ask the supervisor.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Requests {
    /// The stop of the unit.
    pub stop: CommandLine,
    /// The start of the unit.
    pub start: Option<CommandLine>,
    /// The restart of the unit.
    pub restart: Option<CommandLine>,
    /// The state of the unit.
    pub status: Option<Status>,
}

/// A command that prints whether the unit is up.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Status {
    /// The command.
    pub run: CommandLine,
    /// A text that the output has if a run lives.
    pub up: Spanned<String>,
    /// A text that the output has if no run lives.
    pub down: Spanned<String>,
}

impl Requests {
    /// Returns the command of a request.
    #[must_use]
    pub fn command(&self, request: Request) -> Option<&CommandLine> {
        match request {
            Request::Stop => Some(&self.stop),
            Request::Start => self.start.as_ref(),
            Request::Restart => self.restart.as_ref(),
            Request::Status => self.status.as_ref().map(|status| &status.run),
        }
    }
}

/// The name of a restart policy that scenarios use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyName {
    /// A run follows each run.
    Always,
    /// A run follows each run that failed.
    OnFailure,
    /// No run follows a run.
    Never,
    /// A run follows each run, until the limit is reached.
    Limited,
}

impl PolicyName {
    /// Returns the key of the policy.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::OnFailure => "on-failure",
            Self::Never => "never",
            Self::Limited => "limited",
        }
    }
}

/// A span of time, such as `1s` or `250ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Millis);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = |_| format!("{text:?} is no time: write a number and its unit, such as \"1s\"");
        text.parse().map(Self).map_err(wrong)
    }
}

/// When the next run begins.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Restarts {
    /// The least delays after the first quick end in a row, the second and so on. The last one
    /// repeats. Empty without a delay.
    #[serde(default)]
    pub delays: Vec<Span>,
    /// The moment from which the delays count.
    #[serde(default)]
    pub from: DelayFrom,
    /// How long a run must last so that its end is not quick.
    pub settles: Span,
}

/// The moment from which a delay counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DelayFrom {
    /// The end of the run before.
    #[default]
    End,
    /// The start of the run before.
    Start,
}

/// When the supervisor gives up.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Limit {
    /// The restarts in a row after which it gives up, if each run ends quickly.
    pub restarts: u32,
}

/// How the supervisor stops a run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Stop {
    /// The signal that asks for the end.
    pub signal: SignalName,
    /// The least time from that signal to the kill, or `never`.
    pub grace: StopGrace,
}

/// A signal by name or number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SignalName(pub Signal);

impl TryFrom<String> for SignalName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = |_| format!("{text:?} is no signal: write a name such as \"TERM\"");
        text.parse().map(Self).map_err(wrong)
    }
}

/// The least time from the stop signal to the kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum StopGrace {
    /// The kill comes after this time.
    After(Millis),
    /// No kill comes.
    Never,
}

impl TryFrom<String> for StopGrace {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self::Never);
        }
        Span::try_from(text)
            .map(|span| Self::After(span.0))
            .map_err(|e| format!("{e}, or \"never\""))
    }
}

/// What happens to processes that a run leaves.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RemainsRules {
    /// After a stop.
    pub stop: Remains,
    /// After an end without a stop.
    pub exit: Remains,
}

/// What happens to a process that a run leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remains {
    /// It is left alone.
    Left,
    /// It is asked to end.
    Ended,
    /// It is asked to end, then killed.
    Killed,
}

impl fmt::Display for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Left => "left",
            Self::Ended => "ended",
            Self::Killed => "killed",
        })
    }
}

/// How the supervisor itself ends.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Shutdown {
    /// The signal that ends it.
    pub signal: SignalName,
    /// What happens to the runs.
    pub runs: ShutdownRuns,
}

/// What happens to runs when their supervisor ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShutdownRuns {
    /// They are ended.
    Ended,
    /// They go on.
    Left,
}

/// What happens when the supervisor is killed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Crash {
    /// What the next supervisor does about the runs.
    pub runs: CrashRuns,
}

/// What the next supervisor does about the runs of one that was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrashRuns {
    /// It continues them.
    Adopted,
    /// They are ended before it begins others.
    Ended,
    /// It begins a second one beside each.
    Doubled,
}

/// A file that the supervisor reads.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FileTemplate {
    /// The path within the folder of the scene.
    pub path: Spanned<Template>,
    /// The content.
    pub text: Template,
    /// Whether the file is a program.
    #[serde(default)]
    pub program: bool,
}

/// A known deviation of a supervisor from a rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Deviation {
    /// The rule.
    pub rule: Spanned<String>,
    /// What the supervisor does instead.
    pub reason: String,
    /// Where it says so.
    pub source: String,
}

impl Supervisor {
    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.get_ref()
    }

    /// Returns the least delay after the `nth` quick end in a row, from 0.
    #[must_use]
    pub fn delay(&self, nth: usize) -> Millis {
        let delays = &self.restarts.delays;
        delays.get(nth).or_else(|| delays.last()).map_or(Millis::ZERO, |delay| delay.0)
    }

    /// Returns the longest of the least delays.
    #[must_use]
    pub fn longest_delay(&self) -> Millis {
        self.restarts.delays.iter().map(|delay| delay.0).max().unwrap_or(Millis::ZERO)
    }
}
