//! The helper between the monitor and the program, which becomes the program once it is recorded.

use std::env;
use std::ffi::{CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::exit;

use nix::unistd::{close, execve};
use rustix::event::{Timespec, poll};
use rustix::io::Errno;

use crate::backend::start::helper_sequence::apply;
use crate::backend::start::message::{FORM, LaunchMessage, failure};
use crate::backend::start::spawn::search;
use crate::command::Command;
use crate::command::setup::Setup;
use crate::command::spawn_error::SpawnError;
use crate::linux::limit::Limit;
use crate::linux::sys::restore_sigpipe;

/// The location of the helper that starts programs for a supervisor.
///
/// A program that the helper starts does not run before the monitor has recorded its process. If
/// the monitor dies before that, the helper ends, and the program never ran. The helper reports the
/// step and the reason of a failed start.
///
/// A program of a unit that is not in a [`StateDir`](crate::StateDir) dies with the monitor,
/// because the kernel kills it (`PR_SET_PDEATHSIG` of `prctl(2)`). Each health check dies in this
/// way too. The programs of stored units continue for the next monitor.
///
/// The kernel's order does not reach processes that the program has started. It is cleared when the
/// program changes its credentials. The program may do that by itself, as `setpriv` and `su` do, or
/// because it is set-user-ID or has file capabilities. Set the user of such a program by
/// [`Command::as_user`](crate::Command::as_user). If the program has another user, the monitor
/// needs `CAP_KILL`.
///
/// The helper is the supervising program, started once more under another name, so both are always
/// of one build. Call [`Launcher::enter`] first in `main`.
///
/// # Examples
/// ```no_run
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let launcher = monitor_os::Launcher::enter();
///     let supervisor = monitor_os::Supervisor::with_launcher(&launcher)?;
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Launcher {
    program: PathBuf,
    /// The limit on descriptors that this process had before it raised its own.
    given_back: Option<Limit>,
}

impl Launcher {
    /// Returns the launcher; in a process that was started as the helper, it does not return.
    ///
    /// Call it before anything else in `main`, and before any thread is started.
    #[must_use]
    pub fn enter() -> Self {
        let mut args = env::args_os();
        if args.next().is_some_and(|name| name == NAME) {
            let mut numbers = args.map(|arg| arg.to_str().and_then(|arg| arg.parse().ok()));
            if let (Some(Some(form)), Some(Some(brief)), Some(Some(go)), Some(Some(report))) =
                (numbers.next(), numbers.next(), numbers.next(), numbers.next())
                && form == RawFd::from(FORM)
            {
                exit(launch(Descriptors { brief, go, report }));
            }
            exit(NOT_LAUNCHED);
        }
        Self::at("/proc/self/exe")
    }

    /// Uses another program as the helper: `monitor`, or one that calls [`Launcher::enter`].
    ///
    /// The program must have this version of the crate. The function is for processes with a
    /// foreign `main`, such as tests.
    #[must_use]
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), given_back: None }
    }

    /// Raises this process's soft limit on descriptors to its hard limit, because many units need
    /// many.
    ///
    /// Programs that this launcher starts keep the old limit. Some programs break with a descriptor
    /// above 1023 (`select(2)`).
    ///
    /// # Errors
    /// None is known (`setrlimit(2)`); the limit is unchanged.
    pub fn raise_descriptor_limit(&mut self) -> io::Result<()> {
        let own = Limit::of_descriptors();
        own.raised().put_in_force()?;
        self.given_back.get_or_insert(own);
        Ok(())
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// The settings that its helper makes for a command.
    pub(crate) fn setup(&self, command: &Command) -> Setup {
        let mut setup = command.setup().clone();
        if let Some(limit) = self.given_back
            && !setup.limits.iter().any(|known| known.name() == limit.name())
        {
            setup.limit(limit);
        }
        setup
    }
}

