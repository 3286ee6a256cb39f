//! A running monitor is asked, by the program and by whoever opens its socket.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the tests of crashes use the rest")]
mod program;
mod program_copy;
#[expect(dead_code, reason = "other tests use the rest")]
mod trials;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use program::waiting::{awaited, ended, until};
use program::{Running, code, monitor, stderr};
use program_copy::copy_program;
use serde_json::{Value, json};
use tempfile::TempDir;
use trials::{Outcome, require_root, trials};

trials! {
    status_tells_why_what_next_and_what_is_used,
    status_of_a_wait_says_how_long_and_which_ends_there_were,
    stop_tells_how_it_went_and_ends_the_monitor,
    stop_in_a_wait_ends_it,
    monitor_that_stays_is_started_again,
    monitor_that_stays_ends_by_a_signal,
    restart_signal_and_reset_are_obeyed,
    rules_are_set_all_or_none,
    events_are_what_the_monitor_said,
    events_that_are_not_kept_are_counted,
    requests_that_are_not_understood_do_nothing,
    request_is_read_as_it_comes,
    silent_and_slow_clients_are_in_nobodys_way,
    nobody_home_is_told_with_what_is_remembered,
    names_find_their_monitor_and_long_paths_are_fine,
    socket_is_for_its_user,
    strangers_are_refused,
    what_stands_in_the_way_of_the_socket_is_told,
    logs_show_what_is_kept_and_follow,
    slow_follower_of_logs_is_told_what_it_missed,
    what_a_client_has_not_read_is_bounded,
    busy_clients_starve_nobody,
    logs_of_what_is_not_captured_are_refused,
}

/// A state directory, beside which the supervised script leaves marks.
struct Scene {
    directory: TempDir,
    state: String,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state").to_str().unwrap().to_owned();
        Self { directory, state }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts a monitor of `script`, and returns when it has said `word`.
    fn start(&self, options: &[&str], script: &str, word: &str) -> Running {
        let own = ["--state", &self.state, "--cwd", self.directory.path().to_str().unwrap()];
        let shell = ["--", "sh", "-c", "exec 2>/dev/null; eval \"$1\"", "sh", script];
        let mut running = Running::start(&[&own[..], options, &shell].concat());
        running.wait_for(word);
        running
    }

    fn command(&self, args: &[&str]) -> Command {
        let (task, rest) = args.split_first().unwrap();
        monitor(&[&[*task, "--state", &self.state], rest].concat())
    }

