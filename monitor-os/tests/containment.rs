//! What a run starts and tries to hide is gone after a stop, or is named. Named after the pitfalls of process groups.
#![cfg(feature = "cli")]
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says why it is passed over"
)]

mod kernel_features;
#[expect(dead_code, reason = "the tests of crashes use the rest")]
mod program;

use std::fs;
use std::path::{Path, PathBuf};

use monitor_core::{Exit, Policy, Signal};
use monitor_os::{
    Command, Contain, Containment, KernelFeatures, Launcher, SetupStage, SpawnError, Status,
    StopResult, Supervisor, Unit,
};
use program::waiting::{completed, until};
use program::{Running, cgroups, runs};
use tempfile::TempDir;

/// A supervisor with one unit, and a directory in which its command leaves marks.
struct Scene {
    // Dropped in this order: what runs in the directory ends before it.
    _supervisor: Supervisor,
    unit: Unit,
    directory: TempDir,
}

impl Scene {
    fn new(features: KernelFeatures, contain: Contain, policy: &str, script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let command = Command::new("/bin/sh", ["-c", script]).unwrap();
        let command = command.in_directory(directory.path()).unwrap().contained_by(contain);
        let launcher = Launcher::at(env!("CARGO_BIN_EXE_monitor"));
        let supervisor =
            Supervisor::builder().launcher(&launcher).kernel_features(features).start().unwrap();
        let unit = supervisor.add("test", command, policy.parse::<Policy>().unwrap());
        unit.start();
        Self { _supervisor: supervisor, unit, directory }
    }

    fn line(&self, name: &str) -> String {
        line(&self.directory.path().join(name))
    }
}

