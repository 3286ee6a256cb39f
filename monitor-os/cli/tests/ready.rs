//! What a program says of itself, as the program `monitor` tells it and the next monitor hears it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
mod program;
mod speaker;
#[expect(dead_code, reason = "other tests use the rest")]
mod trials;
use program::waiting;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::net::UnixDatagram;

use monitor_core::Millis;
use monitor_os::now;
use program::{Running, monitor, stderr};
use speaker::{own_address, say, speaker, variable};
use trials::trials;
use waiting::{line, until};

trials! {
    processes: [speaker];
    what_the_monitor_was_told_is_not_the_programs,
    line_is_a_flag,
    adopted_program_is_heard,
    adopted_program_that_lost_its_address_goes_on,
    addresses_are_not_guessed,
    adopted_program_that_falls_silent_is_stopped,
    ping_that_waits_for_a_suspended_monitor_counts,
}

/// Goal: what the monitor itself was told by who watches it is not taken by its program for its
/// own. Method: a watchdog of the monitor, and a program with a socket, one without a watchdog and
/// one with it.
fn what_the_monitor_was_told_is_not_the_programs() {
    for (watchdog, told) in [(None, None), (Some("watchdog=1h"), Some("3600000000"))] {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().to_str().unwrap();
        let policy = watchdog.map_or(vec![], |watchdog| vec!["--policy", watchdog]);
        // It stays a shell: a process has no environment in the middle of an exec.
        let script = ["--", "sh", "-c", "echo > up; sleep 1000; :"];
        let mut command = monitor(&["run", "--restart", "no", "--ready", "notify", "--cwd", place]);
        command.args(policy).args(script).env("NOTIFY_SOCKET", "@of-the-monitor");
        let mut running =
            Running::of(command.env("WATCHDOG_USEC", "777").env("WATCHDOG_PID", "777"));
        let line = running.wait_for(" started #1 pid ");
        let pid = line.trim_end().rsplit(' ').next().unwrap().parse().unwrap();
        until(|| directory.path().join("up").exists());
        assert_ne!(variable(pid, "NOTIFY_SOCKET").unwrap(), "@of-the-monitor");
        assert_eq!(variable(pid, "WATCHDOG_USEC").as_deref(), told);
        assert_eq!(variable(pid, "WATCHDOG_PID"), told.map(|_| pid.to_string()));
        running.signal("TERM");
        running.finish();
    }
}

/// Goal: the flag captures what it must see, shows it, and reaches a program that outlived its
/// monitor.
fn line_is_a_flag() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let script =
        "echo loading; until test -e go; do sleep 0.01; done; echo 'Up: port 80'; exec sleep 1000";
    let args = [
        "--state",
        state.to_str().unwrap(),
        "--cwd",
        directory.path().to_str().unwrap(),
        "--ready",
        "line:^(?i)up: port \\d+$",
        "--",
        "sh",
        "-c",
        script,
    ];
    let mut first = Running::start(&args);
    first.wait_for(" started #1");
    first.kill();
    let mut second = Running::start(&args);
    second.wait_for("adopted #1");
    fs::write(directory.path().join("go"), "").unwrap();
    second.wait_for(" ready");
    second.signal("TERM");
    second.finish();
    fs::write(directory.path().join("go"), "").unwrap();
    let script = "cd $0; echo Up: port 80; exit 3";
    let output = monitor(&["run", "--restart=no", "--ready=line:^Up", "--", "sh", "-c", script])
        .arg(directory.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(output.stdout, b"Up: port 80\n");
    assert!(stderr(&output).contains(" ready"), "{}", stderr(&output));
    for (ready, streams, word) in [
        ("--ready=line:(", "--stdout=log", "unclosed group"),
        ("--ready=line:x", "--stdout=null", "neither stdout nor stderr"),
    ] {
        let refused =
            monitor(&["run", ready, streams, "--stderr=null", "--", "true"]).output().unwrap();
        assert!(!refused.status.success());
        assert!(stderr(&refused).contains("--ready") && stderr(&refused).contains(word));
    }
}

