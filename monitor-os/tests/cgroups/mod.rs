//! The control groups of this machine.

use std::fs;
use std::path::{Path, PathBuf};

/// Where control groups for runs are made, as a child of this process has it; `None` if none may be
/// made.
pub(crate) fn cgroups() -> Option<PathBuf> {
    if !monitor_os::KernelFeatures::probe().cgroup {
        return None;
    }
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2")).unwrap();
    Some(Path::new(mount.split(' ').nth(1).unwrap()).join(own))
}
