//! Completions and manual pages, from outside.
#![cfg(feature = "cli")]
#![expect(clippy::print_stderr, clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the tests of crashes use the rest")]
mod program;

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Output};

use program::{code, monitor, stderr};

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
fn completions_can_be_read_by_their_shells_and_know_every_command() {
    let directory = tempfile::tempdir().unwrap();
    for (shell, check) in [
        ("bash", Some("-n")),
        ("zsh", Some("-n")),
        ("fish", Some("--no-execute")),
        ("elvish", None),
        ("powershell", None),
    ] {
        let text = printed(&["completions", shell]);
        let words = String::from_utf8(text.clone()).unwrap();
        for word in commands().iter().map(String::as_str).chain(["--backoff-initial", "--config"]) {
            // Fish parts the dashes from the name.
            let word = word.trim_start_matches('-');
            assert!(words.contains(word), "{shell}: {word:?}");
        }
        let file = directory.path().join(shell);
        fs::write(&file, text).unwrap();
        if let Some(output) = check.and_then(|check| tool(shell, &[check], &file)) {
            assert!(output.status.success(), "{shell}: {}", stderr(&output));
        }
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