/// Waits for a whole line in a file, and returns the last.
fn line(path: &Path) -> String {
    until(|| fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n')));
    fs::read_to_string(path).unwrap().lines().last().unwrap().to_owned()
}

/// What this kernel has; `None`, and a printed reason, where no control group may be made.
fn with_cgroups() -> Option<KernelFeatures> {
    let features = kernel_features::available();
    if !features.cgroup {
        eprintln!("passed over: no control group may be made here");
    }
    features.cgroup.then_some(features)
}

/// By each way to kill a control group that there is.
fn each_kill(test: impl Fn(KernelFeatures)) {
    let Some(all) = with_cgroups() else { return };
    let mut frozen = all;
    frozen.cgroup_kill = false;
    let mut neither = frozen;
    neither.cgroup_freeze = false;
    [all, frozen, neither].into_iter().for_each(test);
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

/// Facts, pitfall 9.
#[test]
fn daemonised_grandchild_ends_with_a_stop() {
    let Some(features) = with_cgroups() else { return };
    let script = format!("{DAEMON}; exec sleep 1000");
    let scene = Scene::new(features, Contain::Cgroup, "restart=no", &script);
    let daemon = scene.line("daemon");
    // The daemon may be faster than the monitor, which tells of a start when the helper is the program.
    let status = completed("the unit is up", scene.unit.wait_until(Status::is_up)).unwrap();
    assert_eq!(status.containment(), Some(Containment::Cgroup));
    assert_eq!(completed("the end of the stop", scene.unit.stop()), StopResult::Graceful);
    assert!(!runs(&daemon));
    assert_eq!(scene.unit.state().survivors(), []);
}

#[test]
fn daemonised_grandchild_ends_before_the_next_run() {
    let Some(features) = with_cgroups() else { return };
    let policy = "restart=on-failure retries=1 backoff=constant:1ms jitter=0";
    let script = format!(
        "rm -f daemon; {DAEMON}; until test -s daemon; do sleep 0.01; done; cat daemon >> daemons; exit 1"
    );
    let scene = Scene::new(features, Contain::Auto, policy, &script);
    completed("the unit is down", scene.unit.wait_until(Status::is_down)).unwrap();
    let daemons = fs::read_to_string(scene.directory.path().join("daemons")).unwrap();
    assert!(daemons.lines().count() == 2 && !daemons.lines().any(runs), "{daemons}");
}

/// Facts, pitfall 10: no list of processes is true for long enough.
#[test]
fn fork_and_exit_runner_ends_with_a_kill() {
    each_kill(|features| {
        let policy = "restart=no stop-timeout=50ms";
        let script = format!("trap '' TERM; {RUNNER}\n while :; do sleep 1000; done");
        let scene = Scene::new(features, Contain::Auto, policy, &script);
        scene.line("runner");
        assert_eq!(completed("the end of the stop", scene.unit.stop()), StopResult::Killed);
        let last = scene.line("runner");
        assert!(!runs(&last));
        assert_eq!(scene.unit.state().survivors(), []);
    });
}

/// Facts, pitfall 11: who keeps the standard output open does not keep the run.
#[test]
fn grandchild_that_holds_stdout_ends_with_its_run() {
    let Some(features) = with_cgroups() else { return };
    let script = "setsid sh -c 'echo $$ > holder; exec sleep 1000' & until test -s holder; do sleep 0.01; done; exit 4";
    let scene = Scene::new(features, Contain::Auto, "restart=no", script);
    let status = completed("the unit is down", scene.unit.wait_until(Status::is_down)).unwrap();
    assert_eq!(status.exit(), Some(Exit::Code(4)));
    assert!(!runs(&scene.line("holder")));
}

/// Goal: what hears a stop has its grace, also if it is no more of the group.
#[test]
fn daemon_has_the_stop_signal_and_its_grace() {
    let Some(features) = with_cgroups() else { return };
    let script = "setsid sh -c 'trap \"echo done > mark; exit\" TERM; echo $$ > daemon
        while :; do sleep 0.01; done' & exec sleep 1000";
    let scene = Scene::new(features, Contain::Auto, "restart=no stop-timeout=1m", script);
    scene.line("daemon");
    assert_eq!(completed("the end of the stop", scene.unit.stop()), StopResult::Graceful);
    assert_eq!(scene.line("mark"), "done");
}

#[test]
fn scope_process_names_what_it_leaves() {
    let Some(features) = with_cgroups() else { return };
    for contain in [Contain::Cgroup, Contain::Group] {
        let script = "sh -c 'echo $$ > left; exec sleep 1000' & exec sleep 1000";
        let scene = Scene::new(features, contain, "restart=no scope=process", script);
        let left = scene.line("left");
        // It says its number before it has its name.
        until(|| fs::read_to_string(format!("/proc/{left}/comm")).unwrap() == "sleep\n");
        assert_eq!(completed("the end of the stop", scene.unit.stop()), StopResult::Leaked);
        assert!(runs(&left));
        let status = scene.unit.state();
        let named: Vec<_> = status.survivors().iter().map(ToString::to_string).collect();
        assert_eq!(named, [format!("sleep (pid {left})")]);
        assert!(std::process::Command::new("kill").arg(&left).status().unwrap().success());
        until(|| !runs(&left));
    }
}

#[test]
fn no_control_group_is_left() {
    let Some(features) = with_cgroups() else { return };
    let script = format!("cat /proc/self/cgroup > cgroup; {DAEMON}; mkdir nothing; exit 1");
    let policy = "restart=on-failure retries=5 backoff=constant:1ms jitter=0";
    let scene = Scene::new(features, Contain::Cgroup, policy, &script);
    completed("the unit is down", scene.unit.wait_until(Status::is_down)).unwrap();
    let text = fs::read_to_string(scene.directory.path().join("cgroup")).unwrap();
    let group = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
    let leaf = group.rsplit_once('/').unwrap().1;
    assert!(leaf.starts_with(&format!("monitor-{}-", std::process::id())), "{group}");
    let parent = cgroups().unwrap();
    assert!(parent.exists() && !parent.join(leaf).exists(), "{leaf}");
}

#[test]
fn control_group_that_is_demanded_and_not_to_be_had_is_told() {
    let scene = Scene::new(KernelFeatures::NONE, Contain::Cgroup, "restart=no", "exit 0");
    let status = completed("the unit is down", scene.unit.wait_until(Status::is_down)).unwrap();
    let error = status.start_error().unwrap();
    assert!(matches!(error, SpawnError::Setup { stage: SetupStage::Cgroup, .. }), "{error}");
    assert!(error.to_string().contains("Delegate=yes") && !error.is_transient(), "{error}");
    let scene = Scene::new(KernelFeatures::NONE, Contain::Auto, "restart=no", "exit 0");
    let status = completed("the unit is down", scene.unit.wait_until(Status::is_down)).unwrap();
    assert_eq!(
        (status.containment(), status.exit()),
        (Some(Containment::Group), Some(Exit::Code(0)))
    );
}

/// Goal: facts, pitfalls 9 and 10, without a control group: the program `monitor` is the parent of orphans, knows
/// them by their mark, and ends them. Method: what it supervises cannot see the hierarchy of control groups.
#[test]
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

/// Goal: what left a run's group is found also by the next monitor, by its mark, though it is nobody's child here: it ends
/// before the next run, and with a stop. Method: the monitor is killed, without control groups; once the process as well.
#[test]
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

/// Goal: another user's processes that bear the mark of a run are strangers: they hold up no stop and are not killed.
/// Method: the next monitor, which looks for the mark everywhere; the stranger was told the mark, which it cannot read.
#[test]
fn mark_of_another_users_process_does_not_count() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("passed over: it takes root to run a process as another user");
        return;
    }
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
}

