//! The program under test, run and read from outside.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

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

/// Waits for a condition of which nothing but looking tells. Only a hang takes a minute.
pub(crate) fn until(condition: impl Fn() -> bool) {
    let comes_true = (0..60_000).any(|_| {
        let holds = condition();
        if !holds {
            thread::park_timeout(Duration::from_millis(1));
        }
        holds
    });
    assert!(comes_true, "the condition does not come true");
}

/// Ends the test program with a word when what a test waits for does not come: a call that blocks has no deadline of
/// its own. Dropped, it has no say any more.
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

/// Whether a process of that number runs; a zombie does not.
pub(crate) fn runs(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
        !matches!(state, Some(b'Z' | b'X'))
    })
}

/// Where control groups for runs are made, as a child of this process has it; `None` if none may be made.
pub(crate) fn cgroups() -> Option<PathBuf> {
    if !monitor_os::Caps::probe().cgroup {
        return None;
    }
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2")).unwrap();
    Some(Path::new(mount.split(' ').nth(1).unwrap()).join(own))
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
    pub(crate) lines: BufReader<process::ChildStderr>,
    _deadline: Deadline,
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
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines, _deadline: Deadline::begin() }
    }

    /// Reads up to a line that contains `word`.
    pub(crate) fn wait_for(&mut self, word: &str) -> String {
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            let read = self.lines.read_line(&mut line).unwrap();
            assert!(read > 0, "ended without {word:?}");
        }
        line
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

    pub(crate) fn finish(mut self) -> (i32, String) {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code().unwrap(), rest)
    }
}
