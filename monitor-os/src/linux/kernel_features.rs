//! What the kernel at hand can do, and this process may ask of it.

/// What is to be had beyond Linux 5.4, found by trying it: a version proves nothing where features are carried
/// over, filtered (`seccomp(2)`) or forbidden.
///
/// Whatever is absent has a fallback. Give a supervisor less than there is, and it works as on an older kernel: that
/// is how the fallbacks are tested. Giving more than there is does no harm but a late error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct KernelFeatures {
    /// Each process has an inode of its own (Linux 6.9). Else it is recognised by its start time.
    pub pidfs_inode: bool,
    /// A pidfd tells how a process ended that is no child (`PIDFD_GET_INFO`; the end from Linux 6.15 on). Else the
    /// end of an adopted process is unknown.
    pub pidfd_info: bool,
    /// A control group may be made for each run (cgroup v2). Else a run is its process group.
    pub cgroup: bool,
    /// A control group can be killed as a whole (Linux 5.14). Else its members are frozen and killed one by one.
    pub cgroup_kill: bool,
    /// A control group can be frozen (Linux 5.2). Else its members are killed again until none is left.
    pub cgroup_freeze: bool,
    /// Orphans can be had as children (Linux 3.4). Else what leaves its process group is lost.
    pub subreaper: bool,
}

impl KernelFeatures {
    /// Nothing beyond Linux 5.4.
    pub const NONE: Self = Self {
        pidfs_inode: false,
        pidfd_info: false,
        cgroup: false,
        cgroup_kill: false,
        cgroup_freeze: false,
        subreaper: false,
    };
}
