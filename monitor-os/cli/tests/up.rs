//! Many units in one process, from outside.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the tests of crashes use the rest")]
mod program;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use program::waiting::{ended, until};
use program::{Running, code, monitor, stderr};
use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::Value;
use tempfile::TempDir;

/// A directory of files, and a state directory.
struct Scene {
    directory: TempDir,
}

impl Scene {
    fn new(files: &[(&str, &str)]) -> Self {
        let scene = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir(scene.directory.path().join("units")).unwrap();
        for (name, text) in files {
            scene.write(name, text);
        }
        scene
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, unit: &str, text: &str) {
        fs::write(self.path(&format!("units/{unit}.toml")), text).unwrap();
    }

    fn remove(&self, unit: &str) {
        fs::remove_file(self.path(&format!("units/{unit}.toml"))).unwrap();
    }

    fn begin(&self) -> Running {
        Running::task("up", &[&self.path("units"), "--state", &self.path("state")])
    }

    /// Starts a monitor, and returns when it can be asked.
    fn start(&self) -> Running {
        let running = self.begin();
        until(|| [0, 4].contains(&code(&self.ask("status", "", &[]))));
        running
    }

    /// Asks about one unit, or with an empty name about all.
    fn ask(&self, task: &str, unit: &str, rest: &[&str]) -> Output {
        let state = self.path("state");
        let mut args = vec![task, "--state", &state];
        if !unit.is_empty() {
            args.extend(["--unit", unit]);
        }
        args.extend(rest);
        monitor(&args).output().unwrap()
    }

