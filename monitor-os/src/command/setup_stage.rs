//! The steps of a start that the helper makes before the program runs.

use rustix::io::Errno;

/// A step between the making of a process and its program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SetupStage {
    /// There is no control group for the run (EOPNOTSUPP: none may be made here), or it could not be entered.
    Cgroup,
    /// What it says that it is ready by, a socket or a pipe, could not be made.
    Readiness,
    /// The terminal could not be made the program's own (`TIOCSCTTY` of `ioctl_tty(2)`).
    Terminal,
    /// An environment file could not be read.
    EnvironmentFile,
    /// The OOM score could not be set: to lower it takes `CAP_SYS_RESOURCE`.
    OomScore,
    /// The nice value could not be set: to lower it takes `CAP_SYS_NICE`, or the limit `nice`.
    Nice,
    /// A limit could not be set: to raise a hard limit takes `CAP_SYS_RESOURCE`.
    Limit,
    /// There is no such user (ENOENT), or the user could not be looked up at the moment.
    UserLookup,
    /// There is no such group (ENOENT), or the group could not be looked up at the moment.
    GroupLookup,
    /// The user or the groups could not be set (EPERM: it takes `CAP_SETUID` and `CAP_SETGID`).
    Account,
    /// The working directory could not be entered, as the user of the program.
    Directory,
    /// The monitor had died before the program ran, so the program was not started.
    Monitor,
    /// The descriptors of the monitor could not be kept from the program: they could not be listed.
    Descriptors,
}

impl SetupStage {
    pub(crate) const ALL: [Self; 13] = [
        Self::Cgroup,
        Self::Terminal,
        Self::EnvironmentFile,
        Self::OomScore,
        Self::Nice,
        Self::Limit,
        Self::UserLookup,
        Self::GroupLookup,
        Self::Account,
        Self::Directory,
        Self::Descriptors,
        Self::Readiness,
        Self::Monitor,
    ];

    /// The step as a word for logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::Readiness => "readiness",
            Self::Terminal => "terminal",
            Self::EnvironmentFile => "environment",
            Self::OomScore => "oom-score",
            Self::Nice => "nice",
            Self::Limit => "limit",
            Self::UserLookup => "user",
            Self::GroupLookup => "group",
            Self::Account => "account",
            Self::Directory => "chdir",
            Self::Monitor => "monitor",
            Self::Descriptors => "descriptors",
        }
    }

    /// What was not possible, and what it takes.
    pub(crate) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Cgroup => (
                "cannot have the control group",
                "delegate one to the monitor (Delegate=yes), or do without",
            ),
            Self::Readiness => (
                "cannot make what readiness is told by",
                "it is tried again as the policy says; if it stays, raise the limit on descriptors",
            ),
            Self::Terminal => ("cannot own the terminal", "run it without one"),
            Self::EnvironmentFile => {
                ("cannot read the environment file", "make it, or correct its path or mode")
            }
            Self::OomScore => ("cannot set the OOM score", "lowering it takes CAP_SYS_RESOURCE"),
            Self::Nice => ("cannot set the nice value", "lowering it takes CAP_SYS_NICE"),
            Self::Limit => ("cannot set the limit", "raising a hard limit takes CAP_SYS_RESOURCE"),
            Self::UserLookup => (
                "cannot find the user",
                "add it, or correct the name; a number without an entry needs a group as well",
            ),
            Self::GroupLookup => ("cannot find the group", "add it, or correct the name"),
            Self::Account => (
                "cannot become the user or take the groups",
                "it takes CAP_SETUID and CAP_SETGID, as root has them",
            ),
            Self::Directory => {
                ("cannot enter the working directory", "make it, or correct its path or mode")
            }
            Self::Monitor => ("cannot outlive the monitor", "start the monitor again"),
            Self::Descriptors => (
                "cannot keep the monitor's descriptors from the program: cannot list them in",
                "mount /proc, or raise the limit on descriptors",
            ),
        }
    }

    /// Whether it failed because there is no such entry, of which the error number would say "no such file".
    pub(crate) const fn is_absent(self, errno: i32) -> bool {
        matches!(self, Self::UserLookup | Self::GroupLookup) && errno == Errno::NOENT.raw_os_error()
    }

    /// Whether an error of this stage may pass though nobody has corrected anything.
    ///
    /// A user or a group that is not there stays away; one that cannot be looked up is on a server that does not
    /// answer. Names that others have taken are not those that are tried next.
    pub(crate) const fn passes(self, errno: i32) -> bool {
        match self {
            Self::UserLookup | Self::GroupLookup => errno != Errno::NOENT.raw_os_error(),
            Self::Readiness => errno == Errno::ADDRINUSE.raw_os_error(),
            Self::Cgroup => errno == Errno::EXIST.raw_os_error(),
            Self::Terminal
            | Self::EnvironmentFile
            | Self::OomScore
            | Self::Nice
            | Self::Limit
            | Self::Account
            | Self::Directory
            | Self::Descriptors
            | Self::Monitor => false,
        }
    }
}
