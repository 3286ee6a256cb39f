//! Errors of the start of a program.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;

use monitor_core::StartFailure;
use rustix::io::Errno;

use crate::command::setup_stage::SetupStage;
use crate::linux::path_error::PathError;

/// Error of the start of a program.
///
/// No child exists after any of these errors. A retry changes nothing unless
/// [`SpawnError::is_transient`] is true.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SpawnError {
    /// The file does not exist; correct the path, or install the program.
    NotFound {
        /// The program as it was given.
        program: PathBuf,
        /// The search path, if the program has no slash.
        searched: Option<OsString>,
        /// ENOENT or ENOTDIR.
        errno: i32,
    },
    /// The file exists, but its interpreter or dynamic loader does not; install that.
    ///
    /// The kernel reports ENOENT in both cases, which points at the wrong file. The interpreter is
    /// named in the first line of the file.
    InterpreterMissing {
        /// The file.
        path: PathBuf,
    },
    /// The file may not be executed (EACCES, EPERM); set its mode.
    ///
    /// Mount options and the directories above the file can be the cause too.
    NotExecutable {
        /// The file.
        path: PathBuf,
        /// EACCES or EPERM.
        errno: i32,
    },
    /// The file is not a program for this machine (ENOEXEC).
    ///
    /// It is a script without a `#!` line, or built for another architecture. No shell is tried in
    /// its place.
    NotAProgram {
        /// The file.
        path: PathBuf,
    },
    /// Arguments and environment are too large for the kernel (E2BIG); shorten them.
    ///
    /// Their sum is too large, or a single one has 128 KiB or more.
    ArgumentsTooLong {
        /// The file.
        path: PathBuf,
    },
    /// A process has the file open for writing (ETXTBSY); the error passes.
    ///
    /// The writer may be another child that is just being started.
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// A limit is reached or memory is short (EAGAIN, ENOMEM, EMFILE, ENFILE).
    ///
    /// The error may pass; otherwise raise the limit.
    ResourcesExhausted {
        /// The file.
        path: PathBuf,
        /// EAGAIN, ENOMEM, EMFILE or ENFILE.
        errno: i32,
    },
    /// The started program got no pidfd, so it was killed and reaped.
    ///
    /// ENOSYS means a kernel older than Linux 5.3. ESRCH means that the child was gone already,
    /// because SIGCHLD is ignored.
    Unwatchable {
        /// The file.
        path: PathBuf,
        /// The error of `pidfd_open(2)`.
        errno: i32,
    },
    /// The kernel refused for another reason; see `execve(2)`.
    Refused {
        /// The file.
        path: PathBuf,
        /// The error of `execve(2)`.
        errno: i32,
    },
    /// A step before the program failed; the stage names the step and its remedy.
    Setup {
        /// The step.
        stage: SetupStage,
        /// The path, name or value of the setting.
        subject: OsString,
        /// The error of the step.
        errno: i32,
    },
    /// A line of an environment file is no `NAME=value`; correct it, or put a `#` in front.
    EnvironmentLine {
        /// The file.
        path: PathBuf,
        /// The number of the line, counted from 1.
        line: u32,
    },
    /// A standard stream of the program cannot be opened.
    Stream(PathError),
    /// An environment file is not read, because another account could have redirected its path.
    EnvironmentPath(PathError),
    /// The helper ended before it became the program, so the program did not run.
    ///
    /// The helper was killed, or it is not a helper of this version.
    LauncherDied {
        /// The program.
        path: PathBuf,
    },
    /// The process could not be recorded although the policy demands it; the program did not run.
    ///
    /// See the status of the state directory.
    Unrecorded {
        /// The program.
        path: PathBuf,
        /// The error of the write.
        errno: i32,
    },
    /// The command has a setting that only a helper can make.
    ///
    /// Make the supervisor by [`Supervisor::with_launcher`](crate::Supervisor::with_launcher).
    NoLauncher {
        /// The program.
        path: PathBuf,
        /// The setting, such as `a working directory`.
        setting: &'static str,
    },
}

