//! Opening a file that a unit names without being led elsewhere: by held directories, link by link.
//!
//! A path is walked one name at a time, each directory held by a descriptor. As long as only root and the monitor may
//! change the names in a directory, the path leads where the operator meant, and links are followed. From the first
//! directory on in which the unit's own user may change a name, no link is followed, and a file must belong to that
//! user: a name there may be a second one (a hard link) of any file, and only its owner tells. Where others may add names
//! but make no second name for a file of others, a file must have one name and a trusted owner: in a sticky directory such as
//! `/tmp`, and in one of root's that a group may write, such as `/var/log` of some systems. A directory that anybody else
//! may write, by its mode or its access list, is refused.
//!
//! The file is looked at by a descriptor that opens nothing (`O_PATH`) and then opened by that descriptor, so that what
//! was checked is what is opened. What is checked cannot change meanwhile: nobody but root gives a file to another
//! user, and who did not make a name in a sticky directory cannot take it away. So a count of names, which would be 1
//! again in the right moment, decides only there. No open waits for another process: neither a FIFO without a peer nor
//! a device does.

use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, PROC_SUPER_MAGIC, Stat, Uid, fchown, fcntl_setfl,
    fstat, fstatfs, getxattr, open, openat, readlinkat, renameat, statat,
};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

/// Which user beside root and the monitor's own may be able to write the directories of a file.
///
/// It is the user of the program whose file it is: [`Command::path_trust`](crate::Command::path_trust). The groups of
/// that user count as the user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PathTrust {
    /// `None` if the program runs as the monitor does.
    program: Option<Arc<ProgramUser>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ProgramUser {
    user: u32,
    group: u32,
    others: Box<[u32]>,
}

impl PathTrust {
    /// Root and the user of this process alone.
    pub const MONITOR: Self = Self { program: None };

    /// The same and one more user, with its primary and its other groups.
    pub(crate) fn and_user(user: u32, group: u32, others: impl IntoIterator<Item = u32>) -> Self {
        let others = others.into_iter().collect();
        let is_other = user != geteuid().as_raw();
        Self { program: is_other.then(|| Arc::new(ProgramUser { user, group, others })) }
    }

    /// Opens a file for writing from its beginning, and makes it where it is missing (mode 0666 less the umask). Neither
    /// this nor a write waits for the reader of a named pipe.
    ///
    /// # Errors
    /// See [`PathFault`]; nothing changed. A named pipe must have a reader (ENXIO).
    pub fn create(&self, path: impl AsRef<Path>) -> Result<File, PathError> {
        open_file(path.as_ref(), self, Purpose::Record).map(File::from)
    }

    /// Root, the user of the monitor, and in a user namespace the owners that it has no number for, such as the host's
    /// root: what they may do, the namespace cannot tell apart.
    fn is_privileged(user: u32) -> bool {
        user == 0 || user == geteuid().as_raw() || *UNMAPPED == Some(user)
    }

    fn is_trusted(&self, user: u32) -> bool {
        Self::is_privileged(user) || self.is_program(user)
    }

    fn is_program(&self, user: u32) -> bool {
        self.program.as_ref().is_some_and(|program| program.user == user)
    }

    fn has_group(&self, group: u32) -> bool {
        let has = |of: &Arc<ProgramUser>| of.group == group || of.others.contains(&group);
        self.program.as_ref().is_some_and(has)
    }

    /// Who may change the names in a directory. `acl` is its access list, if it has one.
    fn exposure(&self, directory: &Stat, acl: Option<&[u8]>) -> Result<Exposure, Writer> {
        let owner = directory.st_uid;
        let mut exposure = if Self::is_privileged(owner) {
            Exposure::Closed
        } else if self.is_program(owner) {
            Exposure::Program
        } else {
            return Err(Writer::User(owner));
        };
        let is_sticky = Mode::from_raw_mode(directory.st_mode).contains(Mode::SVTX);
        // Its members may rename what is there, and link only what is theirs.
        let is_shared = Self::is_privileged(owner) && *LINKS_ARE_PROTECTED;
        for writer in writers(directory, acl) {
            exposure = exposure.max(match writer {
                Writer::User(user) if Self::is_privileged(user) => Exposure::Closed,
                _ if is_sticky => Exposure::Shared,
                Writer::User(user) if self.is_program(user) => Exposure::Program,
                Writer::Group(group) if self.has_group(group) => Exposure::Program,
                Writer::Group(0) => Exposure::Closed,
                // A user whose primary group is its own, with the umask 002.
                Writer::Group(group) if !geteuid().is_root() && group == getegid().as_raw() => {
                    Exposure::Closed
                }
                Writer::Group(_) if is_shared => Exposure::Shared,
                writer @ (Writer::User(_) | Writer::Group(_) | Writer::Everyone) => {
                    return Err(writer);
                }
            });
        }
        Ok(exposure)
    }
}

