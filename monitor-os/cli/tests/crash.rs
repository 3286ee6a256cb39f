//! The monitor is killed at every stage of a run, and started again on the same state directory.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crash_scene;
#[expect(dead_code, reason = "other tests use the rest")]
mod program;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crash_scene::{FAST, SERVE, Scene};
use program::waiting::{runs, until};
use program::{Running, cgroups_of, code, monitor, run, stderr};

/// Whether this kernel tells how a process ended that is nobody's child here.
fn tells_of_strangers() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap(), numbers.next().unwrap()) >= (6_u32, 15_u32)
}

#[test]
fn killed_while_running_the_process_is_adopted() {
    let scene = Scene::new();
    let mut first = scene.start(&[], SERVE);
    first.wait_for("started #1");
    let pid = scene.line("pids");
    first.kill();
    assert!(runs(&pid));

    let mut second = scene.start(&[], SERVE);
    let line = second.wait_for("adopted #1");
    assert!(line.contains(&format!("pid {pid}, which was running")), "{line}");
    assert_eq!(scene.count("pids"), 1, "a second process was started");
    second.signal("TERM");
    let (status, rest) = second.finish();
    let known = if tells_of_strangers() { 9 } else { 255 };
    assert_eq!(status, known, "{rest}");
    assert!(!runs(&pid));
    assert_eq!(scene.count("pids"), 1);
    assert!(!scene.journal().exists(), "the memory ends with the supervision");
}

#[test]
fn killed_while_running_the_process_is_killed_if_that_is_asked() {
    let scene = Scene::new();
    let script = "echo $$ >> pids; sh -c 'echo $$ >> others; exec sleep 1000' & wait";
    let mut first = scene.start(&[], script);
    first.wait_for("started #1");
    let (pid, other) = (scene.line("pids"), scene.line("others"));
    first.kill();

    let mut second = scene.start(&[&FAST[..], &["--on-crash", "kill"]].concat(), script);
    second.wait_for("#1 ended without a monitor");
    assert!(!runs(&pid) && !runs(&other));
    second.wait_for("started #2");
    until(|| scene.count("others") == 2);
    second.signal("TERM");
    second.finish();
}

/// Goal: what an adopted process started ends with a stop, though the process itself is no child.
#[test]
fn adopted_group_ends_with_a_stop() {
    let scene = Scene::new();
    let script = "echo $$ >> pids; sh -c 'echo $$ >> others; exec sleep 1000' & wait";
    let mut first = scene.start(&[], script);
    first.wait_for("started #1");
    let other = scene.line("others");
    first.kill();
    let mut second = scene.start(&[], script);
    second.wait_for("adopted #1");
    second.signal("TERM");
    second.wait_for("stopped");
    second.finish();
    assert!(!runs(&other));
}

#[test]
fn killed_in_a_backoff_it_waits_again_and_keeps_its_counters() {
    let scene = Scene::new();
    let script = "echo run >> runs; exit 3";
    let options = ["--restart", "on-failure:2", "--backoff-initial", "1h", "--backoff-max", "1h"];
    let mut first = scene.start(&options, script);
    first.wait_for("backing off");
    first.kill();

    let options = ["--restart", "on-failure:2", "--backoff-initial", "1ms"];
    let mut second = scene.start(&options, script);
    second.wait_for("going on after an earlier monitor: backing-off #1");
    second.wait_for("(0 retries left)");
    let (status, rest) = second.finish();
    assert_eq!((status, scene.count("runs")), (3, 3), "{rest}");
    assert!(rest.contains("gave up"), "{rest}");
}

