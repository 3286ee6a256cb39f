//! Errors of the guarded opening of a file.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use rustix::io::Errno;

/// Error of the opening of a file that a unit names; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// The file as it was named, or the faulty directory or link on its path.
    pub path: PathBuf,
    /// The fault of that path.
    pub fault: PathFault,
}

/// Fault of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathFault {
    /// The kernel refused, with this error number.
    Os(i32),
    /// A directory on the path is missing.
    NoDirectory,
    /// Another account may write a directory on the path, and could redirect the path.
    Exposed(Writer),
    /// The path is a symbolic link whose maker may be neither root nor the monitor's user.
    Link,
    /// The file belongs to this user, which is not trusted.
    ///
    /// Trusted owners are root, the monitor's user and the program's user. In a directory of the
    /// program's user, only that user is trusted.
    Owner(u32),
    /// The file has another name, in a directory in which every user may add names.
    HardLink,
    /// The path is a FIFO, and a log must be a regular file.
    Fifo,
    /// The path is a socket, which cannot be opened.
    Socket,
    /// The path is a block device, which cannot be appended to.
    BlockDevice,
    /// Another process changed the path while it was checked; the error may pass.
    Changing,
}

/// Account that may write a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Writer {
    /// The user with this number.
    User(u32),
    /// The group with this number.
    Group(u32),
    /// All users.
    Everyone,
}

impl PathFault {
    /// Whether the fault may pass without a correction: a FIFO without a reader yet, or a
    /// concurrent change.
    pub(crate) const fn passes(self) -> bool {
        match self {
            Self::Os(errno) => errno == Errno::NXIO.raw_os_error(),
            Self::Changing => true,
            Self::NoDirectory
            | Self::Exposed(_)
            | Self::Link
            | Self::Owner(_)
            | Self::HardLink
            | Self::Fifo
            | Self::Socket
            | Self::BlockDevice => false,
        }
    }

    /// The closest error number, for logs.
    pub(crate) const fn errno(self) -> i32 {
        let errno = match self {
            Self::Os(errno) => return errno,
            Self::NoDirectory => Errno::NOENT,
            Self::Exposed(_) | Self::Owner(_) => Errno::PERM,
            Self::Link => Errno::LOOP,
            Self::HardLink => Errno::MLINK,
            Self::Fifo | Self::Socket | Self::BlockDevice => Errno::OPNOTSUPP,
            Self::Changing => Errno::AGAIN,
        };
        errno.raw_os_error()
    }
}

/// The form in which the helper sends the fault.
impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Os(errno) => write!(f, "os {errno}"),
            Self::NoDirectory => f.write_str("no-directory 0"),
            Self::Exposed(Writer::User(user)) => write!(f, "user {user}"),
            Self::Exposed(Writer::Group(group)) => write!(f, "group {group}"),
            Self::Exposed(Writer::Everyone) => f.write_str("everyone 0"),
            Self::Link => f.write_str("link 0"),
            Self::Owner(user) => write!(f, "owner {user}"),
            Self::HardLink => f.write_str("hard-link 0"),
            Self::Fifo => f.write_str("fifo 0"),
            Self::Socket => f.write_str("socket 0"),
            Self::BlockDevice => f.write_str("block-device 0"),
            Self::Changing => f.write_str("changing 0"),
        }
    }
}

impl FromStr for PathFault {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (word, number) = text.split_once(' ').ok_or(())?;
        if word == "os" {
            return number.parse().map(Self::Os).map_err(|_| ());
        }
        let number = number.parse().map_err(|_| ())?;
        Ok(match word {
            "no-directory" => Self::NoDirectory,
            "user" => Self::Exposed(Writer::User(number)),
            "group" => Self::Exposed(Writer::Group(number)),
            "everyone" => Self::Exposed(Writer::Everyone),
            "link" => Self::Link,
            "owner" => Self::Owner(number),
            "hard-link" => Self::HardLink,
            "fifo" => Self::Fifo,
            "socket" => Self::Socket,
            "block-device" => Self::BlockDevice,
            "changing" => Self::Changing,
            _ => return Err(()),
        })
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.fault {
            PathFault::Os(errno) => {
                let reason = io::Error::from_raw_os_error(errno);
                write!(f, "cannot open `{path}`: {reason}; correct the path or its mode")
            }
            PathFault::NoDirectory => {
                write!(f, "there is no directory `{path}`; make it, or correct the path")
            }
            PathFault::Exposed(writer) => {
                write!(f, "`{path}` may be written by ")?;
                match writer {
                    Writer::User(user) => write!(f, "user {user}")?,
                    Writer::Group(group) => write!(f, "group {group}")?,
                    Writer::Everyone => f.write_str("everybody")?,
                }
                f.write_str(
                    ", who could put a link in the place of a file there; let only root and the \
                     program's user write it (chmod, chown), or choose another directory",
                )
            }
            PathFault::Link => write!(
                f,
                "`{path}` is a symbolic link in a directory that users other than root may write, so \
                 it is not followed; remove it, or name the file that it leads to"
            ),
            PathFault::Owner(user) => write!(
                f,
                "`{path}` belongs to user {user}, and users other than root may write its directory; \
                 remove it, or give it to the program's user (chown)"
            ),
            PathFault::HardLink => write!(
                f,
                "`{path}` has another name (a hard link), which may be another user's file; \
                 remove it"
            ),
            PathFault::Fifo => write!(
                f,
                "`{path}` is a FIFO, and a log is a regular file; let the program write it \
                 (stdout and stderr as file:{path}), or name another file"
            ),
            PathFault::Socket => {
                write!(f, "`{path}` is a socket, which cannot be opened; name another file")
            }
            PathFault::BlockDevice => {
                write!(f, "`{path}` is a block device; name another file")
            }
            PathFault::Changing => {
                write!(f, "`{path}` was changed by another process while it was opened; try again")
            }
        }
    }
}

impl std::error::Error for PathError {}

/// For callers that report only an error number.
impl From<PathError> for io::Error {
    fn from(error: PathError) -> Self {
        if let PathFault::Os(errno) = error.fault {
            Self::from_raw_os_error(errno)
        } else {
            Self::other(error)
        }
    }
}

impl From<Errno> for PathFault {
    fn from(errno: Errno) -> Self {
        Self::Os(errno.raw_os_error())
    }
}

pub(crate) const INVALID: PathFault = PathFault::Os(Errno::INVAL.raw_os_error());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_go_round_and_say_what_to_do() {
        for fault in [
            PathFault::Os(2),
            PathFault::NoDirectory,
            PathFault::Exposed(Writer::User(1)),
            PathFault::Exposed(Writer::Group(u32::MAX)),
            PathFault::Exposed(Writer::Everyone),
            PathFault::Link,
            PathFault::Owner(7),
            PathFault::HardLink,
            PathFault::Fifo,
            PathFault::Socket,
            PathFault::BlockDevice,
            PathFault::Changing,
        ] {
            assert_eq!(fault.to_string().parse(), Ok(fault));
            let text = PathError { path: "/a b".into(), fault }.to_string();
            assert!(text.contains("`/a b`") && text.contains("; "), "{text}");
        }
        for text in ["", "os", "os x", "user -1", "other 0", "link"] {
            assert_eq!(text.parse::<PathFault>(), Err(()), "{text}");
        }
    }
}