/// Who may write a directory beside its owner.
///
/// # Source
/// `acl(5)`; `struct posix_acl_xattr_entry` of `<linux/posix_acl_xattr.h>`.
fn writers(directory: &Stat, acl: Option<&[u8]>) -> Vec<Writer> {
    const WRITE: u16 = 2;
    let Some(entries) = acl.and_then(|acl| acl.get(4..)) else {
        let mode = Mode::from_raw_mode(directory.st_mode);
        let group = mode.contains(Mode::WGRP).then_some(Writer::Group(directory.st_gid));
        let others = mode.contains(Mode::WOTH).then_some(Writer::Everyone);
        return group.into_iter().chain(others).collect();
    };
    let entries = entries.chunks_exact(8).filter_map(|entry| {
        let (tag, rest) = entry.split_first_chunk()?;
        let (rights, id) = rest.split_first_chunk()?;
        let number = u32::from_le_bytes(id.try_into().ok()?);
        Some((u16::from_le_bytes(*tag), u16::from_le_bytes(*rights), number))
    });
    let entries: Vec<_> = entries.collect();
    let mask =
        entries.iter().find(|(tag, ..)| *tag == 0x10).map_or(WRITE, |(_, rights, _)| *rights);
    let writer = |&(tag, rights, number): &(u16, u16, u32)| {
        let masked = rights & mask & WRITE != 0;
        match tag {
            0x02 if masked => Some(Writer::User(number)),
            0x04 if masked => Some(Writer::Group(directory.st_gid)),
            0x08 if masked => Some(Writer::Group(number)),
            0x20 if rights & WRITE != 0 => Some(Writer::Everyone),
            _ => None,
        }
    };
    entries.iter().filter_map(writer).collect()
}

/// The number that stands for users without one in this user namespace (`user_namespaces(7)`), if there may be some.
static UNMAPPED: LazyLock<Option<u32>> = LazyLock::new(|| {
    let map = fs::read_to_string("/proc/self/uid_map").ok()?;
    let overflow = fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?;
    unmapped(&map, overflow.trim().parse().ok()?)
});

fn unmapped(map: &str, overflow: u32) -> Option<u32> {
    let is_mapped = map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse);
        let (Some(Ok(first)), _, Some(Ok(count))) =
            (numbers.next(), numbers.next(), numbers.next())
        else {
            return false;
        };
        u64::from(overflow).checked_sub(first).is_some_and(|offset: u64| offset < count)
    });
    (!is_mapped).then_some(overflow)
}

/// Whether the kernel lets nobody make a second name for a file that is not theirs to write (`proc_sys_fs(5)`).
static LINKS_ARE_PROTECTED: LazyLock<bool> = LazyLock::new(|| {
    let set = fs::read_to_string("/proc/sys/fs/protected_hardlinks");
    set.is_ok_and(|text| text.trim() == "1")
});

/// Who may change the names in the directories that a path has led through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Exposure {
    /// Root and the monitor alone.
    Closed,
    /// Others may add names. They change only their own, as in `/tmp`, or those of others but make no second name for a
    /// file of others, as in a directory of root's that a group may write.
    Shared,
    /// The program's user.
    Program,
}

/// The access list of a directory that is held; `None` if its mode says all.
fn access_list(directory: &OwnedFd) -> Option<Vec<u8>> {
    let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let mut list = vec![0; ACL_BYTES_MAX];
    let length = getxattr(path, "system.posix_acl_access", &mut list[..]).ok()?;
    list.truncate(length);
    Some(list)
}

/// For what a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The monitor appends to it. It is made where it is missing (mode 0666 less the umask), for the unit's user if that
    /// may change names in the directory.
    Log,
    /// A program appends to it. It is made as a log is. Any kind of file is taken that can be written.
    Output,
    /// A program reads it.
    Input,
    /// The helper reads it to its end, which takes a writer if it is a FIFO.
    Settings,
    /// The monitor writes it from its beginning. It is made as a log is.
    Record,
}

impl Purpose {
    const fn reads(self) -> bool {
        matches!(self, Self::Input | Self::Settings)
    }
}

/// Why a file that a unit names was not opened. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// The file as it was named, or the directory or link on the way that is at fault.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: PathFault,
}

/// What is wrong with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathFault {
    /// The kernel says so, by this error number.
    Os(i32),
    /// There is no such directory on the way.
    NoDirectory,
    /// A directory on the way may be written by somebody who could lead the path elsewhere.
    Exposed(Writer),
    /// It is a symbolic link that somebody else than root or the monitor's user may have made.
    Link,
    /// The file belongs to this user: neither to root, the monitor's or the program's user, nor, in a directory of the
    /// program's user, to that user.
    Owner(u32),
    /// The file has another name as well, in a directory in which everybody may add names.
    HardLink,
    /// It is a FIFO, and a log is a regular file.
    Fifo,
    /// It is a socket, which cannot be opened.
    Socket,
    /// It is a block device, and nothing is appended to one.
    BlockDevice,
    /// Somebody changed it while it was looked at; it may pass.
    Changing,
}

