//! By what a run is held together, so that a stop reaches everything that it started.

use std::fmt;
use std::fs;

/// By what a command wants its runs to be held together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Contain {
    /// A control group where one may be made, else the process group, with orphans where the supervisor has them.
    #[default]
    Auto,
    /// A control group; a run does not start without one.
    Cgroup,
    /// The process group, with orphans where the supervisor has them.
    Group,
}

/// By what a run is held together. The later hold more.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Containment {
    /// Its process group and session: what leaves them is lost (`setsid(2)`, as daemons do).
    Group,
    /// The same, and what leaves them becomes a child of the supervisor's process when its parent ends. Where a monitor
    /// goes on after another, that is looked for by a mark in its environment.
    GroupAndOrphans,
    /// A control group of its own, which nothing leaves by itself.
    Cgroup,
}

impl Containment {
    /// `group`, `group+subreaper` or `cgroup`.
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

/// A process that outlived its run: it was left alone, or it survived the kill.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Survivor {
    /// Its number. To show it, not to signal it: by the time it is used it may be another's.
    pub pid: u32,
    /// Its name (`proc_pid_comm(5)`), at most 15 bytes; empty if it has ended meanwhile.
    pub name: String,
}

impl Survivor {
    /// Asks a process for its name.
    pub(crate) fn of(pid: rustix::process::Pid) -> Self {
        let number = pid.as_raw_nonzero();
        let name = fs::read(format!("/proc/{number}/comm")).unwrap_or_default();
        Self {
            // Numbers of processes are positive.
            pid: number.get().unsigned_abs(),
            name: String::from_utf8_lossy(&name).trim_end().to_owned(),
        }
    }
}

/// Prints `sleep (pid 1234)`.
impl fmt::Display for Survivor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}
