//! Control groups: each run has one of its own, which no process that the run starts can leave by
//! itself.

use std::ffi::{CString, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use monitor_core::Scope;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use crate::linux::kernel_features::KernelFeatures;
use crate::linux::procfs::has_ended;
use crate::linux::run_name::{InvalidRunName, RunName, with_free_name};
use crate::linux::signal::{SignalError, continue_follows, named, send};

/// The parent of the runs' control groups: the monitor's own group in the hierarchy of version 2.
///
/// # Source
/// `cgroups(7)`. The mount is found by its type and not by its path, because hybrid systems mount
/// the hierarchy elsewhere.
#[derive(Debug)]
pub(crate) struct Cgroups {
    /// The directory of the monitor's own group.
    directory: PathBuf,
    /// The name of that group, as in `/proc/PID/cgroup`, in one line.
    name: Arc<str>,
}

impl Cgroups {
    /// Finds the monitor's own group; `None` if there is none, or if it is not visible from here.
    pub(crate) fn find() -> Option<Arc<Self>> {
        let name = group_in(&fs::read("/proc/self/cgroup").ok()?)?;
        // A journal cannot record a name that is not one line of text.
        Self::named(name.to_str().filter(|name| !name.contains('\n'))?.into())
    }

    /// The group of this name; `None` if it is not visible from here.
    fn named(name: Arc<str>) -> Option<Arc<Self>> {
        Some(Arc::new(Self { directory: directory_of(&name)?, name }))
    }

    /// Makes an empty group for the next run, and names it.
    ///
    /// # Errors
    /// No right to make it (EACCES, EPERM, EROFS), too many groups (EAGAIN), or an error of
    /// [`RunName::next`]; nothing was made.
    pub(crate) fn make(self: &Arc<Self>, features: KernelFeatures) -> io::Result<RunCgroup> {
        with_free_name(|| self.make_named(RunName::next()?, features))
    }

    fn make_named(
        self: &Arc<Self>,
        run: RunName,
        features: KernelFeatures,
    ) -> io::Result<RunCgroup> {
        let directory = self.directory_of(run);
        fs::create_dir(&directory)?;
        RunCgroup::new(Arc::clone(self), run, features).inspect_err(|_| {
            fs::remove_dir(&directory).ok();
        })
    }

    fn directory_of(&self, run: RunName) -> PathBuf {
        self.directory.join(run.to_string())
    }

    /// Removes the empty groups of dead monitors, which were killed before they could remove them.
    pub(crate) fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return;
        };
        for entry in entries.flatten() {
            let run = entry.file_name().to_str().and_then(|name| name.parse::<RunName>().ok());
            if run.is_some_and(RunName::is_abandoned) {
                // A group with processes is busy, and a journal records it.
                remove(&entry.path()).ok();
            }
        }
    }

    /// Whether a process may be moved here from the monitor's own group.
    ///
    /// The check makes a move that changes nothing.
    pub(crate) fn may_move(&self) -> bool {
        fs::write(self.directory.join(PROCS), "0").is_ok()
    }
}

/// The control group of one run; dropping it removes the group, unless processes run in it.
#[derive(Debug)]
pub(crate) struct RunCgroup {
    /// The parent of the group.
    groups: Arc<Cgroups>,
    run: RunName,
    inode: u64,
    events: File,
    features: KernelFeatures,
}

impl RunCgroup {
    fn new(groups: Arc<Cgroups>, run: RunName, features: KernelFeatures) -> io::Result<Self> {
        let directory = groups.directory_of(run);
        let inode = fs::metadata(&directory)?.ino();
        let events = File::open(directory.join("cgroup.events"))?;
        Ok(Self { groups, run, inode, events, features })
    }