/// Somebody who may write a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Writer {
    /// The user with this number.
    User(u32),
    /// The group with this number.
    Group(u32),
    /// Everybody.
    Everyone,
}

impl PathFault {
    /// Whether it may pass though nobody corrects anything: a FIFO has no reader yet, or somebody was busy with it.
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

    /// The error number that comes nearest, for logs.
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

/// The form in which the helper sends it.
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
                "`{path}` is a symbolic link in a directory that others than root may write, so \
                 it is not followed; remove it, or name the file that it leads to"
            ),
            PathFault::Owner(user) => write!(
                f,
                "`{path}` belongs to user {user}, and others than root may write its directory; \
                 remove it, or give it to the program's user (chown)"
            ),
            PathFault::HardLink => write!(
                f,
                "`{path}` has another name (a hard link), which may be a file of somebody else; \
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
                write!(f, "`{path}` was changed by somebody while it was opened; try again")
            }
        }
    }
}

impl std::error::Error for PathError {}

/// For what is told by an error number alone.
impl From<PathError> for io::Error {
    fn from(error: PathError) -> Self {
        if let PathFault::Os(errno) = error.fault {
            Self::from_raw_os_error(errno)
        } else {
            Self::other(error)
        }
    }
}

/// The directory in which a file is, held, and the name of the file there, which is no symbolic link.
#[derive(Debug)]
pub(crate) struct OpenParent {
    directory: OwnedFd,
    exposure: Exposure,
    name: CString,
    /// How the file is called in errors.
    path: PathBuf,
    trust: PathTrust,
    /// Whether a link of the kernel leads to the file, as `/proc/self/fd/1` does.
    by_kernel: bool,
}

impl OpenParent {
    /// Walks to the directory of a file. The file itself need not be there.
    ///
    /// # Errors
    /// See [`PathFault`].
    pub(crate) fn of(path: &Path, trust: &PathTrust) -> Result<Self, PathError> {
        if path.as_os_str().is_empty() {
            return Err(PathError { path: path.into(), fault: Errno::NOENT.into() });
        }
        let mut walk = PathWalk::begin(path, trust)?;
        let mut left = PathComponents::of(path);
        let mut links = 0;
        while let Some(name) = left.next() {
            let is_last = left.is_empty();
            if name == ".." || name == "/" {
                walk.enter(&name)?;
                continue;
            }
            let name = CString::new(name.as_bytes()).map_err(|_| walk.fault(&name, INVALID))?;
            let look = statat(&walk.directory, &name, AtFlags::SYMLINK_NOFOLLOW);
            let found = match look {
                Ok(stat) => stat,
                Err(Errno::NOENT) if is_last && !left.wants_directory => {
                    return Ok(walk.end(name, false));
                }
                Err(Errno::NOENT) if !is_last => {
                    return Err(walk.fault(os(&name), PathFault::NoDirectory));
                }
                Err(errno) => return Err(walk.fault(os(&name), errno.into())),
            };
            let kind = FileType::from_raw_mode(found.st_mode);
            if kind == FileType::Symlink {
                if is_last && walk.is_kernels() {
                    return Ok(walk.end(name, true));
                }
                links += 1;
                if links > LINKS_MAX {
                    return Err(walk.fault(os(&name), Errno::LOOP.into()));
                }
                left.prepend(&walk.link(&name)?);
            } else if kind == FileType::Directory {
                walk.enter(os(&name))?;
            } else if is_last && !left.wants_directory {
                return Ok(walk.end(name, false));
            } else {
                return Err(walk.fault(os(&name), Errno::NOTDIR.into()));
            }
        }
        Err(PathError { path: path.into(), fault: Errno::ISDIR.into() })
    }

    /// Opens the file, and makes it where that belongs to the purpose.
    ///
    /// # Errors
    /// See [`PathFault`].
    pub(crate) fn open(&self, purpose: Purpose) -> Result<OwnedFd, PathError> {
        let failed = |fault| PathError { path: self.path.clone(), fault };
        for _ in 0..TRIES {
            let follow = if self.by_kernel { OFlags::empty() } else { OFlags::NOFOLLOW };
            let look = OFlags::PATH | OFlags::CLOEXEC | follow;
            match openat(&self.directory, &self.name, look, Mode::empty()) {
                Ok(held) => {
                    let stat = fstat(&held).map_err(|errno| failed(errno.into()))?;
                    self.check(&stat, purpose).map_err(failed)?;
                    return self.open_held(&held, &stat, purpose).map_err(|e| failed(e.into()));
                }
                Err(Errno::NOENT) if !purpose.reads() => match self.make(purpose) {
                    // Somebody was faster: that is looked at.
                    Err(Errno::EXIST) => {}
                    made => return made.map_err(|errno| failed(errno.into())),
                },
                Err(errno) => return Err(failed(errno.into())),
            }
        }
        Err(failed(PathFault::Changing))
    }

