//! What the operator wants to run.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use super::account::trust;
use super::containment::Contain;
use super::environment::Environment;
use super::file_streams::FileStreams;
use super::guarded::PathTrust;
use super::health::HealthCheck;
use super::limit::Limit;
use super::output::{Capture, Input, Output};
use super::pty::Terminal;
use super::readiness::ReadyBy;
use super::setup::Setup;
use super::spawn::SpawnError;
use super::stdio::Streams;

/// What to run: a program, its arguments, its environment, its streams, its user and its limits.
///
/// It holds nothing that the kernel cannot take, so that starting it fails only for reasons outside of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Command {
    /// The program, then its arguments. Clones share them, and the rest.
    words: ArgVector,
    /// `None` if nothing was set, as with most.
    settings: Option<Arc<Settings>>,
    /// `None` if all are the monitor's.
    streams: Option<Arc<Streams>>,
}

/// A program and its arguments, in one piece of memory as the kernel has them (`/proc/PID/cmdline`): a NUL byte ends each.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ArgVector(Arc<[u8]>);

impl ArgVector {
    fn iter(&self) -> impl Iterator<Item = &CStr> {
        let words = self.0.split_inclusive(|&byte| byte == 0);
        words.filter_map(|word| CStr::from_bytes_with_nul(word).ok())
    }
}

/// What is set for a program beside its words and its streams.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Settings {
    environment: Environment,
    setup: Setup,
    contain: Contain,
    ready: Option<ReadyBy>,
    health: Option<HealthCheck>,
}

impl Command {
    /// Describes a run of `program` with `args`, in the monitor's own environment.
    ///
    /// What addresses the monitor itself there, such as `NOTIFY_SOCKET`, `LISTEN_FDS` or `CREDENTIALS_DIRECTORY`, is
    /// not inherited. No descriptor above 2 is, but that of [`ReadyBy::Descriptor`].
    ///
    /// A program without a slash is looked up in the `PATH` of the environment that it is given, or in
    /// `/bin:/usr/bin` if that has none. The program becomes the zeroth argument; `args` come after it.
    ///
    /// # Errors
    /// [`CommandError::ProgramEmpty`], [`CommandError::NulInProgram`], [`CommandError::NulInArgument`].
    pub fn new<I>(program: impl Into<OsString>, args: I) -> Result<Self, CommandError>
    where
        I: IntoIterator<Item: Into<OsString>>,
    {
        let program = c_string(program.into()).ok_or(CommandError::NulInProgram)?;
        if program.is_empty() {
            return Err(CommandError::ProgramEmpty);
        }
        let mut words = program.into_bytes_with_nul();
        for (index, arg) in (0..).zip(args) {
            let arg = c_string(arg.into()).ok_or(CommandError::NulInArgument { index })?;
            words.extend_from_slice(arg.as_bytes_with_nul());
        }
        Ok(Self { words: ArgVector(words.into()), settings: None, streams: None })
    }

