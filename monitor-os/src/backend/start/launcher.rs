//! The helper between the monitor and the program: held until it is recorded, then it becomes the program.

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

/// Where to find the helper that starts programs for a supervisor.
///
/// A program that is started by it does not run before the monitor has written down which process it is.
/// If the monitor dies before that, the helper ends, and the program never ran. It also says by which
/// step and for which reason a start failed.
///
/// A program of a unit that is not in a [`StateDir`](crate::StateDir) dies with the monitor: the kernel
/// kills it (`PR_SET_PDEATHSIG` of `prctl(2)`). So does each health check. The kernel does not reach what
/// the program has started. It forgets the order when the program changes its credentials: by itself, as `setpriv`
/// and `su` do, or because it is set-user-ID or has file capabilities. Give such a program its user by
/// [`Command::as_user`](crate::Command::as_user). Where the program has another user, the monitor needs `CAP_KILL`. Programs of stored units run on for the next monitor.
///
/// The helper is the program that supervises, started once more under another name, so that the two are
/// always of one build: call [`Launcher::enter`] first in `main`.
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
    /// If this process was started as the helper, does its work and does not return.
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

    /// Uses another program as the helper: `monitor`, or one that calls [`Launcher::enter`], of this very
    /// version of the crate. For programs whose `main` is not their own, such as tests.
    #[must_use]
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), given_back: None }
    }

    /// Raises this process's limit on descriptors as far as it may, for many units take many; programs that this
    /// launcher starts have the old one, since some break with a descriptor above 1023 (`select(2)`).
    ///
    /// # Errors
    /// None is known (`setrlimit(2)`); the limit is as it was.
    pub fn raise_descriptor_limit(&mut self) -> io::Result<()> {
        let own = Limit::of_descriptors();
        own.raised().put_in_force()?;
        self.given_back.get_or_insert(own);
        Ok(())
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// What its helper is to set for a command.
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

/// The arguments that make a program the helper, with the numbers of the descriptors that it is given.
pub(crate) fn arguments(brief: RawFd, go: RawFd, report: RawFd) -> Option<[CString; 5]> {
    let form = RawFd::from(FORM);
    let [form, brief, go, report] =
        [form, brief, go, report].map(|number| CString::new(number.to_string()).ok());
    Some([CString::new(NAME).ok()?, form?, brief?, go?, report?])
}

/// Whether a process is still the helper and not yet the program. One that has ended is neither.
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

/// Becomes the program; returns the code to exit with if that cannot be.
fn launch(given: Descriptors) -> i32 {
    match receive(&given) {
        Ok((brief, mut report)) => {
            let error = become_program(brief);
            // Nobody listens any more: the monitor is gone.
            report.write_all(&failure(&error)).ok();
            NOT_LAUNCHED
        }
        Err(_) => NOT_LAUNCHED,
    }
}

/// Reads the launch message, then waits for the go-ahead: the monitor has recorded this process.
fn receive(given: &Descriptors) -> io::Result<(LaunchMessage, File)> {
    // Opened anew, close-on-exec, because owning a number that was handed down has no safe interface.
    let mut encoded = Vec::new();
    adopt(given.brief, OpenOptions::new().read(true))?.read_to_end(&mut encoded)?;
    let mut go = adopt(given.go, OpenOptions::new().read(true))?;
    let mut report = adopt(given.report, OpenOptions::new().write(true))?;
    report.write_all(&[FORM])?;
    let brief = LaunchMessage::decode(&encoded).ok_or(io::ErrorKind::InvalidData)?;
    // Nothing but the end: the monitor died, and nobody has recorded us.
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

/// Runs a file. One that is busy is tried again for some 100 ms: whoever has it open for writing may only
/// be a child that another thread was just starting.
fn execute(
    path: PathBuf,
    args: &[CString],
    environment: &[CString],
) -> Result<std::convert::Infallible, SpawnError> {
    // Its parts came without a NUL byte.
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
                // Waits for nothing but the time; ending early is harmless.
                poll(&mut [], Some(&pause)).ok();
            }
            Some(_) | None => return Err(SpawnError::from_errno(path, errno)),
        }
    }
}

const NAME: &str = "monitor-launcher";
/// What the helper exits with if it is not the program by then. It is never reported as the program's code.
pub(crate) const NOT_LAUNCHED: i32 = 125;
const BUSY_PAUSES_MS: [i64; 5] = [1, 4, 15, 30, 50];
