//! The handles over the real kernel. Every test waits for conditions, and none for time.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod executable;
mod kernel_features;
mod masked;
#[expect(dead_code, reason = "other tests use the rest")]
mod trials;
#[expect(dead_code, reason = "other tests use the rest")]
mod waiting;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use monitor_core::{
    Event, Exit, Grace, Lifecycle, Millis, Origin, Phase, Policy, Reason, Signal, StopMode,
};
use monitor_os::{
    Command, Events, KernelFeatures, Launcher, Moment, OnCrash, Output, SpawnError, StateDir,
    StateError, Status, StopResult, Supervisor, SupervisorBuilder, Unit, WaitStatus, now,
};
use tempfile::TempDir;
use trials::trials;
use waiting::{completed, ended, line, runs, until, within};

trials! {
    processes: [tracer, masked::monitor_that_is_killed];
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
    retry_ends_the_wait_for_the_next_attempt,
    every_stop_gets_an_answer,
    two_stops_of_one_run_get_the_same_answer,
    start_after_a_stop_follows_it,
    storm_of_requests_ends_as_the_last_one_says,
    killed_child_comes_back,
    signal_reaches_the_process_and_changes_no_intent,
    policy_change_is_in_force_at_the_next_decision,
    stop_on_next_exit_lets_the_run_finish,
    dropping_the_supervisor_stops_everything,
    unit_added_after_the_end_is_over,
    shutdown_hears_no_start,
    start_that_is_requested_is_seen_by_a_wait,
    many_units_share_one_thread,
    one_stream_tells_of_all_units_also_of_later_ones,
    other_command_is_taken_by_the_next_run,
    works_in_tokio_too,
    end_of_a_traced_child_is_seen_when_the_tracer_lets_go,
    exit_that_other_code_took_is_an_end_all_the_same,
    a_process_is_told_ready_and_then_unfit,
    a_watchdog_bites_a_process_that_is_silent,
    stop_ends_a_start_that_hangs,
    foreign_helper_is_told,
    memory_needs_a_helper_and_names_are_taken_once,
    directory_without_a_helper_is_refused,
    status_shows_what_is_left_of_a_phase,
    slow_reader_of_events_is_told_what_it_missed,
    masked::scenarios_hold_with_each_capability_masked,
}

/// A supervisor with one unit, and a directory in which its command leaves marks.
struct Scene {
    // Dropped in this order: what runs in the directory ends before it.
    supervisor: Supervisor,
    unit: Unit,
    directory: TempDir,
}

