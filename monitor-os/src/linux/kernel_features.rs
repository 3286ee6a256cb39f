//! The features of the running kernel that this process may use.

/// The features beyond Linux 5.4 that this kernel has, found by trying them.
///
/// A version proves nothing, because features are backported, filtered (`seccomp(2)`) or forbidden.
///
/// Every absent feature has a fallback. A supervisor with fewer features than the kernel has works
/// as on an older kernel, which is how tests cover the fallbacks. A claimed feature that the kernel
/// lacks causes only a late error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct KernelFeatures {
    /// Each process has an inode of its own (Linux 6.9). Fallback: its start time identifies it.
    pub pidfs_inode: bool,
    /// A pidfd reports the exit of a process that is no child (`PIDFD_GET_INFO`, from Linux 6.15
    /// on).
    ///
    /// Fallback: the exit of an adopted process is unknown.
    pub pidfd_info: bool,
    /// A control group may be made for each run (cgroup v2). Fallback: the process group of the
    /// run.
    pub cgroup: bool,
    /// A control group can be killed as a whole (Linux 5.14). Fallback: members are frozen and
    /// killed singly.
    pub cgroup_kill: bool,
    /// A control group can be frozen (Linux 5.2). Fallback: members are killed again until none is
    /// left.
    pub cgroup_freeze: bool,
    /// Orphans become children (Linux 3.4). Fallback: a process that leaves its process group is
    /// lost.
    pub subreaper: bool,
}

impl KernelFeatures {
    /// No feature beyond Linux 5.4.
    pub const NONE: Self = Self {
        pidfs_inode: false,
        pidfd_info: false,
        cgroup: false,
        cgroup_kill: false,
        cgroup_freeze: false,
        subreaper: false,
    };
}
