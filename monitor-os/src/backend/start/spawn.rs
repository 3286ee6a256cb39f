//! Starting a program without copying the monitor.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::SigSet;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};

use crate::backend::start::stdio::Stdio;
use crate::command::Command;
use crate::command::setup_stage::SetupStage;
use crate::command::spawn_error::{SpawnError, failed, is_exhaustion, native};
use crate::linux::descriptors::above_streams;
use crate::linux::leader_pid::LeaderPid;
use crate::linux::path_trust::PathTrust;
use crate::linux::process::Process;

/// Starts `command` as the leader of a new session and process group.
///
/// The program has the standard streams that it is given, or the monitor's, no signal blocked and all dispositions
/// at their default. It has no other descriptor: each that is open here is closed in the child. One that another
/// thread opens meanwhile, and not close-on-exec, is handed down; programs that a helper starts have not even that.
/// The memory of the monitor is not copied (`CLONE_VM`), so the cost does not grow with it; the calling thread
/// stands still until the program is loaded.
///
/// # Errors
/// See [`SpawnError`]. No child is left behind in any case.
///
/// # Source
/// `posix_spawn(3)`; `execvp(3)` for the search, without its turn to a shell for a file that is no program.
pub(crate) fn spawn(command: &Command, stdio: &Stdio) -> Result<Process, SpawnError> {
    if let Some(setting) = command.needs_helper() {
        return Err(SpawnError::NoLauncher { path: command.program().into(), setting });
    }
    let environment = command.environment();
    let environment = environment.resolve(environment.inherited(), &PathTrust::MONITOR)?;
    let args = command.argv();
    let unwanted = above_streams().map_err(|error| match Errno::from_io_error(&error) {
        Some(errno) if is_exhaustion(errno) => {
            SpawnError::from_errno_there(command.program().into(), errno)
        }
        errno => failed(SetupStage::Descriptors, "/proc/self/fd", errno.unwrap_or(Errno::IO)),
    })?;
    let mut actions = actions(command.program(), stdio)?;
    for number in unwanted {
        // After the streams, of which it may be one; a number that is not open any more is no error.
        actions.add_close(number).map_err(refused(command.program()))?;
    }
    search(command.program(), &environment, |path| spawn_file(&path, &args, &environment, &actions))
}

