//! What the monitor does with each of the 64 signals: none leaves its program without a monitor.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
mod program;
#[expect(dead_code, reason = "other tests use the rest")]
mod trials;

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use monitor_core::Signal;
use monitor_os::SignalAnswer;
use program::Running;
use program::waiting::{Timeout, ended, runs, until};
use tempfile::TempDir;
use trials::{Outcome, require_root, trials};

trials! {
    no_signal_to_run_leaves_its_program_alone,
    no_signal_to_run_with_memory_leaves_its_program_alone,
    no_signal_to_up_leaves_its_program_alone,
    program_of_another_user_dies_with_its_monitor,
    health_check_dies_with_its_monitor,
}

/// A monitor of a program that notes its number, and all that is needed to start it again.
struct Scene {
    directory: TempDir,
    task: &'static str,
    stores: bool,
    options: &'static [&'static str],
}

const SERVE: &str = "echo $$ >> pids; exec sleep 1000";

impl Scene {
    fn new(task: &'static str, stores: bool, options: &'static [&'static str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("units")).unwrap();
        let unit = format!("command = ['sh', '-c', '{SERVE}']\n");
        fs::write(directory.path().join("units/a.toml"), unit).unwrap();
        let pids = directory.path().join("pids");
        fs::write(&pids, "").unwrap();
        // For a program of another user.
        for path in [directory.path(), &pids] {
            let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            fs::set_permissions(path, everybody).unwrap();
        }
        Self { directory, task, stores, options }
    }

    /// Starts the monitor with every signal at its default. Nothing is left of a core dump.
    fn start(&self) -> Running {
        let mut command = Command::new("sh");
        command.current_dir(&self.directory).args(["-c", "ulimit -c 0; exec env \"$@\"", "sh"]);
        command.args(["--default-signal", env!("CARGO_BIN_EXE_monitor"), self.task]);
        if self.stores {
            command.args(["--state", "state"]);
        }
        command.args(self.options);
        match self.task {
            "run" => command.args(["--", "sh", "-c", SERVE]),
            _ => command.arg("units"),
        };
        Running::of(&mut command)
    }

    /// How many programs were started, and the last of them when it is there.
    fn program(&self, count: usize) -> String {
        let pids = || fs::read_to_string(self.directory.path().join("pids")).unwrap();
        until(|| pids().lines().count() == count && pids().ends_with('\n'));
        pids().lines().last().unwrap().to_owned()
    }

    /// Walks all signals, the last of which are those that the C library may have a use for.
    fn walk(&self) {
        let mut count = 1;
        let mut monitor = self.start();
        let mut program = self.program(count);
        for number in (1..=31).chain(34..=64).chain(32..=33) {
            let signal = Signal::new(number).unwrap();
            monitor.signal(&number.to_string());
            let goes_on = match SignalAnswer::of(signal) {
                SignalAnswer::HangUp if self.task == "up" => {
                    monitor.wait_for("read the files again");
                    true
                }
                SignalAnswer::Stop | SignalAnswer::Interrupt | SignalAnswer::HangUp => {
                    ended(&mut monitor.child);
                    assert!(!runs(&program), "{signal}");
                    false
                }
                SignalAnswer::Ignore => {
                    monitor.wait_for(&format!("ignored signal {signal},"));
                    true
                }
                // What stops a process is followed by what continues it.
                SignalAnswer::Uncatchable if signal == Signal::KILL => {
                    self.kill(&mut monitor, number)
                }
                SignalAnswer::Default | SignalAnswer::Uncatchable => {
                    monitor.signal("CONT");
                    true
                }
                SignalAnswer::Library if is_spared(&mut monitor) => {
                    monitor.signal("TERM");
                    ended(&mut monitor.child);
                    assert!(!runs(&program), "{signal}");
                    false
                }
                SignalAnswer::Fault | SignalAnswer::Library | _ => self.kill(&mut monitor, number),
            };
            if goes_on {
                assert!(runs(&program), "{signal}");
            } else {
                until(|| !runs(&program));
                count += 1;
                monitor = self.start();
                program = self.program(count);
            }
        }
        monitor.signal("TERM");
        let (code, rest) = monitor.finish();
        assert_eq!(code, if self.task == "run" { 143 } else { 0 }, "{rest}");
        assert!(!runs(&program));
    }

    /// Kills the monitor by a signal, and starts the next one where that adopts the program;
    /// returns whether it does.
    fn kill(&self, monitor: &mut Running, number: u8) -> bool {
        kill(monitor, number);
        if self.stores {
            *monitor = self.start();
            monitor.wait_for("adopted #");
        }
        self.stores
    }
}

/// Whether a monitor is alive after a signal: it says that it has ignored another one.
fn is_spared(monitor: &mut Running) -> bool {
    monitor.signal("XCPU");
    let timeout = Timeout::begin();
    while monitor.child.try_wait().unwrap().is_none() && !timeout.is_over() {
        if monitor.has_said("ignored signal XCPU,") {
            return true;
        }
        thread::park_timeout(Duration::from_millis(1));
    }
    false
}

/// Sends a signal until the monitor is dead: the handlers that a program in Rust has for a stack
/// that has no more room take one SEGV and one BUS for themselves.
fn kill(monitor: &mut Running, number: u8) {
    let timeout = Timeout::begin();
    while monitor.child.try_wait().unwrap().is_none() && !timeout.is_over() {
        monitor.signal(&number.to_string());
        thread::park_timeout(Duration::from_millis(1));
    }
    ended(&mut monitor.child);
}

fn no_signal_to_run_leaves_its_program_alone() {
    Scene::new("run", false, &[]).walk();
}

fn no_signal_to_run_with_memory_leaves_its_program_alone() {
    Scene::new("run", true, &[]).walk();
}

fn no_signal_to_up_leaves_its_program_alone() {
    Scene::new("up", true, &[]).walk();
}

/// Goal: a program dies with its monitor also as another user, whose account is assumed by a call
/// that ends the order to the kernel.
fn program_of_another_user_dies_with_its_monitor() -> Outcome {
    require_root("start programs as another user")?;
    let scene = Scene::new("run", false, &["--user", "65534:65534"]);
    let mut monitor = scene.start();
    let program = scene.program(1);
    kill(&mut monitor, 9);
    until(|| !runs(&program));
    Ok(())
}

/// Goal: the processes of health checks die with the monitor as well, also where the program is
/// stored.
fn health_check_dies_with_its_monitor() {
    const CHECK: &str = "echo $$ > check; exec sleep 1000";
    let scene = Scene::new("run", true, &["--health", CHECK, "--health-interval", "1ms"]);
    let mut monitor = scene.start();
    let program = scene.program(1);
    let check = || fs::read_to_string(scene.directory.path().join("check")).unwrap_or_default();
    until(|| check().ends_with('\n'));
    kill(&mut monitor, 9);
    until(|| !runs(check().trim()));
    assert!(runs(&program));
    let mut next = scene.start();
    next.wait_for("adopted #1");
    next.signal("TERM");
    next.finish();
}
