//! What programs say of themselves, and what is asked about them, on the real kernel. Every test
//! waits for conditions, and none for time.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking, and says why")]

mod kernel_features;
mod port;
mod speaker;
#[expect(dead_code, reason = "other tests use the rest")]
mod trials;
#[expect(dead_code, reason = "other tests use the rest")]
mod waiting;

use std::cell::RefCell;
use std::env;
use std::fmt;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use monitor_core::{Event, Exit, Millis, Phase, Policy, Reason};
use monitor_os::{
    Capture, CheckResult, Command, ContainmentMode, Events, HealthCheck, KernelFeatures, LogRing,
    Moment, Output, ReadyBy, Status, StopResult, Supervisor, SupervisorBuilder, Terminal,
    TerminalSize, Unit, UnitEvent, now,
};
use port::Port;
use speaker::{own_address, say, speaker, variable};
use tempfile::TempDir;
use trials::{Outcome, launcher, require, trials};
use waiting::{awaited, completed, line, runs, until, within};

trials! {
    processes: [speaker];
    program_says_how_it_is,
    strangers_garbage_and_floods_change_nothing,
    who_speaks_is_of_the_group_of_the_run,
    who_speaks_is_of_the_control_group_of_the_run,
    start_is_extended_and_a_stop_is_not,
    watchdog_hears_the_program,
    newline_on_a_descriptor_makes_it_ready,
    open_port_makes_it_ready,
    line_makes_it_ready,
    line_of_an_earlier_run_does_not_count,
    last_line_before_the_end_counts,
    silence_is_a_failed_start,
    failed_checks_make_it_unhealthy,
    hanging_checks_are_killed,
    stop_ends_the_check,
    checks_wait_for_service,
    answers_name_their_run,
}

/// A supervisor with one unit, in a directory of its own.
struct Scene {
    // Dropped in this order: what runs in the directory ends before it.
    unit: Unit,
    events: RefCell<Events>,
    supervisor: Supervisor,
    directory: TempDir,
}

fn supervisor() -> SupervisorBuilder {
    Supervisor::builder().launcher(&launcher()).kernel_features(kernel_features::available())
}

fn without_cgroup() -> KernelFeatures {
    kernel_features::without(kernel_features::available(), &["cgroup"])
}

/// A status, in the words of the monitor.
struct Seen(Status);

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.phase().name(), self.0.explain())
    }
}

impl Scene {
    fn new(
        builder: SupervisorBuilder,
        policy: &str,
        command: impl FnOnce(&Path) -> Command,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let supervisor = builder.start().unwrap();
        let command = command(directory.path()).in_directory(directory.path()).unwrap();
        let unit = supervisor.add("test", command, policy.parse::<Policy>().unwrap());
        let events = RefCell::new(unit.events());
        unit.start();
        Self { unit, events, supervisor, directory }
    }

