//! The sequence of settings that the helper makes before it becomes the program.

use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::io::stdin;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::unistd::chdir;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, getppid, ioctl_tiocsctty, set_parent_process_death_signal, setpriority_process,
    umask,
};

use crate::command::account::{Credentials, trust};
use crate::command::environment::{Environment, put};
use crate::command::setup::Setup;
use crate::command::setup_stage::SetupStage;
use crate::command::spawn_error::{SpawnError, failed, native};
use crate::linux::descriptors::keep_only;
use crate::linux::mark::mark;

/// Applies all settings to this process, which has one thread; returns the program's environment.
///
/// The control group comes first, so that no step happens outside of it. Steps that need privileges
/// follow. The directory is last, because the user of the program must be able to enter it. Files
/// are opened as the user of the monitor, by paths that are guarded against the user of the
/// program.
///
/// # Errors
/// [`SpawnError::Setup`] and [`SpawnError::EnvironmentLine`]; the process cannot become the program
/// then.
pub(crate) fn apply(
    setup: &Setup,
    environment: &Environment,
    mut inherited: Vec<CString>,
) -> Result<Vec<CString>, SpawnError> {
    if let Some(cgroup) = &setup.cgroup {
        enter(cgroup)?;
    }
    if setup.terminal {
        ioctl_tiocsctty(stdin()).map_err(|errno| failed(SetupStage::Terminal, "tty", errno))?;
    }
    let credentials = setup.account.look_up()?;
    for variable in credentials.iter().flat_map(Credentials::variables) {
        put(&mut inherited, variable);
    }
    let trust = trust(credentials.as_ref());
    let mut variables = environment.resolve(inherited, &trust)?;
    if let Some(mark) = setup.mark.and_then(mark) {
        put(&mut variables, mark);
    }
    if let Some(notified) = &setup.notified {
        notified.put_into(&mut variables);
    }
    if let Some(mask) = setup.umask {
        umask(Mode::from_raw_mode(mask.into()));
    }
    // Before a limit can prevent it.
    setup.files.put_in_place(&trust).map_err(SpawnError::Stream)?;
    set_oom_score(setup.oom_score)?;
    if let Some(nice) = setup.nice {
        setpriority_process(None, nice.into())
            .map_err(|errno| failed(SetupStage::Nice, nice.to_string(), errno))?;
    }
    for limit in &setup.limits {
        limit
            .put_in_force()
            .map_err(|errno| failed(SetupStage::Limit, limit.to_string(), errno))?;
    }
    if let Some(credentials) = credentials {
        credentials.assume()?;
    }
    if let Some(directory) = &setup.directory {
        let subject = OsStr::from_bytes(directory.as_bytes());
        chdir(directory.as_c_str())
            .map_err(|errno| failed(SetupStage::Directory, subject, native(errno)))?;
    }
    // After the change of the account, which would clear it.
    if let Some(monitor) = setup.dies_with {
        die_with(monitor)?;
    }
    // Last, because every step above may open descriptors.
    keep_only(setup.descriptor).map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        failed(SetupStage::Descriptors, "/proc/self/fd", errno)
    })?;
    Ok(variables)
}

/// Makes the kernel kill this process when the monitor dies, and checks that the monitor lives.
///
/// The kernel goes by the thread that started this process. It is the supervisor's own thread,
/// which lives as long as the monitor.
///
/// # Errors
/// ESRCH: the monitor had died before, so the kernel would not report its death.
///
/// # Source
/// `PR_SET_PDEATHSIG` of `prctl(2)`.
fn die_with(monitor: i32) -> Result<(), SpawnError> {
    let gone = |errno| failed(SetupStage::Monitor, monitor.to_string(), errno);
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(gone)?;
    let parent = getppid().map(Pid::as_raw_pid);
    if parent == Some(monitor) { Ok(()) } else { Err(gone(Errno::SRCH)) }
}

/// Moves this process into a control group, and thereby its later children.
fn enter(cgroup: &CStr) -> Result<(), SpawnError> {
    let directory = OsStr::from_bytes(cgroup.to_bytes());
    fs::write(Path::new(directory).join("cgroup.procs"), "0").map_err(|error| {
        failed(SetupStage::Cgroup, directory, Errno::from_io_error(&error).unwrap_or(Errno::IO))
    })
}

/// Sets the score, or resets an inherited protection, which was meant for the monitor (pitfall 52).
fn set_oom_score(score: Option<i16>) -> Result<(), SpawnError> {
    let path = "/proc/self/oom_score_adj";
    let write = |score: i16| fs::write(path, score.to_string());
    let Some(score) = score else {
        let inherited = fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
        if inherited.is_some_and(|inherited: i16| inherited < 0) {
            // The command did not request the reset, so a failure is not reported.
            write(0).ok();
        }
        return Ok(());
    };
    write(score).map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        failed(SetupStage::OomScore, score.to_string(), errno)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a process that is to die with a dead monitor does not run. Method: this process is no
    /// child of itself. The order to the kernel concerns this thread alone, and is taken back.
    #[test]
    fn monitor_that_died_before_is_noticed() {
        let parent = getppid().unwrap().as_raw_pid();
        let own = rustix::process::getpid().as_raw_pid();
        assert_eq!(die_with(parent), Ok(()));
        assert_eq!(die_with(own), Err(failed(SetupStage::Monitor, own.to_string(), Errno::SRCH)));
        set_parent_process_death_signal(None).unwrap();
    }
}
