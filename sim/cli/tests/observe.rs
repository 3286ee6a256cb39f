//! `observe` as a user runs it: right and wrong supervisors, those that are installed, and ends in
//! the middle.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, str};

use libtest_mimic::{Arguments, Completion, Trial};
use serde_json::Value;
use tempfile::TempDir;

fn main() -> ExitCode {
    let plain = |name: &str, test: fn()| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    let mut trials = vec![
        plain("small_supervisor_keeps_the_rules", small_supervisor_keeps_the_rules),
        plain("lost_stop_in_the_backoff_is_red", lost_stop_in_the_backoff_is_red),
        plain("second_start_is_red", second_start_is_red),
        plain("early_restart_is_red", early_restart_is_red),
        plain("declared_deviation_is_no_failure", declared_deviation_is_no_failure),
        plain("missing_program_is_no_failure", missing_program_is_no_failure),
        plain("mistakes_are_named", mistakes_are_named),
        plain("file_of_the_help_is_right", file_of_the_help_is_right),
        plain("interruption_leaves_nothing", interruption_leaves_nothing),
        plain("kill_leaves_nothing", kill_leaves_nothing),
    ];
    for name in ["daemontools", "monitor", "runit", "s6", "supervisord"] {
        trials.push(Trial::ignorable_test(format!("supervisor::{name}"), move || {
            Ok(observe_one(name))
        }));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monitor-sim"));
    command.arg("observe").args(arguments);
    command
}

/// The exit status of `observe --json`, and the word of each cell of the first column.
fn words(file: &Path, rules: &[&str]) -> (i32, BTreeMap<String, String>, Value) {
    let only = rules.iter().flat_map(|rule| ["--only", rule]);
    let arguments: Vec<_> = ["--json", file.to_str().unwrap()].into_iter().chain(only).collect();
    let output = command(&arguments).output().unwrap();
    let text = str::from_utf8(&output.stdout).unwrap();
    let json: Value = serde_json::from_str(text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    });
    let cells = json["supervisors"][0]["cells"].as_object().unwrap();
    let word = |cell: &Value| cell["word"].as_str().unwrap().to_owned();
    let words = cells.iter().map(|(rule, cell)| (rule.clone(), word(cell))).collect();
    (output.status.code().unwrap(), words, json)
}

const SMALL: &str = include_str!("small_supervisor.toml");

/// Writes the small supervisor with a bug: a text is replaced by another.
fn small(folder: &TempDir, from: &str, to: &str) -> PathBuf {
    assert!(SMALL.contains(from), "{from}");
    let path = folder.path().join("small.toml");
    fs::write(&path, SMALL.replacen(from, to, 1)).unwrap();
    path
}

const RULES: [&str; 6] = [
    "starts-once",
    "restarts-after-quick-end",
    "delay-between-runs",
    "stop-ends-run",
    "stop-in-backoff",
    "stop-twice",
];

/// Goal: exactly these rules are red, and the exit status says it.
fn assert_red(file: &Path, red: &[&str]) {
    let (code, words, json) = words(file, &RULES);
    let found: Vec<_> = words.iter().filter(|(_, word)| *word == "RED 1/1").collect();
    let found: Vec<_> = found.into_iter().map(|(rule, _)| rule.as_str()).collect();
    assert_eq!(found, red, "{json:#}");
    assert_eq!(words.values().filter(|word| *word == "ok").count(), RULES.len() - red.len());
    assert_eq!(code, if red.is_empty() { 0 } else { 10 });
    for rule in red {
        let cell = &json["supervisors"][0]["cells"][rule];
        let finding = &cell["result"]["played"]["finding"];
        assert!(finding["expected"].is_string() && finding["seen"].is_string(), "{cell:#}");
        assert!(cell["facts"].as_array().is_some_and(|facts| facts.len() > 2), "{cell:#}");
    }
}

fn small_supervisor_keeps_the_rules() {
    let folder = tempfile::tempdir().unwrap();
    assert_red(&small(&folder, "wanted=up pid=", "wanted=up pid="), &[]);
}

fn lost_stop_in_the_backoff_is_red() {
    let folder = tempfile::tempdir().unwrap();
    let lost = "'test -z \"$pid\" || { wanted=down; end; }' USR1";
    let lost = lost.replace('{', "{{").replace('}', "}}");
    assert_red(&small(&folder, "'wanted=down; end' USR1", &lost), &["stop-in-backoff"]);
}

fn second_start_is_red() {
    let folder = tempfile::tempdir().unwrap();
    let twice = small(&folder, "{program} &\n", "{program} &\n        {program} &\n");
    let (code, words, json) = words(&twice, &["starts-once"]);
    assert_eq!((code, words["starts-once"].as_str()), (10, "RED 1/1"), "{json:#}");
}

