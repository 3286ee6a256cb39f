//! What a program is given beside its arguments and environment, and how the helper gives it.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fmt;
use std::fs;
use std::io::stdin;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

use monitor_core::Millis;
use nix::unistd::{chdir, getpid};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, getppid, ioctl_tiocsctty, set_parent_process_death_signal, setpriority_process,
    umask,
};

use super::account::{Account, Credentials, trust};
use super::descriptors::keep_only;
use super::environment::{Environment, put, remove, variable};
use super::file_streams::FileStreams;
use super::limit::Limit;
use super::orphans;
use super::run_name::RunName;
use super::spawn::SpawnError;

/// What only the child itself can set, between its making and the program.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Setup {
    /// The directory of the control group to enter.
    pub(super) cgroup: Option<CString>,
    /// The name of the run, by which what it starts is recognised.
    pub(super) mark: Option<RunName>,
    pub(super) notified: Option<Notified>,
    pub(super) oom_score: Option<i16>,
    pub(super) nice: Option<i8>,
    /// At most one for each name.
    pub(super) limits: Vec<Limit>,
    pub(super) umask: Option<u16>,
    pub(super) account: Account,
    pub(super) directory: Option<CString>,
    /// Whether the standard input is to be the controlling terminal of the session.
    pub(super) terminal: bool,
    /// Which of the standard streams lead to files.
    pub(super) files: FileStreams,
    /// The process id of the monitor with which the program is to die.
    pub(super) dies_with: Option<i32>,
    /// The one descriptor beside the standard streams that the program is given.
    pub(super) descriptor: Option<u8>,
}

impl Setup {
    /// Puts a limit in the place of that of the same name.
    pub(super) fn limit(&mut self, limit: Limit) {
        self.limits.retain(|known| known.name() != limit.name());
        self.limits.push(limit);
    }

