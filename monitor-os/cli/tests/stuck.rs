//! Streams of the monitor itself that take nothing: they hold up no stop, no reload and no program.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
mod program;
mod program_copy;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::process::{Child, Command, Stdio};

use program::waiting::{ended, until};
use program::{Deadline, Running, run, stderr};
use program_copy::copy_program;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, Mode, fchmod, flock};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::geteuid;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use tempfile::TempDir;

/// A directory in which a monitor and its programs run.
struct Scene {
    directory: TempDir,
}

/// One that is started again all the time, and counts how often.
const CRASHES: &str = "echo >> runs; exit 1";
const FAST: [&str; 6] = ["--restart", "always", "--backoff-initial", "1ms", "--backoff-max", "1ms"];

impl Scene {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// A monitor with these streams.
    fn monitor(&self, args: &[&str], stdout: Stdio, stderr: Stdio) -> Command {
        let mut command = Command::new("env");
        command.args(["--default-signal", env!("CARGO_BIN_EXE_monitor")]).args(args);
        command.current_dir(&self.directory).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        command
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(name), text).unwrap();
    }

    /// How many lines there are in a file.
    fn count(&self, name: &str) -> usize {
        fs::read_to_string(self.directory.path().join(name)).map_or(0, |text| text.lines().count())
    }
}

/// A pipe of one page that is full, and both ends of it.
fn full_pipe() -> (OwnedFd, File) {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    fcntl_setpipe_size(&writer, 4096).unwrap();
    let mut writer = File::from(writer);
    writer.write_all(&[b'\n'; 4096]).unwrap();
    (reader, writer)
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// Goal: a standard error that takes nothing makes nobody deaf, whatever is written to it.
#[test]
fn stop_is_obeyed_while_standard_error_is_stuck() {
    for (options, trace) in [
        (&[][..], ""),
        (&["--events", "json"][..], ""),
        (&["--state", "state"][..], ""),
        (&["--quiet"][..], "trace"),
    ] {
        let scene = Scene::new();
        let (_reader, writer) = full_pipe();
        let args = [&["run"], &FAST[..], options, &["--", "sh", "-c", CRASHES]].concat();
        let mut command = scene.monitor(&args, Stdio::null(), writer.into());
        let mut monitor = command.env("MONITOR_LOG", trace).spawn().unwrap();
        until(|| scene.count("runs") > 200);
        signal(&monitor, "TERM");
        // With which status depends on what it was doing.
        assert!(ended(&mut monitor).code().is_some(), "{options:?} {trace}");
    }
}

/// Goal: the same of many units, and files are read again meanwhile, with an error and without.
#[test]
fn reload_is_done_while_standard_error_is_stuck() {
    let scene = Scene::new();
    fs::create_dir(scene.directory.path().join("units")).unwrap();
    let fast = "restart = 'always'\nbackoff-initial = '1ms'\nbackoff-max = '1ms'\n";
    let unit = |mark: &str| format!("command = ['sh', '-c', 'echo >> {mark}; exit 1']\n{fast}");
    scene.write("units/a.toml", &unit("runs"));
    let (_reader, writer) = full_pipe();
    let args = ["up", "units", "--state", "state"];
    let mut monitor = scene.monitor(&args, Stdio::null(), writer.into()).spawn().unwrap();
    until(|| scene.count("runs") > 200);
    scene.write("units/b.toml", "no toml");
    signal(&monitor, "HUP");
    // The error must have been read before the file is mended: nothing else tells, since nobody
    // can be told.
    let status = || scene.monitor(&["status", "--state", "state"], Stdio::null(), Stdio::null());
    assert!(status().status().unwrap().success());
    scene.write("units/b.toml", &unit("others"));
    signal(&monitor, "HUP");
    until(|| scene.count("others") > 200);
    signal(&monitor, "TERM");
    assert_eq!(ended(&mut monitor).code(), Some(0));
}

/// Goal: a reload that hangs at a file makes nobody deaf. Method: a named pipe stands in the place
/// of a file; whether it is waited for or refused, the stop that follows is obeyed.
#[test]
fn stop_is_obeyed_while_a_reload_hangs() {
    let scene = Scene::new();
    fs::create_dir(scene.directory.path().join("units")).unwrap();
    scene.write("units/a.toml", "command = ['sh', '-c', 'echo >> runs; exec sleep 1000']\n");
    let args = ["up", "units", "--state", "state"];
    let mut monitor = scene.monitor(&args, Stdio::null(), Stdio::null()).spawn().unwrap();
    until(|| scene.count("runs") == 1);
    let fifo = scene.directory.path().join("units/b.toml");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    signal(&monitor, "HUP");
    signal(&monitor, "TERM");
    assert_eq!(ended(&mut monitor).code(), Some(0));
}

/// Goal: what a stuck reader misses is bounded, counted, and marked in its place; what it gets is
/// in order.
#[test]
fn gap_is_marked_once_the_reader_takes_again() {
    let _deadline = Deadline::begin();
    let scene = Scene::new();
    let (reader, writer) = full_pipe();
    let args = [&["run", "--events", "json"], &FAST[..], &["--", "sh", "-c", CRASHES]].concat();
    let mut monitor = scene.monitor(&args, Stdio::null(), writer.into()).spawn().unwrap();
    // Each run has four lines of half a kilobyte.
    until(|| scene.count("runs") > 600);
    let mut lines = BufReader::new(File::from(reader)).lines().map(Result::unwrap);
    let mut lines = lines.by_ref().filter(|line| !line.is_empty());
    let mut run = 0;
    let mut expect = |line: &str, is_after_gap: bool| {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        let next = entry["run"].as_u64().unwrap();
        assert!(next == run || next == run + 1 || (is_after_gap && next > run), "{run}, {line}");
        run = next;
    };
    let mark = loop {
        let line = lines.next().unwrap();
        let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
        if entry["event"] == "lines-lost" {
            break entry;
        }
        expect(&line, false);
    };
    assert!(mark["lines"].as_u64().unwrap() > 100, "{mark}");
    expect(&lines.next().unwrap(), true);
    signal(&monitor, "TERM");
    let rest: Vec<_> = lines.collect();
    rest.iter().for_each(|line| expect(line, false));
    let last: serde_json::Value = serde_json::from_str(rest.last().unwrap()).unwrap();
    assert_eq!(last["event"], "stopped");
    ended(&mut monitor);
}

/// Goal: whoever reads, however late, misses nothing of a program that ends by itself.
#[test]
fn reader_of_a_monitor_that_ends_misses_nothing() {
    let _deadline = Deadline::begin();
    let scene = Scene::new();
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    fcntl_setpipe_size(&writer, 4096).unwrap();
    let options =
        ["--restart", "on-failure:50", "--backoff-initial", "1ms", "--backoff-max", "1ms"];
    let args = [&["run", "--events", "json"], &options[..], &["--", "false"]].concat();
    let mut monitor = scene.monitor(&args, Stdio::null(), writer.into()).spawn().unwrap();
    let events: Vec<_> = BufReader::new(File::from(reader))
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap())
        .map(|entry| (entry["run"].as_u64().unwrap(), entry["event"].as_str().unwrap().to_owned()))
        .collect();
    let of_run = |run| ["starting", "started", "exited", "backing-off"].map(|event| (run, event));
    let mut expected: Vec<_> = (1..=51).flat_map(of_run).collect();
    expected.last_mut().unwrap().1 = "gave-up";
    let expected: Vec<_> = expected.into_iter().map(|(run, event)| (run, event.into())).collect();
    assert_eq!(events, expected);
    assert_eq!(ended(&mut monitor).code(), Some(1));
}

