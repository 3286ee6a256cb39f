//! What a run of the program `monitor` starts and tries to hide is gone after a stop, or is named.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
mod program;
#[expect(dead_code, reason = "other tests use the rest")]
mod trials;

use std::fs;
use std::path::{Path, PathBuf};

use program::waiting::{line, runs, until};
use program::{Running, cgroups};
use trials::{Outcome, Skipped, require, require_root, trials};

trials! {
    orphans_end_with_a_stop,
    orphans_of_a_killed_monitor_are_found_by_their_mark,
    mark_of_another_users_process_does_not_count,
    root_that_leaves_its_control_group_ends_with_a_stop,
    orphan_without_a_mark_is_known_by_its_session,
    orphans_are_reaped_when_they_end,
    kill_for_want_of_memory_is_marked,
}

/// Forks twice and leaves its session, as daemons do, then says its number.
const DAEMON: &str = "(setsid sh -c 'echo $$ > daemon; exec sleep 1000' > /dev/null 2>&1 &)";
/// Forks and ends every few milliseconds; says the number of each.
const RUNNER: &str = "cat > run <<'END'
    echo $$ >> runner
    sleep 0.002
    setsid sh run &
END
    setsid sh run &";

/// Goal: facts, pitfalls 9 and 10, without a control group: the program `monitor` is the parent of
/// orphans, knows them by their mark, and ends them. Method: what it supervises cannot see the
/// hierarchy of control groups.
fn orphans_end_with_a_stop() {
    for (script, mark, options) in [
        (format!("{DAEMON}; exec sleep 1000"), "daemon", ["--stop-timeout", "1m"]),
        (
            format!("trap '' TERM; {RUNNER}\n while :; do sleep 1000; done"),
            "runner",
            ["--stop-timeout", "50ms"],
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let cwd = directory.path().to_str().unwrap();
        let state = directory.path().join("state");
        let state = state.to_str().unwrap();
        let common = ["--containment", "group", "--restart", "no", "--cwd", cwd, "--state", state];
        let args = [&common[..], &options, &["--", "sh", "-c", &script]].concat();
        let mut monitor = Running::start(&args);
        monitor.wait_for("started #1");
        line(&directory.path().join(mark));
        let status = program::monitor(&["status", "--json", "--state", state]).output().unwrap();
        let status = String::from_utf8(status.stdout).unwrap();
        assert!(status.contains("\"containment\":\"group+subreaper\""), "{status}");
        monitor.signal("TERM");
        let (_, rest) = monitor.finish();
        let last = line(&directory.path().join(mark));
        assert!(!runs(&last), "{rest}");
        assert!(rest.contains("stopped"), "{rest}");
    }
}

/// Goal: what left a run's group is found also by the next monitor, by its mark, though it is
/// nobody's child here: it ends before the next run, and with a stop. Method: the monitor is
/// killed, without control groups; once the process as well.
fn orphans_of_a_killed_monitor_are_found_by_their_mark() {
    for dies in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let cwd = directory.path().to_str().unwrap();
        let state = directory.path().join("state");
        let state = state.to_str().unwrap();
        let script = format!("{DAEMON}; echo $$ > main; exec sleep 1000");
        let args = ["--containment", "group", "--cwd", cwd, "--state", state];
        let args = [&args[..], &["--backoff-initial", "1ms", "--", "sh", "-c", &script]].concat();
        let mut first = Running::start(&args);
        first.wait_for("started #1");
        let (main, daemon) =
            (line(&directory.path().join("main")), line(&directory.path().join("daemon")));
        first.kill();
        if dies {
            let killed = std::process::Command::new("kill").args(["-KILL", &main]).status();
            assert!(killed.unwrap().success());
            until(|| !runs(&main));
        }
        assert!(runs(&daemon));

        let mut second = Running::start(&args);
        if dies {
            second.wait_for("started #2");
            assert!(!runs(&daemon), "the next run began beside what was left");
        } else {
            second.wait_for("adopted #1");
            let status =
                program::monitor(&["status", "--json", "--state", state]).output().unwrap();
            let status = String::from_utf8(status.stdout).unwrap();
            assert!(status.contains("\"containment\":\"group+subreaper\""), "{status}");
        }
        second.signal("TERM");
        let (_, rest) = second.finish();
        assert!(!runs(&daemon) && rest.contains("stopped"), "{rest}");
    }
}

