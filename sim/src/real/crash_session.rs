//! One state directory and its monitors, each of which is killed, except the last.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{io, thread};

use monitor_core::{Millis, Policy};
use monitor_os::{Moment, StoredUnit, now, stored_units};
use tempfile::TempDir;

use super::process_identity::ProcessIdentity;
use super::scan::Leftovers;
use super::scripted_child::{NAME, ScriptedChild};
use crate::case::definition::Case;
use crate::case::script::Script;

/// A state directory, its processes, and the output of its monitors.
#[derive(Debug)]
pub(super) struct CrashSession {
    child: ScriptedChild,
    monitor: PathBuf,
    program: PathBuf,
    folder: TempDir,
}

/// The end of the last monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionEnd {
    /// SIGTERM ends it.
    Asked,
    /// It ends by itself, because the saved state has a stop.
    Remembered,
}

/// The result of the last monitor.
#[derive(Clone, Debug)]
pub(super) struct SessionResult {
    /// Its process.
    pub(super) monitor: ProcessIdentity,
    /// Its output.
    pub(super) said: String,
    /// The faults.
    pub(super) faults: Vec<String>,
}

impl CrashSession {
    /// Lays everything out in a folder of its own; every run follows `script`.
    pub(super) fn new(monitor: &Path, program: &Path, script: Script) -> io::Result<Self> {
        let mut case = Case::new(Policy::DEFAULT);
        case.scripts = vec![script];
        let folder = in_memory()?;
        Ok(Self {
            child: ScriptedChild::write(folder.path(), "session", &case, 0)?,
            monitor: monitor.into(),
            program: program.into(),
            folder,
        })
    }

    pub(super) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Returns the saved state of the unit.
    ///
    /// # Errors
    /// It is not believed, or cannot be read.
    pub(super) fn remembered(&self) -> io::Result<Option<StoredUnit>> {
        let units = stored_units(&self.state()).map_err(io::Error::other)?;
        Ok(units.into_iter().next())
    }

    /// Returns the number of runs that have begun.
    pub(super) fn begun(&self) -> io::Result<u32> {
        self.child.begun()
    }

    /// Returns the living children.
    pub(super) fn living(&self) -> io::Result<Leftovers> {
        Leftovers::find(self.folder.path())
    }

    /// Returns the output of all monitors so far.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Makes the command of a monitor of this directory.
    pub(super) fn command(&self) -> io::Result<Command> {
        self.with_log(Command::new(&self.monitor), self.words())
    }

    /// Makes the command of a monitor that waits for a tracer, its parent, before it does anything.
    pub(super) fn traced_command(&self) -> io::Result<Command> {
        let words = [OsString::from(super::traced::NAME), self.monitor.clone().into()];
        self.with_log(Command::new(&self.program), words.into_iter().chain(self.words()))
    }

    fn words(&self) -> Vec<OsString> {
        let own = ["run", "--policy", POLICY, "--state"].map(OsString::from);
        let child = self.child.words().map(PathBuf::into_os_string);
        let mut words: Vec<OsString> = own.into();
        words.extend([self.state().into(), "--".into(), self.program.clone().into(), NAME.into()]);
        words.extend(child);
        words
    }

    fn with_log(
        &self,
        mut command: Command,
        words: impl IntoIterator<Item = OsString>,
    ) -> io::Result<Command> {
        let log = File::options().create(true).append(true).open(self.log_path())?;
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Ok(command)
    }

    /// Starts the last monitor, and waits for its end. Afterwards nothing may be left.
    pub(super) fn finish(&self, ending: SessionEnd) -> io::Result<SessionResult> {
        let before = self.log().len();
        let mut running = self.command()?.spawn()?;
        let monitor = ProcessIdentity::of(running.id())?;
        let mut finish = SessionResult { monitor, said: String::new(), faults: Vec::new() };
        if ending == SessionEnd::Asked {
            // A monitor that has reported its recovery receives signals.
            let up = until(|| self.log().len() > before || has_ended(&mut running));
            if !up {
                finish.faults.push(self.fault("the last monitor says nothing"));
            }
            terminate(&running);
        }
        if !until(|| has_ended(&mut running)) {
            let why = match ending {
                SessionEnd::Asked => "the last monitor did not end when it was asked to",
                SessionEnd::Remembered => "the stop that was remembered is not carried out",
            };
            finish.faults.push(self.fault(why));
            running.kill()?;
            running.wait()?;
        }
        finish.said = self.log().get(before..).unwrap_or_default().to_owned();
        if let Some(complaint) = self.child.complaint() {
            finish.faults.push(self.fault(&format!("a scripted child complains: {complaint}")));
        }
        let left = self.living()?;
        if !left.children.is_empty() {
            let what = format!("{:?} run on after the last stop", left.children);
            finish.faults.push(self.fault(&what));
            left.end(self.folder.path());
        }
        Ok(finish)
    }

    /// A fault in words, with what the monitors said before.
    pub(super) fn fault(&self, what: &str) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(12)..).unwrap_or_default();
        format!("{what}; the monitors said last:\n{}", last.join("\n"))
    }
}

/// A temporary folder in memory where there is a place for it, as a state directory is by default:
/// that the disks of the machine are slow is no part of any of this.
pub(super) fn in_memory() -> io::Result<TempDir> {
    const PREFIX: &str = "monitor-sim-";
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        TempDir::with_prefix_in(PREFIX, memory)
    } else {
        TempDir::with_prefix(PREFIX)
    }
}

/// Waits for a condition, with a deadline that only a fault can reach.
pub(super) fn until(mut condition: impl FnMut() -> bool) -> bool {
    let end: Moment = now().after(TIMEOUT);
    while now() < end {
        if condition() {
            return true;
        }
        pause(Duration::from_millis(2));
    }
    false
}

/// Waits for a time.
pub(super) fn pause(time: Duration) {
    let end = now().as_nanos() + u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    loop {
        let left = end.saturating_sub(now().as_nanos());
        if left == 0 {
            return;
        }
        thread::park_timeout(Duration::from_nanos(left));
    }
}

fn has_ended(running: &mut Child) -> bool {
    running.try_wait().is_ok_and(|ended| ended.is_some())
}

fn terminate(running: &Child) {
    let pid = i32::try_from(running.id()).ok().and_then(rustix::process::Pid::from_raw);
    // An own child that was not waited for has its number for itself; it may have ended, which is
    // as good.
    pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok());
}

const POLICY: &str =
    "restart=always backoff=constant:2ms jitter=0 stop-timeout=50ms kill-window=50ms";

/// A process that enters a control group waits until all cores have been in the kernel
/// (`synchronize_rcu`). Each one waits for all others that make, enter or remove one: with more
/// programs than cores that takes seconds for each.
const TIMEOUT: Millis = Millis::from_secs(600);