/// Goal: a standard output that takes nothing holds up no stop, by either rule for slow logs.
#[test]
fn stop_is_obeyed_while_standard_output_is_stuck() {
    for slow in ["block", "drop"] {
        let scene = Scene::new();
        let (_reader, writer) = full_pipe();
        let args = ["run", "--stdout", "log", "--log-slow", slow, "--", "sh", "-c"];
        let prints = "while :; do echo; echo >> runs; done";
        let args = [&args[..], &[prints]].concat();
        let mut monitor = scene.monitor(&args, writer.into(), Stdio::null()).spawn().unwrap();
        until(|| scene.count("runs") > 200);
        signal(&monitor, "TERM");
        assert_eq!(ended(&mut monitor).code(), Some(143), "{slow}");
    }
}

/// Goal: the unread terminal of another user, as after `su`, holds up the output of no other unit.
/// Method: nobody may open the terminal again, for which root becomes another user.
#[test]
fn unread_terminal_of_another_user_holds_up_its_own_output_only() {
    let scene = Scene::new();
    let path = |name: &str| scene.directory.path().join(name);
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).unwrap();
    unlockpt(&master).unwrap();
    let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
    fchmod(&slave, Mode::empty()).unwrap();
    fs::create_dir(path("units")).unwrap();
    scene.write("units/a.toml", "command = ['yes']\nstdout = 'log'\n");
    let counts = "command = ['sh', '-c', 'while :; do echo; sleep 0.01; done']\nlog = 'b.log'\n";
    scene.write("units/b.toml", &counts.replace("b.log", path("b.log").to_str().unwrap()));
    let args = ["up", "units", "--state", "state"];
    let terminal = || Stdio::from(slave.try_clone().unwrap());
    let mut command = if geteuid().is_root() {
        // The program itself may lie where nobody else can read.
        copy_program(env!("CARGO_BIN_EXE_monitor"), &path("monitor"));
        for name in ["", "units", "units/a.toml", "units/b.toml", "monitor"] {
            chown(path(name), Some(65534), Some(65534)).unwrap();
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "./monitor"]).args(args);
        command.current_dir(&scene.directory).stdin(Stdio::null()).stderr(Stdio::null());
        command.stdout(terminal());
        command
    } else {
        scene.monitor(&args, terminal(), Stdio::null())
    };
    let mut monitor = command.spawn().unwrap();
    let has_room = || {
        poll(&mut [PollFd::new(&slave, PollFlags::OUT)], Some(&Timespec::default())).unwrap() > 0
    };
    until(|| !has_room());
    let before = scene.count("b.log");
    until(|| scene.count("b.log") > before + 20);
    signal(&monitor, "TERM");
    assert_eq!(ended(&mut monitor).code(), Some(0));
}

