//! The program `monitor`, from outside.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the tests of crashes use the rest")]
mod program;

use std::fs::{self, File};
use std::process::{Command, Stdio};

use monitor_os::now;
use monitor_os::record::{RecordLine, RecordReader};
use program::waiting::{awaited, ended, until};
use program::{Running, code, monitor, run, stderr};

#[test]
fn exit_status_is_that_of_the_child() {
    for (script, status) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
    ] {
        let output = run(&["--restart", "no", "--", "sh", "-c", script]);
        assert_eq!(code(&output), status, "{script}: {}", stderr(&output));
    }
}

#[test]
fn start_errors_have_the_shells_statuses_and_one_line() {
    for (command, status) in [("monitor-no-such-program", 127), ("/etc/passwd", 126)] {
        // A directory that may not be searched would hide that there is none.
        let run = |args: &[&str]| {
            let mut command = monitor(&[&["run"], args].concat());
            command.env("PATH", "/usr/bin:/bin").output().unwrap()
        };
        let output = run(&["--", command]);
        assert_eq!(code(&output), status);
        let text = stderr(&output);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("cannot start") && text.contains(command), "{text}");
        let quiet = run(&["--quiet", "--", command]);
        assert_eq!(code(&quiet), status);
        assert!(stderr(&quiet).contains(command));
    }
    let output = run(&["--record", "/no/such/directory/record", "--", "true"]);
    assert_eq!(code(&output), 125);
    assert!(stderr(&output).contains("--record"));
}

/// Goal: how long a run took is what lies between the lines of its start and its end. Method: a
/// start that takes long, since its environment is in a named pipe.
#[test]
fn length_of_a_run_counts_from_its_start() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("env");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let words = ["--restart", "no", "--env-file", pipe.to_str().unwrap(), "--", "true"];
    let begun = now();
    let mut running = Running::start(&words);
    until(|| now().nanos_since(begun) > 300_000_000);
    fs::write(&pipe, "A=1\n").unwrap();
    let seconds = |text: &str| text.trim().trim_end_matches('s').parse::<f64>().unwrap();
    let at =
        |line: &str| seconds(line.strip_prefix("monitor:").unwrap().split_once('s').unwrap().0);
    let started = running.wait_for("started #1");
    let exited = running.wait_for("exited #1 code 0 after ");
    let lasted = seconds(exited.rsplit_once(' ').unwrap().1);
    // They are cut to hundredths and thousandths.
    assert!(lasted < at(&exited) - at(&started) + 0.011, "{started}{exited}");
    assert_eq!(running.finish().0, 0);
}

#[test]
fn retries_are_told_in_lines() {
    let output = run(&[
        "--restart",
        "on-failure:3",
        "--backoff-initial",
        "1ms",
        "--",
        "sh",
        "-c",
        "echo out; exit 7",
    ]);
    assert_eq!(code(&output), 7);
    assert_eq!(output.stdout, b"out\nout\nout\nout\n");
    let text = stderr(&output);
    assert_eq!(text.matches(" started #").count(), 4, "{text}");
    assert!(text.contains("then attempt #2 (2 retries left)"), "{text}");
    assert!(text.contains("then attempt #4 (0 retries left)"), "{text}");
    assert!(text.contains("gave up: all 3 retries are used, last code=7"), "{text}");
    assert!(!text.contains('\x1b'), "colours where there is no terminal");
}

#[test]
fn quiet_says_nothing() {
    let output = run(&["-q", "--restart", "no", "--", "sh", "-c", "exit 3"]);
    assert_eq!(code(&output), 3);
    assert_eq!(stderr(&output), "");
}

#[test]
fn wrong_log_filter_is_told_and_stops_nothing() {
    let output = monitor(&["run", "-q", "--restart", "no", "--", "sh", "-c", "exit 3"])
        .env("MONITOR_LOG", "monitor_os=loud")
        .output()
        .unwrap();
    assert_eq!(code(&output), 3);
    let text = stderr(&output);
    assert!(text.contains("MONITOR_LOG: \"monitor_os=loud\"") && text.contains("debug"), "{text}");
}

