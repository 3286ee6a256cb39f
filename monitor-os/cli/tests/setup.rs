//! What the program `monitor` gives to a program.

use std::fs;

/// Lists the descriptors of the shell that runs it, each in a line. The one by which they are
/// listed is closed by then.
const DESCRIPTORS: &str =
    "for fd in /proc/$$/fd/*; do if [ -L \"$fd\" ]; then echo \"${fd##*/}\"; fi; done";

/// Goal: what the monitor was given and told by the process that started it reaches neither its
/// program nor a health check, unless the command names it. Method: a descriptor, and variables of
/// each kind, one of them named.
#[test]
fn what_the_monitor_was_given_is_not_the_programs() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    let told = [
        "CREDENTIALS_DIRECTORY",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "LISTEN_FDNAMES",
        "LISTEN_FDS",
        "LISTEN_PID",
        "MAINPID",
        "MEMORY_PRESSURE_WATCH",
        "NOTIFY_SOCKET",
        "SYSTEMD_EXEC_PID",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
    ];
    let show = |file: &str| {
        format!("cd {place}; exec > {file}.next; {DESCRIPTORS}; env; mv {file}.next {file}")
    };
    let program = format!("{}; until [ -e check ]; do sleep 0.01; done", show("program"));
    let options = ["run", "--restart", "no", "--env", "MAINPID=named", "--health", &show("check")];
    let options = [&options[..], &["--health-interval", "10ms", "--", "sh", "-c", &program]];
    let output = std::process::Command::new("sh")
        .args(["-c", "exec 7</dev/null; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_monitor")])
        .args(options.concat())
        .envs(told.map(|name| (name, "of the monitor")))
        .env("OTHER", "of the monitor")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for file in ["program", "check"] {
        let text = fs::read_to_string(directory.path().join(file)).unwrap();
        assert!(text.starts_with("0\n1\n2\n") && !text.contains("\n7\n"), "{file}: {text}");
        let told: Vec<_> = text.lines().filter(|line| line.ends_with("=of the monitor")).collect();
        assert_eq!(told, ["OTHER=of the monitor"], "{file}");
        assert!(text.contains("\nMAINPID=named\n"), "{file}: {text}");
    }
}