    fn status(&self, unit: &str) -> Value {
        let output = self.ask("status", unit, &["--json"]);
        assert!([0, 4].contains(&code(&output)), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The names and phases of all units.
    fn phases(&self) -> Vec<(String, String)> {
        let overview = self.status("");
        let word = |unit: &Value, field: &str| unit[field].as_str().unwrap().to_owned();
        let units = overview["units"].as_array().unwrap();
        units.iter().map(|unit| (word(unit, "name"), word(unit, "phase"))).collect()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn named(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(name, phase)| (name.into(), phase.into())).collect()
}

const SLEEP: &str = "command = ['sleep', '1000']\n";
const FAIL: &str = "command = ['sh', '-c', 'exit 3']\nbackoff-initial = '1h'\nbackoff-max = '1h'\n";

/// Goal: a thousand units fit into the memory of one program. Method: what the monitor alone has
/// written to, as the kernel counts it, with some and with many units.
#[test]
fn memory_of_a_unit_is_bounded() {
    let [few, many] = [100, 300];
    let [with_few, with_many] = [few, many].map(|units| {
        let names: Vec<_> = (0..units).map(|number| format!("worker-{number:03}")).collect();
        let scene = Scene::new(&[]);
        for name in &names {
            let log = scene.path(&format!("{name}.log"));
            let streams = format!("stdout = 'file:{log}'\nstderr = 'stdout'\n");
            scene.write(name, &format!("command = ['sleep', '1000']\n{streams}"));
        }
        let mut running = scene.begin();
        names.iter().for_each(|_| drop(running.wait_for("started")));
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", running.id())).unwrap();
        let field = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
        let kilobytes: u64 = field.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        running.signal("TERM");
        assert_eq!(running.finish().0, 0);
        kilobytes * 1024
    });
    let each = with_many.saturating_sub(with_few) / (many - few);
    assert!(
        each < 3_500,
        "a unit takes {each} bytes: {with_few} with {few}, {with_many} with {many}"
    );
}

#[test]
fn each_unit_is_alone_and_all_can_be_asked_at_once() {
    let scene = Scene::new(&[("web", SLEEP), ("job", FAIL)]);
    let mut running = scene.start();
    until(|| scene.phases() == named(&[("job", "backing-off"), ("web", "running")]));
    let table = stdout(&scene.ask("status", "", &[]));
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("UNIT  PHASE"), "{table}");
    assert!(lines[1].starts_with("job   backing-off #1") && lines[1].contains("code=3"), "{table}");
    assert!(lines[2].starts_with("web   running #1"), "{table}");
    assert_eq!(scene.status("job")["exits"][0]["outcome"], "code=3");

    let told = stdout(&scene.ask("events", "web", &[]));
    assert!(told.contains("started #1") && !told.contains("exited"), "{told}");
    let told = stdout(&scene.ask("events", "", &[]));
    assert!(told.contains("  web: started #1") && told.contains("  job: exited #1"), "{told}");

    for (task, rest) in [("signal", "USR1"), ("set", "jitter=1")] {
        let refused = scene.ask(task, "", &[rest]);
        assert_eq!(code(&refused), 1);
        assert!(stderr(&refused).contains("name one of job, web"), "{}", stderr(&refused));
        assert_eq!(code(&scene.ask(task, "web", &[rest])), 0);
    }
    let refused = scene.ask("stop", "wob", &[]);
    assert_eq!(code(&refused), 1);
    assert!(stderr(&refused).contains("no unit \"wob\""), "{}", stderr(&refused));

    // USR1 has ended it.
    until(|| scene.status("web")["run"] == 2 && scene.status("web")["phase"] == "running");
    let restarted = stdout(&scene.ask("restart", "", &[]));
    assert!(restarted.contains("job: ") && restarted.contains("web: "), "{restarted}");
    until(|| scene.status("web")["run"] == 3 && scene.status("web")["phase"] == "running");
    until(|| scene.status("job")["run"] == 2 && scene.status("job")["phase"] == "backing-off");
    let stopped = scene.ask("stop", "", &["--wait"]);
    assert_eq!(code(&stopped), 0);
    let text = stdout(&stopped);
    assert!(text.contains("web: stopped: it ended when"), "{text}");
    assert!(text.contains("job: stopped: there was no process"), "{text}");
    assert_eq!(code(&scene.ask("stop", "", &["--wait"])), 4);

    // The monitor stays, and goes on.
    assert_eq!(code(&scene.ask("start", "web", &[])), 0);
    running.wait_for("web: started #4");
    running.signal("TERM");
    let (code, rest) = running.finish();
    assert_eq!(code, 0, "{rest}");
    assert!(rest.contains("web: stopped: the monitor is going down"), "{rest}");
    let left = fs::read_dir(scene.path("state")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"], "something is stored");
}

#[test]
fn error_in_any_file_starts_nothing() {
    let mark = "command = ['touch', 'MARK']\nrestart = 'no'\n";
    let scene = Scene::new(&[("bad", "comand = ['a']\n"), ("worse", "jitter = 101\n")]);
    scene.write("good", &mark.replace("MARK", &scene.path("mark")));
    let (code, rest) = scene.begin().finish();
    assert_eq!(code, 2);
    assert!(rest.contains("bad.toml:1:1") && rest.contains("worse.toml:1:10"), "{rest}");
    assert!(!Path::new(&scene.path("mark")).exists());
    assert!(!Path::new(&scene.path("state")).exists());
}

#[test]
fn one_file_may_hold_all_units_and_gives_the_name() {
    let scene = Scene::new(&[]);
    let file = scene.path("fleet.toml");
    fs::write(&file, format!("[unit.a]\n{SLEEP}[unit.b]\n{SLEEP}")).unwrap();
    let mut child = monitor(&["up", &file]);
    let child = child.env("XDG_RUNTIME_DIR", scene.path("run")).stderr(std::process::Stdio::null());
    let mut child = child.spawn().unwrap();
    let ask =
        |args: &[&str]| monitor(args).env("XDG_RUNTIME_DIR", scene.path("run")).output().unwrap();
    until(|| stdout(&ask(&["status", "fleet"])).matches("running #1").count() == 2);
    assert!(stdout(&ask(&["status", "fleet/a"])).starts_with("a  running #1"));
    assert_eq!(code(&ask(&["stop", "fleet/a", "--wait"])), 0);
    assert_eq!(code(&ask(&["status", "fleet/a"])), 4);
    assert_eq!(code(&ask(&["status", "fleet"])), 0);
    // Who leaves out the name of the monitor, or has another, is told.
    for (name, hint) in
        [("a", "did you mean fleet/a?"), ("flet", "`monitor list` shows what there is")]
    {
        let refused = ask(&["status", name]);
        assert_eq!(code(&refused), 3);
        assert!(stderr(&refused).contains(hint), "{}", stderr(&refused));
    }
    let refused = stderr(&ask(&["logs", "fleet"]));
    assert!(refused.contains("takes one unit, NAME/UNIT; name one of a, b"), "{refused}");
    // Where there is no terminal, the live view is the list.
    for task in ["list", "top"] {
        let listed = ask(&[task]);
        assert_eq!(code(&listed), 0, "{}", stderr(&listed));
        let text = stdout(&listed);
        assert!(
            text.contains("fleet/a  stopped #1") && text.contains("fleet/b  running #1"),
            "{text}"
        );
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").arg(pid).status().unwrap().success());
    assert_eq!(ended(&mut child).code(), Some(0));
    let refused = stderr(&ask(&["status", "fleet"]));
    assert!(
        refused.contains("start one by `monitor run --name NAME` or `monitor up`"),
        "{refused}"
    );
}

/// Goal: the list has the monitors that are named, or all, and nothing of a directory without
/// stored units.
#[test]
fn list_leaves_out_what_is_not_named_or_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = directory.path();
    let named = |args: &[&str]| {
        let mut command = monitor(args);
        command.env("XDG_RUNTIME_DIR", runtime);
        command
    };
    let start = |name| {
        let mut running = Running::of(&mut named(&["run", "--name", name, "--", "sleep", "1000"]));
        running.wait_for("started #1");
        running
    };
    let (live, dead, other) = (start("live"), start("dead"), start("other"));
    dead.kill();
    fs::create_dir(runtime.join("monitor/empty")).unwrap();
    for (names, shown) in [
        (&[][..], &["dead", "live", "other"][..]),
        (&["dead"], &["dead"]),
        (&["other", "empty", "live"], &["other", "live"]),
        (&["empty"], &[]),
    ] {
        let listed = named(&[&["list"], names].concat()).output().unwrap();
        assert_eq!(code(&listed), 0, "{names:?}");
        let text = stdout(&listed);
        let rows = text.lines().skip(1).map(|row| row.split(' ').next().unwrap());
        assert!(rows.eq(shown.iter().copied()), "{names:?}: {text}");
        assert_eq!(stderr(&listed).contains("there is no monitor;"), shown.is_empty());
    }
    let mut again = Running::of(&mut named(&["run", "--name", "dead", "--", "true"]));
    again.wait_for("adopted #1");
    for running in [live, again, other] {
        running.signal("TERM");
        running.finish();
    }
}

#[test]
fn hang_up_reads_the_files_again() {
    let scene = Scene::new(&[("gone", SLEEP), ("same", SLEEP), ("web", SLEEP), ("job", FAIL)]);
    let mut running = scene.start();
    let before =
        [("gone", "running"), ("job", "backing-off"), ("same", "running"), ("web", "running")];
    until(|| scene.phases() == named(&before));
    scene.remove("gone");
    scene.write("new", SLEEP);
    scene.write("web", "command = ['sleep', '2000']\nrestart = 'always'\n");
    running.signal("HUP");
    let line = running.wait_for("read the files again");
    assert!(
        line.contains("new: new; gone: gone; changed: web (policy; command, from its"),
        "{line}"
    );
    assert!(line.contains("as before: 2"), "{line}");
    let after =
        [("job", "backing-off"), ("new", "running"), ("same", "running"), ("web", "running")];
    until(|| scene.phases() == named(&after));
    assert!(!Path::new(&scene.path("state/gone.journal")).exists(), "it is stored");
    // The policy is in force at once, the command from the next run on.
    let web = scene.status("web");
    assert!(web["policy"].as_str().unwrap().contains("restart=always"), "{web}");
    let words =
        |unit: &Value| fs::read_to_string(format!("/proc/{}/cmdline", unit["pid"])).unwrap();
    assert_eq!((words(&web).as_str(), &web["run"]), ("sleep\x001000\0", &Value::from(1)));
    scene.ask("restart", "web", &[]);
    until(|| scene.status("web")["run"] == 2 && scene.status("web")["phase"] == "running");
    assert_eq!(words(&scene.status("web")), "sleep\x002000\0");

    // An error changes nothing.
    scene.write("same", "comand = ['a']\n");
    scene.remove("new");
    running.signal("HUP");
    running.wait_for("did you mean `command`?");
    running.wait_for("nothing is changed");
    assert_eq!(scene.phases(), named(&after));

    // What had gone comes back as if it were new.
    scene.write("same", SLEEP);
    scene.write("new", SLEEP);
    scene.write("gone", SLEEP);
    running.signal("HUP");
    let line = running.wait_for("read the files again");
    assert!(line.contains("new: gone; as before: 4"), "{line}");
    until(|| scene.status("gone")["phase"] == "running");
    running.signal("TERM");
    assert_eq!(running.finish().0, 0);
}

/// Goal: nothing that is read keeps the monitor from a signal: what is no regular file is passed
/// over in a directory.
#[test]
fn what_is_no_regular_file_is_passed_over() {
    let scene = Scene::new(&[("web", SLEEP), (".hidden", "not = 'read'")]);
    let mut running = scene.start();
    mkfifoat(CWD, scene.path("units/pipe.toml"), Mode::RUSR | Mode::WUSR).unwrap();
    symlink("/dev/zero", scene.path("units/zero.toml")).unwrap();
    fs::create_dir(scene.path("units/directory.toml")).unwrap();
    let checked = monitor(&["check-config", &scene.path("units")]).output().unwrap();
    assert_eq!(code(&checked), 0, "{}", stderr(&checked));
    running.signal("HUP");
    let line = running.wait_for("read the files again");
    assert!(line.contains("again: as before: 1"), "{line}");
    running.signal("TERM");
    assert_eq!(running.finish().0, 0);
}

/// Goal: a pipe that was named is waited for at the start, where nothing runs yet, and never again.
/// What is there in the place of a file later holds up no signal.
#[test]
fn pipe_is_waited_for_only_at_the_start() {
    let scene = Scene::new(&[]);
    let pipe = scene.path("units/pipe.toml");
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
    let mut running = Running::task("up", &[&pipe, "--state", &scene.path("state")]);
    fs::write(&pipe, SLEEP).unwrap();
    running.wait_for("pipe: started");
    running.signal("HUP");
    running.wait_for("is no regular file");
    running.wait_for("nothing is changed");
    running.signal("TERM");
    assert_eq!(running.finish().0, 0);
}

/// Goal: a watchdog that the files bring counts from the next run on, since what runs was not told
/// to ping. Method: a second unit, of which the files tell at the same time, is told of a longer
/// one and does not ping either; when that one is stopped, the first is still in its run. The same
/// across a new monitor, which finds a program without a word of it.
#[test]
fn watchdog_counts_from_the_next_run_on() {
    const SILENT: &str = "command = ['sleep', '1000']\nrestart = 'no'\n";
    let watched = |period: &str| format!("{SILENT}policy = 'watchdog={period}'\n");
    let scene = Scene::new(&[("web", SILENT)]);
    let mut running = scene.start();
    until(|| scene.status("web")["phase"] == "running");
    let first = scene.status("web")["pid"].clone();
    let is_in_its_first_run = || {
        let web = scene.status("web");
        assert_eq!((&web["phase"], &web["pid"]), (&Value::from("running"), &first), "{web}");
        assert!(web["policy"].as_str().unwrap().contains("watchdog=50ms"), "{web}");
    };
    scene.write("web", &watched("50ms"));
    scene.write("witness", &watched("200ms"));
    running.signal("HUP");
    running.wait_for("witness: stopping #1");
    is_in_its_first_run();
    assert_eq!(code(&scene.ask("set", "web", &["watchdog=40ms", "watchdog=50ms"])), 0);

    running.kill();
    scene.write("other", &watched("200ms"));
    let mut running = scene.begin();
    running.wait_for("web: adopted #1");
    running.wait_for("other: stopping #1");
    is_in_its_first_run();

    scene.ask("restart", "web", &[]);
    running.wait_for("web: started #2");
    running.wait_for("web: stopping #2");
    running.signal("TERM");
    running.finish();
}

/// Goal: what each unit prints is its own: its log, its last lines, its streams as the files say by
/// now.
#[test]
fn streams_are_of_one_unit() {
    let web = |log: &str, word: &str| {
        format!(
            "command = ['sh', '-c', 'cat; echo {word}; exec sleep 1000']\nlog = '{log}'\nstderr = 'null'\n"
        )
    };
    let scene = Scene::new(&[]);
    let (old, new) = (scene.path("old.log"), scene.path("new.log"));
    scene.write("web", &web(&old, "one"));
    let job =
        "command = ['sh', '-c', 'seq 1 9; exit 3']\nbackoff-initial = '1h'\nbackoff-max = '1h'\n";
    scene.write("job", &format!("{job}stdout = 'log'\nlog-echo = false\n"));
    scene.write("deaf", SLEEP);
    let mut running = scene.start();
    // With the name of the unit, since the screen is of all.
    running.wait_for("| job: 9\n");
    let logs = |unit: &str, rest: &[&str]| scene.ask("logs", unit, rest);
    until(|| stdout(&logs("web", &[])) == "one\n");
    assert_eq!(stdout(&logs("job", &["-n", "2"])), "8\n9\n");
    for (unit, word) in [("", "name one of deaf, job, web"), ("deaf", "--log FILE")] {
        let refused = logs(unit, &[]);
        assert_eq!(code(&refused), 1);
        assert!(stderr(&refused).contains(word), "{}", stderr(&refused));
    }
    // Of the run that failed, and of no other.
    assert_eq!(scene.status("job")["last_lines"], serde_json::json!(["5", "6", "7", "8", "9"]));
    assert_eq!(scene.status("web")["last_lines"], serde_json::json!([]));
    let text = stdout(&scene.ask("status", "job", &[]));
    assert!(text.contains("printed   5\n") && text.contains("            9\n"), "{text}");

    scene.write("web", &web(&new, "two"));
    running.signal("HUP");
    let line = running.wait_for("read the files again");
    assert!(line.contains("changed: web (command, from its"), "{line}");
    assert_eq!(fs::read_to_string(&new).unwrap(), "");
    scene.ask("restart", "web", &[]);
    until(|| fs::read_to_string(&new).unwrap() == "two\n");
    assert_eq!(fs::read_to_string(&old).unwrap(), "one\n");
    assert_eq!(stdout(&logs("web", &[])), "one\ntwo\n");

    // What cannot be opened changes nothing.
    scene.write("web", &web("/dev/null/x", "three"));
    running.signal("HUP");
    let line = running.wait_for("web: --log: cannot open `/dev/null/x`");
    assert!(line.contains("it is not changed"), "{line}");
    // Without a monitor, from the file of the run; what the files of the units say since is of runs
    // to come.
    scene.write("web", &web(&scene.path("next.log"), "four"));
    running.signal("HUP");
    running.wait_for("read the files again");
    running.kill();
    let alone = logs("web", &["--stdout"]);
    assert_eq!((code(&alone), stdout(&alone).as_str()), (0, "two\n"), "{}", stderr(&alone));
    let refused = logs("", &[]);
    assert_eq!(code(&refused), 1);
    assert!(stderr(&refused).contains("; name one of deaf, job, web"), "{}", stderr(&refused));
    for (unit, word) in [("job", "job is in no known file"), ("none", "no monitor runs in ")] {
        let gone = logs(unit, &[]);
        assert_eq!(code(&gone), 3);
        assert!(stderr(&gone).contains(word), "{}", stderr(&gone));
    }
    let running = scene.start();
    running.signal("TERM");
    assert_eq!(running.finish().0, 0);
}

#[test]
fn streams_that_many_cannot_have_are_refused() {
    let scene = Scene::new(&[
        ("a", "command = ['a']\nlog = '/tmp/same.log'\n"),
        ("b", "command = ['b']\nlog = '/tmp/same.log'\n"),
    ]);
    let (code, rest) = scene.begin().finish();
    assert_eq!(code, 2);
    assert!(rest.contains("\"a\" and \"b\" have the same log /tmp/same.log"), "{rest}");
    scene.write("a", "command = ['a']\ntty = true\n");
    scene.write("b", "command = ['b']\nstdin = 'pipe'\n");
    let (code, rest) = scene.begin().finish();
    assert_eq!(code, 2);
    assert!(rest.contains("a.toml:2:7: the terminal of the monitor"), "{rest}");
    assert!(rest.contains("b.toml:2:9: the input of the monitor"), "{rest}");
    // One alone can have them.
    let (one, all) = (scene.path("units/a.toml"), scene.path("units"));
    let check = |path: &str| self::code(&monitor(&["check-config", path]).output().unwrap());
    assert_eq!((check(&one), check(&all)), (0, 2));
}

/// Goal: a monitor that was killed goes on with what runs, and stops what nobody wants any more.
#[test]
fn killed_monitor_goes_on_with_what_the_files_say() {
    let scene = Scene::new(&[("gone", SLEEP), ("stopped", SLEEP), ("web", SLEEP)]);
    let running = scene.start();
    let all = [("gone", "running"), ("stopped", "running"), ("web", "running")];
    until(|| scene.phases() == named(&all));
    assert_eq!(code(&scene.ask("stop", "stopped", &["--wait"])), 0);
    let pid = |unit: &str| scene.status(unit)["pid"].clone();
    let (web, gone) = (pid("web"), pid("gone"));
    running.kill();
    let listed = monitor(&["list", "state"]).env("XDG_RUNTIME_DIR", scene.path("run")).output();
    assert!(stderr(&listed.unwrap()).contains("there is no monitor;"));
    fs::create_dir(scene.path("run")).unwrap();
    fs::create_dir(scene.path("run/monitor")).unwrap();
    symlink(scene.path("state"), scene.path("run/monitor/fleet")).unwrap();
    let listed = monitor(&["list"]).env("XDG_RUNTIME_DIR", scene.path("run")).output().unwrap();
    let text = stdout(&listed);
    assert!(text.contains("fleet/gone ") && text.contains(&format!("  {web}  ")), "{text}");
    assert!(text.contains("no monitor has it"), "{text}");
    scene.remove("gone");
    let running = scene.start();
    until(|| scene.phases() == named(&[("stopped", "stopped"), ("web", "running")]));
    assert_eq!(scene.status("web")["pid"], web);
    until(|| !Path::new(&format!("/proc/{gone}")).exists());
    until(|| !Path::new(&scene.path("state/gone.journal")).exists());
    running.signal("INT");
    assert_eq!(running.finish().0, 0);
}

/// Goal: a thousand units run where a shell allows few descriptors, and their programs, of which
/// some break with a high number (pitfall 21), have the limit of the shell. What the kernel forbids
/// is said before anything starts.
#[test]
fn descriptor_limit_is_raised_for_the_monitor_alone() {
    let scene = Scene::new(&[]);
    let seen = scene.path("seen");
    scene.write("a", &format!("command = ['sh', '-c', 'ulimit -Sn > {seen}; exec sleep 1000']"));
    let limited = |limit: &str| {
        let (units, state) = (scene.path("units"), scene.path("state"));
        let script = format!("ulimit {limit} 40; exec env --default-signal=TERM \"$0\" \"$@\"");
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_monitor"), "up", &units]);
        command.args(["--state", &state]);
        Running::of(&mut command)
    };
    let mut running = limited("-Sn");
    running.wait_for("started");
    until(|| fs::read_to_string(&seen).is_ok_and(|text| text == "40\n"));
    running.signal("TERM");
    assert_eq!(running.finish().0, 0);
    let (code, text) = limited("-n").finish();
    assert_eq!(code, 125, "{text}");
    assert!(text.contains("1 units need 66 descriptors, and the hard limit is 40"), "{text}");
}

/// Goal: of two units that print to one screen each line says whose it is.
#[test]
fn echoed_lines_have_the_name_of_their_unit() {
    let print = |word: &str| {
        format!("command = ['sh', '-c', 'echo {word}; exec sleep 1000']\nlog-echo = true\n")
    };
    let scene = Scene::new(&[("db", &print("up")), ("web", &print("hello"))]);
    let seen = fs::File::create(scene.path("seen")).unwrap();
    let mut command = std::process::Command::new("env");
    command.args(["--default-signal=TERM", env!("CARGO_BIN_EXE_monitor"), "up"]);
    command.args([scene.path("units"), "--state".into(), scene.path("state")]);
    let running = Running::to(&mut command, seen);
    let lines = || {
        let text = fs::read_to_string(scene.path("seen")).unwrap();
        let mut lines: Vec<_> = text.lines().map(ToOwned::to_owned).collect();
        lines.sort();
        lines
    };
    until(|| lines() == ["db | up", "web | hello"]);
    // What is kept of it has no name: who asks for it has named the unit.
    assert_eq!(scene.ask("logs", "web", &[]).stdout, b"hello\n");
    running.signal("TERM");
    assert_eq!(running.finish().0, 0);
}
