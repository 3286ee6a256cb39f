//! The state directory of a monitor, by a name or `--state`.

use monitor_core::Policy;
use monitor_os::{Command, OnCrash, StateDir, Supervisor, Unit};

use crate::cli::args::RunArgs;
use crate::control::server::{Control, ControlError};
use crate::names::{StateDirError, default_directory};
use crate::units::Units;

/// Stores one command in a state directory, under a name.
#[derive(Debug)]
pub(crate) struct CommandStore {
    directory: StateDir,
    name: String,
}

impl CommandStore {
    /// Opens the state directory that the options name; `None` if they name none.
    ///
    /// # Errors
    /// No default directory for this user, or see [`monitor_os::StateError`].
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

    /// Removes the command from the state directory, since it is down for good and its status is
    /// passed on.
    pub(crate) fn forget(self) -> Result<(), StateDirError> {
        self.directory.forget(&self.name).map_err(StateDirError::State)
    }
}

/// The name of a command for which only a directory was given.
const UNNAMED: &str = "main";