/// Goal: what leaves its control group, for which root has the right, ends with the stop all the same, since it is an
/// orphan of the monitor.
#[test]
fn root_that_leaves_its_control_group_ends_with_a_stop() {
    let Some(groups) = cgroups().filter(|_| rustix::process::geteuid().is_root()) else {
        eprintln!("passed over: it takes root, and control groups that may be made here");
        return;
    };
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
}

#[test]
fn orphans_are_not_claimed_where_the_kernel_gives_none() {
    let supervisor =
        Supervisor::builder().with_orphans().kernel_features(KernelFeatures::NONE).start().unwrap();
    let command = Command::new("true", [""; 0]).unwrap();
    let unit = supervisor.add("test", command, "restart=no".parse::<Policy>().unwrap());
    unit.start();
    let status = completed("the unit is down", unit.wait_until(Status::is_down)).unwrap();
    assert_eq!(status.containment(), Some(Containment::Group));
}

/// Goal: who throws the mark away is known by the session that it was started in. Method: `timeout` leads a process
/// group of its own, in the same session.
#[test]
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

/// Goal: an orphan that ends is reaped at once, as a stranger must be by the first process of a container. Method:
/// the zombie would be a child of the monitor.
#[test]
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

/// Goal: a kill by the kernel for want of memory is told from any other. Method: the monitor is moved to a memory
/// group with a small limit, where this machine has the first version of those.
#[test]
fn kill_for_want_of_memory_is_marked() {
    let group = PathBuf::from(format!("/sys/fs/cgroup/memory/monitor-test-{}", std::process::id()));
    if !Path::new("/sys/fs/cgroup/memory/memory.oom_control").exists()
        || fs::create_dir(&group).is_err()
    {
        eprintln!("passed over: no memory group of the first version may be made here");
        return;
    }
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
}

#[test]
fn oom_mark_is_never_claimed_for_another_end() {
    let scene = Scene::new(KernelFeatures::NONE, Contain::Auto, "restart=no", "exit 1");
    let status = completed("the unit is down", scene.unit.wait_until(Status::is_down)).unwrap();
    assert_eq!(status.oom_killed(), Some(false));
    let scene = Scene::new(KernelFeatures::NONE, Contain::Auto, "restart=no", "kill -SEGV $$");
    let status = completed("the unit is down", scene.unit.wait_until(Status::is_down)).unwrap();
    assert_eq!(status.exit(), Some(Exit::Signal("SEGV".parse::<Signal>().unwrap())));
    assert_eq!(status.oom_killed(), Some(false));
}