    fn ask(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Asks, and returns what was said; it must be done.
    fn stdout_of(&self, args: &[&str]) -> String {
        let output = self.ask(args);
        assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
        assert_eq!(stderr(&output), "", "{args:?}");
        stdout(&output)
    }

    fn status(&self) -> Value {
        let output = self.ask(&["status", "--json"]);
        assert!([0, 4].contains(&code(&output)), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Waits until the status shows a value.
    fn until(&self, field: &str, value: &Value) {
        until(|| self.status()[field] == *value);
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(PathBuf::from(&self.state).join("control")).unwrap()
    }

    /// Waits until the script has written a line.
    fn mark(&self, name: &str) {
        until(|| fs::read_to_string(self.path(name)).is_ok_and(|text| text.ends_with('\n')));
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Reads a line of an answer.
fn answer(lines: &mut impl BufRead) -> Value {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

/// Sends bytes, says that no more will come, and reads the answer, of which there is one.
fn say(mut stream: UnixStream, bytes: &[u8]) -> Value {
    // Who is refused may be let go before it has said all.
    stream.write_all(bytes).ok();
    stream.shutdown(Shutdown::Write).ok();
    let mut lines = BufReader::new(stream);
    let answer = answer(&mut lines);
    assert_eq!(lines.read(&mut [0]).unwrap_or(0), 0, "there is another answer");
    answer
}

/// A script that says when it can be asked to end.
const SERVE: &str = "trap 'exit 9' TERM; echo up > up; while :; do sleep 0.01; done";
const LONG: [&str; 4] = ["--backoff-initial", "1h", "--backoff-max", "1h"];

fn status_tells_why_what_next_and_what_is_used() {
    let scene = Scene::new();
    let script = "sleep 1000 & setsid sleep 1000 & echo $! > other; wait";
    let running = scene.start(&["--healthy-after", "1h"], script, "started #1");
    until(|| scene.status()["tree"]["processes"] == 3);
    let status = scene.status();
    assert_eq!(status["phase"], "running");
    assert_eq!((&status["next"], &status["why"]), (&json!("healthy"), &json!("wanted up")));
    let left = status["left_ms"].as_u64().unwrap();
    assert!((1..3_600_000).contains(&left), "{left}");
    assert_eq!(status["monitor"]["pid"], running.id());
    assert!(status["tree"]["resident_bytes"].as_u64().unwrap() > 0);
    let pid = status["pid"].as_u64().unwrap();

    let screen = scene.stdout_of(&["status"]);
    assert!(!screen.contains('\x1b'), "colours where there is no terminal: {screen}");
    assert!(screen.starts_with(&format!("main  running #1 pid {pid} for ")), "{screen}");
    for row in [
        "\n  why       wanted up\n",
        "\n  next      healthy in 59m",
        "\n  restarts  0\n",
        " in 3 processes\n",
        "\n  policy    restart=on-failure healthy-after=1h forgive=all\n",
    ] {
        assert!(screen.contains(row), "{row:?} is not in {screen}");
    }
    let coloured = scene.command(&["status"]).env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(stdout(&coloured).contains("\x1b[32mrunning\x1b[0m"));
    // What left the session is not the group's.
    let other = fs::read_to_string(scene.path("other")).unwrap();
    assert!(Command::new("kill").arg(other.trim()).status().unwrap().success());
    running.signal("TERM");
    running.finish();
}

fn status_of_a_wait_says_how_long_and_which_ends_there_were() {
    let scene = Scene::new();
    let options = [&LONG[..], &["--restart", "on-failure:5"]].concat();
    let running = scene.start(&options, "exit 7", "backing off");
    assert!(scene.stdout_of(&["start"]).starts_with("starting #2: wanted up"));
    until(|| scene.status()["run"] == 2 && scene.status()["phase"] == "backing-off");
    let status = scene.status();
    assert_eq!((&status["next"], &status["retries_left"]), (&json!("attempt #3"), &json!(4)));
    let left = status["left_ms"].as_u64().unwrap();
    assert!((3_000_000..=3_960_000).contains(&left), "{left}");
    assert_eq!((&status["pid"], &status["tree"]), (&Value::Null, &Value::Null));
    let exits = status["exits"].as_array().unwrap();
    assert_eq!(exits.len(), 2);
    assert_eq!((&exits[0]["run"], &exits[0]["outcome"]), (&json!(2), &json!("code=7")));
    let screen = scene.stdout_of(&["status"]);
    assert!(
        screen.contains("\n  next      attempt #3 in ")
            && screen.contains("\n            #1 code=7, "),
        "{screen}"
    );
    // There is nobody to hear it.
    let output = scene.ask(&["signal", "HUP"]);
    assert_eq!(code(&output), 4);
    assert!(
        stderr(&output).contains("no process to signal: backing-off #2"),
        "{}",
        stderr(&output)
    );
    running.signal("TERM");
    running.finish();
}

/// Goal: a stop tells the truth, by its words and by its status, and ends the monitor with the
/// status of the command.
fn stop_tells_how_it_went_and_ends_the_monitor() {
    let deaf = "trap '' TERM; echo up > up; while :; do sleep 0.01; done";
    // What is left ends with the directory.
    let leaves =
        "sh -c 'trap \"\" TERM; echo up > up; while test -e up; do sleep 0.01; done' & wait";
    for (script, options, words, status, of_command) in [
        (SERVE, ["--scope", "group"], "ended when it was asked", 0, 9),
        (deaf, ["--stop-timeout", "10ms"], "was killed", 5, 137),
        (leaves, ["--scope", "process"], "sh (pid ", 6, 143),
    ] {
        let scene = Scene::new();
        let running = scene.start(&options, script, "started #1");
        scene.mark("up");
        let output = scene.ask(&["stop", "--wait"]);
        assert_eq!(code(&output), status, "{}{}", stdout(&output), stderr(&output));
        assert!(stdout(&output).contains(words), "{}", stdout(&output));
        let (code_of_run, rest) = running.finish();
        assert_eq!(code_of_run, of_command, "{rest}");
        assert!(rest.contains("stopped: a stop was requested"), "{rest}");
        assert!(!PathBuf::from(&scene.state).join("control").exists());
        assert_eq!(code(&scene.ask(&["stop", "--wait"])), 3);
    }
}

fn stop_in_a_wait_ends_it() {
    for (args, status) in [(&["stop"][..], 0), (&["stop", "--wait"], 4)] {
        let scene = Scene::new();
        let running = scene.start(&LONG, "exit 7", "backing off");
        let output = scene.ask(args);
        assert_eq!(code(&output), status, "{}", stderr(&output));
        assert!(stdout(&output).starts_with("stopped"), "{}", stdout(&output));
        assert_eq!(running.finish().0, 7);
    }
}

fn monitor_that_stays_is_started_again() {
    let scene = Scene::new();
    let running = scene.start(&["--stay"], SERVE, "started #1");
    scene.mark("up");
    let text = scene.stdout_of(&["stop"]);
    assert!(text.starts_with("stopping #1: a stop was requested; to be killed"), "{text}");
    scene.until("down", &json!(true));
    assert_eq!(code(&scene.ask(&["status"])), 4);
    assert_eq!(code(&scene.ask(&["stop"])), 4);
    assert_eq!(code(&scene.ask(&["stop", "--wait"])), 4);
    scene.stdout_of(&["start"]);
    scene.until("phase", &json!("running"));
    let text = scene.stdout_of(&["start"]);
    assert!(text.starts_with("nothing to do: running #2: "), "{text}");
    running.signal("TERM");
    let (_, rest) = running.finish();
    assert!(rest.contains("started #2") && rest.contains("the monitor is going down"), "{rest}");
    let refused = monitor(&["run", "--stay", "--", "true"]).output().unwrap();
    assert_eq!(code(&refused), 2);
    assert!(stderr(&refused).contains("--name <NAME>"), "{}", stderr(&refused));
}

/// Goal: of a monitor that stays, a signal ends it also when the command is down already.
fn monitor_that_stays_ends_by_a_signal() {
    let scene = Scene::new();
    let running = scene.start(&["--stay", "--restart", "no"], "exit 5", "stopped");
    running.signal("TERM");
    assert_eq!(running.finish().0, 5);
}

fn restart_signal_and_reset_are_obeyed() {
    let scene = Scene::new();
    let script =
        "trap 'exit 9' TERM; trap 'echo hup > hup' HUP; echo up > up; while :; do sleep 0.01; done";
    let running = scene.start(&[], script, "started #1");
    scene.mark("up");
    let pid = scene.status()["pid"].clone();
    assert_eq!(scene.stdout_of(&["signal", "HUP"]), format!("HUP sent to pid {pid}\n"));
    scene.mark("hup");
    let text = scene.stdout_of(&["restart"]);
    assert!(text.starts_with("stopping #1: a restart was requested"), "{text}");
    scene.until("run", &json!(2));
    scene.until("phase", &json!("running"));
    assert_ne!(scene.status()["pid"], pid);
    scene.stdout_of(&["reset"]);
    let output = scene.ask(&["signal", "HOP"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("\"HOP\" is not understood"), "{}", stderr(&output));
    running.signal("TERM");
    running.finish();
}

fn rules_are_set_all_or_none() {
    let scene = Scene::new();
    let running = scene.start(&["--restart", "always"], SERVE, "started #1");
    let before = scene.status()["policy"].clone();
    assert_eq!(before, "restart=always");
    for (rules, word) in [
        (&["retries=3", "colour=red"][..], "\"colour\""),
        (&["retries=3", "jitter=200"], "0 to 100"),
        (&["retries=3", "readiness=notify"], "started without a notify socket"),
        (&["retries=3", "preset=docker"], "preset"),
        (&["retries"], "key=value"),
    ] {
        let output = scene.ask(&[&["set"], rules].concat());
        assert_eq!(code(&output), 1, "{}", stdout(&output));
        assert!(stderr(&output).contains(word), "{word} is not in {}", stderr(&output));
        assert_eq!(scene.status()["policy"], before);
    }
    let text = scene.stdout_of(&["set", "retries=3", "stop-timeout=3s"]);
    assert_eq!(text, "restart=always retries=3 stop-timeout=3s\n");
    scene.stdout_of(&["set", "jitter=0"]);
    assert_eq!(scene.status()["policy"], "restart=always retries=3 jitter=0% stop-timeout=3s");
    assert_eq!(
        scene.stdout_of(&["set", "preset=docker"]),
        scene.status()["policy"].as_str().unwrap().to_owned() + "\n"
    );
    assert_eq!(scene.status()["run"], 1, "a rule restarted it");
    assert_eq!(code(&scene.ask(&["set"])), 2);
    running.signal("TERM");
    running.finish();
}

fn events_are_what_the_monitor_said() {
    let scene = Scene::new();
    let mut running = scene.start(&LONG, "exit 7", "started #1");
    let said = [running.wait_for("exited #1"), running.wait_for("backing off")];
    let text = scene.stdout_of(&["events"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[1..], [said[0].trim_end(), said[1].trim_end()]);
    let objects = scene.stdout_of(&["events", "--json"]);
    let names: Vec<_> = objects
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone())
        .collect();
    assert_eq!(names, ["starting", "started", "exited", "backing-off"]);

    let mut follower = scene.command(&["events", "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut heard = BufReader::new(follower.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(heard.any(|line| line.contains("backing off")));
    scene.stdout_of(&["stop"]);
    let rest: Vec<_> = heard.collect();
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert!(rest[0].ends_with("stopped: a stop was requested"), "{rest:?}");
    assert_eq!(ended(&mut follower).code(), Some(0));
    running.finish();
}

/// Goal: what is not kept is told, and counted.
fn events_that_are_not_kept_are_counted() {
    let scene = Scene::new();
    let rules = "restart=always backoff=constant:1ms jitter=0";
    let running = scene.start(&["--stay", "--policy", rules], "exit 7", "started #1");
    until(|| scene.status()["restarts"].as_u64().unwrap() >= 100);
    scene.stdout_of(&["stop"]);
    scene.until("down", &json!(true));
    let output = scene.ask(&["events", "--json"]);
    assert_eq!(stdout(&output).lines().count(), 256);
    let missed = scene.status()["monitor"]["clients"]["missed"].clone();
    assert!(missed.as_u64().unwrap() >= 100);
    assert_eq!(
        stderr(&output),
        format!("monitor: {missed} earlier entries are not kept any more\n")
    );
    running.signal("TERM");
    running.finish();
}

fn requests_that_are_not_understood_do_nothing() {
    let scene = Scene::new();
    let running = scene.start(&[], SERVE, "started #1");
    let long = [&br#"{"version":2,"ask":"stop"#[..], &vec![b' '; 20_000], b"\"}\n"].concat();
    for (bytes, kind) in [
        (&b"stop\n"[..], "malformed"),
        (b"\n", "malformed"),
        (b"\xff\xfe\n", "malformed"),
        (b"{\"version\":2,\"ask\":{\"stop\":{\"wait\":false,\"now\":true}}}\n", "malformed"),
        (b"{\"version\":2,\"ask\":{\"stop\":{\"wait\":false}}}", "malformed"),
        (b"{\"version\":7,\"ask\":{\"stop\":{\"wait\":false}}}\n", "version"),
        (b"{\"version\":2,\"ask\":{\"signal\":{\"signal\":\"HOP\"}}}\n", "value"),
        (&long, "too-long"),
    ] {
        let told = say(scene.connect(), bytes);
        assert_eq!(told["version"], 2);
        assert_eq!(told["answer"]["refused"]["kind"], kind, "{told}");
        assert!(told["answer"]["refused"]["message"].as_str().unwrap().len() > 20, "{told}");
    }
    let told = say(scene.connect(), b"{\"version\":2,\"ask\":\"status\"}\nstop\n");
    assert_eq!(told["answer"]["status"]["phase"], "running", "{told}");
    running.signal("TERM");
    let (_, rest) = running.finish();
    assert!(!rest.contains("a stop was requested"), "{rest}");
}

/// Goal: a request may come in pieces.
fn request_is_read_as_it_comes() {
    let scene = Scene::new();
    let running = scene.start(&[], SERVE, "started #1");
    let mut stream = scene.connect();
    for byte in b"{\"version\":2,\"ask\":\"status\"}\n" {
        stream.write_all(&[*byte]).unwrap();
        scene.status();
    }
    assert_eq!(answer(&mut BufReader::new(stream))["answer"]["status"]["phase"], "running");
    running.signal("TERM");
    running.finish();
}

/// Goal: nobody is kept out by clients that say nothing, nobody is harmed by one that reads
/// nothing, and those for whom there is no room are told so.
fn silent_and_slow_clients_are_in_nobodys_way() {
    let scene = Scene::new();
    let rules = "restart=always backoff=constant:1ms jitter=0";
    let running = scene.start(&["--policy", rules], "exit 7", "started #1");
    let silent: Vec<_> = (0..20).map(|_| scene.connect()).collect();
    let counts = scene.status()["monitor"]["clients"].clone();
    assert_eq!((&counts["connected"], &counts["turned_away"]), (&json!(16), &json!(5)));
    drop(silent);

    let follow = b"{\"version\":2,\"ask\":{\"events\":{\"follow\":true}}}\n";
    let followers: Vec<_> = (0..16)
        .map(|_| {
            let mut stream = scene.connect();
            stream.write_all(follow).unwrap();
            // The first line says that it was heard.
            let mut lines = BufReader::with_capacity(1, stream);
            answer(&mut lines);
            lines
        })
        .collect();
    let refused = scene.ask(&["status"]);
    assert_eq!(code(&refused), 1);
    assert!(stderr(&refused).contains("16 clients wait"), "{}", stderr(&refused));
    let mut followers = followers.into_iter();
    let mut slow = followers.next().unwrap();
    drop(followers);
    // Far more happens than the kernel keeps of a connection, and the monitor keeps of what
    // happened.
    until(|| {
        let output = scene.ask(&["status", "--json"]);
        let status = serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default();
        status["restarts"].as_u64().is_some_and(|restarts| restarts >= 400)
    });
    assert_eq!(code(&scene.ask(&["stop"])), 0);
    running.finish();
    let mut runs = 0;
    let mut text = String::new();
    slow.read_to_string(&mut text).unwrap();
    for line in text.lines() {
        runs = serde_json::from_str::<Value>(line)
            .map_or(runs, |told| told["answer"]["event"]["run"].as_u64().unwrap_or(runs));
    }
    assert!(runs < 400, "the monitor kept what nobody reads");
}

fn nobody_home_is_told_with_what_is_remembered() {
    let scene = Scene::new();
    let output = scene.ask(&["status"]);
    assert_eq!(code(&output), 3);
    let text = stderr(&output);
    assert!(text.contains(&format!("no monitor runs in {}", scene.state)), "{text}");
    assert!(text.contains("nothing is stored"), "{text}");
    assert!(!PathBuf::from(&scene.state).exists(), "asking made a directory");

    let running = scene.start(&[], SERVE, "started #1");
    scene.mark("up");
    let pid = scene.status()["pid"].clone();
    running.kill();
    for args in
        [&["status"][..], &["stop", "--wait"], &["start"], &["events"], &["set", "retries=1"]]
    {
        let output = scene.ask(args);
        assert_eq!(code(&output), 3);
        let text = stderr(&output);
        assert!(
            text.contains(&format!("of main: running #1 (wanted), and pid {pid} runs on")),
            "{text}"
        );
    }
    // The socket of the dead is in nobody's way.
    let running = scene.start(&[], SERVE, "adopted #1");
    assert_eq!(scene.status()["pid"], pid);
    running.signal("TERM");
    running.finish();
    fs::write(PathBuf::from(&scene.state).join("main.journal"), "hello").unwrap();
    let text = stderr(&scene.ask(&["status"]));
    assert!(text.contains("main.journal") && text.contains("no journal"), "{text}");
}

fn names_find_their_monitor_and_long_paths_are_fine() {
    let directory = tempfile::tempdir().unwrap();
    let long = directory.path().join("d".repeat(200));
    let named = |args: &[&str]| -> Command {
        let mut command = monitor(args);
        command.env("XDG_RUNTIME_DIR", &long);
        command
    };
    let mut run = named(&["run", "--name", "web", "--", "sleep", "1000"]);
    let mut child: Child = run.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("started #1"));
    let status = named(&["status", "web"]).output().unwrap();
    assert!(stdout(&status).starts_with("web  running #1"), "{}", stderr(&status));
    let set = named(&["set", "web", "retries=1"]).output().unwrap();
    assert_eq!(code(&set), 0, "{}", stderr(&set));
    let signal = named(&["signal", "web", "URG"]).output().unwrap();
    assert_eq!(code(&signal), 0, "{}", stderr(&signal));
    for (args, word) in [
        (&["status"][..], "required"),
        (&["signal", "web"], "one signal"),
        (&["set", "web"], "rules"),
        (&["status", "web", "--state", "/x"], "cannot be used with"),
    ] {
        let output = named(args).output().unwrap();
        assert_eq!(code(&output), 2, "{args:?}");
        assert!(stderr(&output).contains(word), "{}", stderr(&output));
    }
    let other = named(&["status", "db"]).output().unwrap();
    assert_eq!(code(&other), 3);
    assert!(stderr(&other).contains("/monitor/db"), "{}", stderr(&other));
    let homeless = monitor(&["status", "../x"]).output().unwrap();
    assert_eq!(code(&homeless), 1);
    let stop = named(&["stop", "web", "--wait"]).output().unwrap();
    assert_eq!(code(&stop), 0, "{}", stderr(&stop));
    assert_eq!(ended(&mut child).code(), Some(143));
}

/// Goal: the socket is for its user.
fn socket_is_for_its_user() {
    let scene = Scene::new();
    let running = scene.start(&[], SERVE, "started #1");
    let socket = PathBuf::from(&scene.state).join("control");
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o7777, 0o600);
    running.signal("TERM");
    running.finish();
}

/// Goal: the credentials are checked also where the modes let somebody in.
fn strangers_are_refused() -> Outcome {
    require_root("ask as another user")?;
    let scene = Scene::new();
    let running = scene.start(&[], SERVE, "started #1");
    let socket = PathBuf::from(&scene.state).join("control");
    // The program itself may lie where nobody else can read.
    let program = scene.path("monitor");
    copy_program(env!("CARGO_BIN_EXE_monitor"), &program);
    for path in [scene.directory.path(), scene.state.as_ref(), &program] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let stop = || {
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        let mut command = Command::new("setpriv");
        command.args(nobody).arg(&program).args(["stop", "--state", &scene.state]);
        command.output().unwrap()
    };
    let by_mode = stop();
    assert_eq!(code(&by_mode), 1);
    assert!(stderr(&by_mode).contains("as its user or as root"), "{}", stderr(&by_mode));
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let by_credentials = stop();
    assert_eq!(code(&by_credentials), 1);
    assert!(stderr(&by_credentials).contains("only the user"), "{}", stderr(&by_credentials));
    assert_eq!(scene.status()["monitor"]["clients"]["turned_away"], 1);
    running.signal("TERM");
    let (_, rest) = running.finish();
    assert!(!rest.contains("a stop was requested"), "{rest}");
    Ok(())
}

fn what_stands_in_the_way_of_the_socket_is_told() {
    let scene = Scene::new();
    fs::create_dir_all(PathBuf::from(&scene.state).join("control/x")).unwrap();
    let output = scene.command(&["run"]).args(["--", "true"]).output().unwrap();
    assert_eq!(code(&output), 125);
    assert!(stderr(&output).contains("cannot listen at"), "{}", stderr(&output));
}

/// Goal: what was printed is shown, by stream and by number, over runs, and what comes then.
fn logs_show_what_is_kept_and_follow() {
    let scene = Scene::new();
    let script = "echo one; echo err >&2; printf 'b\\377d\\n'; echo up > up
                  until test -e more; do sleep 0.01; done; echo two
                  until test -e end; do sleep 0.01; done; rm more end; exit 1";
    // Not by the shell of the scene, which throws standard error away.
    let own = ["--state", &scene.state, "--cwd", scene.directory.path().to_str().unwrap()];
    let options =
        ["--stdout", "log", "--stderr", "log", "--log-echo=false", "--backoff-initial", "1ms"];
    let shell = ["--", "sh", "-c", script];
    let mut running = Running::start(&[&own[..], &options, &shell].concat());
    running.wait_for("started #1");
    scene.mark("up");
    until(|| stdout_bytes(&scene, &["logs", "--stdout"]) == b"one\nb\xffd\n");
    until(|| stdout_bytes(&scene, &["logs", "--stderr"]) == b"err\n");
    // Between two pipes there is no order.
    assert_eq!(stdout_bytes(&scene, &["logs"]).len(), b"one\nerr\nb\xffd\n".len());
    assert_eq!(stdout_bytes(&scene, &["logs", "--stdout", "-n", "1"]), b"b\xffd\n");
    assert_eq!(stdout_bytes(&scene, &["logs", "-n", "0"]), b"");
    let stamped = String::from_utf8(stdout_bytes(&scene, &["logs", "-t", "--stderr"])).unwrap();
    assert!(stamped.contains('T') && stamped.ends_with("Z stderr err\n"), "{stamped}");
    let mut follower = scene
        .command(&["logs", "-f", "-n", "1", "--stdout"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap());
    let mut line = Vec::new();
    lines.read_until(b'\n', &mut line).unwrap();
    assert_eq!(line, b"b\xffd\n");
    fs::write(scene.path("more"), "").unwrap();
    let mut next = || {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        line
    };
    // Nothing else happens that could wake the monitor.
    assert_eq!(next(), "two\n");
    fs::write(scene.path("end"), "").unwrap();
    assert_eq!(next(), "one\n");
    running.signal("TERM");
    running.finish();
    follower.wait().unwrap();
}

fn stdout_bytes(scene: &Scene, args: &[&str]) -> Vec<u8> {
    let output = scene.ask(args);
    assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
    output.stdout
}

/// Goal: who follows and does not read is in nobody's way, and is told how much is missing.
fn slow_follower_of_logs_is_told_what_it_missed() {
    let scene = Scene::new();
    let script = "echo first; until test -e more; do sleep 0.01; done; seq 1 200000; echo up > up; sleep 1000";
    // Nothing but lines wakes the one who serves.
    let options = ["--log-echo=false", "--log-ring", "16K", "--healthy-after", "none"];
    let running = scene.start(&options, script, "started #1");
    let mut stream = scene.connect();
    let ask = r#"{"version":2,"ask":{"logs":{"follow":true,"last":null,"stream":null}}}"#;
    stream.write_all(format!("{ask}\n").as_bytes()).unwrap();
    let mut lines = BufReader::new(stream);
    assert_eq!(answer(&mut lines)["answer"]["log-line"]["text"], "first");
    fs::write(scene.path("more"), "").unwrap();
    scene.mark("up");
    let (mut seen, mut missed) = (0_u64, 0_u64);
    loop {
        let answer = answer(&mut lines);
        if let Some(count) = answer["answer"]["missed"].as_u64() {
            missed += count;
            continue;
        }
        seen += 1;
        let number: u64 = answer["answer"]["log-line"]["text"].as_str().unwrap().parse().unwrap();
        assert_eq!(number, seen + missed);
        if number == 200_000 {
            break;
        }
    }
    assert!(missed > 0);
    running.signal("TERM");
    running.finish();
}

/// Goal: what is put aside for a client that does not read is bounded, also where much more is kept
/// for it. Method: what is kept goes over meanwhile, so what the client misses was not put aside
/// for it.
fn what_a_client_has_not_read_is_bounded() {
    let scene = Scene::new();
    let script = "seq 1 400000; until test -e more; do sleep 0.01; done; \
                  seq 1 800000; echo up > over; exec sleep 1000";
    let options = ["--log-echo=false", "--log-ring", "4M", "--healthy-after", "none"];
    let running = scene.start(&options, script, "started #1");
    awaited("all is kept", || scene.stdout_of(&["logs", "-n", "1"]), |last| last == "400000\n");
    let mut stream = scene.connect();
    let ask = r#"{"version":2,"ask":{"logs":{"follow":false,"last":null,"stream":null}}}"#;
    stream.write_all(format!("{ask}\n").as_bytes()).unwrap();
    let mut lines = BufReader::new(stream);
    // It has been asked for when there is an answer.
    assert!(answer(&mut lines)["answer"]["log-line"].is_object());
    fs::write(scene.path("more"), "").unwrap();
    scene.mark("over");
    let (mut bytes, mut missed) = (0, 0);
    loop {
        let answer = answer(&mut lines);
        if let Some(count) = answer["answer"]["missed"].as_u64() {
            missed += count;
        } else if answer["answer"] == "end" {
            break;
        } else if missed == 0 {
            bytes += answer.to_string().len();
        }
    }
    assert!(missed > 0, "all of it was put aside: {bytes} bytes");
    // What a socket holds beside, as it is set where the tests run.
    let held = fs::read_to_string("/proc/sys/net/core/wmem_default").unwrap();
    let held: usize = held.trim().parse().unwrap();
    assert!(bytes <= 2 * 64 * 1024 + held, "{bytes} bytes were put aside");
    running.signal("TERM");
    running.finish();
}

/// Goal: clients that take whatever comes as fast as it comes are in the way of nobody: each of
/// them gets its share, others are answered, and what is supervised is. Method: followers of a
/// program that prints without an end.
fn busy_clients_starve_nobody() {
    let scene = Scene::new();
    let options = ["--log-echo=false", "--backoff-initial", "1ms", "--healthy-after", "none"];
    let running = scene.start(&options, "echo $$ >> pids; yes", "started #1");
    let over = AtomicBool::new(false);
    let counts: [AtomicU64; 6] = std::array::from_fn(|_| AtomicU64::new(0));
    std::thread::scope(|scope| {
        for count in &counts {
            let mut stream = scene.connect();
            let ask = r#"{"version":2,"ask":{"logs":{"follow":true,"last":0,"stream":null}}}"#;
            stream.write_all(format!("{ask}\n").as_bytes()).unwrap();
            let over = &over;
            scope.spawn(move || {
                let mut buffer = [0; 64 * 1024];
                while !over.load(Ordering::Relaxed)
                    && let Ok(read @ 1..) = stream.read(&mut buffer)
                {
                    count.fetch_add(read as u64, Ordering::Relaxed);
                }
            });
        }
        // Whatever fails, the followers are to end.
        let judged = catch_unwind(AssertUnwindSafe(|| {
            let seen = || counts.each_ref().map(|count| count.load(Ordering::Relaxed));
            let all_above = |bounds: [u64; 6]| {
                awaited("something for each follower", seen, |seen| {
                    seen.iter().zip(bounds).all(|(seen, bound)| *seen > bound)
                })
            };
            for run in 1..4 {
                let before = all_above(seen());
                let status = scene.status();
                assert_eq!(status["run"], run);
                let pid = status["pid"].to_string();
                assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
                scene.until("run", &(run + 1).into());
                all_above(before.map(|count| count + 1_000_000));
            }
            assert_eq!(
                scene.stdout_of(&["stop", "--wait"]),
                "stopped: it ended when it was asked to\n"
            );
        }));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = judged {
            running.signal("KILL");
            resume_unwind(panic);
        }
    });
    running.finish();
}

fn logs_of_what_is_not_captured_are_refused() {
    let scene = Scene::new();
    let running = scene.start(&[], SERVE, "started #1");
    let output = scene.ask(&["logs"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("--log FILE"), "{}", stderr(&output));
    running.signal("TERM");
    running.finish();
}
