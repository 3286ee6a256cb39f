//! What the operator wants to run.

use std::borrow::Cow;
use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// What to run: a program, its arguments, and its environment.
///
/// It holds nothing that the kernel cannot take, so that starting it fails only for reasons outside of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Command {
    program: CString,
    args: Vec<CString>,
    /// `NAME=value` each; `None` is the monitor's own environment at the time of the start.
    environment: Option<Vec<CString>>,
    directory: Option<CString>,
}

impl Command {
    /// Describes a run of `program` with `args`, in the monitor's own environment.
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
        let args = (0..)
            .zip(args)
            .map(|(index, arg)| c_string(arg.into()).ok_or(CommandError::NulInArgument { index }))
            .collect::<Result<_, _>>()?;
        Ok(Self { program, args, environment: None, directory: None })
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
        let variables = variables.into_iter().map(|(name, value)| {
            let name = name.into();
            if name.is_empty() || name.as_bytes().contains(&b'=') {
                return Err(CommandError::EnvironmentName { name });
            }
            variable(&name, &value.into()).ok_or(CommandError::NulInEnvironment { name })
        });
        self.environment = Some(variables.collect::<Result<_, _>>()?);
        Ok(self)
    }

    /// Runs the program in this directory instead of the monitor's own.
    ///
    /// A relative path of the program, and an empty entry of the `PATH`, count from there. It takes a
    /// supervisor that has a [`Launcher`](super::Launcher).
    ///
    /// # Errors
    /// [`CommandError::Directory`].
    pub fn in_directory(mut self, directory: impl Into<OsString>) -> Result<Self, CommandError> {
        let directory = c_string(directory.into()).filter(|directory| !directory.is_empty());
        self.directory = Some(directory.ok_or(CommandError::Directory)?);
        Ok(self)
    }

    /// The directory in which it runs, if it is not the monitor's.
    pub(super) const fn directory(&self) -> Option<&CString> {
        self.directory.as_ref()
    }

    /// The program as it was given.
    pub(super) fn program(&self) -> &Path {
        Path::new(OsStr::from_bytes(self.program.as_bytes()))
    }

    /// The program and its arguments.
    pub(super) fn argv(&self) -> Vec<&CString> {
        std::iter::once(&self.program).chain(&self.args).collect()
    }

    /// The variables, `NAME=value` each, the monitor's own as they are at this moment.
    pub(super) fn environment(&self) -> Cow<'_, [CString]> {
        match &self.environment {
            Some(variables) => Cow::Borrowed(variables),
            None => env::vars_os().filter_map(|(name, value)| variable(&name, &value)).collect(),
        }
    }
}

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

fn variable(name: &OsStr, value: &OsStr) -> Option<CString> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.push(b'=');
    bytes.extend_from_slice(value.as_bytes());
    CString::new(bytes).ok()
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
        let error = command.with_environment([("A", "x\0")]).unwrap_err();
        assert_eq!(error, CommandError::NulInEnvironment { name: "A".into() });
    }
}
