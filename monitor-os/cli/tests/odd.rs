//! Processes of kinds that no script can be: the first thread has ended, or the monitor may not
//! signal it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
mod program;
mod program_copy;
#[expect(dead_code, reason = "other tests use the rest")]
mod trials;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use program::Running;
use program::waiting::{awaited, ended, runs, until};
use program_copy::copy_program;
use trials::{Outcome, Skipped, require_root, trials};

trials! {
    process_without_its_first_thread_lives,
    process_that_may_not_be_signalled_is_awaited,
}

/// Makes a program of C.
fn compiled(directory: &Path, source: &str) -> Result<PathBuf, Skipped> {
    let (file, program) = (directory.join("program.c"), directory.join("program"));
    fs::write(&file, source).unwrap();
    let status = Command::new("cc").arg("-pthread").arg("-o").arg(&program).arg(&file).status();
    let status = status.map_err(|error| Skipped(format!("cc: {error}")))?;
    assert!(status.success());
    Ok(program)
}

/// Facts, pitfall 6: `/proc` calls a process a zombie whose first thread has ended while others
/// run. The pidfd knows.
fn process_without_its_first_thread_lives() -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let source = "#include <pthread.h>
        #include <unistd.h>
        static void *live(void *unused) { for (;;) pause(); }
        int main(void) { pthread_t t; pthread_create(&t, 0, live, 0); pthread_exit(0); }";
    let program = compiled(directory.path(), source)?;
    let mut monitor = Running::start(&["--restart", "no", "--", program.to_str().unwrap()]);
    let line = monitor.wait_for("started #1");
    let pid = line.trim_end().rsplit(' ').next().unwrap();
    // What /proc says of the whole, and of what runs in it.
    until(|| !runs(pid) && fs::read_dir(format!("/proc/{pid}/task")).unwrap().count() == 2);
    monitor.signal("TERM");
    let (status, rest) = monitor.finish();
    assert!(rest.contains("stopping #1") && rest.contains("exited #1 by signal TERM"), "{rest}");
    assert_eq!(status, 143);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    Ok(())
}

/// Facts, pitfall 28: who may not signal its process says so, goes on with the escalation, and
/// hears of the end all the same. Method: the program is root's and makes itself root's altogether;
/// the monitor is somebody else's.
fn process_that_may_not_be_signalled_is_awaited() -> Outcome {
    require_root("make a program that becomes root")?;
    let directory = tempfile::tempdir().unwrap();
    let mode = |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode));
    let source = "#define _GNU_SOURCE
        #include <unistd.h>
        int main(void) { if (setresuid(0, 0, 0)) return 9; write(1, \"up\\n\", 3); for (;;) pause(); }";
    let program = compiled(directory.path(), source)?;
    mode(directory.path(), 0o755).unwrap();
    mode(&program, 0o4755).unwrap();
    let said = directory.path().join("said");
    let monitor = directory.path().join("monitor");
    // The folders above that of the tests may be closed to others.
    copy_program(env!("CARGO_BIN_EXE_monitor"), &monitor);
    let mut running = Command::new("setpriv")
        .args(["--reuid=64124", "--regid=64124", "--clear-groups", "--"])
        .args(["env", "--default-signal=HUP,INT,TERM", "MONITOR_LOG=warn"])
        .arg(&monitor)
        .args(["run", "--restart", "no", "--stop-timeout", "10ms", "--policy", "kill-window=10ms"])
        .arg("--")
        .arg(&program)
        .stdin(Stdio::null())
        .stdout(fs::File::create(directory.path().join("out")).unwrap())
        .stderr(fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let says = |words: &str| {
        let said = || fs::read_to_string(&said).unwrap();
        awaited(words, said, |said| said.contains(words))
    };
    until(|| fs::read_to_string(directory.path().join("out")).unwrap() == "up\n");
    let text = says("started #1 pid ");
    let pid = text.split("started #1 pid ").nth(1).unwrap().split_whitespace().next().unwrap();
    let kill = |signal: &str, pid: &str| {
        assert!(Command::new("kill").args(["-s", signal, pid]).status().unwrap().success());
    };
    kill("TERM", &running.id().to_string());
    let text = says("survived the kill");
    for signal in [15, 9] {
        assert!(text.contains(&format!("not allowed to send signal {signal}")), "{text}");
    }
    assert!(runs(pid));
    kill("KILL", pid);
    says("exited #1 by signal KILL");
    assert_eq!(ended(&mut running).code(), Some(137));
    Ok(())
}
