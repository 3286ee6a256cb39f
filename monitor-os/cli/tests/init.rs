//! `monitor run` as the first process of a container.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
mod program;
#[expect(dead_code, reason = "other tests use the rest")]
mod trials;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use program::Running;
use program::waiting::{awaited, until};
use trials::{Outcome, Skipped, require, trials};

trials! {
    exit_status_is_that_of_the_command,
    strangers_are_reaped,
    signals_are_given_on_and_a_stop_is_a_stop,
    term_and_int_are_a_stop_and_not_given_on,
    exit_status_tells_of_signals_and_failed_starts,
    forwarding_is_a_choice,
}

/// `unshare(1)`, which makes a PID namespace.
fn container() -> Result<Command, Skipped> {
    let unshare = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
        unshare
    };
    let tried = unshare().arg("true").stderr(Stdio::null()).status();
    let is_allowed = tried.is_ok_and(|status| status.success());
    require(is_allowed, "`unshare --pid --mount-proc` is not allowed here")?;
    Ok(unshare())
}

/// Starts `script` under a monitor that is PID 1, in a directory. A shell ignores SIGQUIT for what
/// it starts by `&`, and a monitor goes on ignoring what it finds ignored, so nothing is.
fn start(directory: &Path, options: &[&str], script: &str) -> Result<Running, Skipped> {
    let mut container = container()?;
    let command = container
        .args(["env", "--default-signal", env!("CARGO_BIN_EXE_monitor"), "run"])
        .args(options)
        .args(["--", "sh", "-c", script])
        .current_dir(directory);
    Ok(Running::of(command))
}

const ONCE: [&str; 2] = ["--restart", "no"];

/// The monitor itself, as it is numbered outside.
fn inside(running: &Running) -> String {
    let children = format!("/proc/{0}/task/{0}/children", running.id());
    let child = || fs::read_to_string(&children).unwrap_or_default().trim().to_owned();
    until(|| !child().is_empty());
    child()
}

fn kill(signal: &str, pid: &str) {
    assert!(Command::new("kill").args(["-s", signal, pid]).status().unwrap().success());
}

fn exit_status_is_that_of_the_command() -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let running = start(directory.path(), &ONCE, "echo $PPID > parent; exit 7")?;
    let (code, rest) = running.finish();
    assert_eq!(code, 7, "{rest}");
    assert_eq!(fs::read_to_string(directory.path().join("parent")).unwrap(), "1\n");
    Ok(())
}

/// Goal: the zombie of one whose parents are gone is reaped. Method: it is born in a session of its
/// own, and is a child of the monitor when it ends.
fn strangers_are_reaped() -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let script = "setsid sh -c '(until [ -e go ]; do sleep 0.01; done) & echo $! > orphan.new' & wait; \
                  mv orphan.new orphan; exec sleep 1000";
    let mut running = start(directory.path(), &ONCE, script)?;
    running.wait_for(" started #1");
    let place = |name: &str| directory.path().join(name);
    until(|| place("orphan").exists());
    let monitor = inside(&running);
    let orphan = fs::read_to_string(place("orphan")).unwrap();
    let orphan = format!("/proc/{monitor}/root/proc/{}/stat", orphan.trim());
    let parent = || {
        let stat = fs::read_to_string(&orphan).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1).map(str::to_owned)
    };
    let its = |whose: &str, expected: Option<&str>| {
        awaited(&format!("the orphan has {whose}"), parent, |now| now.as_deref() == expected)
    };
    its("the monitor for its parent", Some("1"));
    fs::write(place("go"), "").unwrap();
    its("been reaped and has no parent", None);
    kill("TERM", &monitor);
    assert_eq!(running.finish().0, 143);
    Ok(())
}