impl Scene {
    /// `script` is run by `sh` in the directory of the scene.
    fn new(policy: &str, script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let script = format!("cd {} && {{ {script}\n}}", directory.path().display());
        // A shell whose child is killed says so.
        let command = Command::new("/bin/sh", ["-c", &script]).unwrap().with_error(Output::Null);
        let supervisor = supervisor();
        let unit = supervisor.add("test", command, policy.parse::<Policy>().unwrap());
        Self { directory, supervisor, unit }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Waits until the script has written a whole line to `name`, and returns it.
    fn line(&self, name: &str) -> String {
        line(&self.path(name))
    }
}

thread_local! {
    /// What a supervisor is made by in this thread; `None` for one without settings.
    static SETTINGS: RefCell<Option<SupervisorBuilder>> = const { RefCell::new(None) };
}

fn supervisor() -> Supervisor {
    let settings = SETTINGS.with_borrow(Clone::clone);
    settings
        .unwrap_or_else(|| Supervisor::builder().kernel_features(kernel_features::available()))
        .start()
        .unwrap()
}

#[track_caller]
fn wait<F: Future>(future: F) -> F::Output {
    completed("what this test waits for here", future)
}

#[track_caller]
fn wait_down(unit: &Unit) -> Status {
    reached(unit, "down", Status::is_down)
}

#[track_caller]
fn wait_up(unit: &Unit) -> Status {
    reached(unit, "up", Status::is_up)
}

#[track_caller]
fn reached(unit: &Unit, what: &str, condition: fn(&Status) -> bool) -> Status {
    let status = within(unit.wait_until(condition));
    let seen = unit.state();
    assert!(
        status.is_some(),
        "awaited in vain: the unit is {what}; seen instead: {}",
        seen.explain()
    );
    status.unwrap().unwrap()
}

/// The lifecycle up to a phase.
fn lifecycle(events: &mut Events, until: Phase) -> Vec<String> {
    let mut names = Vec::new();
    while let Some(notice) = wait(events.next()) {
        names.extend(notice.lifecycle().map(|lifecycle| lifecycle.to_string()));
        if notice.status.phase() == until {
            break;
        }
    }
    names
}

const FAST: &str = "restart=on-failure backoff=constant:1ms jitter=0";

fn retries_are_counted_and_the_last_exit_is_kept() {
    let scene = Scene::new(&format!("{FAST} retries=3"), "echo run >> runs; exit 7");
    let mut events = scene.unit.events();
    scene.unit.start();
    let status = wait_down(&scene.unit);
    assert_eq!(status.state().reason(), Reason::Exhausted);
    assert_eq!(status.exit(), Some(Exit::Code(7)));
    assert_eq!(status.ended(), Some(WaitStatus::Exited(7)));
    assert_eq!(status.pid(), None);
    assert_eq!(status.state().run().as_u32(), 4);
    let runs = fs::read_to_string(scene.path("runs")).unwrap();
    assert_eq!(runs.lines().count(), 4);
    assert!(status.explain().to_string().contains("all 3 retries"));
    let mut expected = ["starting", "started", "exited", "backing-off"].repeat(4);
    expected[15] = "gave-up";
    assert_eq!(lifecycle(&mut events, Phase::Stopped), expected);
}

fn missing_command_is_final_and_named() {
    let supervisor = supervisor();
    let command = Command::new("monitor-no-such-program", [""; 0]).unwrap();
    // A directory that may not be searched would hide that there is none.
    let command = command.with_variable("PATH", "/usr/bin:/bin").unwrap();
    let unit = supervisor.add("missing", command, Policy::DEFAULT);
    unit.start();
    let status = wait_down(&unit);
    assert_eq!(status.state().reason(), Reason::StartFailed);
    assert_eq!(status.state().run().as_u32(), 1);
    let error = status.start_error().unwrap();
    assert!(matches!(error, SpawnError::NotFound { .. }));
    assert_eq!(error.exit_code(), 127);
    assert!(error.to_string().contains("monitor-no-such-program"));
    assert_eq!(wait(unit.stop()), StopResult::NotRunning);
}

fn deaf_child_is_killed_after_the_grace() {
    let scene = Scene::new(
        "restart=always stop-timeout=50ms",
        "trap '' TERM; echo $$ > pid; while :; do sleep 1000; done",
    );
    scene.unit.start();
    let pid = scene.line("pid");
    assert_eq!(wait(scene.unit.stop()), StopResult::Killed);
    assert!(!runs(&pid));
    let status = scene.unit.state();
    assert_eq!(status.exit(), Some(Exit::Signal(Signal::KILL)));
    assert_eq!(status.state().reason(), Reason::StopRequested);
}

fn grandchild_ends_with_a_stop() {
    let scene =
        Scene::new("restart=always", "sh -c 'echo $$ > grandchild; exec sleep 1000' & wait");
    scene.unit.start();
    let grandchild = scene.line("grandchild");
    assert_eq!(wait(scene.unit.stop()), StopResult::Graceful);
    assert!(!runs(&grandchild));
}

fn grandchild_left_by_an_exit_is_ended_before_the_next_run() {
    let scene = Scene::new(
        &format!("{FAST} retries=1"),
        "sh -c 'echo $$ >> grandchildren; exec sleep 1000' &
         until grep -qx $! grandchildren; do :; done; exit 3",
    );
    scene.unit.start();
    let status = wait_down(&scene.unit);
    assert_eq!(status.exit(), Some(Exit::Code(3)));
    let grandchildren = fs::read_to_string(scene.path("grandchildren")).unwrap();
    assert_eq!(grandchildren.lines().count(), 2);
    assert!(!grandchildren.lines().any(runs));
}

fn deaf_grandchild_is_killed_after_the_grace() {
    let scene = Scene::new(
        "restart=no stop-timeout=50ms",
        "(trap '' TERM; echo up > deaf; while :; do sleep 1000; done) &
         echo $! > grandchild; until test -e deaf; do :; done; exit 0",
    );
    scene.unit.start();
    let status = wait_down(&scene.unit);
    assert_eq!(status.state().reason(), Reason::Completed);
    assert!(!runs(&scene.line("grandchild")));
}

fn scope_process_leaves_the_grandchild_and_says_so() {
    let scene = Scene::new(
        "restart=no scope=process",
        "sh -c 'echo $$ > grandchild; exec sleep 1000' & wait",
    );
    scene.unit.start();
    let grandchild = scene.line("grandchild");
    assert_eq!(wait(scene.unit.stop()), StopResult::Leaked);
    assert!(runs(&grandchild));
    std::process::Command::new("kill").arg(&grandchild).status().unwrap();
    until(|| !runs(&grandchild));
}

/// Goal: a kill that somebody sends to the main process is no kill of what it started, which has
/// the stop signal and its grace. Method: a grandchild that needs its grace to leave a mark.
fn kill_of_the_process_leaves_the_grandchild_its_grace() {
    let scene = Scene::new(
        "restart=no stop-timeout=1m",
        "sh -c 'trap \"sleep 0.1; echo done > mark; exit\" TERM; echo up > grandchild; \
         while :; do sleep 0.01; done' & wait",
    );
    scene.unit.start();
    scene.line("grandchild");
    scene.unit.signal(Signal::KILL);
    let status = wait_down(&scene.unit);
    assert_eq!(status.exit(), Some(Exit::Signal(Signal::KILL)));
    assert_eq!(scene.line("mark"), "done");
}

fn stopped_child_ends_by_a_stop_without_a_kill() {
    for scope in ["process", "group"] {
        let scene = Scene::new(
            &format!("restart=no scope={scope} stop-timeout=never"),
            "echo $$ > pid; exec sleep 1000",
        );
        scene.unit.start();
        let pid = scene.line("pid");
        scene.unit.signal("STOP".parse().unwrap());
        let stat = format!("/proc/{pid}/stat");
        until(|| fs::read_to_string(&stat).unwrap().contains(") T "));
        assert_eq!(wait(scene.unit.stop()), StopResult::Graceful);
        let exit = scene.unit.state().exit();
        assert_eq!(exit, Some(Exit::Signal(Signal::TERM)));
    }
}

fn stop_during_backoff_ends_it() {
    let scene =
        Scene::new("restart=always backoff=constant:1h jitter=0", "echo run >> runs; exit 1");
    scene.unit.start();
    let waiting = |status: &Status| status.phase() == Phase::BackingOff;
    wait(scene.unit.wait_until(waiting)).unwrap();
    assert_eq!(wait(scene.unit.stop()), StopResult::NotRunning);
    let status = scene.unit.state();
    assert_eq!(status.phase(), Phase::Stopped);
    assert_eq!(status.exit(), Some(Exit::Code(1)));
    // Another start is a new one, and the only other.
    scene.unit.start();
    wait(scene.unit.wait_until(waiting)).unwrap();
    let runs = fs::read_to_string(scene.path("runs")).unwrap();
    assert_eq!(runs.lines().count(), 2);
}

fn retry_ends_the_wait_for_the_next_attempt() {
    let scene =
        Scene::new("restart=on-failure backoff=constant:1h jitter=0", "test -e fixed || exit 1");
    scene.unit.start();
    let waiting = |status: &Status| status.phase() == Phase::BackingOff;
    wait(scene.unit.wait_until(waiting)).unwrap();
    fs::write(scene.path("fixed"), "").unwrap();
    scene.unit.retry();
    let status = wait_down(&scene.unit);
    assert_eq!(status.state().reason(), Reason::Completed);
    assert_eq!(status.state().run().as_u32(), 2);
}

fn every_stop_gets_an_answer() {
    let scene = Scene::new("restart=always", "echo $$ > pid; exec sleep 1000");
    scene.unit.start();
    scene.line("pid");
    let other = scene.unit.clone();
    let first = scene.unit.stop();
    let second = std::thread::spawn(move || wait(other.stop()));
    assert_eq!(wait(first), StopResult::Graceful);
    let second = second.join().unwrap();
    assert!(matches!(second, StopResult::Graceful | StopResult::NotRunning), "{second:?}");
    assert_eq!(wait(scene.unit.stop()), StopResult::NotRunning);
    assert_eq!(wait(scene.unit.kill()), StopResult::NotRunning);
}

fn two_stops_of_one_run_get_the_same_answer() {
    let scene = Scene::new(
        "restart=always stop-timeout=never",
        "trap '' TERM; echo $$ > pid; while :; do sleep 1000; done",
    );
    scene.unit.start();
    scene.line("pid");
    // The first waits for ever, were it not for the second.
    let first = scene.unit.stop();
    let second = scene.unit.kill();
    assert_eq!(wait(second), StopResult::Killed);
    assert_eq!(wait(first), StopResult::Killed);
}

fn start_after_a_stop_follows_it() {
    let scene = Scene::new("restart=no", "echo $$ >> pids; exec sleep 1000");
    scene.unit.start();
    let first = scene.line("pids");
    let stopping = scene.unit.stop();
    scene.unit.start();
    assert_eq!(wait(stopping), StopResult::Graceful);
    let status = wait_up(&scene.unit);
    assert_eq!(status.state().run().as_u32(), 2);
    assert!(!runs(&first));
}

fn storm_of_requests_ends_as_the_last_one_says() {
    let scene = Scene::new("restart=always backoff=constant:1ms jitter=0", "exec sleep 1000");
    let mut stops = Vec::new();
    for _ in 0..100 {
        scene.unit.start();
        scene.unit.restart();
        stops.push(scene.unit.stop());
    }
    let status = wait_down(&scene.unit);
    assert_eq!(status.state().reason(), Reason::StopRequested);
    for stop in stops {
        assert_ne!(wait(stop), StopResult::SupervisorGone);
    }
    assert_eq!(scene.unit.state().pid(), None);
    scene.unit.start();
    assert!(wait_up(&scene.unit).pid().is_some());
}

fn killed_child_comes_back() {
    let scene = Scene::new(FAST, "echo $$ >> pids; exec sleep 1000");
    scene.unit.start();
    let pid = scene.line("pids");
    std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap();
    let second = |status: &Status| status.is_up() && status.state().run().as_u32() == 2;
    let status = wait(scene.unit.wait_until(second)).unwrap();
    assert_eq!(status.ended(), Some(WaitStatus::Signaled { signal: 9, core_dumped: false }));
    assert_eq!(status.state().restarts(), 1);
    assert_ne!(status.pid().map(|pid| pid.to_string()), Some(pid));
}

fn signal_reaches_the_process_and_changes_no_intent() {
    let scene = Scene::new(
        "restart=no",
        "trap 'echo got > got' USR1; echo up > up; while :; do sleep 0.01; done",
    );
    scene.unit.start();
    scene.line("up");
    scene.unit.signal("USR1".parse().unwrap());
    assert_eq!(scene.line("got"), "got");
    assert_eq!(scene.unit.state().state().reason(), Reason::Wanted);
}

fn policy_change_is_in_force_at_the_next_decision() {
    let scene = Scene::new("restart=always", "echo $$ > pid; exec sleep 1000");
    scene.unit.start();
    let pid = scene.line("pid");
    scene.unit.set_policy("restart=no".parse::<Policy>().unwrap());
    let heard = wait(scene.unit.wait_until(|_| true)).unwrap();
    assert_eq!(heard.policy().to_string(), "restart=no");
    std::process::Command::new("kill").arg(&pid).status().unwrap();
    assert_eq!(wait_down(&scene.unit).state().reason(), Reason::Completed);
}

fn stop_on_next_exit_lets_the_run_finish() {
    let scene =
        Scene::new("restart=always", "echo up > up; until test -e go; do sleep 0.01; done; exit 5");
    scene.unit.start();
    scene.line("up");
    let stopping = scene.unit.stop_with(StopMode::OnNextExit, Origin::User);
    // Heard before the end: of both at once the end comes first, and then nothing runs that could
    // be stopped.
    wait(scene.unit.wait_until(|_| true)).unwrap();
    fs::write(scene.path("go"), "").unwrap();
    assert_eq!(wait(stopping), StopResult::Graceful);
    assert_eq!(scene.unit.state().exit(), Some(Exit::Code(5)));
}

fn dropping_the_supervisor_stops_everything() {
    let scene = Scene::new("restart=always", "echo $$ > pid; exec sleep 1000");
    scene.unit.start();
    let pid = scene.line("pid");
    let Scene { supervisor, unit, .. } = scene;
    drop(supervisor);
    assert!(!runs(&pid));
    let status = unit.state();
    assert_eq!(status.phase(), Phase::Stopped);
    assert_eq!(status.state().reason(), Reason::ShutdownRequested);
    // Its requests are answered all the same.
    unit.start();
    assert_eq!(wait(unit.stop()), StopResult::SupervisorGone);
    let gone = wait(unit.wait_until(Status::is_up)).unwrap_err();
    assert_eq!(gone.last().phase(), Phase::Stopped);
}

/// Goal: nobody waits for a unit that a supervisor has never heard of.
fn unit_added_after_the_end_is_over() {
    let supervisor = Supervisor::new().unwrap();
    wait(supervisor.shutdown());
    let unit = supervisor.add("late", Command::new("true", [""; 0]).unwrap(), Policy::DEFAULT);
    let gone = wait(unit.wait_until(Status::is_up)).unwrap_err();
    assert_eq!(gone.last().phase(), Phase::Idle);
    assert_eq!(wait(unit.stop()), StopResult::SupervisorGone);
}

fn shutdown_hears_no_start() {
    let scene = Scene::new("restart=always", "echo $$ >> pids; exec sleep 1000");
    scene.unit.start();
    let pid = scene.line("pids");
    let ended = scene.supervisor.shutdown();
    scene.unit.start();
    scene.unit.restart();
    wait(ended);
    assert!(!runs(&pid));
    assert_eq!(fs::read_to_string(scene.path("pids")).unwrap().lines().count(), 1);
}

fn start_that_is_requested_is_seen_by_a_wait() {
    // Without it, the wait would be content with the state before the start.
    let scene = Scene::new("restart=no", "exit 0");
    for run in 1..20 {
        scene.unit.start();
        assert_eq!(wait_down(&scene.unit).state().run().as_u32(), run);
    }
}

fn many_units_share_one_thread() {
    let supervisor = supervisor();
    let policy: Policy = format!("{FAST} retries=2").parse().unwrap();
    let units: Vec<_> = (0..40)
        .map(|code| {
            let command = Command::new("/bin/sh", ["-c", &format!("exit {code}")]).unwrap();
            supervisor.add(format!("unit {code}"), command, policy)
        })
        .collect();
    units.iter().for_each(Unit::start);
    for (code, unit) in (0..).zip(&units) {
        let status = wait_down(unit);
        assert_eq!(status.exit(), Some(Exit::Code(code)));
        let runs = if code == 0 { 1 } else { 3 };
        assert_eq!(status.state().run().as_u32(), runs);
    }
}

fn one_stream_tells_of_all_units_also_of_later_ones() {
    let supervisor = supervisor();
    let mut events = supervisor.events();
    let add = |name: &str, code: &str| {
        let command = Command::new("/bin/sh", ["-c", code]).unwrap();
        let unit = supervisor.add(name, command, "restart=no".parse::<Policy>().unwrap());
        unit.start();
        unit
    };
    let mut ended = || loop {
        let notice = wait(events.next()).unwrap();
        if notice.lifecycle() == Some(Lifecycle::Exited) {
            return (notice.name.to_string(), notice.step.state.exit());
        }
    };
    let first = add("first", "exit 1");
    assert_eq!(ended(), ("first".into(), Some(Exit::Code(1))));
    add("second", "exit 2");
    assert_eq!(ended(), ("second".into(), Some(Exit::Code(2))));
    first.start();
    assert_eq!(ended(), ("first".into(), Some(Exit::Code(1))));
    drop(supervisor);
    while wait(events.next()).is_some() {}
}

/// Goal: what runs goes on, and the next run is of the new command.
fn other_command_is_taken_by_the_next_run() {
    let scene = Scene::new(FAST, "echo old > up; sleep 1000");
    scene.unit.start();
    wait_up(&scene.unit);
    scene.line("up");
    let run = scene.unit.state().state().run();
    let path = scene.path("new");
    let script = format!("echo new > {}; sleep 1000", path.display());
    scene.unit.set_command(Command::new("/bin/sh", ["-c", &script]).unwrap());
    // It is handled before the request after it.
    scene.unit.start();
    wait(scene.unit.wait_until(|_| true)).unwrap();
    assert_eq!(scene.unit.state().state().run(), run);
    assert!(!path.exists());
    scene.unit.restart();
    assert_eq!(line(&path), "new");
}

fn works_in_tokio_too() {
    let scene = Scene::new("restart=always", "exec sleep 1000");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut events = scene.unit.events();
        scene.unit.start();
        let status = scene.unit.wait_until(Status::is_up).await.unwrap();
        assert!(status.pid().is_some());
        assert_eq!(scene.unit.stop().await, StopResult::Graceful);
        let first = events.next().await.unwrap();
        assert_eq!(first.lifecycle(), Some(Lifecycle::Starting));
        scene.supervisor.shutdown().await;
    });
}

