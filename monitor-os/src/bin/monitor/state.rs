//! Where a monitor remembers what it supervises, and where the other commands find it, by a name or `--state`.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use monitor_core::Policy;
use monitor_os::{Command, OnCrash, StateDir, StateError, Supervisor, Unit, stored_units};

use crate::args::{RunArgs, Target};
use crate::control::server::{Control, ControlError};
use crate::roster::Roster;

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whom {
    /// The state directory of the monitor.
    pub(crate) place: PathBuf,
    /// One of its units.
    pub(crate) unit: Option<String>,
}

impl Target {
    /// Whom to ask.
    ///
    /// # Errors
    /// No default directory for this user, or the name is none.
    pub(crate) fn whom(&self) -> Result<Whom, MemoryError> {
        if let Some(place) = &self.place.state {
            return Ok(Whom { place: place.clone(), unit: self.place.unit.clone() });
        }
        let name = self.name.as_deref().unwrap_or_default();
        let (name, unit) = match name.split_once('/') {
            Some((name, unit)) => (name, Some(unit.to_owned())),
            None => (name, None),
        };
        Ok(Whom { place: default_directory(name)?, unit })
    }
}

/// The state directory of one command, and the name under which it is remembered there.
#[derive(Debug)]
pub(crate) struct Memory {
    directory: StateDir,
    name: String,
}

impl Memory {
    /// Opens what the options name; `None` if they name nothing.
    ///
    /// # Errors
    /// No default directory for this user, or see [`StateError`].
    pub(crate) fn open(args: &RunArgs) -> Result<Option<Self>, MemoryError> {
        let (path, name) = match (&args.state, &args.name) {
            (None, None) => return Ok(None),
            (Some(path), name) => (path.clone(), name.as_deref().unwrap_or(UNNAMED).to_owned()),
            (None, Some(name)) => (default_directory(name)?, name.clone()),
        };
        Ok(Some(Self { directory: StateDir::open(path).map_err(MemoryError::State)?, name }))
    }

    pub(crate) fn restore(
        &self,
        supervisor: &Supervisor,
        command: Command,
        policy: Policy,
        on_crash: OnCrash,
    ) -> Result<Unit, MemoryError> {
        let unit =
            supervisor.restore(&self.directory, on_crash, self.name.as_str(), command, policy);
        unit.map_err(MemoryError::State)
    }

    /// Lets the unit be asked by other programs.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub(crate) fn control(&self, roster: Roster, unit: &Unit) -> Result<Control, ControlError> {
        Control::begin(&self.directory, roster, unit.events())
    }

    /// Ends the memory, since its command is down for good and its status is given on.
    pub(crate) fn forget(self) -> Result<(), MemoryError> {
        self.directory.forget(&self.name).map_err(MemoryError::State)
    }
}

/// Why there is no memory.
#[derive(Debug)]
pub(crate) enum MemoryError {
    /// `XDG_RUNTIME_DIR` is not set, and the user is not root.
    NoDefault,
    /// The name leads out of the directory of all names.
    Name,
    State(StateError),
}

impl fmt::Display for MemoryError {
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

impl std::error::Error for MemoryError {}

/// Where a name has its place.
///
/// # Errors
/// No default directory for this user, or the name is none.
pub(crate) fn default_directory(name: &str) -> Result<PathBuf, MemoryError> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(MemoryError::Name);
    }
    Ok(base()?.join(name))
}

/// The names that have a place, in their order.
///
/// # Errors
/// No default directory for this user, or it cannot be read.
pub(crate) fn all_names() -> Result<Vec<String>, MemoryError> {
    let base = base()?;
    let entries = match fs::read_dir(&base) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(MemoryError::State(StateError::Unusable { path: base, source }));
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

/// The units that are remembered in a state directory; none if it cannot be read.
pub(crate) fn units_in(place: &Path) -> Vec<String> {
    let units = stored_units(place).unwrap_or_default();
    units.into_iter().map(|left| left.unit).collect()
}

/// Where all names have their places.
fn base() -> Result<PathBuf, MemoryError> {
    let base = match env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty()) {
        Some(directory) => PathBuf::from(directory),
        None if rustix::process::geteuid().is_root() => PathBuf::from("/run"),
        None => return Err(MemoryError::NoDefault),
    };
    Ok(base.join("monitor"))
}

/// The name of a command that has none, in the directory that it was given.
const UNNAMED: &str = "main";