#[test]
fn killed_while_stopping_the_stop_is_finished() {
    let scene = Scene::new();
    // Deaf to the first request to end.
    let script = "trap 'echo asked >> asked; trap \"exit 9\" TERM' TERM; echo $$ >> pids
        while :; do sleep 0.01; done";
    let options = ["--restart", "always", "--stop-timeout", "1h"];
    let mut first = scene.start(&options, script);
    first.wait_for("started #1");
    let pid = scene.line("pids");
    first.signal("TERM");
    first.wait_for("stopping #1");
    scene.line("asked");
    first.kill();
    assert!(runs(&pid));

    let mut second = scene.start(&options, script);
    second.wait_for("which was stopping");
    let (_, rest) = second.finish();
    assert!(rest.contains("stopped"), "{rest}");
    assert!(!runs(&pid));
    assert_eq!(scene.count("pids"), 1, "started again though it was to stop");
}

#[test]
fn death_without_a_monitor_counts() {
    let scene = Scene::new();
    let script = "echo $$ >> pids; while :; do sleep 0.01; done";
    let options = ["--restart", "on-failure:1", "--backoff-initial", "1ms"];
    let mut first = scene.start(&options, script);
    first.wait_for("started #1");
    let pid = scene.line("pids");
    first.kill();
    assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    until(|| !runs(&pid));

    let mut second = scene.start(&options, script);
    second.wait_for("#1 ended without a monitor");
    second.wait_for("(0 retries left)");
    second.wait_for("started #2");
    second.signal("TERM");
    second.finish();
}

/// Goal: what the dead process left in its group is ended before the next run.
#[test]
fn leftover_without_a_leader_is_ended_first() {
    let scene = Scene::new();
    let script =
        "echo $$ >> pids; (trap '' TERM; echo up >> others; exec sleep 1000) & echo $! >> others
        wait; sleep 1000";
    let mut first = scene.start(&FAST, script);
    first.wait_for("started #1");
    let pid = scene.line("pids");
    until(|| scene.count("others") == 2);
    let others = fs::read_to_string(scene.path("others")).unwrap();
    let other = others.lines().find(|line| *line != "up").unwrap();
    first.kill();
    assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    until(|| !runs(&pid));
    assert!(runs(other));

    let options = [&FAST[..], &["--stop-timeout", "10ms"]].concat();
    let mut second = scene.start(&options, "echo next");
    second.wait_for("started #2");
    assert!(!runs(other), "the next run began beside what was left");
    second.finish();
}

/// Goal: killed at any moment of a start, the monitor leaves no process that the next one does not
/// know of. Method: it is killed a little later each time; the moments are spread over the whole
/// start.
#[test]
fn killed_at_any_moment_of_a_start_there_are_never_two() {
    for moment in 0..40 {
        let scene = Scene::new();
        let first = scene.start(&[], SERVE);
        let number = first.id();
        std::thread::park_timeout(Duration::from_micros(moment * 250));
        first.kill();
        let mut second = scene.start(&FAST, SERVE);
        let known = second.wait_for(" pid ");
        until(|| scene.count("pids") > 0);
        let known = known.rsplit("pid ").next().unwrap().split([',', '\n']).next().unwrap();
        let live = || -> Vec<String> {
            let pids = fs::read_to_string(scene.path("pids")).unwrap();
            pids.lines().filter(|pid| runs(pid)).map(str::to_owned).collect()
        };
        until(|| live() == [known]);
        second.signal("TERM");
        second.finish();
        assert_eq!(cgroups_of(number), [""; 0], "a control group is left");
        assert!(live().is_empty(), "killed {moment} quarters of a millisecond after the start");
    }
}

#[test]
fn second_monitor_is_refused_and_told_by_whom() {
    let scene = Scene::new();
    let mut first = scene.start(&[], SERVE);
    first.wait_for("started #1");
    scene.line("pids");
    let refused = run(&scene.args(&[], SERVE));
    let text = stderr(&refused);
    assert_eq!(code(&refused), 125);
    assert!(text.contains(&format!("(pid {})", first.id())), "{text}");
    first.signal("TERM");
    first.finish();
    assert_eq!(scene.count("pids"), 1);
}

