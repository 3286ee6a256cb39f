//! Guarded opening of a file that a unit names: directories are held, and each link is checked.
//!
//! A path is walked one name at a time, and a descriptor holds each directory. Three cases differ
//! by the accounts that may change the names in a directory:
//!
//! - Only root and the monitor: the path leads to the operator's file, and links are followed.
//! - The unit's own user, in this or an earlier directory: no link is followed, and the file must
//!   belong to that user. A name there may be a hard link to any file, and only the owner shows
//!   that.
//! - Others may add names, but no second name for a file of others: the file must have one name and
//!   a trusted owner. Examples are a sticky directory such as `/tmp`, and a directory of root that
//!   a group may write, such as `/var/log` of some systems.
//!
//! A directory that any other account may write, by its mode or its access list, is refused.
//!
//! The file is checked by a descriptor that opens nothing (`O_PATH`), and then opened by that
//! descriptor. The opened file is therefore the checked file. The checked properties cannot change
//! meanwhile: only root gives a file to another user. In a sticky directory, only the owner of a
//! name removes it. Elsewhere the count of names could become 1 at the right moment, so the count
//! decides only there.
//!
//! No open waits for another process: neither a FIFO without a peer nor a device blocks it.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, PROC_SUPER_MAGIC, Stat, Uid, fchown, fcntl_setfl,
    fstat, fstatfs, open, openat, readlinkat, renameat, statat,
};
use rustix::io::Errno;

use crate::linux::path_error::{INVALID, PathError, PathFault};
use crate::linux::path_trust::{Exposure, PathTrust, access_list};

/// Purpose of an opened file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The monitor appends to the file.
    ///
    /// A missing file is made (mode 0666 less the umask). It belongs to the unit's user if that
    /// user may change names in the directory.
    Log,
    /// A program appends to the file, which is made like a log; any writable kind of file is
    /// accepted.
    Output,
    /// A program reads the file.
    Input,
    /// The helper reads the file to its end, which needs a writer if it is a FIFO.
    Settings,
    /// The monitor writes the file from its beginning; it is made like a log.
    Record,
}

impl Purpose {
    const fn reads(self) -> bool {
        matches!(self, Self::Input | Self::Settings)
    }
}

/// The held directory of a file, and the name of the file in it, which is no symbolic link.
#[derive(Debug)]
pub(crate) struct OpenParent {
    directory: OwnedFd,
    exposure: Exposure,
    name: CString,
    /// The path of the file in errors.
    path: PathBuf,
    trust: PathTrust,
    /// Whether a link of the kernel leads to the file, such as `/proc/self/fd/1`.
    by_kernel: bool,
}

impl OpenParent {
    /// Walks to the directory of a file; the file itself may be missing.
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

