//! The target of a command: a monitor, or one of its units.

use std::path::PathBuf;

use clap_complete::engine::ArgValueCompleter;

use crate::completion::candidates::{targets, units};
use crate::names::{StateDirError, default_directory};

/// The options that name a target.
#[derive(Debug, clap::Args)]
pub(crate) struct TargetArgs {
    /// The name that was given to `monitor run --name` or `monitor up`; NAME/UNIT for one unit of
    /// `monitor up`
    #[arg(
        value_name = "NAME", required_unless_present = "state", conflicts_with = "state",
        add = ArgValueCompleter::new(targets)
    )]
    pub(crate) name: Option<String>,

    #[command(flatten)]
    pub(crate) place: StateDirArgs,
}

/// The options that name a target by its state directory.
#[derive(Debug, clap::Args)]
pub(crate) struct StateDirArgs {
    /// The directory that was given to `monitor run --state`, instead of NAME
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,

    /// With --state: one unit of `monitor up`
    #[arg(
        long, value_name = "UNIT", requires = "state", add = ArgValueCompleter::new(units)
    )]
    pub(crate) unit: Option<String>,
}

/// Splits the words of a command into its target and the rest. The first word is the target, unless
/// `--state` names it.
///
/// # Errors
/// The part that is missing.
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

/// A monitor, or one of its units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The state directory of the monitor.
    pub(crate) state_dir: PathBuf,
    /// One of its units.
    pub(crate) unit: Option<String>,
}

impl TargetArgs {
    /// Resolves the target of a command.
    ///
    /// # Errors
    /// No default directory for this user, or the name is none.
    pub(crate) fn resolve(&self) -> Result<Target, StateDirError> {
        if let Some(place) = &self.place.state {
            return Ok(Target { state_dir: place.clone(), unit: self.place.unit.clone() });
        }
        let name = self.name.as_deref().unwrap_or_default();
        let (name, unit) = match name.split_once('/') {
            Some((name, unit)) => (name, Some(unit.to_owned())),
            None => (name, None),
        };
        Ok(Target { state_dir: default_directory(name)?, unit })
    }
}
