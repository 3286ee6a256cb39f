//! Description of a program to run: its words, and every setting of its process.

pub(crate) mod account;
pub(crate) mod arguments;
pub(crate) mod command_error;
pub(crate) mod environment;
pub(crate) mod file_streams;
pub(crate) mod health_check;
pub(crate) mod ready_by;
pub(crate) mod setup;
pub(crate) mod setup_stage;
pub(crate) mod spawn_error;
pub(crate) mod streams;

use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use crate::command::account::trust;
use crate::command::arguments::{ArgVector, c_string};
use crate::command::command_error::CommandError;
use crate::command::environment::Environment;
use crate::command::file_streams::FileStreams;
use crate::command::health_check::HealthCheck;
use crate::command::ready_by::ReadyBy;
use crate::command::setup::Setup;
use crate::command::spawn_error::SpawnError;
use crate::command::streams::{Input, Output, Streams};
use crate::linux::containment::ContainmentMode;
use crate::linux::limit::Limit;
use crate::linux::path_trust::PathTrust;
use crate::linux::pty::Terminal;
use crate::output::capture::Capture;

/// Description of a program to run: arguments, environment, streams, user and limits.
///
/// A value holds nothing that the kernel rejects by its form. A start therefore fails only for
/// reasons outside of the command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Command {
    /// The program, then its arguments. Clones share this memory, and the other fields.
    words: ArgVector,
    /// `None` if nothing was set, which is the usual case.
    settings: Option<Arc<Settings>>,
    /// `None` if all three streams are the monitor's.
    streams: Option<Arc<Streams>>,
}

/// Settings of a program other than its words and its streams.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Settings {
    environment: Environment,
    setup: Setup,
    contain: ContainmentMode,
    ready: Option<ReadyBy>,
    health: Option<HealthCheck>,
}

