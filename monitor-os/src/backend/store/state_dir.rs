//! The state directory, which stores the supervised units beyond the monitor's death.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, DirBuilder, File, FileType, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use monitor_core::Millis;
use rustix::event::{Timespec, poll};
use rustix::fs::{FlockOperation, OFlags, flock, fstatfs};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::backend::store::journal::{JournalError, UnitRecord};
use crate::linux::clock::now;
use crate::linux::identity::BootId;
use crate::linux::run_name::MonitorIdentity;
use crate::output::line::Stream;

/// A state directory, held by this process alone: one journal for each unit, and a lock.
///
/// On a file system in memory (`/run`) the records last for the boot, which no process outlives. On
/// a disk they outlast the boot. The monitor syncs records that must survive a reboot, and the
/// supervisor's thread waits for that. These are the first record of each unit, and each record in
/// which a user's stop or a final verdict begins or ends. A power cut may lose other data: the
/// identity of the process, which is gone then, and recent failure counts.
///
/// Clones share one lock, as do the units that are stored here. It is released with the last of
/// them, or with the process, by any end of the process.
#[derive(Clone, Debug)]
pub struct StateDir {
    locked: Arc<LockedDir>,
}

#[derive(Debug)]
struct LockedDir {
    path: PathBuf,
    directory: File,
    boot: BootId,
    /// Whether a power cut may lose a file that is not synced.
    on_disk: bool,
    /// The names of the units that this process stores here.
    names: Mutex<BTreeSet<Arc<str>>>,
    /// The open file that holds the lock.
    lock: File,
}

impl Drop for LockedDir {
    fn drop(&mut self) {
        // Closing the file is not enough. A child that another thread is just making has a copy of
        // it, and thereby the lock, until it runs its program. The call fails only for a wrong
        // descriptor.
        flock(&self.lock, FlockOperation::Unlock).ok();
    }
}

impl StateDir {
    /// Makes the directory (mode 0700) if it is missing, and locks it.
    ///
    /// The call blocks for up to 30 s if a monitor was killed while it made a child. That child
    /// holds the lock until it runs its program.
    ///
    /// # Errors
    /// See [`StateError`]; at most the directory was made.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StateError> {
        let path = path.into();
        let unusable = |source| StateError::Unusable { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(unusable)?;
        let path = path.canonicalize().map_err(unusable)?;
        let directory = File::open(&path).map_err(unusable)?;
        let found = directory.metadata().map_err(unusable)?;
        // A writer of this directory could make this process signal any process that it may signal.
        if found.uid() != geteuid().as_raw() || found.mode() & 0o022 != 0 {
            return Err(StateError::Exposed { path });
        }
        let memory = [TMPFS_MAGIC, RAMFS_MAGIC];
        let kind = fstatfs(&directory).map_err(|errno| unusable(errno.into()))?.f_type;
        let on_disk = !memory.contains(&kind);
        let boot = BootId::current().map_err(unusable)?;
        let lock = lock(&path)?;
        Ok(Self {
            locked: Arc::new(LockedDir {
                path,
                directory,
                boot,
                on_disk,
                names: Mutex::default(),
                lock,
            }),
        })
    }

