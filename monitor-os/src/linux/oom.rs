//! OOM kills: the evidence that the kernel killed a process because memory was short.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::Pid;

use crate::linux::cgroup::{RunCgroup, group_of_version_one, mount_of_version_one};

/// The counter of OOM kills in the memory group of a run, as it was when the run began.
///
/// # Source
/// `memory.events` of a control group of version 2, which is the run's own. Otherwise
/// `memory.oom_control` of version 1, whose group the run may share (pitfall 53).
#[derive(Debug)]
pub(crate) struct OomKills {
    /// The counter of a shared group; `None` if the group is the run's own.
    shared: Option<Arc<Path>>,
    before: u64,
}

impl OomKills {
    /// Reads the counter for a process that was just made; `None` if there is no readable counter.
    ///
    /// `last` is the path of the last shared counter, because most runs share one.
    pub(crate) fn begin(
        pid: Pid,
        cgroup: Option<&RunCgroup>,
        last: &mut Option<Arc<Path>>,
    ) -> Option<Self> {
        if let Some(before) = cgroup.and_then(|cgroup| count(&own(cgroup))) {
            return Some(Self { shared: None, before });
        }
        let group = group_of_version_one(pid, "memory")?;
        let counter = mount_of_version_one("memory", &group)?.join("memory.oom_control");
        let before = count(&counter)?;
        let shared = match last {
            Some(last) if **last == *counter => last,
            last => last.insert(counter.into()),
        };
        Some(Self { shared: Some(Arc::clone(shared)), before })
    }

    /// Whether the kernel made an OOM kill since; `None` if the counter is not readable any more.
    pub(crate) fn has_struck(&self, cgroup: Option<&RunCgroup>) -> Option<bool> {
        let now = match &self.shared {
            Some(shared) => count(shared)?,
            None => count(&own(cgroup?))?,
        };
        Some(now > self.before)
    }
}

fn own(cgroup: &RunCgroup) -> PathBuf {
    cgroup.directory().join("memory.events")
}

fn count(counter: &Path) -> Option<u64> {
    let text = fs::read_to_string(counter).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
}
