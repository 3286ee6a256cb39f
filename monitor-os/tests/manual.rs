//! Completions and manual pages, from outside.
#![cfg(feature = "cli")]
#![expect(clippy::print_stderr, clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the tests of crashes use the rest")]
mod program;

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Output};

use program::{Running, code, monitor, stderr};

fn printed(args: &[&str]) -> Vec<u8> {
    let output = monitor(args).output().unwrap();
    assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
    output.stdout
}

/// The commands, as the help names them.
fn commands() -> Vec<String> {
    let help = String::from_utf8(printed(&["--help"])).unwrap();
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(ToOwned::to_owned).collect()
}

/// Runs a tool on a file; `None`, and says so, if this machine has no such tool.
fn tool(name: &str, args: &[&str], file: &Path) -> Option<Output> {
    match Command::new(name).args(args).arg(file).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("skipped in part: there is no `{name}` on this machine");
            None
        }
        output => Some(output.unwrap()),
    }
}

#[test]
fn completions_can_be_read_by_their_shells() {
    let directory = tempfile::tempdir().unwrap();
    for (shell, check) in [
        ("bash", Some("-n")),
        ("zsh", Some("-n")),
        ("fish", Some("--no-execute")),
        ("elvish", None),
        ("powershell", None),
    ] {
        let text = printed(&["completions", shell]);
        assert!(String::from_utf8_lossy(&text).contains("MONITOR_COMPLETE"), "{shell}");
        let file = directory.path().join(shell);
        fs::write(&file, text).unwrap();
        if let Some(output) = check.and_then(|check| tool(shell, &[check], &file)) {
            assert!(output.status.success(), "{shell}: {}", stderr(&output));
        }
    }
}

/// What bash offers for the last of these words; `runtime` has the places of the names.
fn offered(runtime: &Path, line: &[&str]) -> Vec<String> {
    const ASK: &str = r#"
        PATH=$1:$PATH; shift
        source <(monitor completions bash)
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9
        _clap_complete_monitor monitor "${COMP_WORDS[COMP_CWORD]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let program = Path::new(env!("CARGO_BIN_EXE_monitor")).parent().unwrap();
    let mut bash = Command::new("bash");
    bash.args(["-c", ASK, "bash"]).arg(program).args(line).env("XDG_RUNTIME_DIR", runtime);
    let output = bash.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect()
}

/// Goal: a shell offers every command, their options, and the names of what is there. Method: the completion of bash as
/// it calls it, beside a monitor of two units and one of one.
#[test]
fn shell_offers_what_is_there() {
    const SLEEP: &str = "command = ['sleep', '1000']\n";
    let directory = tempfile::tempdir().unwrap();
    let runtime = directory.path();
    let fleet = runtime.join("fleet");
    fs::create_dir(&fleet).unwrap();
    for unit in ["db", "web"] {
        fs::write(fleet.join(format!("{unit}.toml")), SLEEP).unwrap();
    }
    let start = |args: &[&str], line: &str| {
        let mut command = Command::new("env");
        command.args(["--default-signal=TERM", env!("CARGO_BIN_EXE_monitor")]).args(args);
        let mut running = Running::of(command.env("XDG_RUNTIME_DIR", runtime));
        running.wait_for(line);
        running
    };
    let mut many = start(&["up", fleet.to_str().unwrap()], "started #1");
    many.wait_for("started #1");
    let one = start(&["run", "--name", "solo", "--", "sleep", "1000"], "started #1");

    let all = ["fleet", "fleet/db", "fleet/web", "solo"];
    assert_eq!(commands(), offered(runtime, &["monitor", ""])[..commands().len()]);
    for command in ["status", "stop", "start", "restart", "reset", "logs", "events", "set"] {
        let ask = |rest: &[&str]| offered(runtime, &[&["monitor", command], rest].concat());
        assert_eq!(ask(&[""])[..4], all, "{command}");
        assert_eq!(ask(&["fleet/"]), all[1..3], "{command}");
    }
    assert_eq!(offered(runtime, &["monitor", "list", "s"]), ["solo"]);
    assert_eq!(offered(runtime, &["monitor", "signal", "f"]), all[..3]);
    assert_eq!(offered(runtime, &["monitor", "signal", "solo", "HU"]), ["HUP"]);
    let place = runtime.join("monitor/fleet");
    let place = place.to_str().unwrap();
    let units = offered(runtime, &["monitor", "stop", "--state", place, "--unit", ""]);
    assert_eq!(units, ["db", "web"]);
    assert_eq!(offered(runtime, &["monitor", "signal", "--state", place, "HU"]), ["HUP"]);
    let options = offered(runtime, &["monitor", "run", "--backoff-i"]);
    assert_eq!(options, ["--backoff-initial"]);
    for running in [many, one] {
        running.signal("TERM");
        running.finish();
    }
}

#[test]
fn pages_are_there_for_every_command_and_can_be_shown() {
    let directory = tempfile::tempdir().unwrap();
    printed(&["man", "--out", directory.path().to_str().unwrap()]);
    let main = fs::read_to_string(directory.path().join("monitor.1")).unwrap();
    assert_eq!(main.as_bytes(), printed(&["man"]));
    let commands = commands();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        let name = format!("monitor-{command}");
        // In roff a hyphen of a name is written with a backslash.
        assert!(main.contains(&name.replace('-', "\\-")), "{name}");
        let file = directory.path().join(format!("{name}.1"));
        let text = fs::read(&file).unwrap();
        assert_eq!(text, printed(&["man", &command]), "{name}");
        // It warns of what it does not understand.
        if let Some(output) = tool("groff", &["-man", "-Tutf8", "-ww", "-z"], &file) {
            assert!(output.status.success(), "{name}");
            assert_eq!(stderr(&output), "", "{name}");
        }
    }
    let refused = monitor(&["man", "halt"]).output().unwrap();
    assert_eq!(code(&refused), 2);
    assert!(stderr(&refused).contains("write one of run"), "{}", stderr(&refused));
}
