//! Helpers that the tests share; they wait for conditions, never for time.

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tempfile::TempDir;

use crate::backend::start::spawn;
use crate::backend::start::stdio::Stdio;
use crate::command::Command;
use crate::command::spawn_error::SpawnError;
use crate::linux::kernel_features::KernelFeatures;
use crate::linux::process::{Process, WaitStatus};

#[path = "../tests/executable/mod.rs"]
mod executable;
#[path = "../tests/kernel_features/mod.rs"]
mod masks;
#[path = "../tests/port/mod.rs"]
mod port;

#[path = "../tests/waiting/mod.rs"]
#[expect(dead_code, reason = "the tests of the program use the rest")]
mod waiting;

pub(crate) use executable::executable;
pub(crate) use masks::available as available_features;
pub(crate) use port::Port;
pub(crate) use waiting::{awaited, comes, until};

/// Waits until `fd` is readable.
#[track_caller]
pub(crate) fn wait_readable(fd: impl AsFd) {
    assert!(comes(fd, PollFlags::IN), "awaited in vain: something to read; seen instead: nothing");
}

/// Whether `fd` is readable at this moment.
pub(crate) fn is_readable(fd: impl AsFd) -> bool {
    let ready = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&Timespec::default()));
    ready.unwrap() > 0
}

/// Starts a command on the standard streams of the tests.
pub(crate) fn spawn(command: &Command) -> Result<Process, SpawnError> {
    spawn::spawn(command, &Stdio::default())
}

/// Starts `sh -c script`.
pub(crate) fn shell(script: &str) -> Process {
    spawn(&Command::new("/bin/sh", ["-c", script]).unwrap()).unwrap()
}

/// Starts a program that sleeps long enough and leaves every signal at its default.
///
/// A shell catches SIGINT, and forgets one that comes before its child exists.
pub(crate) fn sleeper() -> Process {
    spawn(&Command::new("sleep", ["100"]).unwrap()).unwrap()
}

/// Waits for the end of `process` and reaps it.
pub(crate) fn finish(process: Process) -> WaitStatus {
    wait_readable(&process);
    process.reap().unwrap().ended
}

/// A named pipe in a directory of its own, by which a script reports its progress.
pub(crate) struct Fifo {
    directory: TempDir,
    reader: File,
}

impl Fifo {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Open for writing too, so that it does not end when the script closes its side.
        let reader = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
            .open(path)
            .unwrap();
        Self { directory, reader }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("fifo")
    }

    /// Waits for a script to write to the pipe.
    pub(crate) fn wait(&self) {
        wait_readable(&self.reader);
    }
}

/// Waits until no process has the reading end of this pipe.
///
/// A child that another test is just starting has it for a moment longer than the dropping test.
pub(crate) fn wait_unread(writer: impl AsFd) {
    assert!(comes(writer, PollFlags::empty()), "awaited in vain: nobody reads; somebody does");
}