    /// Gives a file of the directory another name there, which it takes from whatever has it.
    ///
    /// # Errors
    /// See `rename(2)`; nothing changed.
    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.directory, from, &self.directory, to)?)
    }

    /// The name of the file in its directory.
    pub(crate) fn name(&self) -> &OsStr {
        os(&self.name)
    }

    fn check(&self, found: &Stat, purpose: Purpose) -> Result<(), PathFault> {
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => return Err(Errno::ISDIR.into()),
            // Only if it was put here since it was looked at.
            FileType::Symlink => return Err(PathFault::Link),
            FileType::Socket => return Err(PathFault::Socket),
            FileType::Fifo if purpose == Purpose::Log && !self.by_kernel => {
                return Err(PathFault::Fifo);
            }
            FileType::BlockDevice if !purpose.reads() => {
                return Err(PathFault::BlockDevice);
            }
            FileType::RegularFile
            | FileType::Fifo
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => {}
        }
        let is_owned = match self.exposure {
            Exposure::Closed => true,
            _ if self.by_kernel => true,
            Exposure::Shared if found.st_nlink > 1 => return Err(PathFault::HardLink),
            Exposure::Shared => self.trust.is_trusted(found.st_uid),
            Exposure::Program => self.trust.is_program(found.st_uid),
        };
        if is_owned { Ok(()) } else { Err(PathFault::Owner(found.st_uid)) }
    }

    /// Opens what is held. The kernel leads to it, whatever its name is by now.
    fn open_held(&self, held: &OwnedFd, found: &Stat, purpose: Purpose) -> Result<OwnedFd, Errno> {
        let path = format!("/proc/self/fd/{}", held.as_raw_fd());
        let common = OFlags::CLOEXEC | OFlags::NOCTTY;
        let try_open = |flags| open(&path, common | flags, Mode::empty());
        let kind = FileType::from_raw_mode(found.st_mode);
        let can_wait = matches!(kind, FileType::Fifo | FileType::CharacterDevice);
        let may_wait = purpose == Purpose::Settings || !can_wait;
        let wait = if may_wait { OFlags::empty() } else { OFlags::NONBLOCK };
        let (wanted, instead) = match purpose {
            // With both ends it neither waits for a peer nor ends with one.
            Purpose::Input if kind == FileType::Fifo && !self.by_kernel => {
                (OFlags::RDWR, Some(OFlags::RDONLY))
            }
            Purpose::Input | Purpose::Settings => (OFlags::RDONLY, None),
            Purpose::Output if kind == FileType::Fifo && !self.by_kernel => {
                (OFlags::RDWR | OFlags::APPEND, Some(OFlags::WRONLY | OFlags::APPEND))
            }
            Purpose::Output => (OFlags::WRONLY | OFlags::APPEND, None),
            // A pipe with both ends here would never be without a reader.
            Purpose::Log if self.by_kernel => (OFlags::WRONLY | OFlags::APPEND, None),
            Purpose::Record => (OFlags::WRONLY | OFlags::TRUNC, None),
            // Readable where it can be, for its last byte.
            Purpose::Log => (OFlags::RDWR | OFlags::APPEND, Some(OFlags::WRONLY | OFlags::APPEND)),
        };
        let opened = match (try_open(wanted | wait), instead) {
            (Err(Errno::ACCESS | Errno::ROFS | Errno::PERM), Some(instead)) => {
                try_open(instead | wait)?
            }
            (opened, _) => opened?,
        };
        if can_wait && matches!(purpose, Purpose::Input | Purpose::Output) {
            // Programs expect to wait where they read and write.
            fcntl_setfl(&opened, wanted & OFlags::APPEND)?;
        }
        Ok(opened)
    }

    fn make(&self, purpose: Purpose) -> Result<OwnedFd, Errno> {
        let access = match purpose {
            Purpose::Log => OFlags::RDWR | OFlags::APPEND,
            Purpose::Record => OFlags::WRONLY,
            Purpose::Output | Purpose::Input | Purpose::Settings => OFlags::WRONLY | OFlags::APPEND,
        };
        let make = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let flags = access | make | OFlags::CLOEXEC | OFlags::NOCTTY;
        let made = openat(&self.directory, &self.name, flags, Mode::from_raw_mode(0o666))?;
        if self.exposure == Exposure::Program
            && let Some(program) = &self.trust.program
        {
            let (user, group) = (Uid::from_raw(program.user), Gid::from_raw(program.group));
            // Else the next look would find a file that is not the user's.
            fchown(&made, Some(user), Some(group))?;
        }
        Ok(made)
    }
}

