//! The store of one unit: its last record, in the state directory.

use std::path::PathBuf;
use std::sync::Arc;

use monitor_core::{Reason, RunId, State};
use rustix::process::Pid;

use crate::backend::store::journal::UnitRecord;
use crate::backend::store::log_files::LogFiles;
use crate::backend::store::state_dir::{Durability, StateDir, StateError};
use crate::command::Command;
use crate::linux::cgroup::CgroupLocation;
use crate::linux::identity::Identity;
use crate::linux::mark::{Mark, real_user};
use crate::linux::procfs::ticks_now;
use crate::linux::run_name::RunName;
use crate::output::line::Stream;
use crate::output::log_file::LogFile;

/// Stores the record of a unit in a state directory, and reserves the unit's name while it lives.
#[derive(Debug)]
pub(crate) struct UnitStore {
    directory: StateDir,
    record: UnitRecord,
    /// The lasting part of the last record; `None` before the first record.
    lasting: Option<Option<Reason>>,
}

impl UnitStore {
    /// Reserves a unit's name and reads its record, or begins with an empty record.
    ///
    /// `command` is the command of its next run.
    ///
    /// # Errors
    /// See [`StateError`]; the name is free again.
    pub(crate) fn open(
        directory: &StateDir,
        unit: Arc<str>,
        command: &Command,
    ) -> Result<Self, StateError> {
        directory.reserve_name(&unit)?;
        let fresh = UnitRecord {
            unit,
            boot: directory.boot(),
            state: State::INITIAL,
            process: None,
            held: 0,
            cgroup: None,
            mark: None,
            log_files: LogFiles::default(),
        };
        // Dropping the store releases the name if the read fails.
        let mut store = Self { directory: directory.clone(), record: fresh, lasting: None };
        if let Some(record) = directory.read(&store.record.unit)? {
            store.record = UnitRecord { unit: Arc::clone(&store.record.unit), ..record };
            store.record.log_files.share(command.shared_streams());
        }
        Ok(store)
    }

    pub(crate) const fn record(&self) -> &UnitRecord {
        &self.record
    }

    /// The path of the named pipe through which the unit's programs print.
    pub(crate) fn fifo(&self, stream: Stream) -> PathBuf {
        self.directory.fifo(&self.record.unit, stream)
    }

    /// Saves a state, and the last tick at which the process of its run was not reaped, if it is
    /// known.
    ///
    /// After an error, the next record has the unsaved values.
    ///
    /// # Errors
    /// [`StateError::Unusable`]; a later monitor finds the previous record.
    pub(crate) fn save(&mut self, state: State, held: Option<u64>) -> Result<(), StateError> {
        self.record.state = state;
        if self.record.process.is_some_and(|(run, _)| run == state.run()) {
            self.record.held = held.unwrap_or(self.record.held);
        }
        self.write()
    }

    /// Adds the user of the run's program to the next record, if the run's processes have a mark.
    pub(crate) fn save_owner(&mut self, pid: Pid) {
        if let Some(mark) = &mut self.record.mark {
            mark.owner = real_user(pid);
        }
    }

    /// Saves the log file that a stream of the current run is written to from now on.
    ///
    /// # Errors
    /// See [`UnitStore::save`].
    pub(crate) fn redirect(
        &mut self,
        stream: Stream,
        to: Option<LogFile>,
    ) -> Result<(), StateError> {
        if self.record.log_files.redirect(stream, to) { self.write() } else { Ok(()) }
    }

    /// Saves the process of a run, and its control group or, without one, the mark of its
    /// processes.
    ///
    /// The process must be an own child that was not reaped.
    ///
    /// # Errors
    /// See [`UnitStore::save`].
    pub(crate) fn save_run(
        &mut self,
        run: RunId,
        identity: Identity,
        cgroup: Option<CgroupLocation>,
        mark: Option<RunName>,
        command: &Command,
    ) -> Result<(), StateError> {
        self.record.process = Some((run, identity));
        self.record.held = ticks_now();
        let mark = mark.filter(|_| cgroup.is_none());
        self.record.mark = mark.map(|name| Box::new(Mark { name, owner: None }));
        self.record.cgroup = cgroup;
        self.record.log_files = LogFiles::Declared(command.shared_streams().cloned());
        self.write()
    }

    fn write(&mut self) -> Result<(), StateError> {
        // The record is written in this boot, whatever boot the old record was from.
        self.record.boot = self.directory.boot();
        let lasting = Some(lasting_reason(self.record.state.reason()));
        // The first record is lasting too, so that the lasting record is of this boot from then on.
        let durability =
            if self.lasting == lasting { Durability::Boot } else { Durability::Lasting };
        self.directory.write(&self.record, durability)?;
        self.lasting = lasting;
        Ok(())
    }
}

/// The part of a reason that holds after a power cut, when no process is left.
///
/// It is a user's stop or a final verdict. After any other reason, the unit's target is up.
const fn lasting_reason(reason: Reason) -> Option<Reason> {
    match reason {
        Reason::Created
        | Reason::Wanted
        | Reason::StartTimeout
        | Reason::Watchdog
        | Reason::Unhealthy
        | Reason::EarlyExit
        | Reason::RestartRequested
        | Reason::ShutdownRequested => None,
        Reason::StopRequested
        | Reason::Completed
        | Reason::Prevented
        | Reason::Exhausted
        | Reason::StartLimit
        | Reason::StartFailed => Some(reason),
    }
}

impl Drop for UnitStore {
    fn drop(&mut self) {
        self.directory.release_name(&self.record.unit);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use monitor_core::{Event, Policy};
    use tempfile::tempdir;

    use super::*;

    /// Goal: the store syncs records of user requests and final verdicts, and no others. Method: on
    /// a disk, the lasting record equals the journal at each of these moments.
    #[test]
    fn requests_and_verdicts_last() {
        let directory = tempdir().unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        let mut store =
            UnitStore::open(&state, "web".into(), &Command::new("x", [""; 0]).unwrap()).unwrap();
        let policy: Policy = "restart=on-failure".parse().unwrap();
        let mut now = State::INITIAL;
        for (event, lasts) in [
            ("start", true),
            ("started #1", false),
            ("exited #1 code=1", false),
            ("released #1", false),
            ("fired backoff #1", false),
            ("started #2", false),
            ("stop", true),
            ("exited #2 signal=TERM", false),
            ("released #2", false),
            ("start", true),
            ("started #3", false),
            ("exited #3 code=0", false),
            ("released #3", true),
        ] {
            let before = (now.phase(), store.lasting);
            now = policy.step(now, event.parse::<Event>().unwrap()).state;
            assert_ne!(now.phase(), before.0, "{event} did not count");
            store.save(now, None).unwrap();
            assert_eq!(store.lasting != before.1, lasts, "{event}");
            let [journal, lasting] = ["journal", "lasting"]
                .map(|kind| fs::read(directory.path().join(format!("web.{kind}"))));
            assert_eq!(lasting.is_ok(), state.is_on_disk());
            if let Ok(lasting) = lasting {
                assert_eq!(journal.unwrap() == lasting, lasts, "{event}");
            }
        }
    }
}
