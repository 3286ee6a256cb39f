//! Files in TOML in the place of flags, from outside.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the tests of crashes use the rest")]
mod program;

use std::fs;
use std::process::Output;

use program::{code, monitor, run, stderr};
use tempfile::TempDir;

/// A directory with files in it.
fn files(texts: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in texts {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn file(text: &str) -> (TempDir, String) {
    let directory = files(&[("web.toml", text)]);
    let path = directory.path().join("web.toml").to_str().unwrap().to_owned();
    (directory, path)
}

fn check(path: &str) -> Output {
    monitor(&["check-config", path]).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn file_is_run_and_flags_take_the_place_of_its_keys() {
    let text = "command = ['sh', '-c', 'echo out; exit 7']\nrestart = 'on-failure:2'\n\
                backoff-initial = '1ms'\njitter = 0\n";
    let (_directory, path) = file(text);
    let output = run(&["--config", &path]);
    assert_eq!((code(&output), stdout(&output).as_str()), (7, "out\nout\nout\n"));
    let output = run(&["--config", &path, "--restart", "no"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (7, "out\n"));
    let output = run(&["--config", &path, "--restart", "no", "--", "sh", "-c", "exit 3"]);
    assert_eq!(code(&output), 3);
    let (_directory, path) = file("restart = 'no'\n");
    let output = run(&["--config", &path]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("write `-- COMMAND`"), "{}", stderr(&output));
    assert_eq!(code(&run(&["--config", &path, "--", "sh", "-c", "exit 5"])), 5);
}

#[test]
fn check_says_what_units_would_do_as_flags_would() {
    let texts = [
        ("web.toml", "command = ['./server', 'a b']\nrestart = 'always'\nstop-signal = 2\n"),
        (
            "db.toml",
            "command = ['postgres']\ncwd = '/'\npreset = 'systemd'\n\
             log = '/x y'\nenv = ['A=1', 'B=a b']\nhealth = ['pg_isready', '-q']\nstdin = 'null'\n",
        ),
        ("notes.txt", "not TOML"),
    ];
    let directory = files(&texts);
    let output = check(directory.path().to_str().unwrap());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    let (db, web) = text.split_once("web  from ").unwrap();
    assert!(db.starts_with("db  from "), "not in the order of names: {text}");
    let rows = [
        "command  postgres\n",
        "cwd      /\n",
        "env      A=1 'B=a b'\n",
        "health   pg_isready -q\n",
        "log      '/x y'\n",
        "streams  stdin null, stdout log, stderr log\n",
        "policy   restart=no",
    ];
    for word in rows {
        assert!(db.contains(word), "{word:?} is not in {db}");
    }
    for word in [
        "command  ./server 'a b'\n",
        "restart=always",
        "stop-signal=INT",
        "stdin null, stdout inherit",
    ] {
        assert!(web.contains(word), "{word:?} is not in {web}");
    }
}

#[test]
fn several_units_have_a_table_each() {
    let text = "[unit.web]\ncommand = ['a']\n[unit.db]\ncommand = ['b']\n";
    let (_directory, path) = file(text);
    let output = check(&path);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("web  from ") && stdout(&output).contains("db  from "));
    let output = run(&["--config", &path]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("monitor up"), "{}", stderr(&output));
}

/// Goal: each error is told with its place, the line, and the way out.
#[test]
fn errors_have_a_place_and_a_fix() {
    let command = "command = ['a']\n";
    for (text, place, words) in [
        (
            "restrat = 'no'",
            "2:1",
            vec!["did you mean `restart`?", "    2 | restrat = 'no'", "^^^^^^^"],
        ),
        ("comand = ['b']", "2:1", vec!["did you mean `command`?"]),
        ("zzz = 1", "2:1", vec!["`zzz`", "monitor example-config"]),
        ("restart = 'sometimes'", "2:11", vec!["\"sometimes\"", "on-failure:3", "^^^^^^^^^^^"]),
        ("jitter = 101", "2:10", vec!["0 to 100", "          ^^^"]),
        ("jitter = [1]", "2:10", vec!["one value"]),
        ("jitter = { a = 1 }", "2:10", vec!["a number"]),
        ("stop-timeout = 10", "2:16", vec!["\"10\"", "such as 100ms", "never"]),
        ("scope = 'all'", "2:9", vec!["process, group"]),
        ("preset = 'upstart'", "2:10", vec!["systemd", "kubelet"]),
        ("policy = 'colour=red'", "2:10", vec!["colour", "restart"]),
        ("health-retries = 2", "2:18", vec!["no health check"]),
        ("ready = 'fd:x'", "2:9", vec!["tcp:8080"]),
        ("backoff-initial = '2m'", "1:1", vec!["2m", "raise it or lower the first"]),
        ("cwd = \"/a\\u0000\"", "2:7", vec!["NUL byte"]),
        ("cwd = ''", "2:7", vec!["needs a value"]),
        ("restart = ", "2:11", vec!["^"]),
        ("restart = 'no'\nrestart = 'no'", "3:1", vec!["duplicate key"]),
        ("[unit.web]", "1:1", vec!["[unit.NAME]"]),
    ] {
        let (_directory, path) = file(&format!("{command}{text}\n"));
        let output = check(&path);
        assert_eq!(code(&output), 2, "{text}");
        let shown = stderr(&output);
        assert!(shown.contains(&format!("monitor: {path}:{place}: ")), "{text}: {shown}");
        for word in words {
            assert!(shown.contains(word), "{text}: {word:?} is not in {shown}");
        }
        assert_eq!(code(&run(&["--config", &path])), 2, "{text}");
    }
    for command in ["'a b'", "[]", "['a', 1]", "1"] {
        let (_directory, path) = file(&format!("command = {command}"));
        let shown = stderr(&check(&path));
        assert!(shown.contains("web.toml:1:11") && shown.contains("array of strings"), "{shown}");
    }
    let (_directory, path) = file("");
    assert!(stderr(&check(&path)).contains("it has no command"));
    assert!(stderr(&check("/no/such.toml")).contains("/no/such.toml: cannot be read: No such"));
    let empty = tempfile::tempdir().unwrap();
    assert!(stderr(&check(empty.path().to_str().unwrap())).contains("ends in .toml"));
}

/// Goal: nobody mends a file, and finds the next error by the next try.
#[test]
fn all_errors_of_all_files_are_told() {
    let directory = files(&[
        ("a.toml", "command = ['a']\nrestrat = 'no'\njitter = 101\n"),
        ("b.toml", "[unit.c]\njitter = 102\n[unit.'x y']\ncommand = ['a']\n"),
        ("c.toml", "command = ['a']\n"),
        ("d.toml", "[unit.c]\ncommand = ['a']\n"),
    ]);
    let shown = stderr(&check(directory.path().to_str().unwrap()));
    for word in ["a.toml:2:1", "a.toml:3:10", "b.toml:2:10", "d.toml: the unit \"c\" is in"] {
        assert!(shown.contains(word), "{word:?} is not in {shown}");
    }
    fs::write(directory.path().join("b.toml"), "[unit.'x y']\ncommand = ['a']\n").unwrap();
    let shown = stderr(&check(directory.path().to_str().unwrap()));
    assert!(shown.contains("b.toml:1:7") && shown.contains("cannot name a unit"), "{shown}");
}

#[test]
fn example_is_printed_and_can_be_checked() {
    let output = monitor(&["example-config"]).output().unwrap();
    assert_eq!(code(&output), 0);
    let (_directory, path) = file(&stdout(&output));
    let checked = check(&path);
    assert_eq!(code(&checked), 0, "{}", stderr(&checked));
    assert!(stdout(&checked).contains("command  ./server --port 80"));
}
