//! A launch in progress: the helper runs, and is not the program yet.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, OFlags, fcntl_setfl, memfd_create};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::getpid;

use crate::backend::start::launcher::{Launcher, arguments};
use crate::backend::start::message::{LaunchMessage, read_failure};
use crate::backend::start::spawn::{kill_and_reap, spawn_helper};
use crate::backend::start::stdio::Stdio;
use crate::command::Command;
use crate::command::setup::Notified;
use crate::command::spawn_error::SpawnError;
use crate::command::streams::Streams;
use crate::linux::cgroup::RunCgroup;
use crate::linux::process::Process;
use crate::linux::run_name::RunName;

/// A helper that waits for the go-ahead to become a program.
///
/// If the launch is dropped before [`Launch::go`], the helper ends, and the program never ran.
#[derive(Debug)]
pub(crate) struct Launch {
    process: Process,
    program: PathBuf,
    /// Both ends, because a write to a pipe without a reader raises SIGPIPE.
    go: Option<(OwnedFd, OwnedFd)>,
    report: OwnedFd,
    received: Vec<u8>,
}

impl Launch {
    /// Starts the helper for `command`, which enters the control group after the go-ahead.
    ///
    /// # Errors
    /// See [`SpawnError`]: the helper was not started. Errors of the command itself are reported
    /// later.
    pub(crate) fn new(
        launcher: &Launcher,
        command: &Command,
        stdio: &Stdio,
        context: &LaunchContext<'_>,
    ) -> Result<Self, SpawnError> {
        let path = launcher.program();
        let failed = |errno: Errno| SpawnError::from_errno(path.into(), errno);
        // The helper does not get the program's environment, because its loader would obey
        // LD_PRELOAD.
        let mut setup = launcher.setup(command);
        setup.cgroup = context.cgroup.map(RunCgroup::c_directory);
        setup.mark = context.mark;
        setup.notified = context.notified.clone();
        setup.files = command.streams().map(Streams::files).unwrap_or_default();
        setup.dies_with = context.dies_with_monitor.then(|| getpid().as_raw_pid());
        setup.descriptor = stdio.extra();
        let beside = |fd| stdio.beside(fd).map_err(failed);
        let message =
            beside(anonymous_file(&LaunchMessage::encode(command, &setup)).map_err(failed)?)?;
        let (wait, go) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
        let (report, say) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
        let (wait, say) = (beside(wait)?, beside(say)?);
        fcntl_setfl(&report, OFlags::NONBLOCK).map_err(failed)?;
        let fds = [message.as_fd(), wait.as_fd(), say.as_fd()];
        let [message, wait_number, say_number] = fds.map(|fd| fd.as_raw_fd());
        let args =
            arguments(message, wait_number, say_number).ok_or_else(|| failed(Errno::INVAL))?;
        let process = spawn_helper(path, &args, stdio, &fds)?;
        Ok(Self {
            process,
            program: command.program().into(),
            go: Some((go, wait)),
            report,
            received: Vec::new(),
        })
    }

    /// The process of the helper, which becomes the program.
    pub(crate) const fn process(&self) -> &Process {
        &self.process
    }

    /// Readable when the helper has reported, has become the program, or has ended.
    pub(crate) fn report(&self) -> BorrowedFd<'_> {
        self.report.as_fd()
    }

    /// Lets the helper become the program; a helper that has ended reports that.
    pub(crate) fn go(&mut self) {
        if let Some((go, _wait)) = self.go.take() {
            // An empty pipe takes a byte, and this process holds a reader.
            rustix::io::write(go, &[0]).ok();
        }
    }

    /// Polls the progress of the launch.
    pub(crate) fn poll(mut self) -> LaunchState {
        if !self.read_report() {
            return LaunchState::NotYet(self);
        }
        match self.failure() {
            None => LaunchState::Program(self.process),
            Some(error) => LaunchState::Failed(self.process, error),
        }
    }

    /// Returns the process, which has ended, and the error if it never became the program.
    ///
    /// The call does not wait for the end of the report, because a child that another thread is
    /// just making may hold it open.
    pub(crate) fn conclude(mut self) -> (Process, Option<SpawnError>) {
        self.read_report();
        let failure = self.failure();
        (self.process, failure)
    }

    /// Reads the helper's report; returns whether the report is at its end.
    fn read_report(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match rustix::io::read(&self.report, &mut buffer) {
                Ok(0) => return true,
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(Errno::INTR) => {}
                // EAGAIN; no other error is possible for this pipe.
                Err(_) => return false,
            }
        }
    }

    fn failure(&self) -> Option<SpawnError> {
        read_failure(&self.received, self.program.as_os_str())
    }

    /// Whether the helper has neither become the program nor ended: both close its end of the
    /// report.
    pub(crate) fn is_launching(&self) -> bool {
        let mut fds = [PollFd::new(&self.report, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut fds, Some(&now)), Ok(0))
    }

    /// The process of the helper, in any state.
    pub(crate) fn into_process(self) -> Process {
        self.process
    }

    /// Kills the helper before its go-ahead, and reaps it.
    pub(crate) fn abort(self) {
        kill_and_reap(self.process.pid().to_pid());
    }
}

/// The context of a launch, without its streams.
#[derive(Clone, Debug, Default)]
pub(crate) struct LaunchContext<'a> {
    pub(crate) cgroup: Option<&'a RunCgroup>,
    pub(crate) mark: Option<RunName>,
    pub(crate) notified: Option<Notified>,
    /// Whether the program dies with the monitor, because no later monitor adopts it.
    pub(crate) dies_with_monitor: bool,
}

/// The state of a [`Launch`].
#[derive(Debug)]
pub(crate) enum LaunchState {
    /// The helper has not reported the result yet.
    NotYet(Launch),
    /// The helper became the program, which may have ended since.
    Program(Process),
    /// The helper did not become the program and is about to end.
    Failed(Process, SpawnError),
}

/// Makes a file without a name that contains these bytes.
fn anonymous_file(bytes: &[u8]) -> Result<OwnedFd, Errno> {
    let file = std::fs::File::from(memfd_create("monitor-launch", MemfdFlags::CLOEXEC)?);
    let written = std::io::Write::write_all(&mut &file, bytes);
    written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(file.into())
}

/// The error of a start whose process could not be recorded.
pub(crate) fn unrecorded(command: &Command, errno: i32) -> SpawnError {
    SpawnError::Unrecorded { path: Path::to_path_buf(command.program()), errno }
}