/// Goal: a program that outlives its monitor speaks to the next one, and is not killed by a pipe
/// without a reader.
fn adopted_program_is_heard() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let test = env::current_exe().unwrap();
    let args = [
        "--state",
        state.to_str().unwrap(),
        "--cwd",
        directory.path().to_str().unwrap(),
        "--ready",
        "notify",
        "--health",
        "test ! -e ill",
        "--health-interval",
        "10ms",
        "--policy",
        "watchdog=1m",
        "--",
        test.to_str().unwrap(),
        "speaker",
    ];
    let mut first = Running::start(&args);
    first.wait_for(" started #1");
    first.kill();
    let mut second = Running::start(&args);
    second.wait_for("adopted #1");
    say(directory.path(), b"READY=1\nSTATUS=it is me");
    second.wait_for(" ready");
    let status = || {
        let output = monitor(&["status", "--state", state.to_str().unwrap()]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    until(|| status().contains("it is me") && status().contains("health    passed, "));
    fs::write(directory.path().join("ill"), "").unwrap();
    second.wait_for("failed its health check");
    second.signal("TERM");
    second.finish();
}

/// Goal: a program that outlives its monitor is not ended because another process has taken its
/// address meanwhile: it counts as ready, is not held to its watchdog, and this is shown. Method:
/// it has not said yet that it is ready, has 200 ms to say it, and is told to ping every 100 ms.
fn adopted_program_that_lost_its_address_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    let state = directory.path().join("state");
    let state = state.to_str().unwrap();
    let start = |timeout| {
        let options = ["--state", state, "--cwd", place, "--ready", "notify", "--restart", "no"];
        let policy = ["--start-timeout", timeout, "--policy", "watchdog=100ms healthy-after=1s"];
        let command = ["--", "sh", "-c", "echo $$ > pid; exec sleep 1000"];
        Running::start(&[&options[..], &policy, &command].concat())
    };
    let mut first = start("1h");
    first.wait_for(" started #1");
    let pid = line(&directory.path().join("pid")).parse().unwrap();
    let address = own_address(pid);
    first.kill();
    let squatter = UnixDatagram::bind_addr(&address).unwrap();
    let mut second = start("200ms");
    let adopted = second.wait_for("adopted #1");
    assert!(adopted.contains("another process has taken its notify address"), "{adopted}");
    second.wait_for(" ready");
    second.wait_for(" healthy");
    let shown = monitor(&["status", "--state", state]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("notify    unreachable: another process has its notify address"),
        "{shown}"
    );
    second.signal("TERM");
    second.finish();
    drop(squatter);
}

/// Goal: nobody knows the address of the next run: it is not like that of the run before.
fn addresses_are_not_guessed() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    let script = "echo $NOTIFY_SOCKET >> addresses; exit 1";
    let options = ["--cwd", place, "--ready", "notify", "--restart", "on-failure:2"];
    let command = ["--backoff-initial", "1ms", "--", "sh", "-c", script];
    monitor(&[&["run"], &options[..], &command].concat()).output().unwrap();
    let text = fs::read_to_string(directory.path().join("addresses")).unwrap();
    let token = |line: &str| {
        let token = line.strip_prefix("@monitor-")?.strip_suffix("/notify")?;
        u128::from_str_radix(token, 16).ok().filter(|_| token.len() == 32)
    };
    let tokens: BTreeSet<_> = text.lines().map(|line| token(line).unwrap()).collect();
    assert_eq!(tokens.len(), 3, "{text}");
    let near = |(one, two): (&u128, &u128)| two - one < 1 << 64;
    assert!(!tokens.iter().zip(tokens.iter().skip(1)).any(near), "{text}");
}

/// Goal: a program that outlives its monitor is held to the watchdog of which it was told. Method:
/// a monitor that says 100 ms is killed; the next one, which says an hour, hears that it serves,
/// and then nothing.
fn adopted_program_that_falls_silent_is_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    let state = directory.path().join("state");
    let test = env::current_exe().unwrap();
    let test = test.to_str().unwrap();
    let start = |policy| {
        let options = ["--state", state.to_str().unwrap(), "--cwd", place, "--ready", "notify"];
        let command = ["--policy", policy, "--", test, "speaker"];
        Running::start(&[&options[..], &command].concat())
    };
    let mut first = start("watchdog=100ms");
    first.wait_for(" started #1");
    first.kill();
    let mut second = start("restart=no watchdog=1h");
    second.wait_for("adopted #1");
    say(directory.path(), b"READY=1");
    second.wait_for("sent no ping in time");
    second.finish();
}

/// Goal: a monitor that was suspended hears the ping that waits for it before it judges the watchdog.
/// Method: the monitor is stopped until the watchdog is due, the program pings, and the monitor goes
/// on.
fn ping_that_waits_for_a_suspended_monitor_counts() {
    const WATCHDOG: Millis = Millis::from_secs(3);
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    let test = env::current_exe().unwrap();
    let options = ["--cwd", place, "--ready", "notify", "--restart", "no"];
    let command = ["--policy", "watchdog=3s", "--", test.to_str().unwrap(), "speaker"];
    let mut running = Running::start(&[&options[..], &command].concat());
    running.wait_for(" started #1");
    say(directory.path(), b"READY=1");
    running.wait_for(" ready");
    running.signal("STOP");
    let is_stopped = |stat: String| stat.rsplit_once(") ").unwrap().1.starts_with('T');
    let stat = format!("/proc/{}/stat", running.id());
    until(|| is_stopped(fs::read_to_string(&stat).unwrap()));
    let due = now().after(WATCHDOG);
    until(|| now() > due);
    say(directory.path(), b"WATCHDOG=1");
    running.signal("CONT");
    running.signal("TERM");
    let (_, text) = running.finish();
    assert!(!text.contains("sent no ping in time"), "{text}");
}