/// Starts the helper at `path`, as [`spawn`] does, with `given` as descriptors of the same numbers beside the
/// standard streams. It gives the program no other.
pub(crate) fn spawn_helper<A: AsRef<CStr>>(
    path: &Path,
    args: &[A],
    stdio: &Stdio,
    given: &[BorrowedFd<'_>],
) -> Result<Process, SpawnError> {
    let environment: [CString; 0] = [];
    let mut actions = actions(path, stdio)?;
    for fd in given {
        // Onto itself: in the child alone it is not closed by the exec any more.
        actions.add_dup2(fd.as_raw_fd(), fd.as_raw_fd()).map_err(refused(path))?;
    }
    spawn_file(path, args, &environment, &actions)
}

/// Puts the standard streams of a program in their places.
fn actions(program: &Path, stdio: &Stdio) -> Result<PosixSpawnFileActions, SpawnError> {
    let put = || {
        let mut actions = PosixSpawnFileActions::init()?;
        for (fd, number) in stdio.child_fds() {
            actions.add_dup2(fd.as_raw_fd(), number)?;
        }
        Ok(actions)
    };
    put().map_err(refused(program))
}

fn refused(path: &Path) -> impl Fn(nix::errno::Errno) -> SpawnError {
    |errno| SpawnError::from_errno(path.into(), native(errno))
}

/// Starts the file at `path`.
fn spawn_file<A: AsRef<CStr>>(
    path: &Path,
    args: &[A],
    environment: &[CString],
    actions: &PosixSpawnFileActions,
) -> Result<Process, SpawnError> {
    let failed = refused(path);
    // The pidfd can be opened only when the child exists, and must not fail then for want of a descriptor:
    // one is taken before and given back at the last moment.
    let spare = eventfd(0, EventfdFlags::CLOEXEC)
        .map_err(|errno| SpawnError::from_errno(path.into(), errno))?;
    let started = attributes()
        .and_then(|attributes| posix_spawn(path, actions, &attributes, args, environment));
    let pid = started.map_err(failed)?;
    drop(spare);
    take_over(pid.as_raw(), path.into())
}

/// Looks for a program as `execvp(3)` does, and tries each file that could be it.
pub(crate) fn search<T>(
    program: &Path,
    environment: &[CString],
    mut attempt: impl FnMut(PathBuf) -> Result<T, SpawnError>,
) -> Result<T, SpawnError> {
    if program.as_os_str().as_bytes().contains(&b'/') {
        return attempt(program.into());
    }
    let searched = search_path(environment);
    let mut first_error = None;
    for directory in searched.as_bytes().split(|&byte| byte == b':') {
        // An empty entry is the current directory, and joining to it leaves the bare name.
        let path = Path::new(OsStr::from_bytes(directory)).join(program);
        match attempt(path) {
            Err(SpawnError::NotFound { .. }) => {}
            Err(error) if goes_on(&error) => first_error = first_error.or(Some(error)),
            outcome => return outcome,
        }
    }
    Err(first_error.unwrap_or_else(|| SpawnError::NotFound {
        program: program.into(),
        searched: Some(searched.to_os_string()),
        errno: Errno::NOENT.raw_os_error(),
    }))
}

/// Whether the search looks further after this error, as `execvp(3)` does.
const fn goes_on(error: &SpawnError) -> bool {
    matches!(
        Errno::from_raw_os_error(error.errno()),
        Errno::NOENT | Errno::ACCESS | Errno::STALE | Errno::NODEV | Errno::TIMEDOUT
    )
}

fn search_path(environment: &[CString]) -> &OsStr {
    environment
        .iter()
        .find_map(|variable| variable.as_bytes().strip_prefix(b"PATH="))
        .map_or_else(|| OsStr::new(DEFAULT_PATH), OsStr::from_bytes)
}

/// A new session, nothing blocked, and every disposition that can be reset at its default.
///
/// Without the last two the program would inherit what the monitor, or whoever started it, blocks and
/// ignores: Rust ignores SIGPIPE. The C library ignores its internal signals 32 and 33 in every child.
fn attributes() -> nix::Result<PosixSpawnAttr> {
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(
        PosixSpawnFlags::from_bits_retain(POSIX_SPAWN_SETSID)
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF,
    )?;
    attributes.set_sigmask(&SigSet::empty())?;
    attributes.set_sigdefault(&SigSet::all())?;
    Ok(attributes)
}

/// Opens the pidfd of a child that was just started; nobody has reaped it, so the number is its own.
fn take_over(raw: i32, path: PathBuf) -> Result<Process, SpawnError> {
    let Some(pid) = LeaderPid::new(raw) else {
        return Err(SpawnError::Unwatchable { path, errno: Errno::SRCH.raw_os_error() });
    };
    match pidfd_open(pid.to_pid(), PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Process::new(pid, pidfd)),
        Err(errno) => {
            // ESRCH: the kernel has reaped it, and the number may be a stranger's.
            if errno != Errno::SRCH {
                kill_and_reap(pid.to_pid());
            }
            Err(SpawnError::Unwatchable { path, errno: errno.raw_os_error() })
        }
    }
}

/// Kills an own child, with its group, and reaps it; unless somebody else has reaped it.
pub(crate) fn kill_and_reap(pid: Pid) {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if waitid(WaitId::Pid(pid), look).err() == Some(Errno::CHILD) {
        // Somebody else has reaped it, and the number may be a stranger's.
        return;
    }
    // An own child can be killed, and an error of the wait means that it is gone: nothing to tell.
    kill_process_group(pid, Signal::KILL).ok();
    while waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).err() == Some(Errno::INTR) {}
}

/// `POSIX_SPAWN_SETSID` of `<spawn.h>`, which glibc has since 2.26 and musl since 1.1.22.
const POSIX_SPAWN_SETSID: i32 = 0x80;

/// What `execvp(3)` searches without a `PATH` (`confstr(_CS_PATH)`).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

#[cfg(test)]
mod tests;