#[test]
fn damaged_memory_is_refused_and_nothing_runs() {
    let scene = Scene::new();
    fs::create_dir(&scene.state).unwrap();
    for (contents, word) in
        [("", "empty"), ("hello\n", "no journal"), ("monitor-journal 9\n", "form 9")]
    {
        fs::write(scene.journal(), contents).unwrap();
        let refused = run(&scene.args(&[], SERVE));
        let text = stderr(&refused);
        assert_eq!(code(&refused), 125);
        assert!(text.contains(word) && text.contains("main.journal"), "{text}");
        assert_eq!(fs::read_to_string(scene.journal()).unwrap(), contents, "touched");
    }
    assert_eq!(scene.count("pids"), 0);
}

/// Goal: with `save=required` nothing runs that could not be saved, and it is tried again until it
/// can. Method: a directory stands where the file is to be written.
#[test]
fn unsaved_start_waits_where_the_policy_demands() {
    let scene = Scene::new();
    let obstacle = Path::new(&scene.state).join("main.journal.new");
    fs::create_dir_all(&obstacle).unwrap();
    let options = [&FAST[..], &["--backoff-max", "10ms", "--policy", "save=required"]].concat();
    let mut monitor = scene.start(&options, SERVE);
    monitor.wait_for("backing off");
    assert_eq!(scene.count("pids"), 0);
    fs::remove_dir(&obstacle).unwrap();
    monitor.wait_for("started");
    scene.line("pids");
    monitor.signal("TERM");
    monitor.finish();
    assert_eq!(scene.count("pids"), 1);
}

#[test]
fn names_have_a_place_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let named = |name: &str| {
        monitor(&["run", "--restart", "no", "--name", name, "--", "sh", "-c", "exit 4"])
            .env("XDG_RUNTIME_DIR", directory.path())
            .stdout(Stdio::null())
            .output()
            .unwrap()
    };
    assert!(stderr(&named("../x")).contains("without `/`"));
    assert_eq!(code(&named("web")), 4);
    assert!(directory.path().join("monitor/web/lock").exists());
    assert!(!directory.path().join("monitor/web/web.journal").exists());
}

/// Goal: what a program prints while no monitor runs is kept for the next one, and the program does
/// not end by it (pitfall 12). Method: it prints before, while, and after; every line is counted.
#[test]
fn output_outlives_the_monitor() {
    let scene = Scene::new();
    let log = scene.path("log");
    // An echo that fails by SIGPIPE would end the shell.
    let script = "i=0; say() { n=$((i+$1)); while test $i -lt $n; do i=$((i+1)); echo line $i; done; }
                  say 100; echo $$ >> pids; until test -e more; do sleep 0.01; done
                  say 3000; echo >&2 done; echo > printed; until test -e end; do sleep 0.01; done; say 100";
    let options = ["--log", log.to_str().unwrap(), "--restart", "no"];
    let mut first = scene.start(&options, script);
    first.wait_for("started #1");
    scene.line("pids");
    until(|| fs::read_to_string(&log).is_ok_and(|text| text.ends_with("line 100\n")));
    first.kill();
    fs::write(scene.path("more"), "").unwrap();
    // Some 30 kB, all of which waits.
    scene.line("printed");
    assert!(fs::read_to_string(&log).unwrap().ends_with("line 100\n"));

    let mut second = scene.start(&options, script);
    second.wait_for("adopted #1");
    until(|| fs::read_to_string(&log).unwrap().contains("line 3100\n"));
    fs::write(scene.path("end"), "").unwrap();
    let (_, rest) = second.finish();
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let expected: Vec<_> = (1..=3200).map(|number| format!("line {number}")).collect();
    assert_eq!(lines, expected, "{rest}");
    assert!(!Path::new(&scene.state).join("main.stdout").exists());
}

/// Goal: a command that is not to be captured any more does not wait for ever, when the next
/// monitor has it.
#[test]
fn output_that_nobody_wants_any_more_is_read_all_the_same() {
    let scene = Scene::new();
    let log = scene.path("log");
    let script =
        "echo $$ >> pids; until test -e more; do sleep 0.01; done; seq 1 100000; echo > printed";
    let mut first = scene.start(&["--log", log.to_str().unwrap()], script);
    first.wait_for("started #1");
    scene.line("pids");
    first.kill();
    let mut second = scene.start(&[], script);
    second.wait_for("adopted #1");
    fs::write(scene.path("more"), "").unwrap();
    scene.line("printed");
    second.signal("TERM");
    second.finish();
}