#[test]
fn json_lines_are_objects() {
    let output = run(&["--events", "json", "--restart", "no", "--", "sh", "-c", "exit 3"]);
    assert_eq!(code(&output), 3);
    let events: Vec<serde_json::Value> =
        stderr(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["starting", "started", "exited", "stopped"]);
    assert!(events[1]["pid"].is_u64());
    assert_eq!(events[2]["outcome"], "code=3");
}

#[test]
fn record_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("record");
    let output = run(&[
        "--record",
        path.to_str().unwrap(),
        "--restart",
        "on-failure:1",
        "--backoff-initial",
        "1ms",
        "--",
        "sh",
        "-c",
        "exit 7",
    ]);
    assert_eq!(code(&output), 7);
    let file = File::open(path).unwrap();
    let mut reader = RecordReader::new(std::io::BufReader::new(file));
    let head = reader.read().unwrap();
    assert!(matches!(head, Some((1, RecordLine::Head { name, .. })) if name == "sh"));
    let mut exits = 0;
    while let Some((_, line)) = reader.read().unwrap() {
        if let RecordLine::Step(step) = line {
            exits += usize::from(step.event.to_string().ends_with("code=7"));
        }
    }
    assert_eq!(exits, 2);
}

#[test]
fn term_during_a_backoff_ends_the_monitor() {
    let mut running = Running::start(&[
        "--restart",
        "always",
        "--backoff-initial",
        "1m",
        "--",
        "sh",
        "-c",
        "exit 3",
    ]);
    running.wait_for("backing off");
    running.signal("TERM");
    let (code, rest) = running.finish();
    assert_eq!(code, 3);
    assert!(rest.contains("stopped: the monitor is going down"), "{rest}");
}

#[test]
fn stop_signals_bring_the_child_down() {
    for signal in ["TERM", "INT", "HUP"] {
        let mut running = Running::start(&["--restart", "always", "--", "sleep", "1000"]);
        running.wait_for("started");
        running.signal(signal);
        let (code, rest) = running.finish();
        assert_eq!(code, 143, "{rest}");
    }
}

#[test]
fn hang_up_that_is_ignored_from_the_start_stays_ignored() {
    let mut running = Running::of(
        Command::new("/bin/sh")
            .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
            .arg(env!("CARGO_BIN_EXE_monitor"))
            .args(["run", "--backoff-initial", "1ms", "--", "sleep", "1000"]),
    );
    let started = running.wait_for("started #1 pid ");
    running.signal("HUP");
    let (_, pid) = started.trim().rsplit_once(' ').unwrap();
    let killed = Command::new("kill").args(["-KILL", pid]).status();
    assert!(killed.unwrap().success());
    running.wait_for("started #2");
    running.signal("TERM");
    assert_eq!(running.finish().0, 143);
}

#[test]
fn deaf_child_is_killed_after_the_grace_or_by_a_second_interrupt() {
    let directory = tempfile::tempdir().unwrap();
    for (grace, interrupts) in [("20ms", 1), ("never", 2)] {
        let up = directory.path().join(grace);
        let script = format!("trap '' TERM; echo > {}; while :; do sleep 1000; done", up.display());
        let mut running = Running::start(&["--stop-timeout", grace, "--", "sh", "-c", &script]);
        for _ in 0..60_000 {
            if up.exists() {
                break;
            }
            std::thread::park_timeout(std::time::Duration::from_millis(1));
        }
        for _ in 0..interrupts {
            running.signal("INT");
            if interrupts == 2 {
                running.wait_for("ing #1");
            }
        }
        let (code, rest) = running.finish();
        assert_eq!(code, 137, "{rest}");
    }
}

#[test]
fn closed_standard_error_disturbs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let runs = directory.path().join("runs");
    let script = format!("echo run >> {}; exit 7", runs.display());
    let mut child = monitor(&["run", "--restart", "on-failure:3", "--backoff-initial", "1ms"])
        .args(["--", "sh", "-c", &script])
        .env("MONITOR_LOG", "trace")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    assert_eq!(ended(&mut child).code(), Some(7));
    assert_eq!(fs::read_to_string(runs).unwrap().lines().count(), 4);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let status = monitor(&["run", "--restart", "no", "--record", "/dev/full", "--", "sh"])
        .args(["-c", "exit 4"])
        .stderr(full)
        .status();
    assert_eq!(status.unwrap().code(), Some(4));
}