    /// The path without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.locked.path
    }

    /// Deletes the records of a unit that is down, so that the next monitor begins anew with it.
    ///
    /// An unknown unit is no error.
    ///
    /// # Errors
    /// [`StateError::Name`], [`StateError::Unusable`].
    pub fn forget(&self, unit: &str) -> Result<(), StateError> {
        let journal = self.journal_of(unit)?;
        let pipes = [Stream::Stdout, Stream::Stderr].map(|stream| self.fifo(unit, stream));
        // The lasting record goes first, because it counts when the journal is missing.
        for path in pipes.into_iter().chain([self.path_of(unit, LASTING), journal]) {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(StateError::Unusable { path, source });
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// The path of a unit's named pipe; the name must be a reserved one.
    pub(crate) fn fifo(&self, unit: &str, stream: Stream) -> PathBuf {
        self.locked.path.join(format!("{unit}.{stream}"))
    }

    /// Reserves the name of a unit, which is unique in the directory.
    pub(crate) fn reserve_name(&self, unit: &Arc<str>) -> Result<(), StateError> {
        self.journal_of(unit)?;
        if self.names().insert(Arc::clone(unit)) {
            Ok(())
        } else {
            Err(StateError::Taken { name: unit.to_string() })
        }
    }

    pub(crate) fn release_name(&self, unit: &str) {
        self.names().remove(unit);
    }

    fn names(&self) -> MutexGuard<'_, BTreeSet<Arc<str>>> {
        // A panic of another thread leaves the set consistent.
        self.locked.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn boot(&self) -> BootId {
        self.locked.boot
    }

    /// Reads the record of a unit; `None` without one.
    pub(crate) fn read(&self, unit: &str) -> Result<Option<UnitRecord>, StateError> {
        Self::check_unit(unit)?;
        read_unit(&self.locked.path, unit, self.boot())
    }

    /// Replaces the record of a unit; a reader finds the old or the new one at any moment.
    ///
    /// The journal is written first, so the lasting record is never newer. A journal of this boot
    /// that is unreadable is therefore no effect of a power cut.
    pub(crate) fn write(
        &self,
        record: &UnitRecord,
        durability: Durability,
    ) -> Result<(), StateError> {
        self.replace(record, JOURNAL, Durability::Boot)?;
        // In memory no record is safer than the journal.
        if durability == Durability::Lasting && self.locked.on_disk {
            self.replace(record, LASTING, Durability::Lasting)?;
        }
        Ok(())
    }

    fn replace(
        &self,
        record: &UnitRecord,
        suffix: &str,
        durability: Durability,
    ) -> Result<(), StateError> {
        Self::check_unit(&record.unit)?;
        let path = self.path_of(&record.unit, suffix);
        let next = self.path_of(&record.unit, NEXT);
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = open_regular(&next, options)?;
        let mut written = || {
            file.write_all(record.to_string().as_bytes())?;
            // The name must not reach the disk before the bytes.
            if durability == Durability::Lasting {
                file.sync_data()?;
            }
            fs::rename(&next, &path)?;
            if durability == Durability::Lasting {
                self.locked.directory.sync_data()
            } else {
                Ok(())
            }
        };
        written().map_err(|source| StateError::Unusable { path: path.clone(), source })
    }

    /// Checks that a unit of this name can be stored.
    ///
    /// # Errors
    /// [`StateError::Name`].
    pub fn check_unit(unit: &str) -> Result<(), StateError> {
        let proper = (1..=NAME_MAX).contains(&unit.len())
            && !unit.starts_with(['.', '-'])
            && unit.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if proper { Ok(()) } else { Err(StateError::Name { name: unit.into() }) }
    }

    fn journal_of(&self, unit: &str) -> Result<PathBuf, StateError> {
        Self::check_unit(unit)?;
        Ok(self.path_of(unit, JOURNAL))
    }

    fn path_of(&self, unit: &str, suffix: &str) -> PathBuf {
        self.locked.path.join(format!("{unit}{suffix}"))
    }
}

/// The events that a record must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// A crash of the monitor, for as long as the processes may run; a power cut may lose the
    /// record.
    Boot,
    /// A crash of the monitor, and a power cut.
    Lasting,
}

/// Reads all records of a directory, in the order of names, without a lock or a change.
///
/// A missing directory has no records.
///
/// # Errors
/// [`StateError::Unusable`], [`StateError::Journal`].
pub(crate) fn read_all(directory: &Path, boot: BootId) -> Result<Vec<UnitRecord>, StateError> {
    let unusable = |source| StateError::Unusable { path: directory.into(), source };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(unusable(source)),
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    let names = names.collect::<io::Result<BTreeSet<_>>>().map_err(unusable)?;
    let unit = |name: &str| {
        [JOURNAL, LASTING].into_iter().find_map(|end| Some(name.strip_suffix(end)?.to_owned()))
    };
    let units: BTreeSet<_> = names.iter().filter_map(|name| unit(name.to_str()?)).collect();
    let records = units.iter().map(|unit| read_unit(directory, unit, boot));
    records.filter_map(Result::transpose).collect()
}

/// Reads the last record of a unit; `None` if there is none.
///
/// After a power cut the journal may be old or half written, so the lasting record counts instead.
fn read_unit(directory: &Path, unit: &str, boot: BootId) -> Result<Option<UnitRecord>, StateError> {
    let read = |suffix| read_journal(directory.join(format!("{unit}{suffix}")), unit);
    let last = read(JOURNAL);
    if let Ok(Some(record)) = &last
        && record.boot == boot
    {
        return last;
    }
    match read(LASTING)? {
        Some(lasting) if lasting.boot != boot => Ok(Some(lasting)),
        // No lasting record exists, or the journal was written in this boot and damaged later.
        Some(_) | None => last,
    }
}

