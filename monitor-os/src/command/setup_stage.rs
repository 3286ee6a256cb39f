//! The steps that the helper takes before the program runs.

use rustix::io::Errno;

/// A step between the creation of a process and its program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SetupStage {
    /// The run has no control group (EOPNOTSUPP: none may be made here), or cannot enter it.
    Cgroup,
    /// The socket or pipe of the readiness report could not be made.
    Readiness,
    /// The terminal could not become the controlling terminal (`TIOCSCTTY` of `ioctl_tty(2)`).
    Terminal,
    /// An environment file could not be read.
    EnvironmentFile,
    /// The OOM score could not be set; lowering it needs `CAP_SYS_RESOURCE`.
    OomScore,
    /// The nice value could not be set; lowering it needs `CAP_SYS_NICE`, or the limit `nice`.
    Nice,
    /// A limit could not be set; raising a hard limit needs `CAP_SYS_RESOURCE`.
    Limit,
    /// The user does not exist (ENOENT), or the lookup failed at the moment.
    UserLookup,
    /// The group does not exist (ENOENT), or the lookup failed at the moment.
    GroupLookup,
    /// The user or the groups could not be set (EPERM: needs `CAP_SETUID` and `CAP_SETGID`).
    Account,
    /// The user of the program could not enter the working directory.
    Directory,
    /// The monitor died before the program ran, so the program was not started.
    Monitor,
    /// The monitor's descriptors could not be listed, and would have leaked into the program.
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

    /// The failed step, and its remedy.
    pub(crate) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Cgroup => (
                "cannot have the control group",
                "delegate one to the monitor (Delegate=yes), or do without",
            ),
            Self::Readiness => (
                "cannot make the readiness socket or pipe",
                "the policy retries it; if the error stays, raise the limit on descriptors",
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
                "add it, or correct the name; a number without an entry needs a group",
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

    /// Whether a user or group does not exist; the text of ENOENT would name a missing file
    /// instead.
    pub(crate) const fn is_absent(self, errno: i32) -> bool {
        matches!(self, Self::UserLookup | Self::GroupLookup) && errno == Errno::NOENT.raw_os_error()
    }

    /// Whether an error of this stage may pass without a correction.
    ///
    /// A missing user or group stays missing; a failed lookup means a server that does not answer.
    /// After a name that is taken, the next try uses another name.
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