    /// Gives the program exactly these variables and none of the monitor's.
    ///
    /// # Errors
    /// [`CommandError::EnvironmentName`], [`CommandError::NulInEnvironment`].
    pub fn with_environment<K, V>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, CommandError>
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        self.settings_mut().environment.clear();
        for (name, value) in variables {
            self.settings_mut().environment.set(&name.into(), &value.into())?;
        }
        Ok(self)
    }

    /// Gives the program none of the variables that it was to have so far, those of the monitor included.
    ///
    /// This and the next three are changes to the monitor's own environment, as it is at each start, and are made
    /// in the order of the calls.
    #[must_use]
    pub fn without_environment(mut self) -> Self {
        self.settings_mut().environment.clear();
        self
    }

    /// Gives the program this variable.
    ///
    /// # Errors
    /// [`CommandError::EnvironmentName`], [`CommandError::NulInEnvironment`].
    pub fn with_variable(
        mut self,
        name: impl AsRef<OsStr>,
        value: impl AsRef<OsStr>,
    ) -> Result<Self, CommandError> {
        self.settings_mut().environment.set(name.as_ref(), value.as_ref())?;
        Ok(self)
    }

    /// Keeps this variable from the program.
    ///
    /// # Errors
    /// [`CommandError::EnvironmentName`], [`CommandError::NulInEnvironment`].
    pub fn without_variable(mut self, name: impl AsRef<OsStr>) -> Result<Self, CommandError> {
        self.settings_mut().environment.unset(name.as_ref())?;
        Ok(self)
    }

    /// Gives the program the variables in this file, which is read at each start as the user of the monitor.
    ///
    /// Each line is `NAME=value`, the value as it stands, without quotes. Empty lines and those that begin with
    /// `#` are passed over; any other makes the start fail and is named. It takes a supervisor that has a
    /// [`Launcher`](super::Launcher), as do the settings below.
    ///
    /// # Errors
    /// [`CommandError::EnvironmentFile`].
    pub fn with_environment_file(
        mut self,
        file: impl Into<OsString>,
    ) -> Result<Self, CommandError> {
        let file = c_string(file.into()).filter(|file| !file.is_empty());
        self.settings_mut().environment.read(file.ok_or(CommandError::EnvironmentFile)?);
        Ok(self)
    }

    /// Runs the program as this user, by name or number, with its group and all groups that name it.
    ///
    /// `HOME`, `LOGNAME`, `SHELL` and `USER` of the monitor's environment become those of the user; what the
    /// command says of them itself prevails. A number without an entry in the user database needs
    /// [`Command::with_group`]. Names are looked up at each start.
    ///
    /// # Errors
    /// [`CommandError::Account`].
    pub fn as_user(mut self, user: impl Into<String>) -> Result<Self, CommandError> {
        self.settings_mut().setup.account.user = Some(account(user.into())?);
        Ok(self)
    }

    /// Runs the program with this group, by name or number, instead of that of its user.
    ///
    /// # Errors
    /// [`CommandError::Account`].
    pub fn with_group(mut self, group: impl Into<String>) -> Result<Self, CommandError> {
        self.settings_mut().setup.account.group = Some(account(group.into())?);
        Ok(self)
    }

    /// Gives the program exactly these supplementary groups, by names or numbers, instead of those of its user.
    ///
    /// # Errors
    /// [`CommandError::Account`].
    pub fn with_groups(
        mut self,
        groups: impl IntoIterator<Item: Into<String>>,
    ) -> Result<Self, CommandError> {
        let groups = groups.into_iter().map(|group| account(group.into()));
        self.settings_mut().setup.account.groups = Some(groups.collect::<Result<_, _>>()?);
        Ok(self)
    }

    /// Takes these bits from the mode of every file that the program makes, 0 to 0o777 (`umask(2)`).
    ///
    /// # Errors
    /// [`CommandError::Umask`].
    pub fn with_umask(mut self, mask: u16) -> Result<Self, CommandError> {
        if mask > 0o777 {
            return Err(CommandError::Umask { mask });
        }
        self.settings_mut().setup.umask = Some(mask);
        Ok(self)
    }

    /// Limits what each process of the program may use; of two limits with one name the later counts.
    #[must_use]
    pub fn with_limit(mut self, limit: Limit) -> Self {
        self.settings_mut().setup.limit(limit);
        self
    }

    /// Gives the program this nice value, -20 (served first) to 19 (`setpriority(2)`).
    ///
    /// # Errors
    /// [`CommandError::Nice`].
    pub fn with_nice(mut self, nice: i8) -> Result<Self, CommandError> {
        if !(-20..=19).contains(&nice) {
            return Err(CommandError::Nice { nice });
        }
        self.settings_mut().setup.nice = Some(nice);
        Ok(self)
    }

    /// Makes the kernel choose the program sooner (up to 1000) or later (down to -1000) when memory is short
    /// (`proc_pid_oom_score_adj(5)`). Without it, a protection of the monitor is not handed down, and anything else
    /// is.
    ///
    /// # Errors
    /// [`CommandError::OomScore`].
    pub fn with_oom_score(mut self, score: i16) -> Result<Self, CommandError> {
        if !(-1000..=1000).contains(&score) {
            return Err(CommandError::OomScore { score });
        }
        self.settings_mut().setup.oom_score = Some(score);
        Ok(self)
    }

    /// Says by what its runs are held together, so that a stop reaches everything that they started.
    ///
    /// A control group takes a supervisor that has a [`Launcher`](super::Launcher).
    #[must_use]
    pub fn contained_by(mut self, contain: Contain) -> Self {
        // What is so already takes no memory.
        if contain != self.contain() {
            self.settings_mut().contain = contain;
        }
        self
    }

    /// Runs the program in this directory instead of the monitor's own.
    ///
    /// A relative path of the program, and an empty entry of the `PATH`, count from there. The directory is entered
    /// as the user of the program.
    ///
    /// # Errors
    /// [`CommandError::Directory`].
    pub fn in_directory(mut self, directory: impl Into<OsString>) -> Result<Self, CommandError> {
        let directory = c_string(directory.into()).filter(|directory| !directory.is_empty());
        self.settings_mut().setup.directory = Some(directory.ok_or(CommandError::Directory)?);
        Ok(self)
    }

    /// Lets its standard input come from there. It is the monitor's otherwise.
    #[must_use]
    pub fn with_input(mut self, input: Input) -> Self {
        self.streams_mut().input = input;
        self
    }

    /// Lets its standard output lead there. It is the monitor's otherwise.
    #[must_use]
    pub fn with_output(mut self, output: Output) -> Self {
        self.streams_mut().output = output;
        self
    }

    /// Lets its standard error lead there. It is the monitor's otherwise.
    #[must_use]
    pub fn with_error(mut self, error: Output) -> Self {
        self.streams_mut().error = Some(error);
        self
    }

    /// Lets its standard error lead where its standard output does, in the order in which both are written.
    #[must_use]
    pub fn with_joined_error(mut self) -> Self {
        self.streams_mut().error = None;
        self
    }

    /// Runs it on a terminal of its own, which takes the place of all three streams. What it prints is captured; what
    /// an [`Input::Piped`] gives is typed, and of another input nothing is. It takes a supervisor that has a
    /// [`Launcher`](super::Launcher). A terminal ends with the monitor, also with one that is killed.
    #[must_use]
    pub fn on_terminal(mut self, terminal: Terminal, capture: Capture) -> Self {
        let streams = self.streams_mut();
        streams.terminal = Some(terminal);
        streams.output = Output::Captured(capture);
        self.settings_mut().setup.terminal = true;
        self
    }

    /// Sets how the program shows that it serves; otherwise [`Unit::ready`](super::Unit::ready) reports it. The policy
    /// decides whether the monitor waits for that.
    ///
    /// A line that it prints can be the sign as well: see [`Capture::ready_at`]. All but that and [`ReadyBy::Tcp`] take a supervisor that has a [`Launcher`](super::Launcher). With one, a program whose
    /// policy has a watchdog has a `NOTIFY_SOCKET` in any case.
    ///
    /// # Errors
    /// [`CommandError::ReadyDescriptor`], [`CommandError::ReadyPort`].
    pub fn ready_by(mut self, ready: ReadyBy) -> Result<Self, CommandError> {
        match ready {
            ReadyBy::Descriptor(number) if number < 3 => {
                return Err(CommandError::ReadyDescriptor { number });
            }
            ReadyBy::Tcp(address) if address.port() == 0 => return Err(CommandError::ReadyPort),
            ReadyBy::Notify | ReadyBy::Descriptor(_) | ReadyBy::Tcp(_) => {}
        }
        self.settings_mut().ready = Some(ready);
        Ok(self)
    }

    /// Sets a command that checks the health of the program while it serves. If the check fails, the effect is that of
    /// [`Unit::unhealthy`](super::Unit::unhealthy). It takes a supervisor that has a [`Launcher`](super::Launcher).
    #[must_use]
    pub fn with_health_check(mut self, check: HealthCheck) -> Self {
        self.settings_mut().health = Some(check);
        self
    }

    /// Who beside root and the monitor may be able to write the directories of its files: the user that it runs as.
    ///
    /// Names are looked up now, which may wait for a server of accounts.
    ///
    /// # Errors
    /// [`SpawnError::Setup`] with [`SetupStage::UserLookup`](super::SetupStage::UserLookup) or
    /// [`SetupStage::GroupLookup`](super::SetupStage::GroupLookup).
    pub fn path_trust(&self) -> Result<PathTrust, SpawnError> {
        Ok(trust(self.setup().account.look_up()?.as_ref()))
    }

    pub(super) fn ready(&self) -> Option<ReadyBy> {
        self.settings().ready
    }

    /// The health check, and the command that it runs.
    pub(super) fn health(&self) -> Option<(HealthCheck, Self)> {
        let Settings { environment, setup, contain, ready: _, health } = self.settings().clone();
        let check = health?;
        let setup = Setup { terminal: false, ..setup };
        let settings = Settings { environment, setup, contain, ready: None, health: None };
        let words = check.words.clone();
        Some((check, Self { words, settings: Some(Arc::new(settings)), streams: None }))
    }

    fn settings(&self) -> &Settings {
        self.settings.as_deref().unwrap_or(&UNSET)
    }

    fn settings_mut(&mut self) -> &mut Settings {
        Arc::make_mut(self.settings.get_or_insert_default())
    }

    fn streams_mut(&mut self) -> &mut Streams {
        Arc::make_mut(self.streams.get_or_insert_default())
    }

    /// Where its streams lead; `None` if all are the monitor's.
    pub(super) fn streams(&self) -> Option<&Streams> {
        self.streams.as_deref()
    }

    /// The same, to be kept.
    pub(super) const fn shared_streams(&self) -> Option<&Arc<Streams>> {
        self.streams.as_ref()
    }

    /// Whether it runs on a terminal of its own.
    pub(super) fn has_terminal(&self) -> bool {
        self.streams.as_ref().is_some_and(|streams| streams.terminal.is_some())
    }

    /// The first of its settings that only a helper can make.
    pub(super) fn needs_helper(&self) -> Option<&'static str> {
        let Settings { environment, setup, contain, ready, health } = self.settings();
        let file = environment.has_file().then_some("an environment file");
        let cgroup = (*contain == Contain::Cgroup).then_some("a control group");
        let ready = match ready {
            Some(ReadyBy::Notify | ReadyBy::Descriptor(_)) => Some("a way to say that it is ready"),
            Some(ReadyBy::Tcp(_)) | None => None,
        };
        let health = health.is_some().then_some("a health check");
        let stream =
            self.streams().is_some_and(|streams| streams.files() != FileStreams::default());
        let stream = stream.then_some("a standard stream that leads to a file");
        file.or_else(|| setup.first()).or(cgroup).or(ready).or(health).or(stream)
    }

    /// The program as it was given.
    pub(super) fn program(&self) -> &Path {
        let program = self.words.iter().next().unwrap_or_default();
        Path::new(OsStr::from_bytes(program.to_bytes()))
    }

    /// The program and its arguments.
    pub(super) fn argv(&self) -> Vec<&CStr> {
        self.words.iter().collect()
    }

    /// The same, to be kept.
    pub(super) fn words(&self) -> ArgVector {
        self.words.clone()
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.settings().environment
    }

    pub(super) fn contain(&self) -> Contain {
        self.settings().contain
    }

    pub(super) fn setup(&self) -> &Setup {
        &self.settings().setup
    }
}

