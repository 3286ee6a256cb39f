//! Kills of the monitor itself, at any moment: the next one must find what still runs, and never start a second.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use monitor_core::{Exit, Millis, Policy};
use monitor_os::{Moment, now, remembered};
use tempfile::TempDir;

use super::actor::{Actor, NAME};
use super::scan::Leftovers;
use crate::case::{Case, OnStop, Script};
use crate::choices::{Choices, Seeded};

/// What came of killing monitors.
#[derive(Clone, Debug, Default)]
pub struct Kills {
    /// Monitors that were killed.
    pub killed: u32,
    /// Of those, while their process lived.
    pub orphans: u32,
    /// Runs of the processes.
    pub runs: u32,
    /// What was wrong.
    pub faults: Vec<String>,
}

/// Kills a monitor so many times, then lets the next one go on, and stops that.
///
/// `monitor` is that program, `program` one that plays the parts. What the process does, and when the monitor
/// dies, is drawn from `seed`; but the time is real.
///
/// # Errors
/// No temporary folder can be made, or a program cannot be started.
pub fn kill_monitors(monitor: &Path, program: &Path, seed: u64, times: u32) -> io::Result<Kills> {
    let mut choices = Seeded::new(seed);
    let mut case = Case::new(Policy::DEFAULT);
    let moment = [0, 1, 2, 3, 5, 8, 13, 21].map(Millis::new);
    case.scripts = vec![Script {
        lives: (choices.below(2) == 0).then(|| choices.pick(&moment)),
        exits: choices.pick(&[Exit::Code(0), Exit::Code(1)]),
        on_stop: choices.pick(&[
            OnStop::Dies(Millis::ZERO),
            OnStop::Dies(Millis::new(5)),
            OnStop::Ignores,
        ]),
        leaves: (choices.below(4) == 0).then_some(OnStop::Dies(Millis::ZERO)),
        ..Script::OBEDIENT
    }];
    let folder = TempDir::with_prefix("monitor-sim-kills-")?;
    let saga = Saga {
        actor: Actor::write(folder.path(), "saga", &case, 0)?,
        monitor: monitor.into(),
        program: program.into(),
        folder,
    };
    let mut kills = Kills::default();
    for _ in 0..times {
        let mut running = saga.begin()?;
        // Most of what can go wrong does so in the first milliseconds of a monitor or of a run.
        let micros = u64::from(choices.below(30_000));
        pause(Duration::from_micros(micros));
        running.kill()?;
        running.wait()?;
        kills.killed += 1;
        let living = remembered(&saga.state()).map_err(io::Error::other)?;
        kills.orphans += u32::from(living.iter().any(|unit| unit.pid.is_some()));
    }
    saga.finish(&mut kills)?;
    Ok(kills)
}

/// One state directory, and the monitors that have it one after the other.
struct Saga {
    actor: Actor,
    monitor: PathBuf,
    program: PathBuf,
    folder: TempDir,
}

impl Saga {
    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What all of them have said so far.
    fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn begin(&self) -> io::Result<Child> {
        let log = File::options().create(true).append(true).open(self.log_path())?;
        Command::new(&self.monitor)
            .args(["run", "--policy", POLICY, "--state"])
            .arg(self.state())
            .arg("--")
            .arg(&self.program)
            .arg(NAME)
            .args(self.actor.words())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
    }

    /// Lets a last monitor find what is left and stops it; afterwards nothing may be left.
    fn finish(&self, kills: &mut Kills) -> io::Result<()> {
        let said = self.log().len();
        let mut running = self.begin()?;
        // Once it says what it found it hears signals as well.
        let up = until(|| {
            self.log().len() > said || running.try_wait().is_ok_and(|ended| ended.is_some())
        });
        if !up {
            kills.faults.push(self.fault("the last monitor says nothing"));
        }
        terminate(&running);
        if !until(|| running.try_wait().is_ok_and(|ended| ended.is_some())) {
            kills.faults.push(self.fault("the last monitor did not end when it was asked to"));
            running.kill()?;
            running.wait()?;
        }
        kills.runs += self.actor.begun()?;
        if let Some(complaint) = self.actor.complaint() {
            kills.faults.push(self.fault(&format!("an actor complains: {complaint}")));
        }
        let left = Leftovers::look(self.folder.path())?;
        if !left.actors.is_empty() {
            kills.faults.push(self.fault(&format!("{:?} run on after the last stop", left.actors)));
            left.end(self.folder.path());
        }
        Ok(())
    }

    fn fault(&self, what: &str) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(12)..).unwrap_or_default();
        format!("{what}; the monitors said last:\n{}", last.join("\n"))
    }
}

/// Waits for a condition, with a deadline that only a fault can reach.
fn until(mut condition: impl FnMut() -> bool) -> bool {
    let end: Moment = now().after(PATIENCE);
    while now() < end {
        if condition() {
            return true;
        }
        pause(Duration::from_millis(2));
    }
    false
}

/// Lets time pass.
fn pause(time: Duration) {
    let end = now().as_nanos() + u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    loop {
        let left = end.saturating_sub(now().as_nanos());
        if left == 0 {
            return;
        }
        thread::park_timeout(Duration::from_nanos(left));
    }
}

fn terminate(running: &Child) {
    let pid = i32::try_from(running.id()).ok().and_then(rustix::process::Pid::from_raw);
    // An own child that was not waited for has its number for itself; it may have ended, which is as good.
    pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok());
}

const POLICY: &str =
    "restart=always backoff=constant:2ms jitter=0 stop-timeout=50ms kill-window=50ms";
const PATIENCE: Millis = Millis::from_secs(60);
