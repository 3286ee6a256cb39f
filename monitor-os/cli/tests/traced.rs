//! A process that somebody traces while the program `monitor` supervises it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
mod trials;
#[expect(dead_code, reason = "other tests use the rest")]
mod waiting;

use std::fs;
use std::path::Path;

use monitor_os::now;
use trials::trials;
use waiting::{ended, line, runs, until};

trials! {
    processes: [tracer];
    traced_zombie_costs_no_cpu,
}

/// Goal: facts, pitfall 5. The descriptor of a traced zombie is readable all the time, and is
/// looked at by a timer all the same. Method: the time that the thread runs or waits to run, as a
/// part of the time that passes; a loop that is woken at once never sleeps, however busy the
/// machine is.
fn traced_zombie_costs_no_cpu() {
    let directory = tempfile::tempdir().unwrap();
    let script = "echo $$ > pid; exec sleep 1000";
    let mut monitor = std::process::Command::new(env!("CARGO_BIN_EXE_monitor"))
        .args(["run", "--quiet", "--restart", "no", "--", "sh", "-c", script])
        .current_dir(directory.path())
        .spawn()
        .unwrap();
    let pid = line(&directory.path().join("pid"));
    let mut tracer = trace(&pid, directory.path());
    line(&directory.path().join("traced"));
    assert!(std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    until(|| !runs(&pid));
    let tasks = format!("/proc/{}/task", monitor.id());
    let reactor = fs::read_dir(tasks).unwrap().map(|task| task.unwrap().path()).find(|task| {
        fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "monitor-reactor\n")
    });
    let schedule = reactor.unwrap().join("schedstat");
    let awake = || -> u64 {
        let text = fs::read_to_string(&schedule).unwrap();
        text.split(' ').take(2).map(|nanos| nanos.parse::<u64>().unwrap()).sum()
    };
    let (before, began) = (awake(), now());
    until(|| now().nanos_since(began) > 500_000_000);
    let (awake, passed) = (awake() - before, now().nanos_since(began));
    assert!(awake * 2 < passed, "it was awake for {awake} ns of {passed} ns");
    fs::write(directory.path().join("go"), "").unwrap();
    assert!(ended(&mut tracer).success());
    assert_eq!(ended(&mut monitor).code(), Some(137));
}

/// Starts a tracer of a process, with the test below, which says `traced` and waits for `go` in a
/// directory.
fn trace(pid: &str, directory: &Path) -> std::process::Child {
    std::process::Command::new(std::env::current_exe().unwrap())
        .arg("tracer")
        .env("TRACED", pid)
        .current_dir(directory)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

fn tracer() {
    let pid = std::env::var("TRACED").unwrap().parse().unwrap();
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::sys::ptrace::seize(pid, nix::sys::ptrace::Options::empty()).unwrap();
    fs::write("traced", "yes\n").unwrap();
    until(|| Path::new("go").exists());
}