impl SpawnError {
    /// The error number of the system call that failed.
    #[must_use]
    pub const fn errno(&self) -> i32 {
        match self {
            Self::NotFound { errno, .. }
            | Self::NotExecutable { errno, .. }
            | Self::ResourcesExhausted { errno, .. }
            | Self::Unwatchable { errno, .. }
            | Self::Setup { errno, .. }
            | Self::Unrecorded { errno, .. }
            | Self::Refused { errno, .. } => *errno,
            Self::Stream(error) | Self::EnvironmentPath(error) => error.fault.errno(),
            Self::InterpreterMissing { .. } => Errno::NOENT.raw_os_error(),
            Self::NotAProgram { .. } => Errno::NOEXEC.raw_os_error(),
            Self::ArgumentsTooLong { .. } => Errno::TOOBIG.raw_os_error(),
            Self::Busy { .. } => Errno::TXTBSY.raw_os_error(),
            Self::LauncherDied { .. } => Errno::CHILD.raw_os_error(),
            Self::NoLauncher { .. } | Self::EnvironmentLine { .. } => Errno::INVAL.raw_os_error(),
        }
    }

    /// The failed step as a word for logs.
    ///
    /// The word is `exec`, `stream`, `launch`, `record`, `watch`, or the name of a [`SetupStage`].
    #[must_use]
    pub const fn step(&self) -> &'static str {
        match self {
            Self::NotFound { .. }
            | Self::InterpreterMissing { .. }
            | Self::NotExecutable { .. }
            | Self::NotAProgram { .. }
            | Self::ArgumentsTooLong { .. }
            | Self::Busy { .. }
            | Self::ResourcesExhausted { .. }
            | Self::Refused { .. } => "exec",
            Self::Setup { stage, .. } => stage.name(),
            Self::EnvironmentLine { .. } | Self::EnvironmentPath(_) => {
                SetupStage::EnvironmentFile.name()
            }
            Self::Stream(_) => "stream",
            Self::LauncherDied { .. } | Self::NoLauncher { .. } => "launch",
            Self::Unrecorded { .. } => "record",
            Self::Unwatchable { .. } => "watch",
        }
    }

    /// Whether a retry of the unchanged command may succeed without a correction.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        is_exhaustion(Errno::from_raw_os_error(self.errno()))
            || match self {
                Self::Busy { .. } | Self::LauncherDied { .. } | Self::Unrecorded { .. } => true,
                Self::Setup { stage, errno, .. } => stage.passes(*errno),
                Self::Stream(error) | Self::EnvironmentPath(error) => error.fault.passes(),
                Self::NotFound { .. }
                | Self::InterpreterMissing { .. }
                | Self::NotExecutable { .. }
                | Self::NotAProgram { .. }
                | Self::ArgumentsTooLong { .. }
                | Self::ResourcesExhausted { .. }
                | Self::Unwatchable { .. }
                | Self::Refused { .. }
                | Self::EnvironmentLine { .. }
                | Self::NoLauncher { .. } => false,
            }
    }

    /// The failure as an input of the machine.
    pub(crate) const fn failure(&self) -> StartFailure {
        if self.is_transient() { StartFailure::Transient } else { StartFailure::Permanent }
    }

    /// The exit code for this error, by the convention of shells and of `env(1)`.
    ///
    /// 127: the program was not found. 126: it was found, but it cannot be run. 125: the monitor
    /// failed.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } | Self::InterpreterMissing { .. } => 127,
            Self::NotExecutable { .. }
            | Self::NotAProgram { .. }
            | Self::ArgumentsTooLong { .. }
            | Self::Busy { .. }
            | Self::Setup { .. }
            | Self::EnvironmentLine { .. }
            | Self::EnvironmentPath(_)
            | Self::Refused { .. } => 126,
            Self::ResourcesExhausted { .. }
            | Self::Unwatchable { .. }
            | Self::Stream(_)
            | Self::LauncherDied { .. }
            | Self::Unrecorded { .. }
            | Self::NoLauncher { .. } => 125,
        }
    }

    /// Names the error of an exec; on ENOENT it asks the file system which file is missing.
    pub(crate) fn from_errno(path: PathBuf, errno: Errno) -> Self {
        if errno == Errno::NOENT && path.exists() {
            return Self::InterpreterMissing { path };
        }
        Self::from_errno_there(path, errno)
    }

    /// Names the error of an exec, without a question to the file system.
    pub(crate) const fn from_errno_there(path: PathBuf, errno: Errno) -> Self {
        let raw = errno.raw_os_error();
        match errno {
            Errno::NOENT | Errno::NOTDIR => {
                Self::NotFound { program: path, searched: None, errno: raw }
            }
            Errno::ACCESS | Errno::PERM => Self::NotExecutable { path, errno: raw },
            Errno::NOEXEC => Self::NotAProgram { path },
            Errno::TOOBIG => Self::ArgumentsTooLong { path },
            Errno::TXTBSY => Self::Busy { path },
            exhausted if is_exhaustion(exhausted) => Self::ResourcesExhausted { path, errno: raw },
            _ => Self::Refused { path, errno: raw },
        }
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = io::Error::from_raw_os_error(self.errno());
        match self {
            Self::NotFound { program, searched: Some(searched), .. } => write!(
                f,
                "no program `{}` in {}; install it, or give its full path",
                program.display(),
                searched.display()
            ),
            Self::NotFound { program, searched: None, .. } => {
                write!(f, "no program at `{}`: {reason}; correct the path", program.display())
            }
            Self::InterpreterMissing { path } => write!(
                f,
                "`{}` is there, but the interpreter in its first line or its loader is not; install that",
                path.display()
            ),
            Self::NotExecutable { path, .. } => write!(
                f,
                "`{}` may not be executed: {reason}; set its mode (chmod +x), \
                 or look at its directories and mount options",
                path.display()
            ),
            Self::NotAProgram { path } => write!(
                f,
                "`{}` is not a program for this machine: {reason}; \
                 give a script a `#!` line, or install the build for this architecture",
                path.display()
            ),
            Self::ArgumentsTooLong { path } => write!(
                f,
                "arguments and environment of `{}` are too large: {reason}; shorten them",
                path.display()
            ),
            Self::Busy { path } => write!(
                f,
                "`{}` is open for writing: {reason}; try again when it is written",
                path.display()
            ),
            Self::ResourcesExhausted { path, .. } => write!(
                f,
                "cannot start `{}` at the moment: {reason}; \
                 if it does not pass, raise the limits on processes, descriptors or memory",
                path.display()
            ),
            Self::Unwatchable { path, .. } => write!(
                f,
                "`{}` was started and killed again because it could not be watched: {reason}",
                path.display()
            ),
            Self::Refused { path, .. } => write!(f, "cannot run `{}`: {reason}", path.display()),
            Self::Setup { stage, subject, .. } => {
                let (what, fix) = stage.words();
                write!(f, "{what} `{}`", subject.display())?;
                if !stage.is_absent(self.errno()) {
                    write!(f, ": {reason}")?;
                }
                write!(f, "; {fix}")
            }
            Self::EnvironmentLine { path, line } => write!(
                f,
                "line {line} of `{}` is no NAME=value; correct it, or make it a comment by a `#` in front",
                path.display()
            ),
            Self::Stream(error) => write!(f, "a standard stream: {error}"),
            Self::EnvironmentPath(error) => write!(f, "the environment file: {error}"),
            Self::LauncherDied { path } => write!(
                f,
                "`{}` did not run: the helper that was to become it ended before; \
                 if it is not this version's `monitor`, correct the path to it",
                path.display()
            ),
            Self::Unrecorded { path, .. } => write!(
                f,
                "`{}` did not run: which process it is could not be written down: {reason}; \
                 make room in the state directory, or use save=optional",
                path.display()
            ),
            Self::NoLauncher { path, setting } => write!(
                f,
                "`{}` has {setting}, which needs a helper; \
                 make the supervisor by `Supervisor::with_launcher`",
                path.display()
            ),
        }
    }
}

impl std::error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Stream(error) | Self::EnvironmentPath(error) => Some(error),
            Self::NotFound { .. }
            | Self::InterpreterMissing { .. }
            | Self::NotExecutable { .. }
            | Self::NotAProgram { .. }
            | Self::ArgumentsTooLong { .. }
            | Self::Busy { .. }
            | Self::ResourcesExhausted { .. }
            | Self::Unwatchable { .. }
            | Self::Refused { .. }
            | Self::Setup { .. }
            | Self::EnvironmentLine { .. }
            | Self::LauncherDied { .. }
            | Self::Unrecorded { .. }
            | Self::NoLauncher { .. } => None,
        }
    }
}

pub(crate) const fn is_exhaustion(errno: Errno) -> bool {
    matches!(errno, Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE)
}

/// Builds the error of one step.
pub(crate) fn failed(stage: SetupStage, subject: impl Into<OsString>, errno: Errno) -> SpawnError {
    SpawnError::Setup { stage, subject: subject.into(), errno: errno.raw_os_error() }
}

/// Converts an error number of `nix` to one of `rustix`.
pub(crate) const fn native(errno: nix::errno::Errno) -> Errno {
    Errno::from_raw_os_error(errno as i32)
}
