//! Numbers of processes that the kernel gives again. It is a program of its own: the numbers of the
//! processes of other tests must not be given to strangers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
mod crash_scene;
#[expect(dead_code, reason = "other tests use the rest")]
mod program;
#[expect(dead_code, reason = "other tests use the rest")]
mod trials;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crash_scene::{FAST, SERVE, Scene};
use program::waiting::until;
use trials::{Outcome, require, trials};

trials! {
    stranger_that_got_the_number_after_a_crash_is_spared,
}

/// Goal: a group of a stranger that got the number of a run is not taken for it, and is named.
/// Method: the numbers are made to go round (`ns_last_pid` of `proc_sys_kernel(5)`): the stranger
/// leads a session of the number, leaves a process in it and ends.
fn stranger_that_got_the_number_after_a_crash_is_spared() -> Outcome {
    const LAST: &str = "/proc/sys/kernel/ns_last_pid";
    // Anybody may open the file, but not anybody may write it.
    let may_set = fs::read(LAST).is_ok_and(|last| fs::write(LAST, last).is_ok());
    require(may_set, "the next number of a process cannot be set here (ns_last_pid)")?;
    for on_crash in ["kill", "adopt"] {
        let scene = Scene::new();
        let options = ["--containment", "group", "--on-crash", on_crash];
        let mut first = scene.start(&options, SERVE);
        first.wait_for("started #1");
        let pid = scene.line("pids");
        first.kill();
        let killed = Command::new("kill").args(["-KILL", &pid]).status().unwrap();
        assert!(killed.success());
        until(|| !Path::new("/proc").join(&pid).exists());
        // Whoever comes between takes the number, and it is tried again when that has ended.
        let script = "echo $(($1 - 1)) > \"$0\"
            setsid sh -c 'test $$ = \"$1\" && { sleep 1000 & echo $! > stranger; }' sh \"$1\" &
            wait; test -s stranger";
        until(|| {
            let mut shell = Command::new("sh");
            shell.args(["-c", script, LAST, &pid]).current_dir(scene.directory.path());
            shell.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
        });
        let stranger = scene.line("stranger");
        let mut second = scene.start(&[&FAST[..], &options].concat(), SERVE);
        let named = second.wait_for("so left alone");
        assert!(named.contains(&format!("sleep (pid {stranger})")), "{named}");
        second.wait_for("started #2");
        second.signal("TERM");
        second.finish();
        let spared = Command::new("kill").args(["-KILL", &stranger]).status().unwrap().success();
        assert!(spared, "a stranger was killed ({on_crash})");
    }
    Ok(())
}
