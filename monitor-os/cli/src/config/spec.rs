//! Makes of the options of a unit what the supervisor takes.

use std::ffi::OsString;
use std::fmt;

use monitor_core::{Policy, Readiness};
use monitor_os::{Command, CommandError, HealthCheck, OnCrash, ReadyBy};

use super::options::UnitOptions;
use super::policy::{OptionsError, policy};
use super::streams::StreamSetup;
use super::values::ReadyOption;
use crate::report::unit_mode::UnitMode;

/// The parts of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) command: Command,
    pub(crate) policy: Policy,
    pub(crate) on_crash: OnCrash,
    pub(crate) streams: StreamSetup,
}

impl Spec {
    /// Makes the parts of a unit of its options.
    ///
    /// # Errors
    /// The first option that conflicts with the others.
    pub(crate) fn new(
        options: &UnitOptions,
        words: Vec<OsString>,
        mode: UnitMode,
    ) -> Result<Self, SpecError> {
        let policy = policy(options).map_err(SpecError::Policy)?;
        let mut words = words.into_iter();
        let program = words.next().unwrap_or_default();
        let command = Command::new(program, words)
            .map_err(|error| SpecError::Command { option: COMMAND, error })?;
        let command = with_environment(command, options)?;
        let command = with_setup(command, options)?;
        let command = with_probes(command, options, &policy)?;
        let (command, streams) = StreamSetup::build(command, options, mode)
            .map_err(|(option, message)| SpecError::StreamSetup { option, message })?;
        let on_crash = options.on_crash.map(Into::into).unwrap_or_default();
        Ok(Self { command, policy, on_crash, streams })
    }
}

impl Spec {
    /// The most descriptors that a unit takes, beside those of its process, its control group and a
    /// start.
    pub(crate) fn descriptors(&self) -> u64 {
        let rules = self.policy.rules();
        let is_heard = rules.start.readiness == Readiness::Notify || rules.watchdog.is_some();
        self.streams.descriptors() + u64::from(is_heard)
    }
}

/// Sets the environment: inherited variables first, then files, then single variables.
fn with_environment(mut command: Command, options: &UnitOptions) -> Result<Command, SpecError> {
    let failed = |option| move |error| SpecError::Command { option, error };
    if options.env_clear == Some(true) {
        command = command.without_environment();
    }
    for name in &options.env_unset {
        command = command.without_variable(name).map_err(failed("env-unset"))?;
    }
    for file in &options.env_file {
        command = command.with_environment_file(file).map_err(failed("env-file"))?;
    }
    for (name, value) in &options.env {
        command = command.with_variable(name, value).map_err(failed("env"))?;
    }
    Ok(command)
}

fn with_setup(mut command: Command, options: &UnitOptions) -> Result<Command, SpecError> {
    let failed = |option| move |error| SpecError::Command { option, error };
    if let Some(directory) = &options.cwd {
        command = command.in_directory(directory).map_err(failed("cwd"))?;
    }
    if let Some(text) = &options.user {
        let (user, group) =
            text.split_once(':').map_or((text.as_str(), None), |(user, group)| (user, Some(group)));
        command = command.as_user(user).map_err(failed("user"))?;
        if let Some(group) = group {
            command = command.with_group(group).map_err(failed("user"))?;
        }
    }
    if let Some(groups) = &options.groups {
        let names = groups.split(',').filter(|_| groups != "none");
        command = command.with_groups(names).map_err(failed("groups"))?;
    }
    if let Some(mask) = options.umask {
        command = command.with_umask(mask).map_err(failed("umask"))?;
    }
    for limit in &options.limit {
        command = command.with_limit(*limit);
    }
    if let Some(nice) = options.nice {
        command = command.with_nice(nice).map_err(failed("nice"))?;
    }
    if let Some(score) = options.oom_score {
        command = command.with_oom_score(score).map_err(failed("oom-score"))?;
    }
    Ok(command.contained_by(options.containment.map(Into::into).unwrap_or_default()))
}

/// Sets the readiness probe and the health check.
fn with_probes(
    mut command: Command,
    options: &UnitOptions,
    policy: &Policy,
) -> Result<Command, SpecError> {
    let failed = |option| move |error| SpecError::Command { option, error };
    let waits = policy.rules().start.readiness == Readiness::Notify;
    let by = match options.ready {
        Some(ReadyOption::By(by)) => Some(by),
        // A line is found in the captured output.
        Some(ReadyOption::Start | ReadyOption::Line(_)) => None,
        None => waits.then_some(ReadyBy::Notify),
    };
    if let Some(by) = by {
        command = command.ready_by(by).map_err(failed("ready"))?;
    }
    let check = match options.health.as_slice() {
        [] => {
            let rest = [
                ("health-interval", options.health_interval.is_some()),
                ("health-timeout", options.health_timeout.is_some()),
                ("health-retries", options.health_retries.is_some()),
                ("health-start-delay", options.health_start_delay.is_some()),
            ];
            return match rest.into_iter().find(|(_, is_given)| *is_given) {
                Some((option, _)) => Err(SpecError::NoHealth { option }),
                None => Ok(command),
            };
        }
        [line] => HealthCheck::new("/bin/sh", ["-c", line]),
        [program, args @ ..] => HealthCheck::new(program, args),
    };
    let mut check = check.map_err(failed("health"))?;
    if let Some(interval) = options.health_interval {
        check = check.with_interval(interval).map_err(failed("health-interval"))?;
    }
    if let Some(timeout) = options.health_timeout {
        check = check.with_timeout(timeout).map_err(failed("health-timeout"))?;
    }
    if let Some(retries) = options.health_retries {
        check = check.with_retries(retries).map_err(failed("health-retries"))?;
    }
    if let Some(delay) = options.health_start_delay {
        check = check.with_start_delay(delay);
    }
    Ok(command.with_health_check(check))
}

/// The reason for which options make no unit, though each of them is valid.
#[derive(Clone, Debug)]
pub(crate) enum SpecError {
    Policy(OptionsError),
    Command {
        option: &'static str,
        error: CommandError,
    },
    StreamSetup {
        option: &'static str,
        message: &'static str,
    },
    /// An option about health checks, without a health check.
    NoHealth {
        option: &'static str,
    },
}

impl SpecError {
    /// The flag or key to correct; `None` if it may be one of several.
    pub(crate) const fn option(&self) -> Option<&'static str> {
        match self {
            Self::Policy(error) => error.option(),
            Self::Command { option, .. }
            | Self::StreamSetup { option, .. }
            | Self::NoHealth { option } => Some(option),
        }
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(error) => error.fmt(f),
            Self::Command { error, .. } => error.fmt(f),
            Self::StreamSetup { message, .. } => f.write_str(message),
            Self::NoHealth { .. } => {
                f.write_str("there is no health check; give `health` too, or leave this out")
            }
        }
    }
}

impl std::error::Error for SpecError {}

/// The key of the command, which is no flag.
pub(crate) const COMMAND: &str = "command";