/// Goal: a zombie that a tracer holds is waited for, without being taken for alive for ever.
/// Method: the tracer is this binary, started again with the test below; its end hands the zombie
/// to its parent.
fn end_of_a_traced_child_is_seen_when_the_tracer_lets_go() {
    let scene = Scene::new("restart=no", "echo $$ > pid; exec sleep 1000");
    scene.unit.start();
    let pid = scene.line("pid");
    let mut tracer = trace(&pid, scene.directory.path());
    scene.line("traced");
    let stopping = scene.unit.kill();
    // The zombie is there, and only the tracer may have it.
    until(|| !runs(&pid));
    assert_eq!(scene.unit.state().exit(), None);
    fs::write(scene.path("go"), "").unwrap();
    assert!(ended(&mut tracer).success());
    assert_eq!(wait(stopping), StopResult::Killed);
    let exit = scene.unit.state().exit();
    assert_eq!(exit, Some(Exit::Signal(Signal::KILL)));
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

fn exit_that_other_code_took_is_an_end_all_the_same() {
    let scene = Scene::new("restart=no", "echo $$ > pid; exec sleep 1000");
    scene.unit.start();
    let pid = nix::unistd::Pid::from_raw(scene.line("pid").parse().unwrap());
    let thief = std::thread::spawn(move || nix::sys::wait::waitpid(pid, None));
    let stopped = wait(scene.unit.stop());
    assert_eq!(stopped, StopResult::Graceful);
    // Who was first is not ours to say.
    let exit = scene.unit.state().exit().unwrap();
    assert!(matches!(exit, Exit::Unknown | Exit::Signal(Signal::TERM)));
    thief.join().unwrap().ok();
}

fn a_process_is_told_ready_and_then_unfit() {
    let scene = Scene::new("restart=no readiness=notify", "exec sleep 1000");
    scene.unit.start();
    let reaches =
        |phase| wait(scene.unit.wait_until(move |status| status.phase() == phase)).unwrap();
    reaches(Phase::Activating);
    scene.unit.ready();
    reaches(Phase::Running);
    scene.unit.unhealthy();
    let down = wait(scene.unit.wait_until(Status::is_down)).unwrap();
    assert_eq!(down.exit(), Some(Exit::Signal(Signal::TERM)));
}

fn a_watchdog_bites_a_process_that_is_silent() {
    let scene = Scene::new("restart=no watchdog=50ms", "exec sleep 1000");
    scene.unit.start();
    scene.unit.ping();
    let down = wait(scene.unit.wait_until(Status::is_down)).unwrap();
    assert_eq!(down.exit(), Some(Exit::Signal(Signal::ABRT)));
}

/// A supervisor whose helper is a script.
fn with_helper(directory: &TempDir, script: &str) -> Supervisor {
    let path = directory.path().join("helper");
    executable::executable(&path, script);
    Supervisor::builder()
        .launcher(&Launcher::at(path))
        .kernel_features(kernel_features::available())
        .start()
        .unwrap()
}

/// Goal: a stop need not wait for a program that cannot be loaded. Method: the helper never becomes
/// it.
fn stop_ends_a_start_that_hangs() {
    for request in [Unit::stop, Unit::kill] {
        let directory = tempfile::tempdir().unwrap();
        let marker = directory.path().join("up");
        let script = format!("#!/bin/sh\necho up > {}\nexec sleep 1000\n", marker.display());
        let supervisor = with_helper(&directory, &script);
        let unit = supervisor.add("slow", Command::new("true", [""; 0]).unwrap(), Policy::DEFAULT);
        unit.start();
        line(&marker);
        wait(unit.wait_until(|status| status.phase() == Phase::Starting)).unwrap();
        wait(request(&unit));
        let status = wait_down(&unit);
        assert_eq!(status.state().reason(), Reason::StopRequested);
    }
}

fn foreign_helper_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let supervisor = with_helper(&directory, "#!/bin/sh\nexit 0\n");
    let command = Command::new("true", [""; 0]).unwrap();
    let unit = supervisor.add("foreign", command, "restart=no".parse::<Policy>().unwrap());
    unit.start();
    let failed = |status: &Status| status.start_error().is_some();
    let status = wait(unit.wait_until(failed)).unwrap();
    let error = status.start_error().unwrap();
    assert!(matches!(error, SpawnError::LauncherDied { .. }), "{error}");
    assert_eq!((error.step(), error.is_transient()), ("launch", true));
    assert_eq!(status.exit(), None);
}

