//! The names of monitors, and the state directory of each.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use monitor_os::{StateError, stored_units};

/// The reason for which there is no state directory.
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

/// All targets by name: NAME, and NAME/UNIT for each unit of a monitor of many. Targets that cannot
/// be read are missing.
pub(crate) fn all_targets() -> Vec<String> {
    let mut targets = Vec::new();
    for name in all_names().unwrap_or_default() {
        let units = default_directory(&name).map(|place| units_in(&place)).unwrap_or_default();
        let of_many = units.iter().filter(|unit| **unit != name);
        let of_many: Vec<_> = of_many.map(|unit| target_name(&name, unit)).collect();
        targets.push(name);
        targets.extend(of_many);
    }
    targets
}

/// The name by which a stored unit can be asked: NAME/UNIT, or NAME for the only unit of a monitor,
/// which has that name.
pub(crate) fn target_name(name: &str, unit: &str) -> String {
    if unit == name { name.to_owned() } else { format!("{name}/{unit}") }
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
