//! Settings of the process of a program, and their encoding for the helper.

use std::ffi::CString;
use std::fmt;
use std::str::FromStr;

use monitor_core::Millis;
use nix::unistd::getpid;

use crate::command::account::Account;
use crate::command::environment::{put, remove, variable};
use crate::command::file_streams::FileStreams;
use crate::linux::limit::Limit;
use crate::linux::run_name::RunName;

/// Settings that only the child can make, after its creation and before the program.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Setup {
    /// The directory of the control group to enter.
    pub(crate) cgroup: Option<CString>,
    /// The name of the run, by which the monitor recognises the processes that the run started.
    pub(crate) mark: Option<RunName>,
    pub(crate) notified: Option<Notified>,
    pub(crate) oom_score: Option<i16>,
    pub(crate) nice: Option<i8>,
    /// At most one limit for each name.
    pub(crate) limits: Vec<Limit>,
    pub(crate) umask: Option<u16>,
    pub(crate) account: Account,
    pub(crate) directory: Option<CString>,
    /// Whether the standard input becomes the controlling terminal of the session.
    pub(crate) terminal: bool,
    /// The standard streams that lead to files.
    pub(crate) files: FileStreams,
    /// The process id of a monitor; the program dies when that monitor dies.
    pub(crate) dies_with: Option<i32>,
    /// The one descriptor that the program gets in addition to the standard streams.
    pub(crate) descriptor: Option<u8>,
}

impl Setup {
    /// Adds a limit, or replaces the limit of equal name.
    pub(crate) fn limit(&mut self, limit: Limit) {
        self.limits.retain(|known| known.name() != limit.name());
        self.limits.push(limit);
    }

    /// The first setting that was made, for an error that names it.
    pub(crate) fn first(&self) -> Option<&'static str> {
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

    /// Encodes the settings, one text for each.
    pub(crate) fn encode(&self) -> Vec<Vec<u8>> {
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

    pub(crate) fn decode(texts: &[CString]) -> Option<Self> {
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

/// The variables by which a program reports its status: `sd_notify(3)`, `sd_watchdog_enabled(3)`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Notified {
    /// The address of the socket, with `@` in place of a leading NUL byte.
    pub(crate) address: String,
    /// The longest silence of the program, if the policy bounds it.
    pub(crate) watchdog: Option<Millis>,
}

impl Notified {
    /// Replaces the monitor's own variables for status reports by those of the program.
    pub(crate) fn put_into(&self, variables: &mut Vec<CString>) {
        remove(variables, b"WATCHDOG_USEC");
        remove(variables, b"WATCHDOG_PID");
        let mut tell = |name: &str, value: String| {
            // Neither the name nor the value has a NUL byte.
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