    /// Finds a group that an earlier monitor made; `None` if it is gone.
    ///
    /// The inode identifies the group, because no other group has it before the next boot.
    ///
    /// # Errors
    /// The group cannot be read.
    pub(crate) fn find(
        location: &CgroupLocation,
        features: KernelFeatures,
    ) -> io::Result<Option<Self>> {
        let Some(groups) = Cgroups::named(Arc::clone(&location.parent)) else {
            return Ok(None);
        };
        match Self::new(groups, location.run, features) {
            Ok(cgroup) if cgroup.inode == location.inode => Ok(Some(cgroup)),
            Ok(_) => Ok(None),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Its location for the journal.
    pub(crate) fn location(&self) -> CgroupLocation {
        CgroupLocation { inode: self.inode, parent: Arc::clone(&self.groups.name), run: self.run }
    }

    /// Whether a process is in the group or below it.
    pub(crate) fn holds(&self, pid: Pid) -> bool {
        group_of(pid).is_some_and(|found| found.starts_with(self.location().name()))
    }

    /// The name of the run that has the group.
    pub(crate) const fn run(&self) -> RunName {
        self.run
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.groups.directory_of(self.run)
    }

    /// Its directory for the helper that enters it.
    pub(crate) fn c_directory(&self) -> CString {
        // A path of a file system has no NUL byte.
        CString::new(self.directory().into_os_string().into_vec()).unwrap_or_default()
    }

    /// A file that reports when the group gets or loses its processes; late, and at most every 10
    /// ms.
    pub(crate) fn events(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// Whether any process runs in the group or below it; a zombie does not count.
    pub(crate) fn is_populated(&mut self) -> io::Result<bool> {
        let mut text = String::new();
        // Another monitor may have removed the group, if the monitor that made it is dead.
        match self.events.rewind().and_then(|()| self.events.read_to_string(&mut text)) {
            Ok(_) => Ok(text.lines().any(|line| line == "populated 1")),
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends a signal to all members but `main`, then SIGCONT unless the signal is SIGKILL.
    ///
    /// Frozen members are thawed, so that they handle the signal.
    ///
    /// # Errors
    /// The last failure; the other members were signalled.
    pub(crate) fn signal(&self, signal: u8, main: Option<Pid>) -> Result<(), SignalError> {
        let wanted = named(signal)?;
        if !continue_follows(signal, Scope::Group) {
            return self.kill();
        }
        let sent = self.send(&[wanted, Signal::CONT], main);
        self.freeze(false);
        sent
    }

    /// Kills all members of the group.
    ///
    /// A kernel before Linux 5.14 cannot do that in one step. There the members are frozen first,
    /// so that none forks in the middle. That takes several calls, until no member is left.
    ///
    /// # Errors
    /// See [`RunCgroup::signal`].
    pub(crate) fn kill(&self) -> Result<(), SignalError> {
        if self.features.cgroup_kill && fs::write(self.directory().join("cgroup.kill"), "1").is_ok()
        {
            return Ok(());
        }
        self.freeze(true);
        self.send(&[Signal::KILL], None)
    }

    /// Ends a freeze that a kill began and did not finish.
    pub(crate) fn thaw(&self) {
        self.freeze(false);
    }

    fn freeze(&self, frozen: bool) {
        if self.features.cgroup_freeze {
            // The group may be gone, and then it has no member to freeze.
            fs::write(self.directory().join("cgroup.freeze"), if frozen { "1" } else { "0" }).ok();
        }
    }

    fn send(&self, signals: &[Signal], main: Option<Pid>) -> Result<(), SignalError> {
        let members = self.members().map_err(refused)?;
        let own = self.location().name();
        let mut outcome = Ok(());
        for pid in members.into_iter().filter(|&pid| Some(pid) != main) {
            let sent = match hold(pid, Path::new(&own)) {
                Ok(Some(pidfd)) => signals.iter().try_for_each(|&signal| send(&pidfd, signal)),
                Ok(None) => Ok(()),
                Err(errno) => Err(SignalError::Refused { errno: errno.raw_os_error() }),
            };
            if !matches!(sent, Ok(()) | Err(SignalError::Gone)) {
                outcome = sent;
            }
        }
        outcome
    }

    /// The numbers of all processes in the group and below it.
    ///
    /// # Errors
    /// The group cannot be read.
    pub(crate) fn members(&self) -> io::Result<Vec<Pid>> {
        let mut members = Vec::new();
        let listed = walk(&self.directory(), &mut |directory| {
            let text = fs::read_to_string(directory.join(PROCS))?;
            let numbers = text.lines().filter_map(|line| line.parse().ok());
            // A member in another PID namespace is shown as 0.
            members.extend(numbers.filter_map(Pid::from_raw));
            Ok(())
        });
        match listed {
            Err(error) if !is_gone(&error) => Err(error),
            Ok(()) | Err(_) => Ok(members),
        }
    }
}

impl Drop for RunCgroup {
    fn drop(&mut self) {
        remove(&self.directory()).ok();
    }
}

/// The location of a [`RunCgroup`], as the journal records it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CgroupLocation {
    inode: u64,
    /// The parent group, as in `/proc/PID/cgroup`, in one line.
    parent: Arc<str>,
    run: RunName,
}

impl CgroupLocation {
    /// The name of the run that the group belongs to.
    pub(crate) const fn run(&self) -> RunName {
        self.run
    }

    /// The name of the group, as in `/proc/PID/cgroup`.
    fn name(&self) -> String {
        format!("{}/{}", self.parent.trim_end_matches('/'), self.run)
    }
}

/// Prints `12 /system/monitor-1-2-00112233445566778899aabbccddeeff-4`.
impl fmt::Display for CgroupLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.inode, self.name())
    }
}

impl FromStr for CgroupLocation {
    type Err = InvalidCgroupLocation;