    /// The first setting, for an error that says what needs a helper.
    pub(super) fn first(&self) -> Option<&'static str> {
        let settings = [
            (self.directory.is_some(), "a working directory"),
            (self.terminal, "a terminal"),
            (self.account != Account::default(), "a user or groups"),
            (self.umask.is_some(), "a file mode mask"),
            (!self.limits.is_empty(), "limits"),
            (self.nice.is_some(), "a nice value"),
            (self.oom_score.is_some(), "an OOM score"),
        ];
        settings.into_iter().find_map(|(is_set, name)| is_set.then_some(name))
    }

    /// Sets everything for this process, which has one thread, and returns the environment of its program.
    ///
    /// The control group comes first, so that nothing happens outside of it, then what takes privileges, and the
    /// directory last, as the user whom it must be open to. Files are opened as the user of the monitor, by paths that
    /// are guarded against the user of the program.
    ///
    /// # Errors
    /// [`SpawnError::Setup`] and [`SpawnError::EnvironmentLine`]; the process is of no use then.
    pub(super) fn apply(
        &self,
        environment: &Environment,
        mut inherited: Vec<CString>,
    ) -> Result<Vec<CString>, SpawnError> {
        if let Some(cgroup) = &self.cgroup {
            enter(cgroup)?;
        }
        if self.terminal {
            ioctl_tiocsctty(stdin()).map_err(|errno| failed(SetupStage::Terminal, "tty", errno))?;
        }
        let credentials = self.account.look_up()?;
        for variable in credentials.iter().flat_map(Credentials::variables) {
            put(&mut inherited, variable);
        }
        let trust = trust(credentials.as_ref());
        let mut variables = environment.resolve(inherited, &trust)?;
        if let Some(mark) = self.mark.and_then(orphans::mark) {
            put(&mut variables, mark);
        }
        if let Some(notified) = &self.notified {
            notified.put_into(&mut variables);
        }
        if let Some(mask) = self.umask {
            umask(Mode::from_raw_mode(mask.into()));
        }
        // Before a limit can be in the way.
        self.files.put_in_place(&trust).map_err(SpawnError::Stream)?;
        set_oom_score(self.oom_score)?;
        if let Some(nice) = self.nice {
            setpriority_process(None, nice.into())
                .map_err(|errno| failed(SetupStage::Nice, nice.to_string(), errno))?;
        }
        for limit in &self.limits {
            limit
                .put_in_force()
                .map_err(|errno| failed(SetupStage::Limit, limit.to_string(), errno))?;
        }
        if let Some(credentials) = credentials {
            credentials.assume()?;
        }
        if let Some(directory) = &self.directory {
            let subject = OsStr::from_bytes(directory.as_bytes());
            chdir(directory.as_c_str())
                .map_err(|errno| failed(SetupStage::Directory, subject, native(errno)))?;
        }
        // After the account, whose change would clear it.
        if let Some(monitor) = self.dies_with {
            die_with(monitor)?;
        }
        // Last, since all of the above may open some.
        keep_only(self.descriptor).map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            failed(SetupStage::Descriptors, "/proc/self/fd", errno)
        })?;
        Ok(variables)
    }

    /// One text for each setting.
    pub(super) fn encode(&self) -> Vec<Vec<u8>> {
        let Self {
            cgroup,
            mark,
            notified,
            oom_score,
            nice,
            limits,
            umask,
            account,
            directory,
            terminal,
            files,
            dies_with,
            descriptor,
        } = self;
        let numbers = [
            oom_score.map(|score| format!("oom {score}")),
            nice.map(|nice| format!("nice {nice}")),
            umask.map(|mask| format!("umask {mask}")),
            mark.as_ref().map(|mark| format!("mark {mark}")),
            notified.as_ref().map(|notified| format!("notified {notified}")),
            terminal.then(|| "terminal true".into()),
            dies_with.map(|monitor| format!("dies-with {monitor}")),
            descriptor.map(|number| format!("descriptor {number}")),
        ];
        let limits = limits.iter().map(|limit| format!("limit {limit}"));
        let texts = numbers.into_iter().flatten().chain(limits).chain(account.encode());
        let directory = directory.iter().map(|path| [b"cwd ", path.as_bytes()].concat());
        let cgroup = cgroup.iter().map(|path| [b"cgroup ", path.as_bytes()].concat());
        let texts = texts.map(String::into_bytes).chain(directory).chain(cgroup);
        texts.chain(files.encode()).collect()
    }

    pub(super) fn decode(texts: &[CString]) -> Option<Self> {
        fn read<T: FromStr>(value: &[u8]) -> Option<T> {
            str::from_utf8(value).ok()?.parse().ok()
        }
        let mut setup = Self::default();
        for text in texts {
            let mut parts = text.as_bytes().splitn(2, |&byte| byte == b' ');
            let (key, value) = (parts.next()?, parts.next()?);
            match key {
                b"oom" => setup.oom_score = Some(read(value)?),
                b"nice" => setup.nice = Some(read(value)?),
                b"mark" => setup.mark = Some(read(value)?),
                b"notified" => setup.notified = Some(read(value)?),
                b"umask" => setup.umask = Some(read(value)?),
                b"terminal" => setup.terminal = read(value)?,
                b"dies-with" => setup.dies_with = Some(read(value)?),
                b"descriptor" => setup.descriptor = Some(read(value)?),
                b"limit" => setup.limits.push(read(value)?),
                b"cgroup" => setup.cgroup = Some(CString::new(value).ok()?),
                b"cwd" => setup.directory = Some(CString::new(value).ok()?),
                b"file" => setup.files.decode(value)?,
                key => setup.account.decode(key, read(value)?)?,
            }
        }
        Some(setup)
    }
}

/// What a program needs to know to say how it is; see `sd_notify(3)` and `sd_watchdog_enabled(3)`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Notified {
    /// The address of the socket, with `@` for the byte NUL in front of it.
    pub(super) address: String,
    /// How long it may be silent, if that is bounded.
    pub(super) watchdog: Option<Millis>,
}

impl Notified {
    /// Puts it in the place of what this process was told, which is about the monitor.
    fn put_into(&self, variables: &mut Vec<CString>) {
        remove(variables, b"WATCHDOG_USEC");
        remove(variables, b"WATCHDOG_PID");
        let mut tell = |name: &str, value: String| {
            // Neither has a NUL byte.
            variable(name.as_ref(), value.as_ref()).map(|told| put(variables, told))
        };
        tell("NOTIFY_SOCKET", self.address.clone());
        if let Some(period) = self.watchdog {
            tell("WATCHDOG_USEC", format!("{}000", period.as_u32()));
            tell("WATCHDOG_PID", getpid().to_string());
        }
    }
}

