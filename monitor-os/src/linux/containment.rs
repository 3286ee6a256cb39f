//! Containment: the kernel's grouping by which a stop reaches every process of a run.

use std::fmt;
use std::fs;

/// Containment that a command requests for its runs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ContainmentMode {
    /// A control group if one may be made; otherwise as [`ContainmentMode::Group`].
    #[default]
    Auto,
    /// A control group; a run does not start without one.
    Cgroup,
    /// The process group, and orphans if the supervisor has them.
    Group,
}

/// Containment of a run, ordered from the weakest to the strongest.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Containment {
    /// The process group and session; a process that leaves them is lost (`setsid(2)`, as daemons
    /// do).
    Group,
    /// The process group and session, and orphans.
    ///
    /// A process that leaves them becomes a child of the supervisor's process when its parent ends.
    /// A later monitor identifies such a process by a mark in its environment.
    GroupAndOrphans,
    /// A control group of its own, which no process leaves by itself.
    Cgroup,
}

impl Containment {
    /// The containment as a word for logs: `group`, `group+subreaper` or `cgroup`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::GroupAndOrphans => "group+subreaper",
            Self::Cgroup => "cgroup",
        }
    }
}

impl fmt::Display for Containment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A process that outlived its run: it was spared, or it survived the kill.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LeftoverProcess {
    /// The process id, for display and not for signals: another process may have the number later.
    pub pid: u32,
    /// The name (`proc_pid_comm(5)`), at most 15 bytes; empty if the process has ended meanwhile.
    pub name: String,
}

impl LeftoverProcess {
    /// Reads the name of a process.
    pub(crate) fn of(pid: rustix::process::Pid) -> Self {
        let number = pid.as_raw_nonzero();
        let name = fs::read(format!("/proc/{number}/comm")).unwrap_or_default();
        Self {
            // Process ids are positive.
            pid: number.get().unsigned_abs(),
            name: String::from_utf8_lossy(&name).trim_end().to_owned(),
        }
    }
}

/// Prints `sleep (pid 1234)`.
impl fmt::Display for LeftoverProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}
