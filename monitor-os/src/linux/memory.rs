//! The memory of one unit: its last record, and where it is kept.

use std::path::PathBuf;
use std::sync::Arc;

use monitor_core::{RunId, State};

use super::cgroup::Place;
use super::identity::Identity;
use super::journal::Record;
use super::output::Stream;
use super::state_dir::{StateDir, StateError};

/// Keeps the record of a unit in a state directory. The name of the unit is taken for as long as it lives.
#[derive(Debug)]
pub(super) struct Memory {
    directory: StateDir,
    record: Record,
}

impl Memory {
    /// Takes a unit's name and reads what is remembered of it, or begins with nothing.
    ///
    /// # Errors
    /// See [`StateError`]; the name is free.
    pub(super) fn open(directory: &StateDir, unit: Arc<str>) -> Result<Self, StateError> {
        directory.take_name(&unit)?;
        let fresh = Record {
            unit,
            boot: directory.boot(),
            state: State::INITIAL,
            process: None,
            cgroup: None,
        };
        // Gives the name back if the reading fails.
        let mut memory = Self { directory: directory.clone(), record: fresh };
        if let Some(record) = directory.read(&memory.record.unit)? {
            memory.record = Record { unit: Arc::clone(&memory.record.unit), ..record };
        }
        Ok(memory)
    }

    pub(super) const fn record(&self) -> &Record {
        &self.record
    }

    /// Where the named pipe is through which the unit's programs print.
    pub(super) fn fifo(&self, stream: Stream) -> PathBuf {
        self.directory.fifo(&self.record.unit, stream)
    }

    /// Saves a state. What could not be saved is part of the next record.
    ///
    /// # Errors
    /// [`StateError::Unusable`]; the record before is what a later monitor finds.
    pub(super) fn save(&mut self, state: State) -> Result<(), StateError> {
        self.record.state = state;
        self.write()
    }

    /// Saves which process, and which control group, was made for a run.
    ///
    /// # Errors
    /// See [`Memory::save`].
    pub(super) fn save_process(
        &mut self,
        run: RunId,
        identity: Identity,
        cgroup: Option<Place>,
    ) -> Result<(), StateError> {
        self.record.process = Some((run, identity));
        self.record.cgroup = cgroup;
        self.write()
    }

    fn write(&mut self) -> Result<(), StateError> {
        // What is written is written in this boot, whatever was read.
        self.record.boot = self.directory.boot();
        self.directory.write(&self.record)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.directory.give_name_back(&self.record.unit);
    }
}