    /// Opens the file, and makes it if the purpose allows that.
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
                    // Another process made the file, which the next turn checks.
                    Err(Errno::EXIST) => {}
                    made => return made.map_err(|errno| failed(errno.into())),
                },
                Err(errno) => return Err(failed(errno.into())),
            }
        }
        Err(failed(PathFault::Changing))
    }

    /// Renames a file within the directory; an existing file of the new name is replaced.
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
            // Only if the link was put here after the check.
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

    /// Opens the held file by the kernel's link, which is independent of its current name.
    fn open_held(&self, held: &OwnedFd, found: &Stat, purpose: Purpose) -> Result<OwnedFd, Errno> {
        let path = format!("/proc/self/fd/{}", held.as_raw_fd());
        let common = OFlags::CLOEXEC | OFlags::NOCTTY;
        let try_open = |flags| open(&path, common | flags, Mode::empty());
        let kind = FileType::from_raw_mode(found.st_mode);
        let can_wait = matches!(kind, FileType::Fifo | FileType::CharacterDevice);
        let may_wait = purpose == Purpose::Settings || !can_wait;
        let wait = if may_wait { OFlags::empty() } else { OFlags::NONBLOCK };
        let (wanted, instead) = match purpose {
            // With both ends the open neither waits for a peer nor ends with one.
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
            // Readable if possible, for its last byte.
            Purpose::Log => (OFlags::RDWR | OFlags::APPEND, Some(OFlags::WRONLY | OFlags::APPEND)),
        };
        let opened = match (try_open(wanted | wait), instead) {
            (Err(Errno::ACCESS | Errno::ROFS | Errno::PERM), Some(instead)) => {
                try_open(instead | wait)?
            }
            (opened, _) => opened?,
        };
        if can_wait && matches!(purpose, Purpose::Input | Purpose::Output) {
            // Programs expect reads and writes to block.
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
            // Otherwise the next open would find a file that is not the user's.
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

impl PathTrust {
    /// Opens a file for writing from its beginning, and makes it if it is missing.
    ///
    /// The mode of a new file is 0666 less the umask. Neither the open nor a write waits for the
    /// reader of a named pipe.
    ///
    /// # Errors
    /// See [`PathFault`]; nothing changed. A named pipe must have a reader (ENXIO).
    pub fn create(&self, path: impl AsRef<Path>) -> Result<File, PathError> {
        open_file(path.as_ref(), self, Purpose::Record).map(File::from)
    }
}

/// The progress of the walk along a path.
struct PathWalk<'a> {
    /// The whole path, as it was given.
    named: &'a Path,
    directory: OwnedFd,
    exposure: Exposure,
    /// The walked part of the path.
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

    /// Enters a directory, including `..` and `/`, which must be no link.
    fn enter(&mut self, name: &OsStr) -> Result<(), PathError> {
        let next = directory(self.directory.as_fd(), name);
        let fault = |errno| match errno {
            // A link that was put here after the check.
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
        // A directory below a shared one was not placed by the operator alone.
        self.exposure = self.exposure.max(exposure);
        Ok(())
    }

    /// The target of a link that may be followed.
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

    /// Whether the links here are the kernel's, to open files of a process.
    fn is_kernels(&self) -> bool {
        fstatfs(&self.directory).is_ok_and(|of| of.f_type == PROC_SUPER_MAGIC)
    }

    /// An error of the kernel names the whole path; any other error names the faulty part.
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
        // The walk begins at the root.
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

/// The number of links that the kernel follows (`path_resolution(7)`).
const LINKS_MAX: u32 = 40;
/// The number of attempts on a file that another process makes and removes meanwhile.
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

    use std::fs;

    use super::*;
    use crate::linux::path_error::Writer;

    const NOBODY: u32 = 65_534;

    fn nobody() -> PathTrust {
        PathTrust::and_user(NOBODY, NOBODY, [])
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    /// A directory of the user `nobody`, in one of the test's user; it needs root.
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

    /// Goal: no open waits for a peer, and the descriptors of a program block as programs expect.
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
        // A pipe behind a link of the kernel has its peer, and is opened with the requested end
        // only.
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let link = PathBuf::from(format!("/proc/self/fd/{}", writer.as_raw_fd()));
        let again = open(&link, Purpose::Output).unwrap();
        assert_eq!(fcntl_getfl(&again).unwrap() & OFlags::RWMODE, OFlags::WRONLY);
        let log = open(&link, Purpose::Log).unwrap();
        assert_eq!(fcntl_getfl(&log).unwrap() & OFlags::RWMODE, OFlags::WRONLY);
        drop((reader, again, log));
    }

    /// Goal: in a directory where every user may add names, such as `/tmp`, no foreign link or file
    /// is taken.
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

    /// Goal: changes by a program's user to the directory of its log never lead into a file of
    /// root.
    #[test]
    #[ignore = "it takes root, as which the gate runs it"]
    fn user_of_a_program_leads_nothing_elsewhere() {
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
            // A directory of root below it is reached by a name that the user may replace.
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

    /// Goal: such changes do not succeed between the check and the open. Method: another thread
    /// replaces the name continuously by a link, a file with a second name, nothing and a plain
    /// file.
    #[test]
    #[ignore = "it takes root, as which the gate runs it"]
    fn race_is_not_won() {
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
}
