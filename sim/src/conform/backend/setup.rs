//! The programs that the kit gives to a backend.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use monitor_os::UnitId;

/// The units of a scenario, each with its program.
#[derive(Clone, Debug)]
pub struct BackendSetup {
    units: Vec<UnitProgram>,
}

impl BackendSetup {
    pub(super) const fn new(units: Vec<UnitProgram>) -> Self {
        Self { units }
    }

    /// The programs, in the order of the units.
    #[must_use]
    pub fn units(&self) -> &[UnitProgram] {
        &self.units
    }
}

/// The program of a unit, for each of its runs.
#[derive(Clone, Debug)]
pub struct UnitProgram {
    unit: UnitId,
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl UnitProgram {
    pub(super) const fn new(unit: UnitId, path: PathBuf, arguments: Vec<OsString>) -> Self {
        Self { unit, path, arguments }
    }

    /// The unit.
    #[must_use]
    pub const fn unit(&self) -> UnitId {
        self.unit
    }

    /// The path of the program. In some scenarios there is no such file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The arguments after the path.
    #[must_use]
    pub fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    /// Makes a command of the standard library that starts the program.
    #[must_use]
    pub fn to_command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments);
        command
    }
}