/// The settings of a command of which nothing was set.
static UNSET: LazyLock<Settings> = LazyLock::new(Settings::default);

/// Why a [`Command`] cannot be described.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CommandError {
    /// The program is an empty string; name one.
    ProgramEmpty,
    /// The program contains a NUL byte, which the kernel takes for its end; remove it.
    NulInProgram,
    /// An argument contains a NUL byte; remove it.
    NulInArgument {
        /// Which one, counted from 0 and without the program.
        index: usize,
    },
    /// The working directory is empty or contains a NUL byte; correct it.
    Directory,
    /// The descriptor by which it shows that it is ready is a standard stream; give one from 3 to 255.
    ReadyDescriptor {
        /// The number that was given.
        number: u8,
    },
    /// The port at which it is ready is 0, which stands for any; give one from 1 to 65535.
    ReadyPort,
    /// A number of a health check is 0; give at least 1 ms, or 1 retry.
    HealthZero {
        /// `interval`, `timeout` or `retries`.
        item: &'static str,
    },
    /// The path of an environment file is empty or contains a NUL byte; correct it.
    EnvironmentFile,
    /// The name of a user or of a group is empty, or has a comma, a colon, white space or a NUL byte; correct it.
    Account {
        /// The name.
        name: String,
    },
    /// The file mode mask is above 0o777; write three octal digits.
    Umask {
        /// The mask.
        mask: u16,
    },
    /// The nice value is none; choose one from -20 to 19.
    Nice {
        /// The value.
        nice: i8,
    },
    /// The OOM score is none; choose one from -1000 to 1000.
    OomScore {
        /// The score.
        score: i16,
    },
    /// The name of an environment variable is empty or contains `=`; correct it.
    EnvironmentName {
        /// The name.
        name: OsString,
    },
    /// An environment variable contains a NUL byte in its name or value; remove it.
    NulInEnvironment {
        /// The name.
        name: OsString,
    },
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProgramEmpty => f.write_str("the program is empty; name one"),
            Self::NulInProgram => f.write_str("the program contains a NUL byte; remove it"),
            Self::NulInArgument { index } => {
                write!(f, "argument {index} contains a NUL byte; remove it")
            }
            Self::Directory => {
                f.write_str("the working directory is empty or contains a NUL byte; correct it")
            }
            Self::ReadyDescriptor { number } => write!(
                f,
                "descriptor {number} is a standard stream; give one from 3 to 255 to say on that it is ready"
            ),
            Self::ReadyPort => f.write_str("port 0 stands for any; give one from 1 to 65535"),
            Self::HealthZero { item } => {
                write!(f, "the {item} of a health check is 0; give at least 1ms, or 1 retry")
            }
            Self::EnvironmentFile => f.write_str(
                "the path of the environment file is empty or contains a NUL byte; correct it",
            ),
            Self::Account { name } => write!(
                f,
                "{name:?} cannot name a user or a group: it is empty, or has `,`, `:`, white space or a NUL byte"
            ),
            Self::Umask { mask } => {
                write!(f, "{mask:o} is no file mode mask; write one from 000 to 777")
            }
            Self::Nice { nice } => {
                write!(f, "{nice} is no nice value; choose one from -20 to 19")
            }
            Self::OomScore { score } => {
                write!(f, "{score} is no OOM score; choose one from -1000 to 1000")
            }
            Self::EnvironmentName { name } => {
                write!(
                    f,
                    "{name:?} cannot name an environment variable: it is empty or contains `=`"
                )
            }
            Self::NulInEnvironment { name } => {
                write!(f, "the environment variable {name:?} contains a NUL byte; remove it")
            }
        }
    }
}