/// Reads the journal of a unit; `None` if there is none.
fn read_journal(path: PathBuf, unit: &str) -> Result<Option<UnitRecord>, StateError> {
    let file = match open_regular(&path, OpenOptions::new().read(true)) {
        Ok(file) => file,
        Err(StateError::Unusable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    if let Err(source) = file.take(LENGTH_MAX).read_to_end(&mut bytes) {
        return Err(StateError::Unusable { path, source });
    }
    let text = str::from_utf8(&bytes).map_err(|_| JournalError::Foreign);
    let record = text.and_then(str::parse::<UnitRecord>).and_then(|record| {
        if *record.unit == *unit { Ok(record) } else { Err(JournalError::OtherUnit) }
    });
    record.map(Some).map_err(|error| StateError::Journal { path, error })
}

/// Opens a regular file of a state directory.
///
/// It follows no symbolic link, and does not wait for the writer of a named pipe.
///
/// # Errors
/// [`StateError::Unusable`], [`StateError::NotRegular`]; no other file was changed.
fn open_regular(path: &Path, options: &mut OpenOptions) -> Result<File, StateError> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = options.custom_flags(flags.bits().cast_signed()).open(path);
    let kind = match &opened {
        Ok(file) => file.metadata(),
        Err(_) => path.symlink_metadata(),
    };
    match (opened, kind.map(|found| found.file_type())) {
        (_, Ok(kind)) if !kind.is_file() => {
            Err(StateError::NotRegular { path: path.into(), found: kind_name(kind) })
        }
        (Ok(file), Ok(_)) => Ok(file),
        (Err(source), _) | (Ok(_), Err(source)) => {
            Err(StateError::Unusable { path: path.into(), source })
        }
    }
}

fn kind_name(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_symlink() => "a symbolic link",
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a named pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

/// Error of a state directory, or of a record in it.
///
/// No process was started or signalled, unless a variant says otherwise.
#[derive(Debug)]
#[non_exhaustive]
pub enum StateError {
    /// The path cannot be made, read or written; correct the path or its mode.
    Unusable {
        /// The directory or file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A file of the directory is not a regular file; remove it.
    NotRegular {
        /// The file.
        path: PathBuf,
        /// The kind of the file, such as `a named pipe`.
        found: &'static str,
    },
    /// The directory belongs to another user or is writable for others, so its records are not
    /// trusted.
    Exposed {
        /// The directory.
        path: PathBuf,
    },
    /// Another monitor holds the lock of the directory.
    LockedDir {
        /// The directory.
        path: PathBuf,
        /// The process id of the holder, as the holder wrote it into the lock file.
        by: Option<u32>,
    },
    /// A journal cannot be used.
    Journal {
        /// The file.
        path: PathBuf,
        /// The error of its contents.
        error: JournalError,
    },
    /// The name cannot be that of a file.
    ///
    /// It is empty, longer than 64 bytes, or begins with `.` or `-`. Or it has characters other
    /// than letters, digits, `.`, `_` and `-`.
    Name {
        /// The name.
        name: String,
    },
    /// A unit of that name is supervised already; give another name.
    Taken {
        /// The name.
        name: String,
    },
    /// The supervisor was made without a launcher, so a program would run before it is recorded.
    ///
    /// Use [`Supervisor::with_launcher`](crate::Supervisor::with_launcher).
    NoLauncher,
    /// The recovered process could not be looked up, or did not end within 10 s of its kill.
    Leftover {
        /// The process.
        pid: u32,
        /// The error of the system.
        source: io::Error,
    },
}

impl StateError {
    /// The error number behind the error, or EIO if the system gave none.
    pub(crate) fn errno(&self) -> i32 {
        let source = match self {
            Self::Unusable { source, .. } | Self::Leftover { source, .. } => source.raw_os_error(),
            Self::NotRegular { .. }
            | Self::Exposed { .. }
            | Self::LockedDir { .. }
            | Self::Journal { .. }
            | Self::Name { .. }
            | Self::Taken { .. }
            | Self::NoLauncher => None,
        };
        source.unwrap_or(Errno::IO.raw_os_error())
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable { path, source } => {
                write!(f, "cannot use {}: {source}; correct the path or its mode", path.display())
            }
            Self::NotRegular { path, found } => {
                write!(
                    f,
                    "cannot use {}: it is {found} and no regular file; remove it",
                    path.display()
                )
            }
            Self::Exposed { path } => write!(
                f,
                "{} belongs to another user or others may write to it; \
                 give a directory of your own (chown, chmod go-w)",
                path.display()
            ),
            Self::LockedDir { path, by } => {
                write!(f, "another monitor holds {}", path.display())?;
                by.map_or(Ok(()), |pid| write!(f, " (pid {pid})"))?;
                f.write_str("; stop that one, or give another directory or name")
            }
            Self::Journal { path, error } => {
                write!(f, "cannot go on from {}: {error}", path.display())
            }
            Self::Name { name } => write!(
                f,
                "{name:?} cannot name a unit in a state directory: write 1 to 64 letters, digits, `.`, `_` or `-`, \
                 beginning with none of `.` and `-`"
            ),
            Self::Taken { name } => {
                write!(f, "a unit {name:?} is supervised already; give another name")
            }
            Self::NoLauncher => f.write_str(
                "a unit in a state directory needs a launcher, so that nothing runs unrecorded; \
                 make the supervisor by `Supervisor::with_launcher`",
            ),
            Self::Leftover { pid, source } => write!(
                f,
                "cannot adopt or kill process {pid}, which an earlier monitor left: {source}; kill it"
            ),
        }
    }
}

impl std::error::Error for StateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unusable { source, .. } | Self::Leftover { source, .. } => Some(source),
            Self::Journal { error, .. } => Some(error),
            Self::NotRegular { .. }
            | Self::Exposed { .. }
            | Self::LockedDir { .. }
            | Self::Name { .. }
            | Self::Taken { .. }
            | Self::NoLauncher => None,
        }
    }
}