/// What `monitor logs` says: its exit status, its output, its error.
fn logs(scene: &Scene, options: &[&str]) -> (i32, String, String) {
    let asked = monitor(&[&["logs", "--state", &scene.state], options].concat()).output().unwrap();
    (code(&asked), String::from_utf8(asked.stdout.clone()).unwrap(), stderr(&asked))
}

/// Goal: who asks after the monitor was killed has the last lines of the files, of the streams that
/// are wanted, and is told that they are no monitor's, and what is not to be had.
#[test]
fn without_a_monitor_the_last_lines_come_from_the_files() {
    let scene = Scene::new();
    let log = scene.path("log");
    let to = format!("file:{}", log.display());
    let options = ["--stdout", &to, "--stderr", "null"];
    let mut first = scene.start(&options, "echo one; echo two; echo up > ready; exec sleep 1000");
    first.wait_for("started #1");
    scene.line("ready");
    first.kill();
    let (status, lines, told) = logs(&scene, &[]);
    assert_eq!((status, lines.as_str()), (0, "one\ntwo\n"), "{told}");
    let heading = format!("{}; stdout from {}:", scene.state, log.display());
    assert!(told.contains(&format!("monitor: no monitor runs in {heading}\n")), "{told}");
    assert!(told.contains("stderr of main is in no known file"), "{told}");
    let (status, lines, told) = logs(&scene, &["--stdout", "-f", "-t", "-n", "1"]);
    assert_eq!((status, lines.as_str()), (0, "two\n"), "{told}");
    assert!(told.contains("which has no times:") && told.contains("-f ends here"), "{told}");
    assert!(!told.contains("stderr of"), "{told}");
    let (status, lines, told) = logs(&scene, &["--stderr"]);
    assert_eq!((status, lines.as_str()), (3, ""), "{told}");
    assert!(told.contains("and pid ") && told.contains("runs on"), "{told}");
    fs::remove_file(&log).unwrap();
    let (status, _, told) = logs(&scene, &["--stdout"]);
    assert_eq!(status, 3);
    assert!(told.contains(&format!("cannot read {}: No such file", log.display())), "{told}");
    scene.end(&options);
    let (status, _, told) = logs(&scene, &[]);
    assert_eq!(status, 3);
    assert!(told.contains("nothing is stored"), "{told}");
}

/// Goal: of a log that the monitor wrote, the files that were put aside are read as well, and its
/// form is understood.
#[test]
fn without_a_monitor_the_last_lines_come_from_rotated_files() {
    let scene = Scene::new();
    let log = scene.path("log");
    let form = ["--log-prefix", "--log-rotate", "80:9"];
    let options = [&["--log", log.to_str().unwrap()], &form[..]].concat();
    let script = "for i in 1 2 3 4; do echo o$i; done; echo up > ready; exec sleep 1000";
    let mut first = scene.start(&options, script);
    first.wait_for("started #1");
    scene.line("ready");
    let all = || {
        let files = (0..9)
            .rev()
            .map(|number| if number == 0 { "log".into() } else { format!("log.{number}") });
        files.filter_map(|name| fs::read_to_string(scene.path(&name)).ok()).collect::<String>()
    };
    until(|| all().lines().count() == 4);
    first.kill();
    assert!(scene.path("log.1").exists());
    let (status, lines, told) = logs(&scene, &["-n", "3"]);
    assert_eq!((status, lines.as_str()), (0, "o2\no3\no4\n"), "{told}");
    assert!(told.contains("stdout and stderr from "), "{told}");
    let (_, lines, _) = logs(&scene, &[]);
    assert_eq!(lines, "o1\no2\no3\no4\n");
    let (_, lines, _) = logs(&scene, &["--stdout", "-t", "-n", "2"]);
    let stamped: Vec<_> = lines.lines().map(|line| line.split_once(' ').unwrap()).collect();
    assert!(stamped.iter().all(|(at, _)| at.starts_with("20") && at.ends_with('Z')), "{lines}");
    assert_eq!(
        stamped.iter().map(|(_, text)| *text).collect::<Vec<_>>(),
        ["stdout o3", "stdout o4"]
    );
    assert_eq!(logs(&scene, &["--stderr"]).1, "");
    scene.end(&options);
}