/// Opens a file that a unit names.
///
/// # Errors
/// See [`PathFault`].
pub(crate) fn open_file(
    path: &Path,
    trust: &PathTrust,
    purpose: Purpose,
) -> Result<OwnedFd, PathError> {
    OpenParent::of(path, trust)?.open(purpose)
}

/// How far a path was walked.
struct PathWalk<'a> {
    /// The whole path, as it was said.
    named: &'a Path,
    directory: OwnedFd,
    exposure: Exposure,
    /// As far as it was walked.
    path: PathBuf,
    trust: &'a PathTrust,
}

impl<'a> PathWalk<'a> {
    fn begin(path: &'a Path, trust: &'a PathTrust) -> Result<Self, PathError> {
        let begin = if path.is_absolute() { "/" } else { "." };
        let failed = |errno: Errno| PathError { path: path.into(), fault: errno.into() };
        let directory = directory(CWD, begin.as_ref()).map_err(failed)?;
        let named = path;
        let path = PathBuf::from(if path.is_absolute() { "/" } else { "" });
        let mut walk = Self { named, directory, exposure: Exposure::Closed, path, trust };
        walk.check()?;
        Ok(walk)
    }

    /// Goes to a directory, `..` and `/` included, which must be no link.
    fn enter(&mut self, name: &OsStr) -> Result<(), PathError> {
        let next = directory(self.directory.as_fd(), name);
        let fault = |errno| match errno {
            // A link that was put here since it was looked at.
            Errno::LOOP => PathFault::Link,
            errno => errno.into(),
        };
        self.directory = next.map_err(|errno| self.fault(name, fault(errno)))?;
        self.path.push(name);
        self.check()
    }

    fn check(&mut self) -> Result<(), PathError> {
        let failed = |fault| PathError { path: or_current(&self.path), fault };
        let stat = fstat(&self.directory).map_err(|errno| failed(errno.into()))?;
        let exposure = self.trust.exposure(&stat, access_list(&self.directory).as_deref());
        let exposure = exposure.map_err(|writer| failed(PathFault::Exposed(writer)))?;
        // What is below a directory that others may write is not where the operator alone has put it.
        self.exposure = self.exposure.max(exposure);
        Ok(())
    }

    /// Where a link leads that may be followed.
    fn link(&self, name: &CString) -> Result<PathBuf, PathError> {
        let failed = |errno: Errno| self.fault(os(name), errno.into());
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let link = openat(&self.directory, name, flags, Mode::empty()).map_err(failed)?;
        let stat = fstat(&link).map_err(failed)?;
        let may_follow = match self.exposure {
            Exposure::Closed => true,
            Exposure::Shared => PathTrust::is_privileged(stat.st_uid),
            Exposure::Program => false,
        };
        if !may_follow {
            return Err(self.fault(os(name), PathFault::Link));
        }
        let to = readlinkat(&link, c"", Vec::new()).map_err(failed)?;
        Ok(PathBuf::from(OsString::from_vec(to.into_bytes())))
    }

    /// Whether the links here are the kernel's, to what a process has open.
    fn is_kernels(&self) -> bool {
        fstatfs(&self.directory).is_ok_and(|of| of.f_type == PROC_SUPER_MAGIC)
    }

    /// What the kernel refuses is said of the whole path, all else of the name that is at fault.
    fn fault(&self, name: &OsStr, fault: PathFault) -> PathError {
        let is_kernels = matches!(fault, PathFault::Os(_));
        let path = if is_kernels { self.named.into() } else { self.path.join(name) };
        PathError { path, fault }
    }

    fn end(self, name: CString, by_kernel: bool) -> OpenParent {
        let Self { named: _, directory, exposure, path, trust } = self;
        let path = path.join(os(&name));
        OpenParent { directory, exposure, name, path, trust: trust.clone(), by_kernel }
    }
}

/// The names of a path that are left to walk, the next one last.
struct PathComponents {
    names: Vec<OsString>,
    /// Whether the path ends in a slash.
    wants_directory: bool,
}

impl PathComponents {
    fn of(path: &Path) -> Self {
        let mut names = Self { names: Vec::new(), wants_directory: false };
        names.prepend(path);
        // The walk begins there.
        names.names.pop_if(|first| first == "/");
        names
    }

    fn prepend(&mut self, path: &Path) {
        let is_last = self.names.is_empty();
        self.wants_directory |= is_last && path.as_os_str().as_bytes().ends_with(b"/");
        let names = path.components().filter(|name| *name != Component::CurDir);
        let names: Vec<_> = names.map(|name| name.as_os_str().to_owned()).collect();
        self.names.extend(names.into_iter().rev());
    }

    fn next(&mut self) -> Option<OsString> {
        self.names.pop()
    }

    const fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

impl From<Errno> for PathFault {
    fn from(errno: Errno) -> Self {
        Self::Os(errno.raw_os_error())
    }
}

fn directory(from: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(from, name, flags, Mode::empty())
}

fn os(name: &CString) -> &OsStr {
    OsStr::from_bytes(name.as_bytes())
}

/// A path for an error; an empty one is the directory of this process.
fn or_current(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.into() }
}