/// Takes the lock and writes the identity of the holder.
///
/// The lock belongs to the open file. If a monitor is killed while it makes a child, that child
/// holds the lock until it runs its program. The child needs no other process for that. It holds
/// all other descriptors of the dead monitor too. The call therefore waits for the child, up to
/// [`LOCK_TIMEOUT`].
///
/// # Source
/// `flock(2)`; `open(2)`, `O_CLOEXEC`.
fn lock(directory: &Path) -> Result<File, StateError> {
    let path = directory.join("lock");
    let unusable = |source| StateError::Unusable { path: path.clone(), source };
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = open_regular(&path, options)?;
    let end = now().after(LOCK_TIMEOUT);
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let written = MonitorIdentity::own()
                    .and_then(|own| file.set_len(0).and_then(|()| writeln!(file, "{own}")));
                return written.map(|()| file).map_err(unusable);
            }
            Err(Errno::WOULDBLOCK) => {}
            Err(errno) => return Err(unusable(errno.into())),
        }
        // A lock file between two holders has no content for a moment.
        let by = identity(&path);
        if now() >= end || by.is_some_and(|by| !by.is_dead()) {
            return Err(StateError::LockedDir {
                path: directory.into(),
                by: by.map(MonitorIdentity::pid),
            });
        }
        poll(&mut [], Some(&PAUSE)).ok();
    }
}

fn identity(lock: &Path) -> Option<MonitorIdentity> {
    fs::read_to_string(lock).ok()?.trim_end().parse().ok()
}