fn memory_needs_a_helper_and_names_are_taken_once() {
    let directory = tempfile::tempdir().unwrap();
    let state = StateDir::open(directory.path()).unwrap();
    let add = |supervisor: &Supervisor| {
        let command = Command::new("true", [""; 0]).unwrap();
        supervisor.restore(&state, OnCrash::Adopt, "web", command, Policy::DEFAULT)
    };
    let error = add(&Supervisor::new().unwrap()).unwrap_err();
    assert!(matches!(error, StateError::NoLauncher), "{error}");
    let supervisor = Supervisor::with_launcher(&Launcher::at("/bin/true")).unwrap();
    let unit = add(&supervisor).unwrap();
    let error = add(&supervisor).unwrap_err();
    assert!(matches!(error, StateError::Taken { .. }), "{error}");
    drop((supervisor, unit));
    let supervisor = Supervisor::with_launcher(&Launcher::at("/bin/true")).unwrap();
    add(&supervisor).unwrap();
}

fn directory_without_a_helper_is_refused() {
    let supervisor = Supervisor::new().unwrap();
    let command = Command::new("true", [""; 0]).unwrap().in_directory("/").unwrap();
    let unit = supervisor.add("here", command, Policy::DEFAULT);
    unit.start();
    let status = wait_down(&unit);
    assert!(matches!(
        status.start_error(),
        Some(SpawnError::NoLauncher { setting: "a working directory", .. })
    ));
}

