//! From what was said of a unit to what the supervisor takes.

use std::ffi::OsString;
use std::fmt;

use monitor_core::Policy;
use monitor_os::{Command, CommandError, OnCrash};

use crate::options::UnitOptions;
use crate::policy::{OptionsError, policy};

/// What a unit is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) command: Command,
    pub(crate) policy: Policy,
    pub(crate) on_crash: OnCrash,
}

impl Spec {
    /// Puts together what was said.
    ///
    /// # Errors
    /// The first option that does not go with the others.
    pub(crate) fn new(options: &UnitOptions, words: Vec<OsString>) -> Result<Self, SpecError> {
        let policy = policy(options).map_err(SpecError::Policy)?;
        let mut words = words.into_iter();
        let program = words.next().unwrap_or_default();
        let mut command = Command::new(program, words)
            .map_err(|error| SpecError::Command { option: COMMAND, error })?;
        if let Some(directory) = &options.cwd {
            command = command
                .in_directory(directory)
                .map_err(|error| SpecError::Command { option: "cwd", error })?;
        }
        Ok(Self { command, policy, on_crash: options.on_crash.map(Into::into).unwrap_or_default() })
    }
}

/// Why options that can be read one by one make no unit.
#[derive(Clone, Debug)]
pub(crate) enum SpecError {
    Policy(OptionsError),
    Command { option: &'static str, error: CommandError },
}

impl SpecError {
    /// The flag, or key, that is to be mended; `None` if it is one of several.
    pub(crate) const fn option(&self) -> Option<&'static str> {
        match self {
            Self::Policy(error) => error.option(),
            Self::Command { option, .. } => Some(option),
        }
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(error) => error.fmt(f),
            Self::Command { error, .. } => error.fmt(f),
        }
    }
}

impl std::error::Error for SpecError {}

/// The key of the command, which among flags has no name.
pub(crate) const COMMAND: &str = "command";
