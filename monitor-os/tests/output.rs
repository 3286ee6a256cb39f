//! What programs print and read, on the real kernel: no byte is lost, and nothing waits for the end
//! of a file.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod kernel_features;
#[expect(dead_code, reason = "other tests use the rest")]
mod waiting;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::num::{NonZeroU16, NonZeroU64};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use monitor_core::{Exit, Policy, Reason};
use monitor_os::{
    Capture, Command, Input, InputSource, KernelFeatures, LogFormat, LogRing, LogSink, Output,
    PathTrust, Rotation, SlowSink, Status, StopResult, Stream, Supervisor, Unit,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use tempfile::TempDir;
use waiting::{awaited, completed, line, runs, until};

/// A supervisor, and a directory in which scripts run and leave marks.
struct Scene {
    // Dropped first: what runs in the directory ends before it.
    supervisor: Supervisor,
    directory: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self {
            supervisor: Supervisor::builder()
                .kernel_features(kernel_features::available())
                .start()
                .unwrap(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What runs `script` in the directory.
    fn shell(&self, script: &str) -> Command {
        let script = format!("cd {} && {{ {script}\n}}", self.directory.path().display());
        Command::new("/bin/sh", ["-c", &script]).unwrap()
    }

    fn start(&self, policy: &str, command: Command) -> Unit {
        let unit = self.supervisor.add("test", command, policy.parse::<Policy>().unwrap());
        unit.start();
        unit
    }

    /// Runs a script once.
    fn run(&self, command: Command) -> Status {
        down(&self.start("restart=no", command))
    }

    /// Waits until a script has written a whole line to a file, and returns it.
    fn line(&self, name: &str) -> String {
        line(&self.path(name))
    }
}

fn down(unit: &Unit) -> Status {
    completed("the unit is down", unit.wait_until(Status::is_down)).unwrap()
}

/// The texts that a ring keeps.
fn texts(ring: &LogRing) -> Vec<String> {
    let lines = ring.lines().into_iter();
    lines.map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
}

fn captured(ring: &LogRing) -> Output {
    Output::Captured(Capture::new().to_ring(ring.clone()))
}

/// Goal: who keeps the output open keeps nobody waiting, and what it prints later is read (BB-108,
/// pitfall 11).
#[test]
fn exit_does_not_wait_for_the_end_of_the_output() {
    for policy in ["restart=no scope=process", "restart=no scope=group"] {
        let scene = Scene::new();
        let ring = LogRing::new(4096);
        let other = "until test -e go; do sleep 0.01; done; echo later; exec sleep 1000";
        let script = format!(
            "setsid sh -c 'echo $$ > pid; {other}' & until test -s pid; do :; done; echo now; exit 3"
        );
        let unit = scene.start(policy, scene.shell(&script).with_output(captured(&ring)));
        let status = down(&unit);
        assert_eq!(status.exit(), Some(Exit::Code(3)));
        assert_eq!(texts(&ring), ["now"]);
        let other = scene.line("pid");
        assert!(runs(&other));
        fs::write(scene.path("go"), "").unwrap();
        completed("a line", ring.reaches(1));
        assert_eq!(texts(&ring), ["now", "later"]);
        assert!(process::Command::new("kill").arg(&other).status().unwrap().success());
    }
}

/// Goal: a run that prints and ends at once loses nothing, and its last line needs no newline
/// (process-compose
/// #237).
#[test]
fn burst_before_the_exit_is_read_to_the_last_byte() {
    let scene = Scene::new();
    let ring = LogRing::new(1 << 20);
    let script = "i=0; while test $i -lt 100; do echo line $i; i=$((i+1)); done; printf last";
    let unit = scene.start("restart=no", scene.shell(script).with_output(captured(&ring)));
    for run in 1..200 {
        assert_eq!(down(&unit).state().run().as_u32(), run);
        let lines = ring.lines();
        assert_eq!(lines.last().unwrap().run.as_u32(), run);
        assert_eq!(&*lines.last().unwrap().text, b"last");
        assert_eq!(ring.end(), u64::from(run) * 101);
        unit.start();
    }
}

/// Goal: no line is lost or cut where one file ends and the next begins, with a writer that never
/// waits.
#[test]
fn rotation_loses_no_line() {
    let scene = Scene::new();
    let rotation = Rotation {
        size_bytes: NonZeroU64::new(32 * 1024).unwrap(),
        kept: NonZeroU16::new(1_000).unwrap(),
    };
    let log = scene.path("log");
    let sink =
        LogSink::file(log.clone(), PathTrust::MONITOR, Some(rotation), LogFormat::Lines).unwrap();
    let output = Output::Captured(Capture::new().to_sink(sink.clone()));
    let command = scene.shell("seq 1 100000; seq 100001 200000 >&2");
    scene.run(command.with_output(output.clone()).with_error(output));
    let mut lines = Vec::new();
    let mut files = 0;
    let mut path = log;
    while let Ok(text) = fs::read_to_string(&path) {
        assert!(text.len() <= 32 * 1024 && text.ends_with('\n'), "{}", path.display());
        lines.extend(text.lines().map(|line| line.parse::<u32>().unwrap()));
        files += 1;
        path = scene.path(&format!("log.{files}"));
    }
    assert!(files > 30, "{files}");
    lines.sort_unstable();
    assert!(lines.iter().copied().eq(1..=200_000));
    assert_eq!(sink.counts(), monitor_os::SinkCounts::default());
}

/// A pipe of which nobody has read yet, as a sink.
fn pipe() -> (File, OwnedFd) {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    (File::from(reader), writer)
}

fn is_full(pipe: &OwnedFd) -> bool {
    poll(&mut [PollFd::new(pipe, PollFlags::OUT)], Some(&Timespec::default())).unwrap() == 0
}

/// More than all pipes and buffers between the two take: some 600 kB.
const LONG: &str = "seq 1 100000; echo done > mark";

#[test]
fn slow_reader_holds_up_the_program_and_gets_everything() {
    let scene = Scene::new();
    let (mut reader, writer) = pipe();
    let sink = LogSink::descriptor(writer.try_clone().unwrap(), LogFormat::Raw).unwrap();
    let capture = Capture::new().to_sink(sink.clone());
    let unit = scene.start("restart=no", scene.shell(LONG).with_output(Output::Captured(capture)));
    until(|| is_full(&writer));
    // Others that print are not held up with it, and it stays where it is however long they take.
    let other = LogRing::new(4096);
    let others = scene.supervisor.add(
        "other",
        scene.shell("echo other").with_output(captured(&other)),
        Policy::DEFAULT,
    );
    for run in 1..=50 {
        others.start();
        down(&others);
        assert_eq!(other.end(), run);
    }
    assert!(!scene.path("mark").exists());
    let mut got = Vec::new();
    while got.iter().filter(|&&byte| byte == b'\n').count() < 100_000 {
        let mut portion = vec![0; 65536];
        let count = reader.read(&mut portion).unwrap();
        got.extend_from_slice(&portion[..count]);
    }
    let text = String::from_utf8(got).unwrap();
    assert!(text.lines().map(|line| line.parse::<u32>().unwrap()).eq(1..=100_000));
    assert_eq!(sink.counts().lost_lines, 0);
    down(&unit);
}

#[test]
fn slow_reader_that_may_lose_is_told_how_much() {
    let scene = Scene::new();
    let (mut reader, writer) = pipe();
    let sink = LogSink::descriptor(writer, LogFormat::Lines).unwrap();
    let capture = Capture::new().to_sink(sink.clone()).when_slow(SlowSink::DropNewest);
    scene.run(scene.shell(LONG).with_output(Output::Captured(capture)));
    scene.line("mark");
    let lost = sink.counts().lost_lines;
    assert!(lost > 50_000, "{lost}");
    let mut text = String::new();
    while !text.contains("lost]\n") {
        let mut portion = vec![0; 65536];
        let count = reader.read(&mut portion).unwrap();
        text += str::from_utf8(&portion[..count]).unwrap();
    }
    let (got, mark) = text.split_once("[monitor: ").unwrap();
    assert_eq!(mark, format!("{lost} lines lost]\n"));
    let got: Vec<u32> = got.lines().map(|line| line.parse().unwrap()).collect();
    assert!(got.iter().copied().eq(1..=u32::try_from(got.len()).unwrap()));
    assert_eq!(got.len() as u64 + lost, 100_000);
}

/// Goal: a sink that takes nothing at all holds up neither a stop nor the end of the supervisor for
/// ever.
#[test]
fn sink_that_takes_nothing_holds_up_no_stop() {
    let scene = Scene::new();
    let (reader, writer) = pipe();
    let capture = Capture::new()
        .to_sink(LogSink::descriptor(writer.try_clone().unwrap(), LogFormat::Lines).unwrap());
    let command = scene.shell("exec yes").with_output(Output::Captured(capture));
    let unit = scene.start("restart=always", command);
    until(|| is_full(&writer));
    assert_eq!(completed("the end of the stop", unit.stop()), StopResult::Graceful);
    assert_eq!(unit.state().state().reason(), Reason::StopRequested);
    drop(scene);
    drop(reader);
}

/// Goal: a disk that is full for a while loses nothing with [`SlowSink::Block`], and is counted.
#[test]
fn failed_write_is_counted() {
    let scene = Scene::new();
    let sink = LogSink::file("/dev/full", PathTrust::MONITOR, None, LogFormat::Lines).unwrap();
    let capture = Capture::new().to_sink(sink.clone()).when_slow(SlowSink::DropNewest);
    let ring = LogRing::new(4096);
    let command =
        scene.shell("echo one").with_output(Output::Captured(capture.to_ring(ring.clone())));
    scene.run(command);
    assert!(sink.counts().failed_writes > 0);
    assert_eq!(texts(&ring), ["one"]);
}

#[test]
fn lines_keep_their_bytes_their_stream_and_their_run() {
    let scene = Scene::new();
    let lines = std::sync::Arc::new(Mutex::new(Vec::new()));
    let output = || {
        let lines = std::sync::Arc::clone(&lines);
        Output::Captured(Capture::new().to_listener(move |line| {
            lines.lock().unwrap().push((line.run.as_u32(), line.stream, line.text.to_vec()));
        }))
    };
    let command = scene.shell("printf 'a\\377\\000b\\n'; printf err >&2; exit 1");
    let command = command.with_output(output()).with_error(output());
    down(&scene.start("restart=on-failure retries=1 backoff=constant:1ms", command));
    let mut lines = std::mem::take(&mut *lines.lock().unwrap());
    lines.sort();
    let expected = [1, 2].map(|run| {
        [(run, Stream::Stdout, b"a\xff\0b".to_vec()), (run, Stream::Stderr, b"err".to_vec())]
    });
    assert_eq!(lines, expected.concat());
}

/// Goal: another capture is in force from the next run on, also if a sink of the one before took
/// nothing.
#[test]
fn changed_capture_takes_the_lines_of_the_next_run() {
    let scene = Scene::new();
    let rings = [LogRing::new(1000), LogRing::new(1000)];
    let (_reader, stuck) = pipe();
    let stuck = LogSink::descriptor(stuck, LogFormat::Raw).unwrap();
    let begin = Capture::new().to_ring(rings[0].clone()).to_sink(stuck);
    let command = |script: &str, capture| {
        scene.shell(script).with_output(Output::Captured(capture)).with_error(Output::Null)
    };
    let unit = scene.start("restart=no", command("head -c 1000000 /dev/zero | tr '\\0' x", begin));
    until(|| unit.state().pid().is_some());
    let next = Capture::new().to_ring(rings[1].clone());
    unit.set_command(command("echo two", next));
    // The first run never gets rid of what it prints.
    assert_eq!(completed("the end of the stop", unit.stop()), StopResult::Graceful);
    unit.start();
    until(|| texts(&rings[1]).iter().any(|text| text.ends_with("two")));
    assert!(!texts(&rings[0]).iter().any(|text| text.ends_with("two")));
    down(&unit);
}

#[test]
fn joined_streams_keep_their_order() {
    let scene = Scene::new();
    let ring = LogRing::new(4096);
    let script = "echo 1; echo 2 >&2; echo 3; echo 4 >&2";
    scene.run(scene.shell(script).with_output(captured(&ring)).with_joined_error());
    assert_eq!(texts(&ring), ["1", "2", "3", "4"]);
}

#[test]
fn null_is_nothing_in_both_directions() {
    let scene = Scene::new();
    let script = "links=$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2); echo \"$links\" > links; cat > read";
    let command = scene.shell(script).with_input(Input::Null).with_output(Output::Null);
    scene.run(command.with_error(Output::Null));
    scene.line("links");
    assert_eq!(fs::read_to_string(scene.path("links")).unwrap(), "/dev/null\n".repeat(3));
}

/// Goal: each run has a pipe of its own, which ends with its process, and the source goes on to the
/// next one (B24, B58, T19 of the seed).
#[test]
fn input_is_a_pipe_for_each_run() {
    let scene = Scene::new();
    let (source, mut writer) =
        pipe_with(PipeFlags::CLOEXEC).map(|(r, w)| (r, File::from(w))).unwrap();
    // What the run left open ends all the same.
    let other = "echo > up; while test -d \"$PWD\" && ! test -e go; do sleep 0.01; done; cat; echo end >> ends";
    let script = format!(
        "exec 3<&0; setsid sh -c '{other}' <&3 > /dev/null &
         until test -e up; do :; done; rm up; read -r line; echo $line >> got
         readlink /proc/$$/fd/0 >> pipes; exit 1"
    );
    let command = scene.shell(&script).with_input(Input::Piped(InputSource::new(source)));
    let unit = scene.start("restart=on-failure retries=1 backoff=constant:1ms", command);
    writer.write_all(b"one\n").unwrap();
    let read = |name| {
        let path = scene.path(name);
        move || fs::read_to_string(&path).unwrap_or_default()
    };
    awaited("the first run has the first line", read("got"), |got| got == "one\n");
    let second = |status: &Status| status.state().run().as_u32() == 2 && status.is_up();
    awaited("the second run", || unit.state(), second);
    writer.write_all(b"two\n").unwrap();
    awaited("the second run has the second line", read("got"), |got| got == "one\ntwo\n");
    down(&unit);
    let pipes = fs::read_to_string(scene.path("pipes")).unwrap();
    let pipes: Vec<_> = pipes.lines().collect();
    assert!(pipes.len() == 2 && pipes[0] != pipes[1], "{pipes:?}");
    fs::write(scene.path("go"), "").unwrap();
    awaited("both pipes end", read("ends"), |ends| ends == "end\nend\n");
}

#[test]
fn end_of_the_source_is_the_end_of_the_input() {
    let scene = Scene::new();
    let (source, mut writer) =
        pipe_with(PipeFlags::CLOEXEC).map(|(r, w)| (r, File::from(w))).unwrap();
    let ring = LogRing::new(4 << 20);
    let command = scene.shell("cat").with_input(Input::Piped(InputSource::new(source)));
    let unit = scene.start("restart=no", command.with_output(captured(&ring)));
    let (done, over) = mpsc::channel();
    let feeder = std::thread::spawn(move || {
        for number in 0..50_000 {
            writeln!(writer, "{number}").unwrap();
        }
        done.send(()).unwrap();
    });
    over.recv_timeout(Duration::from_secs(60)).unwrap();
    feeder.join().unwrap();
    assert_eq!(down(&unit).exit(), Some(Exit::Code(0)));
    assert!(texts(&ring).iter().map(|text| text.parse::<u32>().unwrap()).eq(0..50_000));
    // Every later run finds it ended.
    unit.start();
    assert_eq!(down(&unit).exit(), Some(Exit::Code(0)));
}