#[test]
fn wrong_options_name_option_value_and_fix() {
    for (args, words) in [
        (vec!["--restart", "sometimes"], vec!["--restart", "sometimes", "on-failure:3"]),
        (vec!["--stop-timeout", "10"], vec!["--stop-timeout", "\"10\"", "such as 100ms", "never"]),
        (vec!["--preset", "upstart"], vec!["upstart", "systemd", "kubelet"]),
        (vec!["--policy", "colour=red"], vec!["--policy", "colour", "restart"]),
        (vec!["--backoff-initial", "2m"], vec!["2m", "1m", "raise it or lower the first"]),
        (vec!["--jitter", "101"], vec!["--jitter", "101", "0 to 100"]),
        (vec!["--ready", "fd:x"], vec!["--ready", "fd:x", "tcp:8080"]),
        (vec!["--ready", "fd:2"], vec!["--ready", "descriptor 2", "3 to 255"]),
        (vec!["--ready", "tcp:0"], vec!["--ready", "port 0", "1 to 65535"]),
        (vec!["--health-retries", "2"], vec!["--health-retries", "no health check"]),
        (vec!["--health", "true", "--health-interval", "0s"], vec!["--health-interval", "1ms"]),
        (vec!["--kill-window", "0s"], vec!["kill-window", "0", "at least 1ms"]),
    ] {
        let output = run(&[&args[..], &["--", "true"]].concat());
        assert_eq!(code(&output), 2);
        let text = stderr(&output);
        for word in words {
            assert!(text.contains(word), "{word:?} is not in {text}");
        }
    }
    assert_eq!(code(&run(&[])), 2);
    // A misspelled option is no command; those of the command are its own.
    let output = run(&["--restrat", "always", "--", "true"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("--restart"), "{}", stderr(&output));
    assert_eq!(code(&run(&["--restart", "no", "sh", "-c", "exit 6", "--quiet"])), 6);
}

#[test]
fn help_teaches() {
    let output = run(&["--help"]);
    assert_eq!(code(&output), 0);
    let text = String::from_utf8(output.stdout).unwrap();
    for word in ["Examples:", "Exit status:", "127", "docker-2014", "[default: 10s]", "NO_COLOR"] {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
}

#[test]
fn errors_name_the_step_that_failed() {
    let output = run(&["--cwd", "/no/such/directory", "--", "true"]);
    let text = stderr(&output);
    assert_eq!(code(&output), 126, "{text}");
    assert!(text.contains("cannot enter the working directory `/no/such/directory`"), "{text}");
    let output = run(&["--restart", "no", "--cwd", "/", "--", "sh", "-c", "pwd"]);
    assert_eq!(output.stdout, b"/\n");
}

/// Goal: the program has nothing of the helper: signals at their defaults, though Rust ignores one,
/// no descriptor beside the three, and the name that it was given.
#[test]
fn program_starts_clean() {
    // It reads its own: a shell that starts another program blocks everything meanwhile.
    let output = run(&["--restart", "no", "--", "cat", "/proc/self/status"]);
    let status = String::from_utf8(output.stdout).unwrap();
    let set = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    // The C library ignores its two internal signals in every child.
    assert_eq!((set("SigBlk:"), set("SigIgn:") & !0x1_8000_0000), (0, 0), "{status}");
    let script = "ls /proc/$$/fd; echo; tr '\\0' ' ' < /proc/$$/cmdline";
    let output = run(&["--restart", "no", "--", "sh", "-c", script, "name"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let (fds, name) = text.split_once("\n\n").unwrap();
    // What the test program was given without close-on-exec is not the monitor's doing.
    let given = |fd: &str| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        flags.is_some_and(|flags| i64::from_str_radix(flags.trim(), 8).unwrap() & O_CLOEXEC == 0)
    };
    for fd in fds.lines() {
        assert!(["0", "1", "2"].contains(&fd) || given(fd), "{fd} leaked");
    }
    assert!(name.starts_with("sh -c ls "), "{name}");
}

const O_CLOEXEC: i64 = 0o2_000_000;

/// Goal: a program that somebody writes to is tried again. Method: it is held open until the first
/// failure is told.
#[test]
fn busy_program_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("prog");
    fs::copy("/bin/true", &path).unwrap();
    let writer = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let mut running = Running::start(&["--backoff-initial", "1ms", "--", path.to_str().unwrap()]);
    assert!(running.wait_for("cannot start").contains("open for writing"));
    drop(writer);
    running.wait_for("started");
    assert_eq!(running.finish().0, 0);
}

/// Goal: what a run printed last is shown when it fails, and only what is not on the screen
/// already.
#[test]
fn last_words_of_a_run_are_shown_when_it_fails() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let log = log.to_str().unwrap();
    let script = "seq 1 20; printf '\\033[1mlast' >&2; exit 3";
    let args = ["--restart", "no", "--log", log, "--", "sh", "-c", script];
    let output = run(&args);
    assert_eq!(code(&output), 3);
    let text = stderr(&output);
    assert!(text.contains("| 20\n") && text.contains("| \u{fffd}[1mlast\n"), "{text}");
    assert_eq!(text.matches("| ").count(), 10, "{text}");
    assert_eq!(output.stdout, b"");
    assert_eq!(fs::read_to_string(log).unwrap().lines().count(), 21);
    // Neither after a success, nor if it is there to be seen.
    for args in [
        vec!["--log", log, "--restart", "no", "--", "sh", "-c", "echo x"],
        vec!["--log", log, "--log-echo", "--restart", "no", "--", "sh", "-c", "echo x; exit 3"],
    ] {
        assert!(!stderr(&run(&args)).contains("| "), "{args:?}");
    }
}

#[test]
fn prefixed_lines_have_time_and_stream() {
    let script = "echo out; echo err >&2";
    let args =
        ["--restart", "no", "-q", "--log-prefix", "--stderr", "stdout", "--", "sh", "-c", script];
    let output = run(&args);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let words: Vec<Vec<_>> = text.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(words.len(), 2, "{text}{}", stderr(&output));
    assert_eq!([&words[0][1..], &words[1][1..]], [["stdout", "F", "out"], ["stdout", "F", "err"]]);
    assert!(words[0][0].ends_with('Z') && words[0][0].contains('T'), "{text}");
}

#[test]
fn input_is_given_to_each_run() {
    let directory = tempfile::tempdir().unwrap();
    let said = directory.path().join("said");
    // The second run reads on to the end.
    let script = format!(
        "exec 3>> {}; echo up >&3; read -r line; echo $line >&3; test $line = two && cat",
        said.display()
    );
    let policy = ["--restart", "on-failure:1", "--policy", "backoff=constant:1ms"];
    let mut child = monitor(&["run", "-q", "--stdin", "pipe"])
        .args(policy)
        .args(["--", "sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let read = || fs::read_to_string(&said).unwrap_or_default();
    for (typed, expected) in [("one\n", "up\none\nup\n"), ("two\n", "up\none\nup\ntwo\n")] {
        std::io::Write::write_all(&mut stdin, typed.as_bytes()).unwrap();
        awaited("what was typed", read, |said| said == expected);
    }
    std::io::Write::write_all(&mut stdin, b"the rest\n").unwrap();
    drop(stdin);
    assert_eq!(ended(&mut child).code(), Some(0));
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "the rest\n");
}

#[test]
fn streams_that_do_not_go_together_are_refused() {
    for (args, words) in [
        (vec!["--stdout", "log.txt"], vec!["--stdout", "log.txt", "file:PATH"]),
        (vec!["--stdin", "log"], vec!["--stdin", "pipe"]),
        (vec!["--log-rotate", "10M", "--log", "/dev/null"], vec!["--log-rotate", "10M:5"]),
        (vec!["--log-rotate", "10M:5"], vec!["log-rotate", "no log"]),
        (vec!["--log-ring", "big"], vec!["--log-ring", "64K"]),
        (vec!["--tty", "--stdout", "null"], vec!["terminal", "leave them out"]),
    ] {
        let output = run(&[&args[..], &["--", "true"]].concat());
        let text = stderr(&output);
        assert_eq!(code(&output), 2, "{text}");
        for word in words {
            assert!(text.contains(word), "{word:?} is not in {text}");
        }
    }
    let output = run(&["--log", "/no/such/directory/log", "--", "true"]);
    assert_eq!(code(&output), 125);
    assert!(stderr(&output).contains("no directory `/no`"), "{}", stderr(&output));
}