    fn from_str(text: &str) -> Result<Self, InvalidCgroupLocation> {
        let (inode, name) = text.split_once(' ').ok_or(InvalidCgroupLocation)?;
        // The named group may be killed and removed, so its name must be that of a run.
        let (parent, run) = name.rsplit_once('/').ok_or(InvalidCgroupLocation)?;
        let run = run.parse().map_err(|InvalidRunName| InvalidCgroupLocation)?;
        let parent = if parent.is_empty() { "/" } else { parent };
        Ok(Self {
            inode: inode.parse().map_err(|_| InvalidCgroupLocation)?,
            parent: parent.into(),
            run,
        })
    }
}

/// Error of a text that is not the form of a [`CgroupLocation`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct InvalidCgroupLocation;

/// Opens a pidfd for a process in a group or below it.
///
/// `None` if the process has ended, or if another process has its number.
fn hold(pid: Pid, group: &Path) -> Result<Option<OwnedFd>, Errno> {
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(Errno::SRCH) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    // Read after the opening, so that the group is that of the held process.
    let is_member = group_of(pid).is_some_and(|found| found.starts_with(group));
    Ok((is_member && !has_ended(&pidfd)).then_some(pidfd))
}

/// Removes a group and the groups below it; a group with processes stays.
fn remove(directory: &Path) -> io::Result<()> {
    // Most groups have none below. This call needs no descriptor, of which none may be left.
    if fs::remove_dir(directory).is_ok() {
        return Ok(());
    }
    walk(directory, &mut |directory| fs::remove_dir(directory))
}

/// Visits a directory and the directories below it, the lowest first.
fn walk(directory: &Path, visit: &mut impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), visit)?;
        }
    }
    visit(directory)
}

fn is_gone(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NODEV))
}

fn refused(error: io::Error) -> SignalError {
    SignalError::Refused { errno: error.raw_os_error().unwrap_or(Errno::IO.raw_os_error()) }
}

/// The group of a process in the hierarchy of version 2.
fn group_of(pid: Pid) -> Option<PathBuf> {
    group_in(&fs::read(format!("/proc/{}/cgroup", pid.as_raw_nonzero())).ok()?)
}

/// Reads the group of version 2 out of `/proc/PID/cgroup`.
fn group_in(text: &[u8]) -> Option<PathBuf> {
    let group = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
    let group = group.strip_suffix(b" (deleted)").unwrap_or(group);
    Some(PathBuf::from(OsString::from_vec(group.to_vec())))
}

/// The group of a process in the hierarchy of one controller of version 1.
pub(crate) fn group_of_version_one(pid: Pid, controller: &str) -> Option<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{}/cgroup", pid.as_raw_nonzero())).ok()?;
    text.lines().find_map(|line| {
        let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|known| known == controller).then(|| group.into())
    })
}

/// The directory of a group in the hierarchy of one controller of version 1.
pub(crate) fn mount_of_version_one(controller: &str, group: &Path) -> Option<PathBuf> {
    find_mount(|line| {
        let mount = Mount::read(line).filter(|mount| mount.kind == b"cgroup")?;
        let mut options = mount.options.split(|&byte| byte == b',');
        options.any(|option| option == controller.as_bytes()).then(|| mount.location(group))?
    })
}

