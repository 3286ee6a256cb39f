//! The identity of a process, read from `/proc`.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// A process: its number, and when it was started, for others have that number before and after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessIdentity {
    pid: u32,
    /// Clock ticks from the boot.
    start: u64,
}

impl ProcessIdentity {
    /// Looks at a process that has not been waited for.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat"))?;
        let start = after_name(&stat).and_then(|mut fields| fields.nth(22 - 3)?.parse().ok());
        Ok(Self { pid, start: start.ok_or(io::ErrorKind::InvalidData)? })
    }

    /// When it was started, in clock ticks from the boot.
    pub(crate) const fn ticks(self) -> u64 {
        self.start
    }

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

/// The directory of the control group of this process; `None` where there is none of the second
/// version.
fn own_group() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?.to_owned();
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    Some(Path::new(mount.split(' ').nth(1)?).join(own))
}

/// The state and the parent of `/proc/PID/stat`.
pub(crate) fn state_and_parent(stat: &[u8]) -> Option<(char, u32)> {
    let mut fields = after_name(stat)?;
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

/// The fields of `/proc/PID/stat` from the third on, counted from the end of the name, which may
/// hold anything.
fn after_name(stat: &[u8]) -> Option<std::str::SplitAsciiWhitespace<'_>> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    Some(str::from_utf8(stat.get(name_end + 1..)?).ok()?.split_ascii_whitespace())
}
