//! The state directory of a monitor, by a name or `--state`.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use monitor_core::Policy;
use monitor_os::{Command, OnCrash, StateDir, StateError, Supervisor, Unit, stored_units};

use crate::args::{RunArgs, TargetArgs};
use crate::control::server::{Control, ControlError};
use crate::units::Units;

/// A monitor to ask, or one of its units.
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

/// Stores one command in a state directory, under a name.
#[derive(Debug)]
pub(crate) struct CommandStore {
    directory: StateDir,
    name: String,
}

impl CommandStore {
    /// Opens what the options name; `None` if they name nothing.
    ///
    /// # Errors
    /// No default directory for this user, or see [`StateError`].
    pub(crate) fn open(args: &RunArgs) -> Result<Option<Self>, StateDirError> {
        let (path, name) = match (&args.state, &args.name) {
            (None, None) => return Ok(None),
            (Some(path), name) => (path.clone(), name.as_deref().unwrap_or(UNNAMED).to_owned()),
            (None, Some(name)) => (default_directory(name)?, name.clone()),
        };
        Ok(Some(Self { directory: StateDir::open(path).map_err(StateDirError::State)?, name }))
    }

    pub(crate) fn restore(
        &self,
        supervisor: &Supervisor,
        command: Command,
        policy: Policy,
        on_crash: OnCrash,
    ) -> Result<Unit, StateDirError> {
        let unit =
            supervisor.restore(&self.directory, on_crash, self.name.as_str(), command, policy);
        unit.map_err(StateDirError::State)
    }

    /// Serves the control socket for the unit.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub(crate) fn control(&self, units: Units, unit: &Unit) -> Result<Control, ControlError> {
        Control::begin(&self.directory, units, unit.events())
    }

    /// Removes the command from the state directory, since it is down for good and its status is passed on.
    pub(crate) fn forget(self) -> Result<(), StateDirError> {
        self.directory.forget(&self.name).map_err(StateDirError::State)
    }
}

/// Why there is no state directory.
#[derive(Debug)]
pub(crate) enum StateDirError {
    /// `XDG_RUNTIME_DIR` is not set, and the user is not root.
    NoDefault,
    /// The name leads out of the directory of all names.
    Name,
    State(StateError),
}

impl fmt::Display for StateDirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDefault => {
                f.write_str("XDG_RUNTIME_DIR is not set, so a name has no place; give --state DIR")
            }
            Self::Name => f.write_str("NAME: write a name without `/`, and not `.` or `..`"),
            Self::State(error) => write!(f, "state: {error}"),
        }
    }
}

impl std::error::Error for StateDirError {}

/// The state directory of a name.
///
/// # Errors
/// No default directory for this user, or the name is none.
pub(crate) fn default_directory(name: &str) -> Result<PathBuf, StateDirError> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(StateDirError::Name);
    }
    Ok(base()?.join(name))
}

/// The names that have a state directory, in their order.
///
/// # Errors
/// No default directory for this user, or it cannot be read.
pub(crate) fn all_names() -> Result<Vec<String>, StateDirError> {
    let base = base()?;
    let entries = match fs::read_dir(&base) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(StateDirError::State(StateError::Unusable { path: base, source }));
        }
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> = names.collect();
    names.sort();
    Ok(names)
}

/// What can be asked by name: NAME, and NAME/UNIT for each unit of a monitor of many. Nothing if that cannot be read.
pub(crate) fn all_targets() -> Vec<String> {
    let mut targets = Vec::new();
    for name in all_names().unwrap_or_default() {
        let units = default_directory(&name).map(|place| units_in(&place)).unwrap_or_default();
        let of_many = units.iter().filter(|unit| **unit != name);
        let of_many: Vec<_> = of_many.map(|unit| format!("{name}/{unit}")).collect();
        targets.push(name);
        targets.extend(of_many);
    }
    targets
}

/// The units that are stored in a state directory; none if it cannot be read.
pub(crate) fn units_in(place: &Path) -> Vec<String> {
    let units = stored_units(place).unwrap_or_default();
    units.into_iter().map(|left| left.unit).collect()
}

/// The directory of all names.
fn base() -> Result<PathBuf, StateDirError> {
    let base = match env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty()) {
        Some(directory) => PathBuf::from(directory),
        None if rustix::process::geteuid().is_root() => PathBuf::from("/run"),
        None => return Err(StateDirError::NoDefault),
    };
    Ok(base.join("monitor"))
}

/// The name of a command that has none, in the directory that it was given.
const UNNAMED: &str = "main";