/// Goal: the deadline that a status shows is that of the timer: armed with what was drawn,
/// shortened never lengthened, and gone with its phase.
fn status_shows_what_is_left_of_a_phase() {
    let deaf = "trap '' TERM; echo up > up; while :; do sleep 0.01; done";
    let scene = Scene::new("restart=always healthy-after=none stop-timeout=1h", deaf);
    let after = |from: Moment, seconds| from.after(Millis::from_secs(seconds));
    scene.unit.start();
    scene.line("up");
    let running = wait(scene.unit.wait_until(Status::is_up)).unwrap();
    assert_eq!(running.due(), None);
    let stop = |seconds| {
        let grace = Grace::After(Millis::from_secs(seconds));
        drop(scene.unit.stop_with(StopMode::Graceful(grace), Origin::User));
        wait(scene.unit.wait_until(|_| true)).unwrap().due().unwrap()
    };
    let begun = now();
    let hour = stop(3_600);
    assert!((after(begun, 3_600)..=after(now(), 3_600)).contains(&hour));
    assert_eq!(stop(7_200), hour);
    assert!(stop(1_800) < hour);
    assert_eq!(wait(scene.unit.kill()), StopResult::Killed);
    assert_eq!(scene.unit.state().due(), None);

    let due_in = |rules: &str, phase| {
        let scene = Scene::new(rules, "exit 1");
        scene.unit.start();
        let waits = scene.unit.wait_until(move |status| status.phase() == phase);
        wait(waits).unwrap().due().unwrap()
    };
    let begun = now();
    let attempt = due_in("restart=always backoff=constant:1h jitter=100", Phase::BackingOff);
    assert!((after(begun, 3_600)..=after(now(), 7_200)).contains(&attempt));
    let begun = now();
    let rules = "restart=always backoff=constant:1ms limit=1/2h:wait";
    let window = due_in(rules, Phase::Throttled);
    assert!((after(begun, 7_200)..=after(now(), 7_200)).contains(&window));
}

