//! Errors in the description of a command.

use std::ffi::OsString;
use std::fmt;

/// Error in the description of a [`Command`](crate::Command).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CommandError {
    /// The program is an empty string; name one.
    ProgramEmpty,
    /// The program contains a NUL byte, which ends it for the kernel; remove the byte.
    NulInProgram,
    /// An argument contains a NUL byte; remove it.
    NulInArgument {
        /// The index of the argument, counted from 0 and without the program.
        index: usize,
    },
    /// The working directory is empty or contains a NUL byte; correct it.
    Directory,
    /// The descriptor of the readiness message is a standard stream; give one from 3 to 255.
    ReadyDescriptor {
        /// The number that was given.
        number: u8,
    },
    /// The port of the readiness check is 0, which stands for any port; give one from 1 to 65535.
    ReadyPort,
    /// A number of a health check is 0; give at least 1 ms, or 1 retry.
    HealthZero {
        /// The setting: `interval`, `timeout` or `retries`.
        item: &'static str,
    },
    /// The path of an environment file is empty or contains a NUL byte; correct it.
    EnvironmentFile,
    /// The name of a user or of a group is malformed; correct it.
    ///
    /// The name is empty, or has a comma, a colon, white space or a NUL byte.
    Account {
        /// The name.
        name: String,
    },
    /// The file mode mask is above 0o777; write three octal digits.
    Umask {
        /// The mask.
        mask: u16,
    },
    /// The nice value is out of range; choose one from -20 to 19.
    Nice {
        /// The value.
        nice: i8,
    },
    /// The OOM score is out of range; choose one from -1000 to 1000.
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
                "descriptor {number} is a standard stream; choose a readiness descriptor from 3 to 255"
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
