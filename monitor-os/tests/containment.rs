//! What a run starts and tries to hide is gone after a stop, or is named. Named after the pitfalls
//! of process groups.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cgroups;
mod kernel_features;
#[expect(dead_code, reason = "other tests use the rest")]
mod trials;
#[expect(dead_code, reason = "other tests use the rest")]
mod waiting;

use std::fs;

use cgroups::cgroups;
use monitor_core::{Exit, Policy, Signal};
use monitor_os::{
    Command, Containment, ContainmentMode, KernelFeatures, Output, SetupStage, SpawnError, Status,
    StopResult, Supervisor, Unit,
};
use tempfile::TempDir;
use trials::{Outcome, Skipped, launcher, require, trials};
use waiting::{completed, line, runs, until};

trials! {
    daemonised_grandchild_ends_with_a_stop,
    daemonised_grandchild_ends_before_the_next_run,
    fork_and_exit_runner_ends_with_a_kill,
    grandchild_that_holds_stdout_ends_with_its_run,
    daemon_has_the_stop_signal_and_its_grace,
    scope_process_names_what_it_leaves,
    no_control_group_is_left,
    control_group_that_is_demanded_and_not_to_be_had_is_told,
    orphans_are_not_claimed_where_the_kernel_gives_none,
    oom_mark_is_never_claimed_for_another_end,
}

/// A supervisor with one unit, and a directory in which its command leaves marks.
struct Scene {
    // Dropped in this order: what runs in the directory ends before it.
    _supervisor: Supervisor,
    unit: Unit,
    directory: TempDir,
}

impl Scene {
    fn new(features: KernelFeatures, contain: ContainmentMode, policy: &str, script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // A shell whose child is killed says so.
        let command = Command::new("/bin/sh", ["-c", script]).unwrap().with_error(Output::Null);
        let command = command.in_directory(directory.path()).unwrap().contained_by(contain);
        let supervisor =
            Supervisor::builder().launcher(&launcher()).kernel_features(features).start().unwrap();
        let unit = supervisor.add("test", command, policy.parse::<Policy>().unwrap());
        unit.start();
        Self { _supervisor: supervisor, unit, directory }
    }

    fn line(&self, name: &str) -> String {
        line(&self.directory.path().join(name))
    }
}

/// What this kernel has, where control groups may be made.
fn with_cgroups() -> Result<KernelFeatures, Skipped> {
    let features = kernel_features::available();
    require(features.cgroup, "no control group may be made here")?;
    Ok(features)
}