/// The directory of a group of version 2, if the hierarchy is mounted.
fn directory_of(group: &str) -> Option<PathBuf> {
    find_mount(|line| location(line, Path::new(group)))
}

fn find_mount(find: impl FnMut(&[u8]) -> Option<PathBuf>) -> Option<PathBuf> {
    fs::read("/proc/self/mountinfo").ok()?.split(|&byte| byte == b'\n').find_map(find)
}

/// The directory of a group of version 2, if this line of `/proc/PID/mountinfo` is a mount that
/// shows it.
fn location(line: &[u8], group: &Path) -> Option<PathBuf> {
    Mount::read(line).filter(|mount| mount.kind == b"cgroup2")?.location(group)
}

/// A line of `/proc/PID/mountinfo`.
struct Mount<'a> {
    root: PathBuf,
    target: PathBuf,
    kind: &'a [u8],
    /// The options of the file system as a whole.
    options: &'a [u8],
}

impl<'a> Mount<'a> {
    fn read(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.split(|&byte| byte == b' ');
        let (root, target) = (unescape(fields.nth(3)?).into(), unescape(fields.next()?).into());
        // The file system's type follows a lone dash, because the number of fields before it
        // varies.
        fields.find(|field| *field == b"-")?;
        Some(Self { root, target, kind: fields.next()?, options: fields.nth(1)? })
    }

    /// The directory of a group in this mount.
    fn location(&self, group: &Path) -> Option<PathBuf> {
        Some(self.target.join(group.strip_prefix(&self.root).ok()?))
    }
}

/// Replaces escapes such as `\040` by their bytes.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::new();
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| byte == b'\\');
        let code =
            octal.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    OsString::from_vec(bytes)
}