/// The arguments that make a program the helper, with the numbers of its descriptors.
pub(crate) fn arguments(brief: RawFd, go: RawFd, report: RawFd) -> Option<[CString; 5]> {
    let form = RawFd::from(FORM);
    let [form, brief, go, report] =
        [form, brief, go, report].map(|number| CString::new(number.to_string()).ok());
    Some([CString::new(NAME).ok()?, form?, brief?, go?, report?])
}

/// Whether a process is still the helper and not yet the program; false for one that has ended.
pub(crate) fn is_launching(pid: i32) -> bool {
    let name = std::fs::read(format!("/proc/{pid}/cmdline"));
    name.is_ok_and(|line| line.split(|&byte| byte == 0).next() == Some(NAME.as_bytes()))
}

/// The descriptors of the helper: for the launch message, for the go-ahead, and for its report.
struct Descriptors {
    brief: RawFd,
    go: RawFd,
    report: RawFd,
}

/// Becomes the program; returns the exit code if that fails.
fn launch(given: Descriptors) -> i32 {
    match receive(&given) {
        Ok((brief, mut report)) => {
            let error = become_program(brief);
            // A write error means that the monitor is gone.
            report.write_all(&failure(&error)).ok();
            NOT_LAUNCHED
        }
        Err(_) => NOT_LAUNCHED,
    }
}

/// Reads the launch message, then waits for the go-ahead: the monitor has recorded this process.
fn receive(given: &Descriptors) -> io::Result<(LaunchMessage, File)> {
    // Opened anew, close-on-exec, because owning an inherited number has no safe interface.
    let mut encoded = Vec::new();
    adopt(given.brief, OpenOptions::new().read(true))?.read_to_end(&mut encoded)?;
    let mut go = adopt(given.go, OpenOptions::new().read(true))?;
    let mut report = adopt(given.report, OpenOptions::new().write(true))?;
    report.write_all(&[FORM])?;
    let brief = LaunchMessage::decode(&encoded).ok_or(io::ErrorKind::InvalidData)?;
    // An end without a byte means that the monitor died before it recorded this process.
    go.read_exact(&mut [0])?;
    Ok((brief, report))
}

fn adopt(number: RawFd, options: &OpenOptions) -> io::Result<File> {
    let file = options.open(format!("/proc/self/fd/{number}"))?;
    close(number)?;
    Ok(file)
}

fn become_program(brief: LaunchMessage) -> SpawnError {
    let LaunchMessage { args, inherited, environment, setup } = brief;
    let environment = match apply(&setup, &environment, inherited) {
        Ok(environment) => environment,
        Err(error) => return error,
    };
    restore_sigpipe();
    let program = OsStr::from_bytes(args.first().map_or(&[], |program| program.as_bytes()));
    let run = |path| execute(path, &args, &environment);
    match search(Path::new(program), &environment, run) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

/// Runs a file; a busy one is retried for some 100 ms.
///
/// The writer may only be a child that another thread was just starting.
fn execute(
    path: PathBuf,
    args: &[CString],
    environment: &[CString],
) -> Result<std::convert::Infallible, SpawnError> {
    // The parts of the path have no NUL byte.
    let file = CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
    let mut pauses = BUSY_PAUSES_MS.iter();
    loop {
        let errno = match execve(&file, args, environment) {
            Ok(never) => match never {},
            Err(errno) => Errno::from_raw_os_error(errno as i32),
        };
        match pauses.next() {
            Some(&pause) if errno == Errno::TXTBSY => {
                let pause = Timespec { tv_sec: 0, tv_nsec: pause * 1_000_000 };
                // The poll waits for the time alone; an early end is harmless.
                poll(&mut [], Some(&pause)).ok();
            }
            Some(_) | None => return Err(SpawnError::from_errno(path, errno)),
        }
    }
}

const NAME: &str = "monitor-launcher";
/// The exit code of a helper that did not become the program; never reported as the program's exit.
pub(crate) const NOT_LAUNCHED: i32 = 125;
const BUSY_PAUSES_MS: [i64; 5] = [1, 4, 15, 30, 50];
