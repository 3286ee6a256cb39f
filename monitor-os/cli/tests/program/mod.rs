//! The program under test, run and read from outside.
#![expect(clippy::panic, reason = "a test fails by panicking")]

#[path = "../cgroups/mod.rs"]
mod cgroups;
#[path = "../waiting/mod.rs"]
pub(crate) mod waiting;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{self, Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

pub(crate) use cgroups::cgroups;
use waiting::{Timeout, ended};

pub(crate) fn monitor(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monitor"));
    command.args(args).stdin(Stdio::null());
    command
}

pub(crate) fn run(args: &[&str]) -> Output {
    monitor(&[&["run"], args].concat()).output().unwrap()
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Ends the test program with a word when what a test waits for does not come: a call that blocks
/// has no deadline of its own. Dropped, it has no say any more.
pub(crate) struct Deadline {
    _held: mpsc::Sender<()>,
}

impl Deadline {
    #[expect(clippy::print_stderr, reason = "nobody catches what another thread panics with")]
    pub(crate) fn begin() -> Self {
        let (held, dropped) = mpsc::channel();
        let test = thread::current().name().unwrap_or("a test").to_owned();
        thread::spawn(move || {
            if dropped.recv_timeout(Duration::from_secs(120)) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{test}: what it waits for has not come in two minutes");
                process::exit(101);
            }
        });
        Self { _held: held }
    }
}

/// The control groups that a monitor has left.
pub(crate) fn cgroups_of(monitor: u32) -> Vec<String> {
    let entries = cgroups().into_iter().flat_map(|directory| fs::read_dir(directory).unwrap());
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(&format!("monitor-{monitor}-"))).collect()
}

/// A monitor that is read line by line.
pub(crate) struct Running {
    pub(crate) child: Child,
    /// What it says, each with its newline, as it comes.
    lines: Receiver<String>,
    /// What was read of it.
    seen: String,
}

impl Running {
    /// The monitor obeys signals also where whoever runs the tests ignores them.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::task("run", args)
    }

    /// The same of another task than `run`.
    pub(crate) fn task(task: &str, args: &[&str]) -> Self {
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP,INT,TERM", env!("CARGO_BIN_EXE_monitor"), task]);
        Self::of(command.args(args))
    }

    /// The same of any command that becomes a monitor.
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::to(command, Stdio::null())
    }

    /// The same, with its standard output.
    pub(crate) fn to(command: &mut Command, stdout: impl Into<Stdio>) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        let mut from = BufReader::new(child.stderr.take().unwrap());
        let (to, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            // Until it ends, or nobody wants to know.
            while from.read_line(&mut line).unwrap() > 0
                && to.send(std::mem::take(&mut line)).is_ok()
            {}
        });
        Self { child, lines, seen: String::new() }
    }

    /// Reads up to a line that contains `word`.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, word: &str) -> String {
        let timeout = Timeout::begin();
        loop {
            match self.next(timeout) {
                Ok(line) if line.contains(word) => return line,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    panic!("awaited in vain: {word:?}; said instead:\n{}", self.seen)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended without {word:?}; said instead:\n{}", self.seen)
                }
            }
        }
    }

    /// Whether it has said a word so far.
    pub(crate) fn has_said(&mut self, word: &str) -> bool {
        self.seen.extend(self.lines.try_iter());
        self.seen.contains(word)
    }

    fn next(&mut self, timeout: Timeout) -> Result<String, RecvTimeoutError> {
        let line = self.lines.recv_timeout(timeout.left())?;
        self.seen += &line;
        Ok(line)
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// The number of the monitor.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills the monitor itself, and returns when it is dead. What it supervised is not touched.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end; returns its exit status, and what it said since the last call.
    #[track_caller]
    pub(crate) fn finish(mut self) -> (i32, String) {
        let timeout = Timeout::begin();
        let mut rest = String::new();
        loop {
            match self.next(timeout) {
                Ok(line) => rest += &line,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("awaited in vain: the end of the monitor; it said:\n{}", self.seen)
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        (ended(&mut self.child).code().unwrap(), rest)
    }
}