/// As large as an attribute can be (`xattr(7)`).
const ACL_BYTES_MAX: usize = 1 << 16;
const INVALID: PathFault = PathFault::Os(Errno::INVAL.raw_os_error());
/// As many as the kernel follows (`path_resolution(7)`).
const LINKS_MAX: u32 = 40;
/// How often a file that somebody makes and removes meanwhile is looked at again.
const TRIES: u32 = 8;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
    use std::os::unix::net::UnixListener;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use rustix::fs::{fcntl_getfl, mkfifoat};
    use tempfile::{TempDir, tempdir};

    use super::*;
    use crate::testing::is_root;

    const NOBODY: u32 = 65_534;

    fn nobody() -> PathTrust {
        PathTrust::and_user(NOBODY, NOBODY, [])
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    /// A directory of `nobody`, in one that belongs to whoever runs the tests. It takes root.
    fn of_nobody() -> (TempDir, PathBuf) {
        let directory = tempdir().unwrap();
        set_mode(directory.path(), 0o755);
        let log = directory.path().join("log");
        fs::create_dir(&log).unwrap();
        chown(&log, Some(NOBODY), Some(NOBODY)).unwrap();
        (directory, log)
    }

    fn fault(path: &Path, trust: &PathTrust, purpose: Purpose) -> PathFault {
        open_file(path, trust, purpose).unwrap_err().fault
    }

    fn os(errno: Errno) -> PathFault {
        errno.into()
    }

    #[test]
    fn directory_is_as_open_as_its_mode_and_owner_say() {
        let own = tempdir().unwrap();
        let mut stat = fstat(File::open(own.path()).unwrap()).unwrap();
        let (own_user, other, group) = (geteuid().as_raw(), 12_345, 54_321);
        let trust = PathTrust::and_user(777, 778, [779]);
        let shared = || {
            if *LINKS_ARE_PROTECTED { Ok(Exposure::Shared) } else { Err(Writer::Group(group)) }
        };
        for (user, of_group, mode, expected) in [
            (own_user, group, 0o700, Ok(Exposure::Closed)),
            (0, group, 0o755, Ok(Exposure::Closed)),
            (0, 0, 0o775, Ok(Exposure::Closed)),
            (0, 778, 0o775, Ok(Exposure::Program)),
            (0, 779, 0o2775, Ok(Exposure::Program)),
            (777, group, 0o755, Ok(Exposure::Program)),
            (777, group, 0o1777, Ok(Exposure::Program)),
            (0, group, 0o1777, Ok(Exposure::Shared)),
            (0, group, 0o1775, Ok(Exposure::Shared)),
            (0, 778, 0o1770, Ok(Exposure::Shared)),
            (0, group, 0o2775, shared()),
            (777, group, 0o775, Err(Writer::Group(group))),
            (0, 0, 0o757, Err(Writer::Everyone)),
            (777, 778, 0o777, Err(Writer::Everyone)),
            (other, 0, 0o700, Err(Writer::User(other))),
            (other, 0, 0o1777, Err(Writer::User(other))),
        ] {
            (stat.st_uid, stat.st_gid, stat.st_mode) = (user, of_group, 0o040_000 | mode);
            assert_eq!(trust.exposure(&stat, None), expected, "{user} {of_group} {mode:o}");
        }
        (stat.st_uid, stat.st_gid, stat.st_mode) = (777, 778, 0o040_755);
        assert_eq!(PathTrust::MONITOR.exposure(&stat, None), Err(Writer::User(777)));
        // A program of root's group is not root.
        let rooted = PathTrust::and_user(777, 0, []);
        (stat.st_uid, stat.st_gid, stat.st_mode) = (0, 0, 0o040_775);
        assert_eq!(rooted.exposure(&stat, None), Ok(Exposure::Program));
    }

    /// Goal: an access list counts, of which the mode shows no more than the mask.
    #[test]
    fn access_list_says_who_may_write() {
        let own = tempdir().unwrap();
        let mut stat = fstat(File::open(own.path()).unwrap()).unwrap();
        (stat.st_uid, stat.st_gid, stat.st_mode) = (0, 0, 0o040_775);
        let trust = PathTrust::and_user(777, 778, []);
        for (entries, expected) in [
            (&[(0x01, 7, 0), (0x04, 5, 0), (0x20, 5, 0)][..], Ok(Exposure::Closed)),
            (&[(0x02, 7, 777), (0x04, 5, 0), (0x10, 7, 0)], Ok(Exposure::Program)),
            (&[(0x02, 7, 999), (0x04, 5, 0), (0x10, 7, 0)], Err(Writer::User(999))),
            (&[(0x02, 7, 999), (0x04, 5, 0), (0x10, 5, 0)], Ok(Exposure::Closed)),
            (&[(0x02, 7, 0), (0x10, 7, 0)], Ok(Exposure::Closed)),
            (&[(0x08, 7, 778), (0x10, 7, 0)], Ok(Exposure::Program)),
            (&[(0x10, 5, 0), (0x20, 7, 0)], Err(Writer::Everyone)),
        ] {
            let mut acl = 2_u32.to_le_bytes().to_vec();
            for &(tag, rights, id) in entries {
                acl.extend(u16::to_le_bytes(tag));
                acl.extend(u16::to_le_bytes(rights));
                acl.extend(u32::to_le_bytes(id));
            }
            assert_eq!(trust.exposure(&stat, Some(&acl)), expected, "{entries:?}");
        }
    }

    #[test]
    fn users_without_a_number_are_known_in_a_namespace() {
        assert_eq!(unmapped("         0          0 4294967295\n", 65_534), None);
        assert_eq!(unmapped("         0       1000          1\n", 65_534), Some(65_534));
        assert_eq!(unmapped("0 1000 1\n1 100000 65536\n", 65_534), None);
        assert_eq!(unmapped("", 65_534), Some(65_534));
        assert_eq!(unmapped("garbage\n", 65_534), Some(65_534));
    }

    #[test]
    fn paths_lead_where_the_kernel_would_lead_them() {
        let directory = tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let open = |path: &Path, purpose| open_file(path, &PathTrust::MONITOR, purpose);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::write(at("a/file"), "text").unwrap();
        symlink("a", at("relative")).unwrap();
        symlink(at("a/b"), at("absolute")).unwrap();
        symlink("relative/./b/../file", at("chain")).unwrap();
        symlink("loop", at("loop")).unwrap();
        for name in ["a/file", "a//b/../file", "relative/file", "absolute/../file", "chain"] {
            let mut text = String::new();
            let file = open(&at(name), Purpose::Input).unwrap();
            File::from(file).read_to_string(&mut text).unwrap();
            assert_eq!(text, "text", "{name}");
        }
        for (name, purpose, errno) in [
            ("missing", Purpose::Input, Errno::NOENT),
            ("a/file/x", Purpose::Output, Errno::NOTDIR),
            ("a/file/", Purpose::Output, Errno::NOTDIR),
            ("new/", Purpose::Output, Errno::NOENT),
            ("a", Purpose::Log, Errno::ISDIR),
            ("a/..", Purpose::Log, Errno::ISDIR),
            ("loop", Purpose::Input, Errno::LOOP),
        ] {
            assert_eq!(open(&at(name), purpose).unwrap_err().fault, os(errno), "{name}");
        }
        let missing = PathError { path: at("missing"), fault: PathFault::NoDirectory };
        assert_eq!(open(&at("missing/x"), Purpose::Output).unwrap_err(), missing);
        assert_eq!(open(Path::new(""), Purpose::Log).unwrap_err().fault, os(Errno::NOENT));
        assert_eq!(open(Path::new("/"), Purpose::Log).unwrap_err().fault, os(Errno::ISDIR));
        for purpose in [Purpose::Log, Purpose::Output] {
            for name in ["relative/new", "a/file"] {
                let file = File::from(open(&at(name), purpose).unwrap());
                (&file).write_all(b"+").unwrap();
            }
        }
        assert_eq!(fs::read_to_string(at("a/new")).unwrap(), "++");
        assert_eq!(fs::read_to_string(at("a/file")).unwrap(), "text++");
    }

    /// Goal: no open waits for a peer, and what is given to a program waits as programs expect.
    #[test]
    fn kinds_are_told_apart_and_none_is_waited_for() {
        let directory = tempdir().unwrap();
        let (fifo, socket) = (directory.path().join("fifo"), directory.path().join("socket"));
        mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();
        let open = |path: &Path, purpose| open_file(path, &PathTrust::MONITOR, purpose);
        let output = open(&fifo, Purpose::Output).unwrap();
        let input = open(&fifo, Purpose::Input).unwrap();
        for fd in [&output, &input] {
            assert!(!fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK));
        }
        rustix::io::write(&output, b"x").unwrap();
        assert_eq!(rustix::io::read(&input, &mut [0; 2]), Ok(1));
        assert_eq!(fault(&fifo, &PathTrust::MONITOR, Purpose::Log), PathFault::Fifo);
        for purpose in [Purpose::Log, Purpose::Output, Purpose::Input] {
            assert_eq!(fault(&socket, &PathTrust::MONITOR, purpose), PathFault::Socket);
            open(Path::new("/dev/null"), purpose).unwrap();
        }
        let log = open(Path::new("/dev/null"), Purpose::Log).unwrap();
        assert!(fcntl_getfl(log).unwrap().contains(OFlags::NONBLOCK));
        // A pipe that the kernel's own link leads to has its peer, and no more ends than were asked for.
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let link = PathBuf::from(format!("/proc/self/fd/{}", writer.as_raw_fd()));
        let again = open(&link, Purpose::Output).unwrap();
        assert_eq!(fcntl_getfl(&again).unwrap() & OFlags::RWMODE, OFlags::WRONLY);
        let log = open(&link, Purpose::Log).unwrap();
        assert_eq!(fcntl_getfl(&log).unwrap() & OFlags::RWMODE, OFlags::WRONLY);
        drop((reader, again, log));
    }

    /// Goal: where everybody may add names, as in `/tmp`, no link and no file of a stranger is taken.
    #[test]
    fn file_with_another_name_is_refused_where_others_may_write() {
        let directory = tempdir().unwrap();
        set_mode(directory.path(), 0o1777);
        let (log, other) = (directory.path().join("log"), directory.path().join("other"));
        fs::write(&log, "").unwrap();
        open_file(&log, &PathTrust::MONITOR, Purpose::Log).unwrap();
        fs::hard_link(&log, &other).unwrap();
        for purpose in [Purpose::Log, Purpose::Output, Purpose::Input] {
            assert_eq!(fault(&log, &PathTrust::MONITOR, purpose), PathFault::HardLink);
        }
        set_mode(directory.path(), 0o777);
        let error = open_file(&log, &PathTrust::MONITOR, Purpose::Log).unwrap_err();
        let fault = PathFault::Exposed(Writer::Everyone);
        assert_eq!(error, PathError { path: directory.path().into(), fault });
    }

    /// Goal: what the user of a program does to the directory of its log leads into no file of root's.
    #[test]
    fn user_of_a_program_leads_nothing_elsewhere() {
        if !is_root() {
            return;
        }
        let (directory, log) = of_nobody();
        let secret = directory.path().join("secret");
        fs::write(&secret, "of root").unwrap();
        let (file, below) = (log.join("file"), log.join("below"));
        let put = |what: &dyn Fn()| {
            fs::remove_file(&file).ok();
            what();
        };
        for purpose in [Purpose::Log, Purpose::Output, Purpose::Input] {
            put(&|| symlink(&secret, &file).unwrap());
            assert_eq!(fault(&file, &nobody(), purpose), PathFault::Link);
            put(&|| symlink("/nowhere/at-all", &file).unwrap());
            assert_eq!(fault(&file, &nobody(), purpose), PathFault::Link);
            put(&|| fs::hard_link(&secret, &file).unwrap());
            assert_eq!(fault(&file, &nobody(), purpose), PathFault::Owner(0));
            put(&|| {
                fs::write(&file, "").unwrap();
                chown(&file, Some(1), None).unwrap();
            });
            assert_eq!(fault(&file, &nobody(), purpose), PathFault::Owner(1));
            // A directory of root's below it is reached by a name that the user may give to another.
            symlink(directory.path(), &below).unwrap();
            assert_eq!(fault(&below.join("secret"), &nobody(), purpose), PathFault::Link);
            fs::remove_file(&below).unwrap();
        }
        assert_eq!(
            fault(&file, &PathTrust::MONITOR, Purpose::Log),
            PathFault::Exposed(Writer::User(NOBODY))
        );
        put(&|| {});
        let made = File::from(open_file(&file, &nobody(), Purpose::Log).unwrap());
        assert_eq!(made.metadata().unwrap().uid(), NOBODY);
        open_file(&file, &nobody(), Purpose::Log).unwrap();
        assert_eq!(fs::read_to_string(&secret).unwrap(), "of root");
    }

    /// Goal: nor does it in the moment between a look and an open. Method: another thread changes the name without
    /// end, between a link, a file with a second name, nothing and a plain file.
    #[test]
    fn race_is_not_won() {
        if !is_root() {
            return;
        }
        let (directory, log) = of_nobody();
        let secret = directory.path().join("secret");
        fs::write(&secret, "of root").unwrap();
        let victim = fs::metadata(&secret).unwrap().ino();
        let (file, next) = (log.join("file"), log.join("next"));
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    symlink(&secret, &next).unwrap();
                    fs::rename(&next, &file).unwrap();
                    fs::hard_link(&secret, &next).unwrap();
                    fs::rename(&next, &file).unwrap();
                    fs::remove_file(&file).unwrap();
                    fs::write(&next, "").unwrap();
                    chown(&next, Some(NOBODY), None).unwrap();
                    fs::rename(&next, &file).unwrap();
                }
            });
            let opened = (0..20_000).filter_map(|_| open_file(&file, &nobody(), Purpose::Log).ok());
            let found: Vec<_> =
                opened.map(|file| File::from(file).metadata().unwrap().ino()).collect();
            stop.store(true, Ordering::Relaxed);
            assert!(!found.is_empty(), "no open came between two changes");
            assert!(!found.contains(&victim), "a file of root's was opened");
        });
        assert_eq!(fs::read_to_string(&secret).unwrap(), "of root");
    }

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