const JOURNAL: &str = ".journal";
/// The last record that survives a power cut; on a disk only.
const LASTING: &str = ".lasting";
const NEXT: &str = ".journal.new";
const TMPFS_MAGIC: i64 = 0x0102_1994;
const RAMFS_MAGIC: i64 = 0x8584_58f6;
/// More bytes than any record has, so that a foreign file is not read into memory.
const LENGTH_MAX: u64 = 64 * 1024;
const NAME_MAX: usize = 64;
/// The creation of a child takes some milliseconds, and more if many processes wait for a core.
const LOCK_TIMEOUT: Millis = Millis::from_secs(30);
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use monitor_core::State;
    use rustix::fs::{CWD, Mode, inotify, mkfifoat};
    use tempfile::tempdir;

    use super::*;
    use crate::backend::store::log_files::LogFiles;
    use crate::linux::procfs::start_time;
    use crate::testing::{finish, sleeper, wait_readable};

    fn record(state: &StateDir, unit: &str) -> UnitRecord {
        UnitRecord {
            unit: unit.into(),
            boot: state.boot(),
            state: State::INITIAL,
            process: None,
            held: 0,
            cgroup: None,
            mark: None,
            log_files: LogFiles::default(),
        }
    }

    #[test]
    fn second_holder_is_refused_and_told_who() {
        let directory = tempdir().unwrap();
        let path = directory.path().join("a/b");
        let state = StateDir::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        let error = StateDir::open(&path).unwrap_err();
        assert!(
            matches!(error, StateError::LockedDir { by: Some(pid), .. } if pid == std::process::id())
        );
        assert!(error.to_string().contains(&format!("(pid {})", std::process::id())), "{error}");
        let clone = state.clone();
        drop(state);
        assert!(StateDir::open(&path).is_err());
        drop(clone);
        StateDir::open(&path).unwrap();
    }

    /// Goal: a directory is free as soon as it is released, though a child that is being made has
    /// copies of all descriptors. Method: a copy of the lock's descriptor stands for the child's.
    #[test]
    fn lock_is_given_back_though_a_child_in_the_making_has_it() {
        let directory = tempdir().unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        let _copy = state.locked.lock.try_clone().unwrap();
        drop(state);
        StateDir::open(directory.path()).unwrap();
    }

    /// Goal: no dead monitor holds a directory, though its unfinished child has the lock for a
    /// while. The dead monitor is a zombie, was reaped, or has a number that another process
    /// reuses. Method: a lock of the test stands for the child's. The test releases it after the
    /// opener has read the holder, which `inotify(7)` reports.
    #[test]
    fn child_in_the_making_of_a_dead_monitor_is_waited_for() {
        let zombie = sleeper();
        let own = MonitorIdentity::own().unwrap().to_string();
        let named = |pid: i32| {
            let start = start_time(pid).unwrap();
            let (_, namespace) = own.rsplit_once(' ').unwrap();
            format!("pid={pid} start={start} {namespace}\n")
        };
        let dead = named(zombie.pid().as_raw());
        zombie.stop_group(9).unwrap();
        wait_readable(&zombie);
        let stranger = own.replace("start=", "start=1");
        let (reaped, empty) = (dead.clone(), String::new());
        let opened = |by: &str| {
            let directory = tempdir().unwrap();
            let path = directory.path().join("lock");
            fs::write(&path, by).unwrap();
            let held = File::open(&path).unwrap();
            flock(&held, FlockOperation::LockExclusive).unwrap();
            let seen = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
            inotify::add_watch(&seen, &path, inotify::WatchFlags::CLOSE_NOWRITE).unwrap();
            std::thread::scope(|scope| {
                let opening = scope.spawn(|| StateDir::open(directory.path()));
                wait_readable(&seen);
                flock(&held, FlockOperation::Unlock).unwrap();
                opening.join().unwrap()
            })
        };
        for by in [&dead, &stranger, &empty] {
            opened(by).unwrap();
        }
        finish(zombie);
        opened(&reaped).unwrap();
    }

    #[test]
    fn directory_of_others_is_refused() {
        let directory = tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o770)).unwrap();
        let error = StateDir::open(directory.path()).unwrap_err();
        assert!(matches!(error, StateError::Exposed { .. }), "{error}");
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(StateDir::open(&file).unwrap_err(), StateError::Unusable { .. }));
    }

    #[test]
    fn journals_are_replaced_whole_and_forgotten() {
        let directory = tempdir().unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        assert_eq!(state.read("web").unwrap(), None);
        let first = record(&state, "web");
        state.write(&first, Durability::Lasting).unwrap();
        let path = directory.path().join("web.journal");
        let old = File::open(&path).unwrap();
        let second = UnitRecord {
            process: Some((monitor_core::RunId::new(1), "pid=2 start=3".parse().unwrap())),
            ..first.clone()
        };
        state.write(&second, Durability::Boot).unwrap();
        assert_eq!(state.read("web").unwrap(), Some(second));
        // A process that has the old file open can still read all of it.
        assert_eq!(io::read_to_string(old).unwrap(), first.to_string());
        assert!(!directory.path().join("web.journal.new").exists());
        state.forget("web").unwrap();
        state.forget("web").unwrap();
        assert_eq!(state.read("web").unwrap(), None);
    }

    /// Goal: a power cut loses no record that was to last. Method: the journal gets each state that
    /// a power cut may leave of an unsynced file. The states are: all, nothing, an older record, no
    /// bytes, and other bytes.
    #[test]
    fn power_cut_loses_nothing_that_was_to_last() {
        let directory = tempdir().unwrap();
        let path = directory.path().join("web.journal");
        let memory = StateDir::open(directory.path()).unwrap();
        let state = on_disk(&memory);
        let before = "00000000-0000-0000-0000-000000000001".parse().unwrap();
        let record = |pid: i32, boot| UnitRecord {
            boot,
            process: Some((
                monitor_core::RunId::new(1),
                format!("pid={pid} start=3").parse().unwrap(),
            )),
            ..record(&state, "web")
        };
        let [old, lasting, last] = [2, 3, 4].map(|pid| record(pid, before));
        state.write(&lasting, Durability::Lasting).unwrap();
        state.write(&last, Durability::Boot).unwrap();
        let (old, last) = (old.to_string(), last.to_string());
        for left in
            [Some(last.as_str()), Some(&old), Some(""), Some(&last[..40]), Some("\0\0"), None]
        {
            match left {
                Some(text) => fs::write(&path, text).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            assert_eq!(state.read("web").unwrap().as_ref(), Some(&lasting), "{left:?}");
            assert_eq!(
                read_all(directory.path(), state.boot()).unwrap(),
                std::slice::from_ref(&lasting)
            );
        }
        // In the boot in which it was written, the last record counts, and a damaged one was not
        // cut.
        let [lasting, last] = [5, 6].map(|pid| record(pid, state.boot()));
        state.write(&lasting, Durability::Lasting).unwrap();
        state.write(&last, Durability::Boot).unwrap();
        assert_eq!(state.read("web").unwrap(), Some(last));
        fs::write(&path, "").unwrap();
        assert!(matches!(state.read("web").unwrap_err(), StateError::Journal { .. }));
        state.forget("web").unwrap();
        assert_eq!(state.read("web").unwrap(), None);
    }

    impl StateDir {
        /// Whether the directory outlasts a boot.
        pub(crate) fn is_on_disk(&self) -> bool {
            self.locked.on_disk
        }
    }

    /// The directory, as if it were on a disk.
    fn on_disk(state: &StateDir) -> StateDir {
        let LockedDir { path, boot, .. } = &*state.locked;
        let open = || File::open(path).unwrap();
        let (path, boot, names) = (path.clone(), *boot, Mutex::default());
        let held = LockedDir { directory: open(), lock: open(), path, boot, on_disk: true, names };
        StateDir { locked: Arc::new(held) }
    }

    /// Goal: a non-regular file under a known name is reported; it is neither followed nor waited
    /// for.
    #[test]
    fn what_is_no_regular_file_is_refused() {
        type Make = fn(&Path);
        let kinds: [(&str, Make); 4] = [
            ("a named pipe", |path| mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap()),
            ("a symbolic link", |path| std::os::unix::fs::symlink("/dev/zero", path).unwrap()),
            ("a socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
            ("a directory", |path| fs::create_dir(path).unwrap()),
        ];
        for (kind, make) in kinds {
            let refused = |name: &str, touch: fn(&Path) -> Result<(), StateError>| {
                let directory = tempdir().unwrap();
                make(&directory.path().join(name));
                let error = touch(directory.path()).unwrap_err();
                let is_meant = matches!(&error, StateError::NotRegular { path, found }
                    if path.ends_with(name) && *found == kind);
                assert!(is_meant && error.to_string().contains(kind), "{name}: {error}");
            };
            refused("lock", |path| StateDir::open(path).map(drop));
            for name in ["web.journal", "web.lasting"] {
                refused(name, |path| StateDir::open(path)?.read("web").map(drop));
                refused(name, |path| read_all(path, BootId::current().unwrap()).map(drop));
            }
            refused("web.journal.new", |path| {
                let state = StateDir::open(path)?;
                state.write(&record(&state, "web"), Durability::Boot)
            });
        }
    }

    #[test]
    fn journals_that_are_not_believed_are_named() {
        let directory = tempdir().unwrap();
        let state = StateDir::open(directory.path()).unwrap();
        let path = directory.path().join("web.journal");
        for (bytes, expected) in [
            (b"".to_vec(), JournalError::Empty),
            (b"\xff".to_vec(), JournalError::Foreign),
            (record(&state, "db").to_string().into_bytes(), JournalError::OtherUnit),
        ] {
            fs::write(&path, bytes).unwrap();
            let error = state.read("web").unwrap_err();
            assert!(error.to_string().contains("web.journal"), "{error}");
            assert!(matches!(error, StateError::Journal { error, .. } if error == expected));
        }
        for name in ["", ".", "../web", "a b", "-x", &"x".repeat(65)] {
            assert!(matches!(state.read(name).unwrap_err(), StateError::Name { .. }), "{name}");
        }
    }
}
