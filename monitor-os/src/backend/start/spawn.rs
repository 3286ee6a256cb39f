//! The start of a program by `posix_spawn(3)`, without a copy of the monitor's memory.

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
/// The program gets the given standard streams or the monitor's. No signal is blocked, and all
/// dispositions are at their default. Every other descriptor that is open here is closed in the
/// child. An exception is one that another thread opens meanwhile without close-on-exec. A program
/// that a helper starts does not inherit even that one.
///
/// The memory of the monitor is not copied (`CLONE_VM`), so the cost does not grow with it. The
/// calling thread blocks until the program is loaded.
///
/// # Errors
/// See [`SpawnError`]. No child is left behind in any case.
///
/// # Source
/// `posix_spawn(3)`; `execvp(3)` for the search, without its fallback to a shell.
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
        // After the streams, one of which may have this number; closing a closed number is no
        // error.
        actions.add_close(number).map_err(refused(command.program()))?;
    }
    search(command.program(), &environment, |path| spawn_file(&path, &args, &environment, &actions))
}

/// Starts the helper at `path`, as [`spawn`] does, with `given` as additional descriptors.
///
/// The descriptors keep their numbers. The helper gives none of them to the program.
pub(crate) fn spawn_helper<A: AsRef<CStr>>(
    path: &Path,
    args: &[A],
    stdio: &Stdio,
    given: &[BorrowedFd<'_>],
) -> Result<Process, SpawnError> {
    let environment: [CString; 0] = [];
    let mut actions = actions(path, stdio)?;
    for fd in given {
        // Duplicating a number onto itself clears close-on-exec, in the child alone.
        actions.add_dup2(fd.as_raw_fd(), fd.as_raw_fd()).map_err(refused(path))?;
    }
    spawn_file(path, args, &environment, &actions)
}

/// The actions that put the standard streams of a program in their places.
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
    // The pidfd can be opened only after the child exists, and a lack of descriptors must not
    // prevent it. One is therefore reserved before, and released at the last moment.
    let spare = eventfd(0, EventfdFlags::CLOEXEC)
        .map_err(|errno| SpawnError::from_errno(path.into(), errno))?;
    let started = attributes()
        .and_then(|attributes| posix_spawn(path, actions, &attributes, args, environment));
    let pid = started.map_err(failed)?;
    drop(spare);
    take_over(pid.as_raw(), path.into())
}

/// Searches for a program as `execvp(3)` does, and tries each candidate.
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
        // An empty entry is the current directory; joining to it leaves the bare name.
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

/// Whether the search continues after this error, as `execvp(3)` does.
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

/// A new session, no blocked signal, and every resettable disposition at its default.
///
/// Otherwise the program would inherit the signals that the monitor or its parent blocks and
/// ignores. Rust ignores SIGPIPE. The C library ignores its internal signals 32 and 33 in every
/// child.
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

/// Opens the pidfd of an unreaped child that was just started, so the number is its own.
fn take_over(raw: i32, path: PathBuf) -> Result<Process, SpawnError> {
    let Some(pid) = LeaderPid::new(raw) else {
        return Err(SpawnError::Unwatchable { path, errno: Errno::SRCH.raw_os_error() });
    };
    match pidfd_open(pid.to_pid(), PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Process::new(pid, pidfd)),
        Err(errno) => {
            // ESRCH: the kernel has reaped it, and another process may have the number.
            if errno != Errno::SRCH {
                kill_and_reap(pid.to_pid());
            }
            Err(SpawnError::Unwatchable { path, errno: errno.raw_os_error() })
        }
    }
}

/// Kills an own child with its group and reaps it, unless it was reaped already.
pub(crate) fn kill_and_reap(pid: Pid) {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if waitid(WaitId::Pid(pid), look).err() == Some(Errno::CHILD) {
        // The child was reaped elsewhere, and another process may have the number.
        return;
    }
    // An own child can be killed. An error of the wait means that the child is gone.
    kill_process_group(pid, Signal::KILL).ok();
    while waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).err() == Some(Errno::INTR) {}
}

/// `POSIX_SPAWN_SETSID` of `<spawn.h>`, which glibc has since 2.26 and musl since 1.1.22.
const POSIX_SPAWN_SETSID: i32 = 0x80;

/// The search path of `execvp(3)` without a `PATH` (`confstr(_CS_PATH)`).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

#[cfg(test)]
mod tests;
