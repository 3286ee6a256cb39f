//! Whether the kernel killed a process for want of memory, which looks like any other kill.

use std::fs;
use std::path::PathBuf;

use rustix::process::Pid;

use super::cgroup::{Leaf, group_of_version_one, mount_of_version_one};

/// The counter of such kills in the memory group of a run, as it was when the run began.
///
/// # Source
/// `memory.events` of a control group of the second version, which is the run's own; else `memory.oom_control` of
/// the first version, whose group the run may share (facts, pitfall 53).
#[derive(Debug)]
pub(super) struct OomKills {
    counter: PathBuf,
    before: u64,
}

impl OomKills {
    /// Reads the counter for a process that was just made; `None` where there is none to be read.
    pub(super) fn begin(pid: Pid, leaf: Option<&Leaf>) -> Option<Self> {
        let own = leaf.map(|leaf| leaf.directory().join("memory.events"));
        let shared = || {
            let group = group_of_version_one(pid, "memory")?;
            Some(mount_of_version_one("memory", &group)?.join("memory.oom_control"))
        };
        let counter = own.filter(|own| own.exists()).or_else(shared)?;
        let before = count(&counter)?;
        Some(Self { counter, before })
    }

    /// Whether there was such a kill since; `None` if the counter cannot be read any more.
    pub(super) fn has_struck(&self) -> Option<bool> {
        Some(count(&self.counter)? > self.before)
    }
}

fn count(counter: &PathBuf) -> Option<u64> {
    let text = fs::read_to_string(counter).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
}