/// By each way to kill a control group that there is.
fn each_kill(test: impl Fn(KernelFeatures)) -> Outcome {
    let all = with_cgroups()?;
    let mut frozen = all;
    frozen.cgroup_kill = false;
    let mut neither = frozen;
    neither.cgroup_freeze = false;
    [all, frozen, neither].into_iter().for_each(test);
    Ok(())
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
fn daemonised_grandchild_ends_with_a_stop() -> Outcome {
    let features = with_cgroups()?;
    let script = format!("{DAEMON}; exec sleep 1000");
    let scene = Scene::new(features, ContainmentMode::Cgroup, "restart=no", &script);
    let daemon = scene.line("daemon");
    // The daemon may be faster than the monitor, which tells of a start when the helper is the
    // program.
    let status = completed("the unit is up", scene.unit.wait_until(Status::is_up)).unwrap();
    assert_eq!(status.containment(), Some(Containment::Cgroup));
    assert_eq!(completed("the end of the stop", scene.unit.stop()), StopResult::Graceful);
    assert!(!runs(&daemon));
    assert_eq!(scene.unit.state().leftover_processes(), []);
    Ok(())
}

fn daemonised_grandchild_ends_before_the_next_run() -> Outcome {
    let features = with_cgroups()?;
    let policy = "restart=on-failure retries=1 backoff=constant:1ms jitter=0";
    let script = format!(
        "rm -f daemon; {DAEMON}; until test -s daemon; do sleep 0.01; done; cat daemon >> daemons; exit 1"
    );
    let scene = Scene::new(features, ContainmentMode::Auto, policy, &script);
    completed("the unit is down", scene.unit.wait_until(Status::is_down)).unwrap();
    let daemons = fs::read_to_string(scene.directory.path().join("daemons")).unwrap();
    assert!(daemons.lines().count() == 2 && !daemons.lines().any(runs), "{daemons}");
    Ok(())
}

/// Facts, pitfall 10: no list of processes is true for long enough.
fn fork_and_exit_runner_ends_with_a_kill() -> Outcome {
    each_kill(|features| {
        let policy = "restart=no stop-timeout=50ms";
        let script = format!("trap '' TERM; {RUNNER}\n while :; do sleep 1000; done");
        let scene = Scene::new(features, ContainmentMode::Auto, policy, &script);
        scene.line("runner");
        assert_eq!(completed("the end of the stop", scene.unit.stop()), StopResult::Killed);
        let last = scene.line("runner");
        assert!(!runs(&last));
        assert_eq!(scene.unit.state().leftover_processes(), []);
    })
}

/// Facts, pitfall 11: who keeps the standard output open does not keep the run.
fn grandchild_that_holds_stdout_ends_with_its_run() -> Outcome {
    let features = with_cgroups()?;
    let script = "setsid sh -c 'echo $$ > holder; exec sleep 1000' & until test -s holder; do sleep 0.01; done; exit 4";
    let scene = Scene::new(features, ContainmentMode::Auto, "restart=no", script);
    let status = completed("the unit is down", scene.unit.wait_until(Status::is_down)).unwrap();
    assert_eq!(status.exit(), Some(Exit::Code(4)));
    assert!(!runs(&scene.line("holder")));
    Ok(())
}

/// Goal: what hears a stop has its grace, also if it is no more of the group.
fn daemon_has_the_stop_signal_and_its_grace() -> Outcome {
    let features = with_cgroups()?;
    let script = "setsid sh -c 'trap \"echo done > mark; exit\" TERM; echo $$ > daemon
        while :; do sleep 0.01; done' & exec sleep 1000";
    let scene = Scene::new(features, ContainmentMode::Auto, "restart=no stop-timeout=1m", script);
    scene.line("daemon");
    assert_eq!(completed("the end of the stop", scene.unit.stop()), StopResult::Graceful);
    assert_eq!(scene.line("mark"), "done");
    Ok(())
}

fn scope_process_names_what_it_leaves() -> Outcome {
    let features = with_cgroups()?;
    for contain in [ContainmentMode::Cgroup, ContainmentMode::Group] {
        let script = "sh -c 'echo $$ > left; exec sleep 1000' & exec sleep 1000";
        let scene = Scene::new(features, contain, "restart=no scope=process", script);
        let left = scene.line("left");
        // It says its number before it has its name.
        until(|| fs::read_to_string(format!("/proc/{left}/comm")).unwrap() == "sleep\n");
        assert_eq!(completed("the end of the stop", scene.unit.stop()), StopResult::Leaked);
        assert!(runs(&left));
        let status = scene.unit.state();
        let named: Vec<_> = status.leftover_processes().iter().map(ToString::to_string).collect();
        assert_eq!(named, [format!("sleep (pid {left})")]);
        assert!(std::process::Command::new("kill").arg(&left).status().unwrap().success());
        until(|| !runs(&left));
    }
    Ok(())
}

fn no_control_group_is_left() -> Outcome {
    let features = with_cgroups()?;
    let script = format!("cat /proc/self/cgroup > cgroup; {DAEMON}; mkdir nothing; exit 1");
    let policy = "restart=on-failure retries=5 backoff=constant:1ms jitter=0";
    let scene = Scene::new(features, ContainmentMode::Cgroup, policy, &script);
    completed("the unit is down", scene.unit.wait_until(Status::is_down)).unwrap();
    let text = fs::read_to_string(scene.directory.path().join("cgroup")).unwrap();
    let group = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
    let leaf = group.rsplit_once('/').unwrap().1;
    assert!(leaf.starts_with(&format!("monitor-{}-", std::process::id())), "{group}");
    let parent = cgroups().unwrap();
    assert!(parent.exists() && !parent.join(leaf).exists(), "{leaf}");
    Ok(())
}

fn control_group_that_is_demanded_and_not_to_be_had_is_told() {
    let scene = Scene::new(KernelFeatures::NONE, ContainmentMode::Cgroup, "restart=no", "exit 0");
    let status = completed("the unit is down", scene.unit.wait_until(Status::is_down)).unwrap();
    let error = status.start_error().unwrap();
    assert!(matches!(error, SpawnError::Setup { stage: SetupStage::Cgroup, .. }), "{error}");
    assert!(error.to_string().contains("Delegate=yes") && !error.is_transient(), "{error}");
    let scene = Scene::new(KernelFeatures::NONE, ContainmentMode::Auto, "restart=no", "exit 0");
    let status = completed("the unit is down", scene.unit.wait_until(Status::is_down)).unwrap();
    assert_eq!(
        (status.containment(), status.exit()),
        (Some(Containment::Group), Some(Exit::Code(0)))
    );
}

fn orphans_are_not_claimed_where_the_kernel_gives_none() {
    let supervisor =
        Supervisor::builder().with_orphans().kernel_features(KernelFeatures::NONE).start().unwrap();
    let command = Command::new("true", [""; 0]).unwrap();
    let unit = supervisor.add("test", command, "restart=no".parse::<Policy>().unwrap());
    unit.start();
    let status = completed("the unit is down", unit.wait_until(Status::is_down)).unwrap();
    assert_eq!(status.containment(), Some(Containment::Group));
}

fn oom_mark_is_never_claimed_for_another_end() {
    let scene = Scene::new(KernelFeatures::NONE, ContainmentMode::Auto, "restart=no", "exit 1");
    let status = completed("the unit is down", scene.unit.wait_until(Status::is_down)).unwrap();
    assert_eq!(status.oom_killed(), Some(false));
    let scene =
        Scene::new(KernelFeatures::NONE, ContainmentMode::Auto, "restart=no", "kill -SEGV $$");
    let status = completed("the unit is down", scene.unit.wait_until(Status::is_down)).unwrap();
    assert_eq!(status.exit(), Some(Exit::Signal("SEGV".parse::<Signal>().unwrap())));
    assert_eq!(status.oom_killed(), Some(false));
}