impl std::error::Error for CommandError {}

fn account(name: String) -> Result<String, CommandError> {
    let odd = |c: char| matches!(c, ',' | ':' | '\0') || c.is_whitespace();
    if name.is_empty() || name.contains(odd) {
        return Err(CommandError::Account { name });
    }
    Ok(name)
}

fn c_string(text: OsString) -> Option<CString> {
    CString::new(text.into_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_checked() {
        assert_eq!(Command::new("", [""; 0]), Err(CommandError::ProgramEmpty));
        assert_eq!(Command::new("a\0b", [""; 0]), Err(CommandError::NulInProgram));
        let error = Command::new("a", ["", "b\0"]).unwrap_err();
        assert_eq!(error, CommandError::NulInArgument { index: 1 });
        assert!(error.to_string().contains("argument 1"));
        let command = Command::new("a", ["", "b"]).unwrap();
        for name in ["", "A=B"] {
            let error = command.clone().with_environment([(name, "x")]).unwrap_err();
            assert_eq!(error, CommandError::EnvironmentName { name: name.into() });
        }
        for directory in ["", "/a\0"] {
            let error = command.clone().in_directory(directory).unwrap_err();
            assert_eq!(error, CommandError::Directory);
        }
        let error = command.clone().with_environment([("A", "x\0")]).unwrap_err();
        assert_eq!(error, CommandError::NulInEnvironment { name: "A".into() });
        for name in ["", "a:b", "a,b", "a b", "a\0"] {
            let error = command.clone().as_user(name).unwrap_err();
            assert_eq!(error, CommandError::Account { name: name.into() });
            assert_eq!(command.clone().with_groups([name]), Err(error));
        }
        assert_eq!(command.clone().with_nice(20), Err(CommandError::Nice { nice: 20 }));
        let error = command.clone().with_umask(0o1000).unwrap_err();
        assert!(error.to_string().starts_with("1000 is no file mode mask"), "{error}");
        let error = command.with_oom_score(-1001).unwrap_err();
        assert!(error.to_string().contains("-1000 to 1000"), "{error}");
    }
}