/// Goal: a start that hangs ends by a signal: at the second INT at once, at a TERM later. Method: a
/// lock that a child in the making seems to hold is waited for.
#[test]
fn stop_ends_a_start_that_hangs() {
    let _deadline = Deadline::begin();
    for (name, expected) in
        [("INT", "killed while it started"), ("TERM", "stopped while it started")]
    {
        for command in [&["run", "--state", "state", "--", "true"][..], &["up", "units"]] {
            let scene = Scene::new();
            fs::create_dir(scene.directory.path().join("units")).unwrap();
            scene.write("units/a.toml", "command = ['true']\n");
            let (held, mut monitor) = hanging_start(&scene, command);
            signal(&monitor, name);
            // Of two equal signals at once one is lost, so the second INT is sent until it is taken.
            while name == "INT" && monitor.try_wait().unwrap().is_none() {
                signal(&monitor, name);
            }
            let status = ended(&mut monitor);
            let said = std::io::read_to_string(monitor.stderr.take().unwrap()).unwrap();
            assert_eq!(status.code(), Some(125), "{said}");
            assert!(said.contains(expected), "{said}");
            drop(held);
        }
    }
}

/// Goal: a stop that comes while the monitor starts is obeyed as soon as there is something to
/// stop.
#[test]
fn stop_during_a_start_is_not_lost() {
    let scene = Scene::new();
    let command = ["run", "--state", "state", "--", "sleep", "1000"];
    let (held, mut monitor) = hanging_start(&scene, &command);
    signal(&monitor, "TERM");
    drop(held);
    // Whether the program began before it was stopped is left open.
    ended(&mut monitor);
    let said = std::io::read_to_string(monitor.stderr.take().unwrap()).unwrap();
    assert!(!said.contains("while it started"), "{said}");
}

/// A monitor that waits for the lock of its state directory, until what is returned is dropped.
fn hanging_start(scene: &Scene, command: &[&str]) -> (File, Child) {
    let state = scene.directory.path().join("state");
    fs::DirBuilder::new().mode(0o700).create(&state).unwrap();
    let lock = state.join("lock");
    let held = File::create(&lock).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    let args = match command {
        ["up", ..] => [command, &["--state", "state"]].concat(),
        _ => command.to_vec(),
    };
    let monitor = scene.monitor(&args, Stdio::null(), Stdio::piped()).spawn().unwrap();
    let lock = lock.canonicalize().unwrap();
    let descriptors = format!("/proc/{}/fd", monitor.id());
    let open = || {
        let entries = fs::read_dir(&descriptors).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| fs::read_link(entry.path()).is_ok_and(|to| to == lock))
    };
    while !open() {
        std::thread::yield_now();
    }
    (held, monitor)
}

/// Goal: a named pipe in the place of a journal is told, and not waited for.
#[test]
fn named_pipe_in_the_place_of_a_journal_is_refused() {
    let _deadline = Deadline::begin();
    let scene = Scene::new();
    let state = scene.directory.path().join("state");
    fs::DirBuilder::new().mode(0o700).create(&state).unwrap();
    assert!(Command::new("mkfifo").arg(state.join("main.journal")).status().unwrap().success());
    for (args, code) in [
        (&["run", "--state", "state", "--", "true"][..], 125),
        (&["status", "--state", "state"], 3),
    ] {
        let monitor = scene.monitor(args, Stdio::null(), Stdio::piped()).spawn().unwrap();
        let output = monitor.wait_with_output().unwrap();
        assert!(stderr(&output).contains("it is a named pipe"), "{}", stderr(&output));
        assert_eq!(output.status.code(), Some(code));
    }
}

/// Goal: a record that nobody reads ends, which is said, and holds up nothing; one that nobody
/// opened is refused.
#[test]
fn record_without_a_reader_holds_nothing_up() {
    let _deadline = Deadline::begin();
    let scene = Scene::new();
    let fifo = scene.directory.path().join("record");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let refused = run(&["--record", fifo.to_str().unwrap(), "--", "true"]);
    assert_eq!(refused.status.code(), Some(125));
    assert!(stderr(&refused).contains("start the reader"), "{}", stderr(&refused));
    // Both ends, so that it can be opened; nobody reads.
    let _held = File::options().read(true).write(true).open(&fifo).unwrap();
    let args = [&["run", "--record", "record"], &FAST[..], &["--", "sh", "-c", CRASHES]].concat();
    let mut monitor = Running::of(&mut scene.monitor(&args, Stdio::null(), Stdio::piped()));
    monitor.wait_for("the record ends here, the supervision goes on");
    monitor.signal("TERM");
    monitor.finish();
}
