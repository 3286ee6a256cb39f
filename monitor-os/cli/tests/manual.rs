//! Completions and manual pages, from outside.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the tests of crashes use the rest")]
mod program;
#[expect(dead_code, reason = "other tests use the rest")]
mod trials;

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use program::{Deadline, Running, code, monitor, stderr};
use trials::{Outcome, Skipped, require, trials};

trials! {
    completions_are_there_for_every_shell,
    completions_can_be_read_by_bash,
    completions_can_be_read_by_zsh,
    completions_can_be_read_by_fish,
    bash_offers_what_is_there,
    zsh_offers_what_is_there,
    fish_offers_what_is_there,
    long_comments_are_shown,
    pages_are_there_for_every_command,
    pages_can_be_shown,
}

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

/// Runs a tool on a file, if this machine has it.
fn tool(name: &str, args: &[&str], file: &Path) -> Result<Output, Skipped> {
    found(name, Command::new(name).args(args).arg(file).output())
}

/// What a program printed, if this machine has it.
fn found(name: &str, output: io::Result<Output>) -> Result<Output, Skipped> {
    // Without the right to search a directory of PATH, a program there may be missing too.
    let missing = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
    };
    require(!output.as_ref().is_err_and(missing), &format!("there is no `{name}` here"))?;
    Ok(output.unwrap())
}

fn completions_are_there_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = printed(&["completions", shell]);
        assert!(String::from_utf8_lossy(&text).contains("MONITOR_COMPLETE"), "{shell}");
    }
}

fn completions_can_be_read_by_bash() -> Outcome {
    can_be_read("bash", "-n")
}

fn completions_can_be_read_by_zsh() -> Outcome {
    can_be_read("zsh", "-n")
}

fn completions_can_be_read_by_fish() -> Outcome {
    can_be_read("fish", "--no-execute")
}

/// Whether a shell understands its script. With the option it runs nothing.
fn can_be_read(shell: &str, option: &str) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(shell);
    fs::write(&file, printed(&["completions", shell])).unwrap();
    let output = tool(shell, &[option], &file)?;
    assert!(output.status.success(), "{shell}: {}", stderr(&output));
    Ok(())
}