impl Command {
    /// Describes a run of `program` with `args`, in the monitor's own environment.
    ///
    /// The program does not inherit variables that address the monitor itself, such as
    /// `NOTIFY_SOCKET`, `LISTEN_FDS` or `CREDENTIALS_DIRECTORY`. It inherits no descriptor above 2,
    /// except that of [`ReadyBy::Descriptor`].
    ///
    /// A program without a slash is looked up in the `PATH` of the environment that it is given.
    /// Without a `PATH` the lookup uses `/bin:/usr/bin`. The program becomes the zeroth argument;
    /// `args` follow it.
    ///
    /// # Errors
    /// [`CommandError::ProgramEmpty`], [`CommandError::NulInProgram`],
    /// [`CommandError::NulInArgument`].
    pub fn new<I>(program: impl Into<OsString>, args: I) -> Result<Self, CommandError>
    where
        I: IntoIterator<Item: Into<OsString>>,
    {
        Ok(Self { words: ArgVector::new(program, args)?, settings: None, streams: None })
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

    /// Removes all variables that were set before, those of the monitor included.
    ///
    /// This method and the next three change the monitor's own environment, as it is at each start.
    /// The changes are made in the order of the calls.
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

    /// Removes this variable from the environment of the program.
    ///
    /// # Errors
    /// [`CommandError::EnvironmentName`], [`CommandError::NulInEnvironment`].
    pub fn without_variable(mut self, name: impl AsRef<OsStr>) -> Result<Self, CommandError> {
        self.settings_mut().environment.unset(name.as_ref())?;
        Ok(self)
    }

    /// Gives the program the variables in this file, which each start reads as the user of the
    /// monitor.
    ///
    /// Each line is `NAME=value`; the value is taken literally, without quotes. Empty lines and
    /// lines that begin with `#` are skipped. Any other line makes the start fail, and the error
    /// names the line. This setting and all settings below need a supervisor that has a
    /// [`Launcher`](crate::Launcher).
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

    /// Runs the program as this user, by name or number, with the user's group and supplementary
    /// groups.
    ///
    /// `HOME`, `LOGNAME`, `SHELL` and `USER` of the monitor's environment become those of the user.
    /// The command's own changes to these variables prevail. A number without an entry in the user
    /// database needs [`Command::with_group`]. Each start looks the names up.
    ///
    /// # Errors
    /// [`CommandError::Account`].
    pub fn as_user(mut self, user: impl Into<String>) -> Result<Self, CommandError> {
        self.settings_mut().setup.account.user = Some(account(user.into())?);
        Ok(self)
    }

    /// Runs the program with this group, by name or number, instead of the user's group.
    ///
    /// # Errors
    /// [`CommandError::Account`].
    pub fn with_group(mut self, group: impl Into<String>) -> Result<Self, CommandError> {
        self.settings_mut().setup.account.group = Some(account(group.into())?);
        Ok(self)
    }

    /// Gives the program exactly these supplementary groups, by names or numbers.
    ///
    /// They replace the groups of the user.
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

    /// Removes these bits, 0 to 0o777, from the mode of every file that the program makes
    /// (`umask(2)`).
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

    /// Limits a resource of each process of the program; a later limit replaces one of equal name.
    #[must_use]
    pub fn with_limit(mut self, limit: Limit) -> Self {
        self.settings_mut().setup.limit(limit);
        self
    }

    /// Gives the program this nice value, from -20 (served first) to 19 (`setpriority(2)`).
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

    /// Sets the OOM score: the kernel kills the program sooner (up to 1000) or later (down to
    /// -1000).
    ///
    /// The score counts when memory is short (`proc_pid_oom_score_adj(5)`). Without this setting
    /// the program inherits the monitor's score, unless that score protects the monitor.
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

    /// Sets the containment of each run, so that a stop reaches every process that the run started.
    ///
    /// A control group needs a supervisor that has a [`Launcher`](crate::Launcher).
    #[must_use]
    pub fn contained_by(mut self, contain: ContainmentMode) -> Self {
        // An unchanged default allocates no settings.
        if contain != self.contain() {
            self.settings_mut().contain = contain;
        }
        self
    }

    /// Runs the program in this directory instead of the monitor's own.
    ///
    /// A relative path of the program, and an empty entry of the `PATH`, count from this directory.
    /// The helper enters it as the user of the program.
    ///
    /// # Errors
    /// [`CommandError::Directory`].
    pub fn in_directory(mut self, directory: impl Into<OsString>) -> Result<Self, CommandError> {
        let directory = c_string(directory.into()).filter(|directory| !directory.is_empty());
        self.settings_mut().setup.directory = Some(directory.ok_or(CommandError::Directory)?);
        Ok(self)
    }

    /// Sets the source of the standard input; the default is the monitor's own.
    #[must_use]
    pub fn with_input(mut self, input: Input) -> Self {
        self.streams_mut().input = input;
        self
    }

    /// Sets the target of the standard output; the default is the monitor's own.
    #[must_use]
    pub fn with_output(mut self, output: Output) -> Self {
        self.streams_mut().output = output;
        self
    }

    /// Sets the target of the standard error; the default is the monitor's own.
    #[must_use]
    pub fn with_error(mut self, error: Output) -> Self {
        self.streams_mut().error = Some(error);
        self
    }

    /// Joins the standard error to the standard output, in the order in which both are written.
    #[must_use]
    pub fn with_joined_error(mut self) -> Self {
        self.streams_mut().error = None;
        self
    }

    /// Runs the program on a terminal of its own, which replaces all three streams.
    ///
    /// The output is captured. The bytes of an [`Input::Piped`] are typed; any other input types
    /// nothing. The terminal ends with the monitor, even with one that is killed. This setting
    /// needs a supervisor that has a [`Launcher`](crate::Launcher).
    #[must_use]
    pub fn on_terminal(mut self, terminal: Terminal, capture: Capture) -> Self {
        let streams = self.streams_mut();
        streams.terminal = Some(terminal);
        streams.output = Output::Captured(capture);
        self.settings_mut().setup.terminal = true;
        self
    }

    /// Sets how the program shows that it serves; the default is
    /// [`Unit::ready`](crate::Unit::ready).
    ///
    /// The policy decides whether the monitor waits for readiness. A printed line can be the signal
    /// of readiness too: see [`Capture::ready_at`]. [`ReadyBy::Notify`] and [`ReadyBy::Descriptor`]
    /// need a supervisor that has a [`Launcher`](crate::Launcher). With a launcher, a program whose
    /// policy has a watchdog always has a `NOTIFY_SOCKET`.
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

    /// Sets a command that checks the health of the program while the program serves.
    ///
    /// A failed check has the effect of [`Unit::unhealthy`](crate::Unit::unhealthy). This setting
    /// needs a supervisor that has a [`Launcher`](crate::Launcher).
    #[must_use]
    pub fn with_health_check(mut self, check: HealthCheck) -> Self {
        self.settings_mut().health = Some(check);
        self
    }

    /// Returns the accounts that may be able to write the directories of the command's files.
    ///
    /// These are root, the monitor and the user that the program runs as. The call looks names up,
    /// which may wait for a server of accounts.
    ///
    /// # Errors
    /// [`SpawnError::Setup`] with [`SetupStage::UserLookup`](crate::SetupStage::UserLookup) or
    /// [`SetupStage::GroupLookup`](crate::SetupStage::GroupLookup).
    pub fn path_trust(&self) -> Result<PathTrust, SpawnError> {
        Ok(trust(self.setup().account.look_up()?.as_ref()))
    }

    pub(crate) fn ready(&self) -> Option<ReadyBy> {
        self.settings().ready
    }

    /// The health check, and the command that it runs.
    pub(crate) fn health(&self) -> Option<(HealthCheck, Self)> {
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

    /// The targets of its streams; `None` if all are the monitor's.
    pub(crate) fn streams(&self) -> Option<&Streams> {
        self.streams.as_deref()
    }

    /// The streams as shared memory, for a holder that outlives the command.
    pub(crate) const fn shared_streams(&self) -> Option<&Arc<Streams>> {
        self.streams.as_ref()
    }

    /// Whether the program runs on a terminal of its own.
    pub(crate) fn has_terminal(&self) -> bool {
        self.streams.as_ref().is_some_and(|streams| streams.terminal.is_some())
    }

    /// Returns the first setting that only a helper can make.
    pub(crate) fn needs_helper(&self) -> Option<&'static str> {
        let Settings { environment, setup, contain, ready, health } = self.settings();
        let file = environment.has_file().then_some("an environment file");
        let cgroup = (*contain == ContainmentMode::Cgroup).then_some("a control group");
        let ready = match ready {
            Some(ReadyBy::Notify | ReadyBy::Descriptor(_)) => Some("a readiness notification"),
            Some(ReadyBy::Tcp(_)) | None => None,
        };
        let health = health.is_some().then_some("a health check");
        let stream =
            self.streams().is_some_and(|streams| streams.files() != FileStreams::default());
        let stream = stream.then_some("a standard stream that leads to a file");
        file.or_else(|| setup.first()).or(cgroup).or(ready).or(health).or(stream)
    }

    /// The program as it was given.
    pub(crate) fn program(&self) -> &Path {
        let program = self.words.iter().next().unwrap_or_default();
        Path::new(OsStr::from_bytes(program.to_bytes()))
    }

    /// The program and its arguments.
    pub(crate) fn argv(&self) -> Vec<&CStr> {
        self.words.iter().collect()
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.settings().environment
    }

    pub(crate) fn contain(&self) -> ContainmentMode {
        self.settings().contain
    }

    pub(crate) fn setup(&self) -> &Setup {
        &self.settings().setup
    }
}

/// The settings of a command without any.
static UNSET: LazyLock<Settings> = LazyLock::new(Settings::default);

fn account(name: String) -> Result<String, CommandError> {
    let odd = |c: char| matches!(c, ',' | ':' | '\0') || c.is_whitespace();
    if name.is_empty() || name.contains(odd) {
        return Err(CommandError::Account { name });
    }
    Ok(name)
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