const PROCS: &str = "cgroup.procs";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::process::WaitStatus;
    use crate::testing::{available_features, finish, shell, sleeper, until};

    /// An empty group.
    fn cgroup(allowed: KernelFeatures) -> RunCgroup {
        Cgroups::find().unwrap().make(allowed).unwrap()
    }

    fn enter(cgroup: &RunCgroup, pid: impl fmt::Display) {
        fs::write(cgroup.directory().join(PROCS), pid.to_string()).unwrap();
    }

    #[test]
    fn mounts_are_found_by_their_type() {
        let group = Path::new("/a/b");
        let unified = b"41 31 0:38 / /sys/fs/my\\040cgroup rw shared:1 - cgroup2 cgroup2 rw";
        assert_eq!(location(unified, group), Some("/sys/fs/my cgroup/a/b".into()));
        assert_eq!(
            location(b"41 31 0:38 /a /cg rw - cgroup2 none rw", group),
            Some("/cg/b".into())
        );
        assert_eq!(location(b"41 31 0:38 /x /cg rw - cgroup2 none rw", group), None);
        assert_eq!(location(b"40 31 0:37 / /cg rw - cgroup cgroup rw", group), None);
        assert_eq!(location(b"", group), None);
        let text = b"4:memory:/x\n0::/a/b (deleted)\n";
        assert_eq!(group_in(text), Some(group.into()));
        assert_eq!(group_in(b"4:memory:/x\n"), None);
    }

    #[test]
    #[ignore = "it takes the right to make control groups, with which the gate runs it"]
    fn members_are_signalled_and_a_zombie_does_not_count() {
        let mut cgroup = cgroup(available_features());
        assert!(!cgroup.is_populated().unwrap());
        let (first, second) = (sleeper(), sleeper());
        let below = cgroup.directory().join("below");
        fs::create_dir(&below).unwrap();
        enter(&cgroup, first.pid().as_raw());
        fs::write(below.join(PROCS), second.pid().as_raw().to_string()).unwrap();
        assert!(cgroup.is_populated().unwrap());
        assert_eq!(cgroup.members().unwrap().len(), 2);
        cgroup.signal(15, Some(first.pid().to_pid())).unwrap();
        assert_eq!(finish(second), WaitStatus::Signaled { signal: 15, core_dumped: false });
        assert_eq!(first.peek(), None);
        cgroup.signal(15, None).unwrap();
        until(|| first.peek().is_some());
        assert!(!cgroup.is_populated().unwrap());
        let directory = cgroup.directory();
        drop(cgroup);
        assert!(!directory.exists());
        finish(first);
    }

    /// Goal: pitfall 10. A program that forks and exits continuously is in no list long enough to
    /// be killed by its number. Method: such a program, and each way to kill that the kernel
    /// offers.
    #[test]
    #[ignore = "it takes the right to make control groups, with which the gate runs it"]
    fn runner_is_killed_by_each_means() {
        let all = available_features();
        let frozen = KernelFeatures { cgroup_kill: false, ..all };
        for features in [all, frozen, KernelFeatures { cgroup_freeze: false, ..frozen }] {
            let mut cgroup = cgroup(features);
            let script = "echo $$ > \"$0/cgroup.procs\"; run() { (sleep 0.002; run) & exit; }; run";
            let directory = cgroup.directory().to_str().unwrap().to_owned();
            let command = crate::command::Command::new("/bin/sh", ["-c", script, &directory]);
            let process = crate::testing::spawn(&command.unwrap()).unwrap();
            assert_eq!(finish(process), WaitStatus::Exited(0));
            assert!(cgroup.is_populated().unwrap());
            while cgroup.is_populated().unwrap() {
                cgroup.kill().unwrap();
                std::thread::yield_now();
            }
            drop(cgroup);
            assert!(!Path::new(&directory).exists());
        }
    }

    /// Goal: pitfall 34. A frozen process receives a request to end.
    #[test]
    #[ignore = "it takes the right to make control groups, with which the gate runs it"]
    fn frozen_members_are_thawed_to_handle_a_stop() {
        let cgroup = cgroup(available_features());
        let process = shell("trap 'exit 3' TERM; while :; do sleep 0.01; done");
        enter(&cgroup, process.pid().as_raw());
        cgroup.freeze(true);
        cgroup.signal(15, None).unwrap();
        finish(process);
        until(|| cgroup.members().unwrap().is_empty());
    }

    /// Goal: a group that another monitor has removed counts as empty, not as unreadable.
    #[test]
    #[ignore = "it takes the right to make control groups, with which the gate runs it"]
    fn swept_group_is_empty() {
        let mut cgroup = cgroup(available_features());
        assert!(!cgroup.is_populated().unwrap());
        remove(&cgroup.directory()).unwrap();
        assert!(!cgroup.is_populated().unwrap());
        assert_eq!(cgroup.members().unwrap(), []);
        cgroup.signal(15, None).unwrap();
        cgroup.kill().unwrap();
    }

    #[test]
    #[ignore = "it takes the right to make control groups, with which the gate runs it"]
    fn found_by_its_inode_and_swept_when_its_monitor_is_dead() {
        let cgroup = cgroup(available_features());
        let location = cgroup.location();
        let found = |location: &CgroupLocation| {
            RunCgroup::find(location, cgroup.features).unwrap().map(|cgroup| cgroup.location())
        };
        let other = CgroupLocation { inode: location.inode + 1, ..location.clone() };
        // A dropped group is removed, so the wrong location is tried first.
        fs::create_dir(cgroup.directory().join("below")).unwrap();
        let groups = Cgroups::find().unwrap();
        groups.sweep();
        assert!(cgroup.directory().exists());
        assert_eq!(location.to_string().parse(), Ok(location.clone()));
        for foreign in [
            "",
            "7",
            "x /monitor-1-2-00112233445566778899aabbccddeeff-4",
            "7 /",
            "7 /web",
            "7 /monitor-1-2-00112233445566778899aabbccddeeff-4/..",
        ] {
            assert_eq!(foreign.parse::<CgroupLocation>(), Err(InvalidCgroupLocation), "{foreign}");
        }
        let name = cgroup.run.to_string();
        // The number is equal, and the start differs.
        let start = name.split('-').nth(2).unwrap();
        let abandoned = groups.directory.join(name.replacen(&format!("-{start}-"), "-0-", 1));
        fs::create_dir(&abandoned).unwrap();
        groups.sweep();
        assert!(!abandoned.exists());
        assert_eq!(found(&location), Some(location.clone()));
        assert_eq!(found(&location), None);
        assert_eq!(found(&other), None);
    }
}