/// Goal: a stream that nobody reads is bounded, and the reader that comes is told how much is
/// missing, and where.
fn slow_reader_of_events_is_told_what_it_missed() {
    let supervisor = Supervisor::new().unwrap();
    let command = Command::new("true", [""; 0]).unwrap();
    let unit = supervisor.add("test", command, Policy::DEFAULT);
    let mut streams = [unit.events(), supervisor.events()];
    let mut gone = unit.events();
    let total = u64::try_from(Events::CAPACITY).unwrap() + 100;
    (0..total).for_each(|_| unit.reset());
    completed("all are heard", unit.wait_until(|_| true)).unwrap();
    for events in &mut streams {
        let first = completed("the first that is kept", events.next()).unwrap();
        assert_eq!(first.missed, 100);
        for _ in 1..Events::CAPACITY {
            assert_eq!(completed("another", events.next()).unwrap().missed, 0);
        }
    }
    // The newest is never dropped, and a reader that has caught up misses nothing.
    unit.reset();
    let next = completed("the last", streams[0].next()).unwrap();
    assert_eq!((next.missed, next.event), (0, Event::ResetRequested));
    // One stream after the other gets it.
    completed("all have it", unit.wait_until(|_| true)).unwrap();
    assert_eq!(completed("what is kept of a stream", gone.next()).unwrap().missed, 101);
    drop(supervisor);
    while completed("the end", gone.next()).is_some() {}
}