/// Goal: a file in which nothing says which stream a line is of is not taken for one of them, and
/// what only the monitor had is said to be gone.
#[test]
fn without_a_monitor_nothing_is_made_up() {
    let scene = Scene::new();
    let log = scene.path("log");
    let options = ["--log", log.to_str().unwrap()];
    let mut first = scene.start(&options, "echo one; echo up > ready; exec sleep 1000");
    first.wait_for("started #1");
    until(|| fs::read_to_string(&log).is_ok_and(|text| text == "one\n"));
    first.kill();
    assert_eq!(logs(&scene, &[]).1, "one\n");
    let (status, lines, told) = logs(&scene, &["--stderr"]);
    assert_eq!((status, lines.as_str()), (1, ""));
    assert!(told.contains("both streams of main are in "), "{told}");
    scene.end(&options);

    let options = ["--stdout", "log", "--stderr", "log"];
    let mut first = scene.start(&options, "echo one; echo up > ready; exec sleep 1000");
    first.wait_for("started #1");
    scene.line("ready");
    first.kill();
    let (status, lines, told) = logs(&scene, &[]);
    assert_eq!((status, lines.as_str()), (3, ""));
    for stream in ["stdout", "stderr"] {
        let gone = format!("{stream} of main is in no known file: the last lines were lost with");
        assert!(told.contains(&gone), "{told}");
    }
    scene.end(&options);
}

/// Goal: the files are those of the run, whatever the next monitor was told of the runs after it: a
/// file stays the program's, and what is captured goes to the new log. One that no record names is
/// found where the program has it.
#[test]
fn without_a_monitor_the_files_are_those_of_the_run() {
    let scene = Scene::new();
    let [old, new, other] = ["old", "new", "other"].map(|name| scene.path(name));
    let file = |path: &Path| format!("file:{}", path.display());
    let script = "echo one; echo up > ready; until test -e more; do sleep 0.01; done; echo two; exec sleep 1000";
    let mut first = scene.start(
        &["--stdout", "log", "--log", old.to_str().unwrap(), "--stderr", &file(&other)],
        script,
    );
    first.wait_for("started #1");
    until(|| fs::read_to_string(&old).is_ok_and(|text| text == "one\n"));
    first.kill();
    let options = ["--stdout", "log", "--log", new.to_str().unwrap(), "--stderr", "null"];
    let mut second = scene.start(&options, "");
    second.wait_for("adopted #1");
    fs::write(scene.path("more"), "").unwrap();
    until(|| fs::read_to_string(&new).is_ok_and(|text| text == "two\n"));
    second.kill();
    let (status, lines, told) = logs(&scene, &[]);
    assert_eq!((status, lines.as_str()), (0, "two\n"), "{told}");
    assert!(told.contains(&format!("stderr from {}", other.display())), "{told}");
    scene.end(&options);

    let out = fs::File::create(scene.path("out")).unwrap();
    let args = scene.args(&[], "echo three; echo up > ready; exec sleep 1000");
    fs::remove_file(scene.path("ready")).unwrap();
    let mut inherits = Running::to(monitor(&["run"]).args(&args), out);
    inherits.wait_for("started #1");
    scene.line("ready");
    inherits.kill();
    let (status, lines, told) = logs(&scene, &["--stdout"]);
    assert_eq!((status, lines.as_str()), (0, "three\n"), "{told}");
    scene.end(&[]);
}