    /// One whose program is [`speaker`].
    fn speaking(builder: SupervisorBuilder, policy: &str) -> Self {
        Self::new(builder, policy, |_| speaking().ready_by(ReadyBy::Notify).unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    #[track_caller]
    fn wait(&self, condition: impl Fn(&Status) -> bool) -> Status {
        awaited("a status", || Seen(self.unit.state()), |seen| condition(&seen.0)).0
    }

    /// Makes the speaker say its next message, and waits until it is about to.
    fn say(&self, message: &[u8]) {
        say(self.directory.path(), message);
    }

    /// Waits until this has been the reason of something; restart=no is the last one.
    #[track_caller]
    fn wait_reason(&self, reason: Reason) {
        let mut events = self.events.borrow_mut();
        noticed(&format!("{reason:?}"), &mut events, |notice| {
            notice.step.state.reason() == reason && !notice.status.is_down()
        });
    }

    fn phase(&self) -> Phase {
        self.unit.state().phase()
    }

    fn line(&self, name: &str) -> String {
        line(&self.path(name))
    }
}

/// The first of the events to come that is as it should be, before the unit is down for good.
#[track_caller]
fn noticed(what: &str, events: &mut Events, wanted: impl Fn(&UnitEvent) -> bool) -> UnitEvent {
    let mut seen = Vec::new();
    loop {
        match within(events.next()) {
            Some(Some(notice)) if wanted(&notice) => return notice,
            Some(Some(notice)) if !notice.status.is_down() => seen.push(notice.event.to_string()),
            Some(_) => panic!("the unit is down without {what}; seen instead: {seen:?}"),
            None => panic!("awaited in vain: {what}; seen instead: {seen:?}"),
        }
    }
}

fn speaking() -> Command {
    Command::new(env::current_exe().unwrap(), ["speaker"]).unwrap()
}

fn program_says_how_it_is() {
    let scene = Scene::speaking(supervisor(), "readiness=notify");
    let pid = scene.wait(|status| status.phase() == Phase::Activating).pid().unwrap();
    assert_eq!(variable(pid, "WATCHDOG_USEC"), None);
    scene.say(b"STATUS=loading\x1b[2J 3 of 7\nRELOADING=1");
    let status = scene.wait(|status| status.notify_status().status.is_some());
    assert_eq!(status.notify_status().status.as_deref(), Some("loading [2J 3 of 7"));
    assert!(status.notify_status().is_reloading && status.phase() == Phase::Activating);
    scene.say(b"READY=1");
    scene.wait(|status| status.is_up() && !status.notify_status().is_reloading);
    // Its own number is the main process already; nothing else can be.
    scene.say(format!("MAINPID={pid}\nERRNO=5\nBUSERROR=x").as_bytes());
    let said = scene.wait(|status| status.notify_status().errno == Some(5)).notify_status().clone();
    assert_eq!((said.bus_error.as_deref(), said.not_honoured.len()), (Some("x"), 0));
    scene.say(b"MAINPID=1\nWATCHDOG_USEC=1000000");
    scene.say(b"WATCHDOG_USEC=1000000\nSTOPPING=1");
    let status = scene.wait(|status| status.notify_status().is_stopping);
    assert_eq!(status.notify_status().not_honoured, ["MAINPID", "WATCHDOG_USEC"]);
    assert_eq!((status.pid(), status.notify_status().ignored), (Some(pid), 0));
    assert!(status.is_up());
    // The next run begins in silence.
    scene.unit.restart();
    let status = scene.wait(|status| {
        status.phase() == Phase::Activating && status.pid().is_some_and(|next| next != pid)
    });
    assert_eq!(status.notify_status(), &monitor_os::NotifyStatus::default());
}

fn strangers_garbage_and_floods_change_nothing() {
    let scene = Scene::speaking(supervisor(), "readiness=notify");
    let pid = scene.wait(|status| status.phase() == Phase::Activating).pid().unwrap();
    let stranger = UnixDatagram::unbound().unwrap();
    let address = own_address(pid);
    // It has a queue of its own, and the senders wait for room: so each was read.
    for _ in 0..1_000 {
        stranger.send_to_addr(b"READY=1\nSTATUS=stranger", &address).unwrap();
    }
    scene.wait(|status| status.notify_status().ignored == 1_000);
    scene.say(b"not a word");
    scene.say(&[b'x'; 10_000]);
    let status = scene.wait(|status| status.notify_status().ignored == 1_002);
    assert_eq!(
        (status.notify_status().status.as_deref(), status.phase()),
        (None, Phase::Activating)
    );
    // Another unit of the same supervisor is served meanwhile.
    let flood =
        std::thread::spawn(move || while stranger.send_to_addr(b"READY=1", &address).is_ok() {});
    let policy = "restart=no".parse::<Policy>().unwrap();
    let other = scene.supervisor.add("other", Command::new("/bin/true", [""; 0]).unwrap(), policy);
    other.start();
    let status = completed("a status", other.wait_until(Status::is_down)).unwrap();
    assert_eq!(status.exit(), Some(Exit::Code(0)));
    assert_eq!(scene.phase(), Phase::Activating);
    scene.say(b"READY=1");
    scene.wait(Status::is_up);
    assert_ne!(completed("the end of the stop", scene.unit.stop()), StopResult::NotRunning);
    // The socket went with its run.
    flood.join().unwrap();
}

/// Goal: whoever the containment holds may speak for a run, and nobody else. Here it is a process
/// group.
fn who_speaks_is_of_the_group_of_the_run() {
    for (detached, counts) in [("", true), ("setsid", false)] {
        assert_speaks(detached, without_cgroup(), counts);
    }
}

/// Goal: a process that left the group but not the control group of a run may speak for it.
fn who_speaks_is_of_the_control_group_of_the_run() -> Outcome {
    let all = kernel_features::available();
    require(all.cgroup, "no control group may be made here")?;
    assert_speaks("setsid", all, true);
    Ok(())
}

/// Whether a speaker counts for the run of a shell that started it by `detached`.
fn assert_speaks(detached: &str, features: KernelFeatures, counts: bool) {
    let scene = Scene::new(supervisor().kernel_features(features), "readiness=notify", |_| {
        let test = env::current_exe().unwrap();
        let script = format!("{detached} '{}' speaker & wait; sleep 1000", test.display());
        let command = Command::new("sh", ["-c", &script]).unwrap();
        command.contained_by(ContainmentMode::Auto).ready_by(ReadyBy::Notify).unwrap()
    });
    scene.wait(|status| status.phase() == Phase::Activating);
    scene.say(b"READY=1");
    let status = scene.wait(|status| status.is_up() || status.notify_status().ignored > 0);
    assert_eq!(status.is_up(), counts, "{detached:?} {:?}", status.containment());
}

/// Goal: who asks for more time while it starts has it, and the time for a stop stays the policy's.
fn start_is_extended_and_a_stop_is_not() {
    let policy = "readiness=notify start-timeout=1m stop-timeout=2m restart=no";
    let scene = Scene::new(supervisor(), policy, |_| {
        let script = format!("trap '' TERM; '{}' speaker", env::current_exe().unwrap().display());
        shell(&script).ready_by(ReadyBy::Notify).unwrap()
    });
    let first = scene.wait(|status| status.phase() == Phase::Activating).due().unwrap();
    // What is left is not shortened.
    scene.say(b"EXTEND_TIMEOUT_USEC=1000000");
    scene.say(b"STATUS=asked");
    let status = scene.wait(|status| status.notify_status().status.is_some());
    assert_eq!(status.due(), Some(first));
    scene.say(b"EXTEND_TIMEOUT_USEC=3600000000");
    let later = scene.wait(|status| status.due() > Some(first)).due().unwrap();
    assert!(later >= first.after(Millis::from_secs(3500)), "{later:?} {first:?}");
    drop(scene.unit.stop());
    let due = scene.wait(|status| status.phase() == Phase::Stopping).due();
    scene.say(b"EXTEND_TIMEOUT_USEC=7200000000\nSTATUS=asked again");
    let status =
        scene.wait(|status| status.notify_status().status.as_deref() == Some("asked again"));
    assert_eq!((status.due(), status.phase()), (due, Phase::Stopping));
    drop(scene.unit.kill());
}

/// Goal: a silent program is stopped by its watchdog, and one that speaks is not.
fn watchdog_hears_the_program() {
    let scene = Scene::speaking(supervisor(), "readiness=notify watchdog=1m restart=no");
    let mut events = scene.unit.events();
    let pid = scene.wait(|status| status.phase() == Phase::Activating).pid().unwrap();
    assert_eq!(variable(pid, "WATCHDOG_USEC").as_deref(), Some("60000000"));
    assert_eq!(variable(pid, "WATCHDOG_PID"), Some(pid.to_string()));
    scene.say(b"READY=1");
    scene.say(b"WATCHDOG=1");
    let pinged = |notice: &UnitEvent| matches!(notice.event, Event::Ping { .. });
    let ping = noticed("a ping", &mut events, pinged);
    assert_eq!(ping.step.note, monitor_core::Note::Applied);
    // The word by which a program says that it is lost.
    scene.say(b"WATCHDOG=trigger");
    scene.wait_reason(Reason::Unhealthy);

    let scene = Scene::speaking(supervisor(), "watchdog=50ms restart=no");
    scene.wait_reason(Reason::Watchdog);
}

/// Goal: each number can be the descriptor, also one that the start itself uses.
fn newline_on_a_descriptor_makes_it_ready() {
    for number in (3..40).chain([255]) {
        let scene = Scene::new(supervisor(), "readiness=notify", |_| {
            let script = format!(
                "until [ -e go ]; do sleep 0.01; done; echo > /proc/self/fd/{number}; exec sleep 1000"
            );
            let command = Command::new("sh", ["-c", &script]).unwrap();
            command.ready_by(ReadyBy::Descriptor(number)).unwrap()
        });
        scene.wait(|status| status.phase() == Phase::Activating);
        fs::write(scene.path("go"), "").unwrap();
        scene.wait(Status::is_up);
    }
    let command = Command::new("true", [""; 0]).unwrap();
    assert!(command.ready_by(ReadyBy::Descriptor(2)).is_err());
}

fn open_port_makes_it_ready() {
    let port = Port::new();
    let scene = Scene::new(supervisor(), "readiness=notify start-timeout=1m", |_| {
        let command = Command::new("sleep", ["1000"]).unwrap();
        command.ready_by(ReadyBy::Tcp(port.address())).unwrap()
    });
    scene.wait(|status| status.phase() == Phase::Activating);
    port.listen();
    scene.wait(Status::is_up);
}

fn shell(script: &str) -> Command {
    Command::new("sh", ["-c", script]).unwrap()
}

/// What keeps its lines in a ring, and waits for one that ends with `ready`.
fn capture(ring: &LogRing) -> Capture {
    Capture::new().to_ring(ring.clone()).ready_at("ready$".parse().unwrap())
}

fn has_line(ring: &LogRing, text: &str) -> bool {
    ring.lines().iter().any(|line| &*line.text == text.as_bytes())
}

/// Goal: the line counts on each way that it can take, and no other line does.
fn line_makes_it_ready() {
    let script = "echo not ready yet$1 >&$0; until test -e go; do sleep 0.01; done; echo now ready >&$0; \
                  exec sleep 1000";
    let stream = |number| Command::new("sh", ["-c", script, number]).unwrap();
    let ways: [fn(Command, Capture) -> Command; 4] = [
        |command, capture| command.with_output(Output::Captured(capture)),
        |command, capture| command.with_error(Output::Captured(capture)),
        |command, capture| command.with_output(Output::Captured(capture)).with_joined_error(),
        |command, capture| command.on_terminal(Terminal::new(TerminalSize::default()), capture),
    ];
    for (lead, number) in ways.into_iter().zip(["1", "2", "2", "1"]) {
        let ring = LogRing::new(4096);
        let scene = Scene::new(supervisor(), "readiness=notify start-timeout=1m", |_| {
            lead(stream(number), capture(&ring))
        });
        until(|| ring.end() > 0);
        scene.wait(|status| status.phase() == Phase::Activating);
        fs::write(scene.path("go"), "").unwrap();
        scene.wait(Status::is_up);
    }
}

/// Goal: a line counts for the run that printed it, and the next one has a line of its own to
/// print.
fn line_of_an_earlier_run_does_not_count() {
    let ring = LogRing::new(4096);
    let scene = Scene::new(supervisor(), "readiness=notify scope=process", |_| {
        // One that nobody stops ends with its directory.
        let left = "until test -e go1; do test -e left || exit; sleep 0.01; done; echo left ready; exec sleep 60";
        let script = format!(
            "if mkdir first 2> /dev/null; then setsid sh -c 'echo $$ > left; {left}' & until test -s left; do sleep 0.01; done; \
             else until test -e go2; do sleep 0.01; done; fi; echo own ready; exec sleep 1000"
        );
        shell(&script)
            .contained_by(ContainmentMode::Group)
            .with_output(Output::Captured(capture(&ring)))
    });
    scene.wait(Status::is_up);
    scene.unit.restart();
    let second = |status: &Status| status.state().run().as_u32() == 2;
    scene.wait(|status| second(status) && status.phase() == Phase::Activating);
    fs::write(scene.path("go1"), "").unwrap();
    until(|| has_line(&ring, "left ready"));
    let lines = ring.lines();
    let line = lines.iter().find(|line| &*line.text == b"left ready").unwrap();
    assert_eq!(line.run.as_u32(), 1);
    // A request that is handled after the effects of the line.
    scene.unit.reset();
    let status = completed("a status", scene.unit.wait_until(|_| true)).unwrap();
    assert_eq!(status.phase(), Phase::Activating);
    fs::write(scene.path("go2"), "").unwrap();
    scene.wait(|status| second(status) && status.is_up());
    let left = scene.line("left");
    assert!(runs(&left));
    assert!(std::process::Command::new("kill").arg(&left).status().unwrap().success());
}

/// Goal: what is printed right before the end is heard before it, also without a newline.
fn last_line_before_the_end_counts() {
    let ring = LogRing::new(4096);
    // A run that ends without it has failed.
    let scene = Scene::new(supervisor(), "readiness=notify restart=on-failure retries=0", |_| {
        shell("printf ready").with_output(Output::Captured(capture(&ring)))
    });
    for run in 1..=100 {
        let status = completed("a status", scene.unit.wait_until(Status::is_down)).unwrap();
        let state = status.state();
        assert_eq!((state.run().as_u32(), state.reason()), (run, Reason::Completed));
        scene.unit.start();
    }
}

/// Goal: a start that is not ready in time has failed, by the policy's own rule.
fn silence_is_a_failed_start() {
    let scene = Scene::speaking(supervisor(), "readiness=notify start-timeout=20ms restart=no");
    scene.wait_reason(Reason::StartTimeout);
    let ring = LogRing::new(4096);
    let scene = Scene::new(supervisor(), "readiness=notify start-timeout=20ms restart=no", |_| {
        shell("echo not ready yet; exec sleep 1000").with_output(Output::Captured(capture(&ring)))
    });
    scene.wait_reason(Reason::StartTimeout);
}

fn check(script: &str) -> HealthCheck {
    let check = HealthCheck::new("sh", ["-c", script]).unwrap();
    check.with_interval(Millis::new(5)).unwrap()
}

fn failed_checks_make_it_unhealthy() {
    let scene = Scene::new(supervisor(), "restart=always backoff=constant:1ms", |_| {
        let script = "echo check >> checks; test -e well";
        let command = Command::new("sh", ["-c", "echo > well; exec sleep 1000"]).unwrap();
        command.with_health_check(check(script).with_retries(2).unwrap())
    });
    let passed = |status: &Status| {
        let last = status.health().and_then(|health| health.last.clone());
        last.is_some_and(|(_, checked)| checked.passed() == Some(true))
    };
    let first = scene.wait(passed).pid().unwrap();
    let mut events = scene.unit.events();
    fs::remove_file(scene.path("well")).unwrap();
    let unfit = |notice: &UnitEvent| matches!(notice.event, Event::Unhealthy { .. });
    let notice = noticed("the word that it is not healthy", &mut events, unfit);
    let health = notice.status.health().unwrap();
    assert_eq!((health.failures, health.retries), (2, 2));
    // The next run is checked anew, and from nothing.
    let next = scene.wait(|status| status.pid() != Some(first) && passed(status));
    assert_eq!(next.state().run().as_u32(), 2);
    assert_eq!(next.health().unwrap().failures, 0);
    drop(scene.unit.stop());
    scene.wait(Status::is_down);
    let checks = fs::read_to_string(scene.path("checks")).unwrap().lines().count();
    assert!(checks >= 4, "{checks}");
}

/// A check that hangs with a child, does not end when it is asked to, and sees another one beside
/// it.
const HANGING: &str = "trap '' TERM; test -e checks && test -e /proc/$(tail -n 1 checks) && echo two > two; \
                       sleep 1000 & echo $! > child.new; mv child.new child; echo $$ >> checks; wait";

fn ways_to_hold() -> [SupervisorBuilder; 2] {
    [supervisor().kernel_features(without_cgroup()), supervisor()]
}

/// Goal: a check that hangs is killed at its timeout with what it has started, and counts as
/// failed; there are never two. For each way to hold a run.
fn hanging_checks_are_killed() {
    for builder in ways_to_hold() {
        let scene = Scene::new(builder, "restart=no", |_| {
            let check = check(HANGING).with_timeout(Millis::new(100)).unwrap();
            let command = Command::new("sleep", ["1000"]).unwrap();
            command.with_health_check(check.with_retries(1_000).unwrap())
        });
        let status =
            scene.wait(|status| status.health().is_some_and(|health| health.failures >= 3));
        let (_, checked) = status.health().unwrap().last.clone().unwrap();
        assert_eq!(checked, CheckResult::TimedOut);
        let checks = fs::read_to_string(scene.path("checks")).unwrap();
        // But for the last, which may be running.
        for pid in checks.lines().rev().skip(1) {
            assert!(!runs(pid), "{pid}");
        }
        assert!(!scene.path("two").exists());
        let child = scene.line("child");
        drop(scene.unit.kill());
        until(|| !runs(&child));
    }
}

/// Goal: a check is killed when the run stops to serve, though its own timeout is far off, and
/// nothing of it is left when the unit is down. For each way to hold a run.
fn stop_ends_the_check() {
    for builder in ways_to_hold() {
        let scene = Scene::new(builder, "restart=no", |_| {
            let command = Command::new("sleep", ["1000"]).unwrap();
            command.with_health_check(check(HANGING).with_timeout(Millis::from_secs(600)).unwrap())
        });
        let check = scene.line("checks");
        let child = scene.line("child");
        // The check sits out the signal: without the kill it would take the grace.
        assert_eq!(completed("the end of the stop", scene.unit.stop()), StopResult::Graceful);
        assert!(!runs(&check), "{check}");
        // It was killed with the check, and may take a moment longer to die.
        until(|| !runs(&child));
    }
}

/// Goal: no check runs while it is not up, and an unfit command of a check is a failure with a
/// reason.
fn checks_wait_for_service() {
    let scene = Scene::new(supervisor(), "readiness=notify restart=no", |_| {
        let check = HealthCheck::new("/no/such/check", [""; 0]).unwrap();
        // The first one does not wait for the interval.
        let check = check.with_interval(Millis::from_secs(600)).unwrap();
        let check = check.with_start_delay(Millis::new(0)).with_retries(1).unwrap();
        speaking().ready_by(ReadyBy::Notify).unwrap().with_health_check(check)
    });
    let status = scene.wait(|status| status.phase() == Phase::Activating);
    assert!(status.health().is_none());
    scene.say(b"READY=1");
    scene.wait_reason(Reason::Unhealthy);
    let status = scene.wait(Status::is_down);
    let (at, checked) = status.health().unwrap().last.clone().unwrap();
    assert!(checked.to_string().contains("/no/such/check"), "{checked}");
    assert!(at > Moment::ORIGIN && at <= now());
}

/// Goal: a late answer about a run does not hit the next one.
fn answers_name_their_run() {
    let scene = Scene::new(supervisor(), "restart=always backoff=constant:1ms", |_| {
        Command::new("sleep", ["1000"]).unwrap()
    });
    let first = scene.wait(Status::is_up).state().run();
    scene.unit.restart();
    scene.wait(|status| status.is_up() && status.state().run() != first);
    let mut events = scene.unit.events();
    scene.unit.unhealthy_of(first);
    let notice = noticed("an event", &mut events, |_| true);
    assert_eq!(notice.step.note, monitor_core::Note::Stale);
    assert!(scene.unit.state().is_up());
}
