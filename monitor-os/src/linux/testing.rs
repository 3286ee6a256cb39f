//! What the tests share: waiting for conditions, never for time.

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tempfile::TempDir;

use super::caps::Caps;
use super::command::Command;
use super::process::{Ended, Process};
use super::spawn::{self, SpawnError};
use super::stdio::Stdio;

#[path = "../../tests/executable/mod.rs"]
mod executable;
#[path = "../../tests/caps/mod.rs"]
mod masks;
#[path = "../../tests/port/mod.rs"]
mod port;

pub(crate) use executable::executable;
pub(crate) use masks::caps;
pub(crate) use port::Port;

/// Waits until `fd` is readable; fails the test after 30 s, which only a hang takes.
pub(crate) fn wait_readable(fd: impl AsFd) {
    assert!(readable_within(fd, 30), "nothing to read in 30 s");
}

/// Waits for a condition of which nothing but looking tells. Only a hang takes a minute.
pub(crate) fn until(condition: impl Fn() -> bool) {
    for _ in 0..60_000 {
        if condition() {
            return;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    }
    panic!("the condition does not come true");
}

/// Whether `fd` is readable at this moment.
pub(crate) fn is_readable(fd: impl AsFd) -> bool {
    readable_within(fd, 0)
}

/// Starts a command on the standard streams of the tests.
pub(crate) fn spawn(command: &Command) -> Result<Process, SpawnError> {
    spawn::spawn(command, &Stdio::default())
}

/// Starts `sh -c script`.
pub(crate) fn shell(script: &str) -> Process {
    spawn(&Command::new("/bin/sh", ["-c", script]).unwrap()).unwrap()
}

/// Starts a program that does nothing for long enough and leaves every signal at its default.
///
/// A shell would not do: it catches SIGINT and forgets the one that comes before its child is there.
pub(crate) fn sleeper() -> Process {
    spawn(&Command::new("sleep", ["100"]).unwrap()).unwrap()
}

/// Waits for the end of `process` and reaps it.
pub(crate) fn finish(process: Process) -> Ended {
    wait_readable(&process);
    process.reap().unwrap().ended
}

/// A named pipe in a directory of its own, by which a script says that it got somewhere.
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

    /// Waits for a script to write something.
    pub(crate) fn wait(&self) {
        wait_readable(&self.reader);
    }
}

/// Waits until nobody has the reading end of this pipe: a child that another test is just starting has it for a moment
/// longer than who drops it.
pub(crate) fn wait_unread(writer: impl AsFd) {
    assert!(comes_within(writer, PollFlags::empty(), 30), "somebody reads for 30 s");
}

fn readable_within(fd: impl AsFd, seconds: i64) -> bool {
    comes_within(fd, PollFlags::IN, seconds)
}

/// Whether one of these, an error or a hang-up comes.
fn comes_within(fd: impl AsFd, what: PollFlags, seconds: i64) -> bool {
    let mut fds = [PollFd::new(&fd, what)];
    loop {
        match poll(&mut fds, Some(&Timespec { tv_sec: seconds, tv_nsec: 0 })) {
            Ok(ready) => return ready > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => panic!("poll: {errno}"),
        }
    }
}