fn early_restart_is_red() {
    let folder = tempfile::tempdir().unwrap();
    assert_red(&small(&folder, "sleep 2 &", "sleep 1 &"), &["delay-between-runs"]);
}

fn declared_deviation_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let file = small(&folder, "sleep 2 &", "sleep 1 &");
    let known = "\n[[deviation]]\nrule = \"delay-between-runs\"\nreason = \"r\"\nsource = \"s\"\n";
    fs::write(&file, fs::read_to_string(&file).unwrap() + known).unwrap();
    let (code, words, json) = words(&file, &["delay-between-runs"]);
    assert_eq!((code, words["delay-between-runs"].as_str()), (0, "differs 1/1"), "{json:#}");
}

fn missing_program_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let missing = "\ndebian = \"small\"\nprograms = [\"there-is-no-such-program\"]";
    let file = small(&folder, "\nprograms = [\"sh\", \"cat\", \"sleep\"]", missing);
    let output = command(&[file.to_str().unwrap()]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = "small: not installed: there-is-no-such-program (Debian package small)";
    assert!(text.contains(line), "{text}");
    assert_eq!(output.status.code(), Some(0));
}

fn mistakes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = small(&folder, "grace = \"never\"", "grace = \"soon\"");
    let right = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/small_supervisor.toml");
    let (wrong, right) = (wrong.to_str().unwrap(), right.to_str().unwrap());
    for (arguments, code, part) in [
        (&[wrong][..], 64, "small.toml:20: grace: \"soon\" is no time"),
        (&[right, right], 64, "give one another name"),
        (&[right, "--only", "x"], 64, "no such scenario"),
        (&[right, "--repeat", "0"], 64, "nothing would run"),
        (&["/nowhere.toml"], 70, "give a file that can be read"),
        (&[], 64, "SUPERVISOR.toml"),
    ] {
        let output = command(arguments).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(part), "{arguments:?}: {text}");
    }
}

fn file_of_the_help_is_right() {
    let help = String::from_utf8(command(&["--help"]).output().unwrap().stdout).unwrap();
    let (_, rest) = help.split_once("describes each key:\n").unwrap();
    let (text, _) = rest.split_once("\nExamples:").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("help.toml");
    fs::write(&file, text).unwrap();
    let output = command(&[file.to_str().unwrap(), "--only", "starts-once"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// Starts an observation in a folder for temporary files, and waits until a run has begun.
fn begun(folder: &TempDir) -> Child {
    let file = small(folder, "wanted=up pid=", "wanted=up pid=");
    let scenes = folder.path().join("scenes");
    fs::create_dir(&scenes).unwrap();
    let child = command(&[file.to_str().unwrap(), "--only", "stop-never-kills"])
        .env("TMPDIR", &scenes)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("a run begins", || {
        let scenes = fs::read_dir(&scenes).unwrap().flatten();
        let records = scenes.map(|scene| fs::read(scene.path().join("record")));
        records.flatten().any(|record| !record.is_empty())
    });
    child
}

fn assert_nothing_left(folder: &TempDir) {
    let scenes = folder.path().join("scenes");
    wait_until("no process is left", || !is_in_a_command_line(&scenes));
    wait_until("no file is left", || fs::read_dir(&scenes).unwrap().next().is_none());
}

fn is_in_a_command_line(path: &Path) -> bool {
    let path = path.to_str().unwrap();
    let lines = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .map(|entry| fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default());
    lines.into_iter().any(|line| line.contains(path))
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    // Nothing is ever sent: the wait for it is a pause.
    let (_sender, pause) = mpsc::channel::<()>();
    for _ in 0..6_000 {
        if is_so() {
            return;
        }
        pause.recv_timeout(Duration::from_millis(20)).ok();
    }
    panic!("it never came that {what}");
}

fn interruption_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = begun(&folder);
    assert!(is_in_a_command_line(&folder.path().join("scenes")));
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_nothing_left(&folder);
}

fn kill_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = begun(&folder);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_nothing_left(&folder);
}

/// Goal: a supervisor that is installed keeps rules of each class that all of them keep.
fn observe_one(name: &str) -> Completion {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../supervisors/{name}.toml"));
    if !file.exists() {
        return Completion::ignored_with("the files of supervisors are beside the workspace");
    }
    let rules = ["starts-once", "restarts-after-exit-1", "stop-ends-run", "start-after-stop"];
    let (code, words, json) = words(&file, &rules);
    if let Some(reason) = json["supervisors"][0]["not-installed"].as_str() {
        return Completion::ignored_with(reason);
    }
    assert_eq!(words.values().collect::<Vec<_>>(), ["ok"; 4], "{json:#}");
    assert_eq!(code, 0);
    Completion::Completed
}