fn signals_are_given_on_and_a_stop_is_a_stop() -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let heard = directory.path().join("heard");
    let traps = "for s in HUP QUIT USR1 USR2 ALRM WINCH; do trap \"echo $s >> heard\" $s; done; \
                 trap 'echo TERM >> heard; exit 9' TERM; echo up >> heard; while :; do sleep 0.01; done";
    let mut running = start(directory.path(), &ONCE, traps)?;
    running.wait_for(" started #1");
    let monitor = inside(&running);
    let last = || fs::read_to_string(&heard).unwrap_or_default();
    awaited("the script is up", last, |heard| heard.ends_with("up\n"));
    for signal in ["HUP", "QUIT", "USR1", "USR2", "ALRM", "WINCH"] {
        kill(signal, &monitor);
        let word = format!("{signal}\n");
        awaited(&format!("{signal} is forwarded"), last, |heard| heard.ends_with(&word));
    }
    // The kernel drops what the first process does not wait for.
    for signal in ["PIPE", "CHLD", "URG", "TTIN"] {
        kill(signal, &monitor);
    }
    kill("TERM", &monitor);
    let (code, rest) = running.finish();
    assert_eq!(code, 9, "{rest}");
    assert!(last().ends_with("WINCH\nTERM\n"), "{}", last());
    Ok(())
}

/// Goal: TERM and INT are a stop, and not forwarded, or a command that ends by them would be
/// started again. Method: one that is started again whatever happens, and has another end for each.
fn term_and_int_are_a_stop_and_not_given_on() -> Outcome {
    let traps = "trap 'exit 5' TERM; trap 'exit 6' INT; trap 'exit 7' USR1; echo up >> heard; \
                 while :; do sleep 0.01; done";
    for (signal, code) in [("TERM", 5), ("INT", 5)] {
        let directory = tempfile::tempdir().unwrap();
        let heard = || fs::read_to_string(directory.path().join("heard")).unwrap_or_default();
        let options = ["--restart", "always", "--backoff-initial", "1ms"];
        let mut running = start(directory.path(), &options, traps)?;
        running.wait_for(" started #1");
        let monitor = inside(&running);
        awaited("the first run", heard, |heard| heard == "up\n");
        kill("USR1", &monitor);
        awaited("the second run", heard, |heard| heard == "up\nup\n");
        kill(signal, &monitor);
        let (status, rest) = running.finish();
        assert_eq!(status, code, "{signal}: {rest}");
        assert!(!rest.contains(" started #3"), "{rest}");
    }
    Ok(())
}

/// Goal: the exit status is that of the last run, also if a signal ended it, and one that could not
/// start has its own.
fn exit_status_tells_of_signals_and_failed_starts() -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    for (options, script, code) in [
        (&ONCE[..], "kill -KILL $$", 137),
        (&["--restart", "no", "--cwd", "/no/such/directory"], "exit 0", 126),
        (
            &["--restart", "on-failure:1", "--backoff-initial", "1ms"],
            "test -e x && exit 8; echo > x; exit 3",
            8,
        ),
    ] {
        let running = start(directory.path(), options, script)?;
        let (status, rest) = running.finish();
        assert_eq!(status, code, "{script}: {rest}");
    }
    Ok(())
}

/// Goal: outside of a container it is a choice, and HUP is a stop without it.
fn forwarding_is_a_choice() {
    let directory = tempfile::tempdir().unwrap();
    let up = directory.path().join("up");
    let script = format!(
        "trap 'exit 6' USR1; trap 'exit 5' HUP; echo > {0}; while :; do sleep 0.01; done",
        up.display()
    );
    for (option, signal, code) in [("true", "USR1", 6), ("true", "HUP", 5), ("false", "HUP", 143)] {
        let forward = format!("--forward-signals={option}");
        let mut running = Running::start(&[&forward, "--restart", "no", "--", "sh", "-c", &script]);
        running.wait_for(" started #1");
        until(|| up.exists());
        running.signal(signal);
        assert_eq!(running.finish().0, code, "{option} {signal}");
        fs::remove_file(&up).unwrap();
    }
}