/// Goal: another user's processes that bear the mark of a run are strangers: they hold up no stop
/// and are not killed. Method: the next monitor, which looks for the mark everywhere; the stranger
/// was told the mark, which it cannot read.
fn mark_of_another_users_process_does_not_count() -> Outcome {
    require_root("run a process as another user")?;
    let directory = tempfile::tempdir().unwrap();
    let cwd = directory.path().to_str().unwrap();
    let state = directory.path().join("state");
    let state = state.to_str().unwrap();
    let script = format!("{DAEMON}; echo $$ > main; exec sleep 1000");
    let options = ["--containment", "group", "--cwd", cwd, "--state", state];
    let args = [&options[..], &["--", "sh", "-c", &script]].concat();
    let mut first = Running::start(&args);
    first.wait_for("started #1");
    let (main, daemon) =
        (line(&directory.path().join("main")), line(&directory.path().join("daemon")));
    first.kill();
    let mut second = Running::start(&args);
    second.wait_for("adopted #1");
    let environment = fs::read(format!("/proc/{main}/environ")).unwrap();
    let mark = environment.split(|&byte| byte == 0).find(|text| text.starts_with(b"MONITOR_RUN="));
    let mark = String::from_utf8(mark.unwrap().to_vec()).unwrap();
    let mut stranger = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "env", &mark, "setsid"])
        .args(["sleep", "1000"])
        .spawn()
        .unwrap();
    let number = stranger.id().to_string();
    until(|| {
        fs::read(format!("/proc/{number}/cmdline")).is_ok_and(|line| line == b"sleep\x001000\0")
    });
    second.signal("TERM");
    let (_, rest) = second.finish();
    let spared = runs(&number);
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert!(!runs(&daemon), "its own is still known by its mark: {rest}");
    assert!(spared, "{rest}");
    assert!(
        rest.contains("stopped") && !rest.contains("killing") && !rest.contains("leak"),
        "{rest}"
    );
    Ok(())
}

/// Goal: what leaves its control group, for which root has the right, ends with the stop all the
/// same, since it is an orphan of the monitor.
fn root_that_leaves_its_control_group_ends_with_a_stop() -> Outcome {
    require_root("leave a control group")?;
    let groups = cgroups().ok_or_else(|| Skipped("no control group may be made here".into()))?;
    let directory = tempfile::tempdir().unwrap();
    let script = format!(
        "setsid sh -c 'echo $$ > {}/cgroup.procs; echo $$ > daemon; exec sleep 1000' & exec sleep 1000",
        groups.display()
    );
    let cwd = directory.path().to_str().unwrap();
    let args = ["--containment", "cgroup", "--restart", "no", "--cwd", cwd, "--", "sh", "-c"];
    let mut monitor = Running::start(&[&args[..], &[&script]].concat());
    monitor.wait_for("started #1");
    let daemon = line(&directory.path().join("daemon"));
    monitor.signal("TERM");
    let (_, rest) = monitor.finish();
    assert!(!runs(&daemon), "{rest}");
    Ok(())
}

/// Goal: who throws the mark away is known by the session that it was started in. Method: `timeout`
/// leads a process group of its own, in the same session.
fn orphan_without_a_mark_is_known_by_its_session() {
    let directory = tempfile::tempdir().unwrap();
    let script = "(env -i timeout 1000 sh -c 'echo $$ > orphan; exec sleep 1000' > /dev/null 2>&1 &); exec sleep 1000";
    let cwd = directory.path().to_str().unwrap();
    let args =
        ["--containment", "group", "--restart", "no", "--cwd", cwd, "--", "sh", "-c", script];
    let mut monitor = Running::start(&args);
    monitor.wait_for("started #1");
    let orphan = line(&directory.path().join("orphan"));
    monitor.signal("TERM");
    monitor.finish();
    assert!(!runs(&orphan));
}

/// Goal: an orphan that ends is reaped at once, as a stranger must be by the first process of a
/// container. Method: the zombie would be a child of the monitor.
fn orphans_are_reaped_when_they_end() {
    let directory = tempfile::tempdir().unwrap();
    let script =
        "(setsid sh -c 'echo $$ > orphan; read line < go' > /dev/null 2>&1 &); exec sleep 1000";
    for contain in ["group", "auto"] {
        let go = directory.path().join("go");
        fs::remove_file(&go).ok();
        fs::remove_file(directory.path().join("orphan")).ok();
        nix::unistd::mkfifo(&go, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let cwd = directory.path().to_str().unwrap();
        let args = ["--containment", contain, "--cwd", cwd, "--", "sh", "-c", script];
        let mut monitor = Running::start(&args);
        monitor.wait_for("started #1");
        let orphan = line(&directory.path().join("orphan"));
        fs::write(&go, "go\n").unwrap();
        until(|| !Path::new("/proc").join(&orphan).exists());
        monitor.signal("TERM");
        monitor.finish();
    }
}

/// Goal: a kill by the kernel for want of memory is told from any other. Method: the monitor is
/// moved to a memory group with a small limit, where this machine has the first version of those.
fn kill_for_want_of_memory_is_marked() -> Outcome {
    let group = PathBuf::from(format!("/sys/fs/cgroup/memory/monitor-test-{}", std::process::id()));
    let is_made = Path::new("/sys/fs/cgroup/memory/memory.oom_control").exists()
        && fs::create_dir(&group).is_ok();
    require(is_made, "no memory group of the first version may be made here")?;
    fs::write(group.join("memory.limit_in_bytes"), "32M").unwrap();
    let script = "echo $$ > \"$0/cgroup.procs\"; exec \"$@\"";
    let monitored = |command: &[&str]| {
        let monitor = env!("CARGO_BIN_EXE_monitor");
        let output = std::process::Command::new("sh")
            .args(["-c", script, group.to_str().unwrap(), monitor, "run", "--restart", "no", "--"])
            .args(command)
            .output()
            .unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let told = monitored(&["sh", "-c", "exec tail /dev/zero"]);
    let other = monitored(&["sh", "-c", "kill -KILL $$"]);
    until(|| fs::remove_dir(&group).is_ok());
    assert!(told.contains("by signal KILL (out of memory)"), "{told}");
    assert!(other.contains("by signal KILL after"), "{other}");
    Ok(())
}
