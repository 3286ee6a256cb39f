//! Finds the zombies, descriptors and children that cases leave in the system.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::process_identity::{ProcessIdentity, state_and_parent};
use super::scripted_child::NAME;

/// The zombies, descriptors and children of this process, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Open descriptors of this process.
    pub descriptors: usize,
    /// Children that ended and were not reaped.
    pub zombies: usize,
    /// Children that run, of any case in this folder, by number.
    pub children: BTreeSet<u32>,
}

impl Leftovers {
    /// Finds what is left. `folder` is the one of the children; those of other folders are not
    /// counted.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn find(folder: &Path) -> io::Result<Self> {
        let mut found =
            Self { descriptors: fs::read_dir("/proc/self/fd")?.count(), ..Self::default() };
        let me = std::process::id();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // A process that cannot be read has ended meanwhile.
            let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else { continue };
            let Some((state, parent)) = state_and_parent(&stat) else { continue };
            if state == 'Z' {
                found.zombies += usize::from(parent == me);
            } else if is_scripted_child(pid, folder) {
                found.children.insert(pid);
            }
        }
        Ok(found)
    }
}

impl Leftovers {
    /// Kills the children, each only if it still is one.
    pub fn end(&self, folder: &Path) {
        for &pid in &self.children {
            let held = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let held = held.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
            // Looked at again while it is held: the number cannot go to another any more.
            if let Some(held) = held.filter(|_| is_scripted_child(pid, folder)) {
                // It has ended meanwhile: as good.
                pidfd_send_signal(held, Signal::KILL).ok();
            }
        }
    }
}

impl ProcessIdentity {
    /// The control groups that it has made for runs and that are there, below that of this process.
    pub(super) fn groups(self) -> impl Iterator<Item = PathBuf> {
        let prefix = format!("monitor-{}-{}-", self.pid, self.start);
        let entries = own_group().and_then(|directory| fs::read_dir(directory).ok());
        let entries = entries.into_iter().flatten().flatten();
        entries
            .filter(move |entry| {
                entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes())
            })
            .map(|entry| entry.path())
    }
}

/// Whether anything runs in a control group; nothing does in one that is gone.
pub(super) fn is_populated(group: &Path) -> bool {
    let events = fs::read_to_string(group.join("cgroup.events"));
    events.is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
}

/// The directory of the control group of this process; `None` where there is none of the second
/// version.
fn own_group() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?.to_owned();
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    Some(Path::new(mount.split(' ').nth(1)?).join(own))
}

/// Whether a process is a scripted child, or what one of them left.
fn is_scripted_child(pid: u32, folder: &Path) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let mut words = line.split(|&byte| byte == 0).skip(1);
    let place = folder.as_os_str().as_encoded_bytes();
    words.next() == Some(NAME.as_bytes()) && words.any(|word| word.starts_with(place))
}
