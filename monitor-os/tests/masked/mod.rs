//! The scenarios of the supervisor, once for each capability of the kernel that is masked.

use std::cell::Cell;

use super::kernel_features::{NAMED, available, without};
use super::trials::launcher;
use super::*;

thread_local! {
    /// What a supervisor of this thread may use of the kernel.
    static MASK: Cell<KernelFeatures> = const { Cell::new(KernelFeatures::NONE) };
}

fn settings(features: KernelFeatures) -> SupervisorBuilder {
    Supervisor::builder().launcher(&launcher()).kernel_features(features)
}

/// Goal: what a monitor leaves that is killed, the next one adopts and stops, with everything that
/// it started. Method: the monitor is this binary, started again with the test below.
fn run_outlives_its_monitor() {
    let features = MASK.get();
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    let mut first = std::process::Command::new(std::env::current_exe().unwrap())
        .arg("masked::monitor_that_is_killed")
        .env("MASK", mask_text(features))
        .current_dir(directory.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let (pid, daemon) = (line(&place("pid")), line(&place("daemon")));
    line(&place("up"));
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(runs(&pid) && runs(&daemon));

    let unit = adopting(features, directory.path());
    let status = wait_up(&unit.1);
    assert_eq!(status.pid().map(|pid| pid.to_string()), Some(pid.clone()));
    assert_eq!(wait(unit.1.stop()), StopResult::Graceful);
    assert!(!runs(&pid));
    // Who has left the group is held by the control group, and found by its mark where there is
    // none.
    assert!(!runs(&daemon), "{:?}", unit.1.state().containment());
    let exit = unit.1.state().exit();
    if !features.pidfd_info {
        assert_eq!(exit, Some(Exit::Unknown));
    }
    std::process::Command::new("kill").args(["-KILL", &daemon]).output().unwrap();
}

/// A supervisor that goes on with what is stored in a directory, where its command leaves marks.
fn adopting(features: KernelFeatures, directory: &Path) -> (Supervisor, Unit) {
    let supervisor = settings(features).start().unwrap();
    let state = StateDir::open(directory.join("state")).unwrap();
    let script = "(setsid sh -c 'echo $$ > daemon; exec sleep 1000' > /dev/null 2>&1 &)
        trap 'exit 9' TERM; echo $$ > pid; while :; do sleep 0.01; done";
    // A shell whose child is killed says so.
    let command = Command::new("/bin/sh", ["-c", script]).unwrap().with_error(Output::Null);
    let command = command.in_directory(directory).unwrap();
    let policy = "restart=no".parse::<Policy>().unwrap();
    let unit = supervisor.restore(&state, OnCrash::Adopt, "web", command, policy).unwrap();
    unit.resume();
    (supervisor, unit)
}

pub(super) fn monitor_that_is_killed() {
    let features = mask_of(&std::env::var("MASK").unwrap());
    let unit = adopting(features, Path::new("."));
    wait_up(&unit.1);
    fs::write("up", "yes\n").unwrap();
    until(|| false);
}

fn mask_text(mut features: KernelFeatures) -> String {
    NAMED
        .iter()
        .filter(|(_, of)| *of(&mut features))
        .map(|(name, _)| *name)
        .collect::<Vec<_>>()
        .join(" ")
}

fn mask_of(text: &str) -> KernelFeatures {
    let mut features = KernelFeatures::NONE;
    for (name, of) in NAMED {
        *of(&mut features) = text.split(' ').any(|word| word == name);
    }
    features
}

/// Goal: every fallback for what a kernel may not have works (facts, section 8). Method: the
/// scenarios of this file are run with a helper, with all that the kernel at hand has, with each
/// capability masked, as on the older kernels of the table there, and with nothing.
pub(super) fn scenarios_hold_with_each_capability_masked() {
    let all = available();
    let without = |names: &[&str]| without(all, names);
    let mut masks = vec![("all".to_owned(), all)];
    // Orphans concern a whole process, so the tests of containment have them, and the program
    // `monitor` as theirs.
    let names = NAMED.iter().map(|(name, _)| *name).filter(|name| *name != "subreaper");
    masks.extend(names.map(|name| (format!("no {name}"), without(&[name]))));
    masks.push(("as 5.15".into(), without(&["pidfs_inode", "pidfd_info"])));
    masks.push(("as 5.10".into(), without(&["pidfs_inode", "pidfd_info", "cgroup_kill"])));
    masks.push(("nothing".into(), KernelFeatures::NONE));

    let mut failed = Vec::new();
    for (scenario, run) in SCENARIOS {
        for (mask, features) in &masks {
            SETTINGS.set(Some(settings(*features)));
            MASK.set(*features);
            if std::panic::catch_unwind(run).is_err() {
                failed.push(format!("{scenario} with {mask}"));
            }
        }
    }
    SETTINGS.set(None);
    assert!(failed.is_empty(), "{failed:#?}");
}

macro_rules! named {
    ($($scenario:ident),* $(,)?) => { &[$((stringify!($scenario), $scenario as fn())),*] };
}

const SCENARIOS: &[(&str, fn())] = named![
    retries_are_counted_and_the_last_exit_is_kept,
    missing_command_is_final_and_named,
    deaf_child_is_killed_after_the_grace,
    grandchild_ends_with_a_stop,
    grandchild_left_by_an_exit_is_ended_before_the_next_run,
    deaf_grandchild_is_killed_after_the_grace,
    scope_process_leaves_the_grandchild_and_says_so,
    kill_of_the_process_leaves_the_grandchild_its_grace,
    stopped_child_ends_by_a_stop_without_a_kill,
    stop_during_backoff_ends_it,
    every_stop_gets_an_answer,
    two_stops_of_one_run_get_the_same_answer,
    start_after_a_stop_follows_it,
    storm_of_requests_ends_as_the_last_one_says,
    killed_child_comes_back,
    signal_reaches_the_process_and_changes_no_intent,
    stop_on_next_exit_lets_the_run_finish,
    dropping_the_supervisor_stops_everything,
    shutdown_hears_no_start,
    many_units_share_one_thread,
    end_of_a_traced_child_is_seen_when_the_tracer_lets_go,
    exit_that_other_code_took_is_an_end_all_the_same,
    a_watchdog_bites_a_process_that_is_silent,
    run_outlives_its_monitor,
];