impl fmt::Display for Notified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = self.watchdog.map_or(0, Millis::as_u32);
        write!(f, "{period} {}", self.address)
    }
}

impl FromStr for Notified {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (period, address) = text.split_once(' ').ok_or(())?;
        let period: u32 = period.parse().map_err(|_| ())?;
        let watchdog = (period > 0).then(|| Millis::new(period));
        Ok(Self { address: address.into(), watchdog })
    }
}

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
    pub(super) const ALL: [Self; 13] = [
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
    pub(super) const fn words(self) -> (&'static str, &'static str) {
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
    pub(super) const fn is_absent(self, errno: i32) -> bool {
        matches!(self, Self::UserLookup | Self::GroupLookup) && errno == Errno::NOENT.raw_os_error()
    }

    /// Whether an error of this stage may pass though nobody has corrected anything.
    ///
    /// A user or a group that is not there stays away; one that cannot be looked up is on a server that does not
    /// answer. Names that others have taken are not those that are tried next.
    pub(super) const fn passes(self, errno: i32) -> bool {
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

/// An error of one step.
pub(super) fn failed(stage: SetupStage, subject: impl Into<OsString>, errno: Errno) -> SpawnError {
    SpawnError::Setup { stage, subject: subject.into(), errno: errno.raw_os_error() }
}

/// The same error in the words of the other library.
pub(super) const fn native(errno: nix::errno::Errno) -> Errno {
    Errno::from_raw_os_error(errno as i32)
}

/// Lets the kernel kill this process when the monitor dies, and checks that the monitor is still there.
///
/// The kernel goes by the thread that has started this process, which is the supervisor's own and lives as
/// long as the monitor.
///
/// # Errors
/// ESRCH: the monitor has died before, and would never be seen to die.
///
/// # Source
/// `PR_SET_PDEATHSIG` of `prctl(2)`.
fn die_with(monitor: i32) -> Result<(), SpawnError> {
    let gone = |errno| failed(SetupStage::Monitor, monitor.to_string(), errno);
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(gone)?;
    let parent = getppid().map(Pid::as_raw_pid);
    if parent == Some(monitor) { Ok(()) } else { Err(gone(Errno::SRCH)) }
}

/// Moves this process, and so everything that it will start.
fn enter(cgroup: &CStr) -> Result<(), SpawnError> {
    let directory = OsStr::from_bytes(cgroup.to_bytes());
    fs::write(Path::new(directory).join("cgroup.procs"), "0").map_err(|error| {
        failed(SetupStage::Cgroup, directory, Errno::from_io_error(&error).unwrap_or(Errno::IO))
    })
}

/// Sets the score, or ends a protection that was inherited: it was meant for the monitor (facts, pitfall 52).
fn set_oom_score(score: Option<i16>) -> Result<(), SpawnError> {
    let path = "/proc/self/oom_score_adj";
    let write = |score: i16| fs::write(path, score.to_string());
    let Some(score) = score else {
        let inherited = fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
        if inherited.is_some_and(|inherited: i16| inherited < 0) {
            // Nobody asked for it, so nobody is told where it cannot be.
            write(0).ok();
        }
        return Ok(());
    };
    write(score).map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        failed(SetupStage::OomScore, score.to_string(), errno)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: whoever is to die with a monitor that is dead already does not run. Method: this process is no child of
    /// itself. The order to the kernel concerns this thread alone, and is taken back.
    #[test]
    fn monitor_that_died_before_is_noticed() {
        let parent = getppid().unwrap().as_raw_pid();
        let own = rustix::process::getpid().as_raw_pid();
        assert_eq!(die_with(parent), Ok(()));
        assert_eq!(die_with(own), Err(failed(SetupStage::Monitor, own.to_string(), Errno::SRCH)));
        set_parent_process_death_signal(None).unwrap();
    }
}