/// A shell: its name, and how it is asked what it offers for the last word of `$LINE`. It prints a
/// word a line, and may print its description after a tab.
type Shell = (&'static str, &'static [&'static str]);

fn bash_offers_what_is_there() -> Outcome {
    offers_what_is_there(("bash", &["-c", BASH]))
}

fn zsh_offers_what_is_there() -> Outcome {
    offers_what_is_there(("zsh", &["-f", "-c", ZSH]))
}

fn fish_offers_what_is_there() -> Outcome {
    const FISH: &str = "monitor completions fish | source; complete -C $LINE";
    offers_what_is_there(("fish", &["--no-config", "-c", FISH]))
}

/// The function of the script is called as bash calls it.
const BASH: &str = r#"
    source <(monitor completions bash)
    read -ra COMP_WORDS <<< "$LINE"
    [[ $LINE == *" " ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_TYPE=9
    _clap_complete_monitor monitor "${COMP_WORDS[COMP_CWORD]}"
    printf '%s\n' "${COMPREPLY[@]}""#;

/// Only a shell with a terminal completes, so a second one is given one. Its start-up file is
/// below.
const ZSH: &str = "
    zmodload zsh/zpty
    : > $XDG_RUNTIME_DIR/offered
    export ZDOTDIR=$XDG_RUNTIME_DIR
    zpty asked zsh -d -i
    while zpty -r asked; do :; done > /dev/null
    cat $XDG_RUNTIME_DIR/offered";

/// Completes the line as soon as there is a prompt. What the completion has found goes through
/// `compadd`: with the options -O, -A and -D to be sorted out, else to be offered.
const ZSHRC: &str = "
    autoload -Uz compinit && compinit -D -u
    source <(monitor completions zsh)
    compadd() {
        local -a found
        if (( ! ${@[(I)-[OAD]]} )); then
            builtin compadd -O found \"$@\"
            print -rl -- $found >> $XDG_RUNTIME_DIR/offered
        fi
        builtin compadd \"$@\"
    }
    zle -C ask complete-word _main_complete
    zle-line-init() { LBUFFER=$LINE; zle ask; exit; }
    zle -N zle-line-init";

/// What a shell offers for the last word of a line; `runtime` has the places of the names.
fn offered((shell, ask): Shell, runtime: &Path, line: &str) -> Result<Vec<String>, Skipped> {
    let mut command = Command::new(shell);
    let program = Path::new(env!("CARGO_BIN_EXE_monitor")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{}:{path}", program.to_str().unwrap(), runtime.to_str().unwrap());
    command.args(ask).env("PATH", path).env("XDG_RUNTIME_DIR", runtime).env("LINE", line);
    command.env("TERM", "dumb").stdin(Stdio::null());
    let output = found(shell, command.output())?;
    assert!(output.status.success(), "{shell}: {line:?}: {}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let words = text.lines().filter_map(|line| line.split('\t').next());
    // zsh has the slash after a directory apart, and bash has it in the word.
    let words = words.map(|word| word.trim_end_matches('/')).filter(|word| !word.is_empty());
    Ok(words.map(ToOwned::to_owned).collect())
}

/// Goal: each shell offers every command, their options, and the names of what is there. Method:
/// the completion as the shell calls it, beside a monitor of two units and one of one.
fn offers_what_is_there(shell: Shell) -> Outcome {
    const SLEEP: &str = "command = ['sleep', '1000']\n";
    let _deadline = Deadline::begin();
    let directory = tempfile::tempdir().unwrap();
    let runtime = directory.path();
    fs::write(runtime.join(".zshrc"), ZSHRC).unwrap();
    offered(shell, runtime, "monitor list s")?;
    std::os::unix::fs::symlink("/bin/true", runtime.join("tool-of-this-test")).unwrap();
    fs::write(runtime.join("tool-of-no-use"), "").unwrap();
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
    let (runtime_path, place) = (runtime.to_str().unwrap(), runtime.join("monitor/fleet"));
    let place = place.to_str().unwrap();

    let all = ["fleet", "fleet/db", "fleet/web", "solo"];
    let all_commands = commands();
    let commands: Vec<_> = all_commands.iter().map(String::as_str).collect();
    let check = |line: &str, words: &[&str]| {
        let mut offered = offered(shell, runtime, line).unwrap();
        // Where no option is begun they are offered too, by zsh before all else.
        offered.retain(|word| !word.starts_with("--") || line.contains(" --backoff"));
        assert_eq!(offered, words, "{}: {line:?}", shell.0);
    };
    check("monitor ", &[&commands[..], &["help"]].concat());
    for command in ["status", "stop", "start", "restart", "reset", "logs", "events", "set"] {
        check(&format!("monitor {command} "), &all);
    }
    check("monitor status fleet/", &all[1..3]);
    check("monitor list s", &["solo"]);
    check("monitor signal f", &all[..3]);
    check("monitor signal solo HU", &["HUP"]);
    check(&format!("monitor stop --state {place} --unit "), &["db", "web"]);
    check(&format!("monitor signal --state {place} HU"), &["HUP"]);
    check("monitor run --backoff-i", &["--backoff-initial"]);
    check("monitor run --stop-signal US", &["USR1", "USR2"]);
    check("monitor run --restart ", &["no", "on-failure", "always", "unless-stopped"]);
    check("monitor run --on-crash ", &["adopt", "kill"]);
    check("monitor man ex", &["example-config"]);
    check("monitor run -- tool-of", &["tool-of-this-test"]);
    check(&format!("monitor run -- ls {runtime_path}/f"), &[&format!("{runtime_path}/fleet")]);
    check(&format!("monitor up {runtime_path}/f"), &[&format!("{runtime_path}/fleet")]);
    for running in [many, one] {
        running.signal("TERM");
        running.finish();
    }
    Ok(())
}

/// Goal: what is said of a command beside its first line is shown, by its help and by its page.
fn long_comments_are_shown() {
    for (command, words) in [
        ("run", "Ten seconds of service forgive all earlier failures."),
        ("up", "If there is an error in any file, it starts nothing."),
        ("logs", "The monitor keeps the last 64 KiB"),
        ("set", "in force from the next decision on"),
    ] {
        let shown = |args: &[&str]| {
            let text = String::from_utf8(printed(args)).unwrap().replace('\\', "");
            // Lines are broken anywhere.
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        for text in [shown(&[command, "--help"]), shown(&[command, "-h"]), shown(&["man", command])]
        {
            assert!(text.contains(words), "{command}: {text}");
        }
    }
}

fn pages_are_there_for_every_command() {
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
        assert_eq!(fs::read(&file).unwrap(), printed(&["man", &command]), "{name}");
    }
    let refused = monitor(&["man", "halt"]).output().unwrap();
    assert_eq!(code(&refused), 2);
    assert!(stderr(&refused).contains("write one of run"), "{}", stderr(&refused));
}

fn pages_can_be_shown() -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    printed(&["man", "--out", directory.path().to_str().unwrap()]);
    for command in commands() {
        let file = directory.path().join(format!("monitor-{command}.1"));
        // It warns of what it does not understand.
        let output = tool("groff", &["-man", "-Tutf8", "-ww", "-z"], &file)?;
        assert!(output.status.success(), "{command}");
        assert_eq!(stderr(&output), "", "{command}");
    }
    Ok(())
}
