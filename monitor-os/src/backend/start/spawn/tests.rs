//! Tests of the start of programs, on the running kernel.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::tempdir;

use super::*;
use crate::linux::process::WaitStatus;
use crate::testing::{executable, finish, shell, sleeper, spawn};

/// Starts `program` with only a `PATH` in its environment.
fn in_path(program: &str, path: &str) -> Result<Process, SpawnError> {
    let command = Command::new(program, [""; 0]).unwrap();
    spawn(&command.with_environment([("PATH", path)]).unwrap())
}

fn refused(program: &Path) -> SpawnError {
    spawn(&Command::new(program, [""; 0]).unwrap()).unwrap_err()
}

#[test]
fn arguments_and_environment_arrive() {
    let directory = tempdir().unwrap();
    let out = directory.path().join("out");
    let script =
        format!("printf '%s|' \"$#\" \"$@\" \"$A\" \"${{HOME-none}}\" > {}", out.display());
    let command = Command::new("/bin/sh", ["-c", &script, "sh", "", "a b"]).unwrap();
    let command = command.with_environment([("A", "1=2")]).unwrap();
    assert_eq!(finish(spawn(&command).unwrap()), WaitStatus::Exited(0));
    assert_eq!(fs::read_to_string(&out).unwrap(), "2||a b|1=2|none|");
}

#[test]
fn environment_is_inherited_by_default() {
    let name = "CARGO_MANIFEST_DIR";
    let value = env::var(name).unwrap_or_default();
    assert_eq!(finish(shell(&format!("[ \"${name}\" = '{value}' ]"))), WaitStatus::Exited(0));
}

#[test]
fn missing_program_is_named() {
    let error = refused(Path::new("/proc/nonexistent/prog"));
    assert_eq!(
        error,
        SpawnError::NotFound { program: "/proc/nonexistent/prog".into(), searched: None, errno: 2 }
    );
    assert!(error.to_string().contains("/proc/nonexistent/prog"));
    assert_eq!((error.exit_code(), error.is_transient()), (127, false));

    let error = in_path("no-such-program", "/bin:/usr/bin").unwrap_err();
    assert!(error.to_string().contains("`no-such-program` in /bin:/usr/bin"), "{error}");
    assert_eq!((error.errno(), error.exit_code()), (2, 127));

    let error = refused(Path::new("/bin/sh/prog"));
    assert_eq!((error.errno(), error.exit_code()), (20, 127));
}

#[test]
fn search_follows_execvp() {
    let directory = tempdir().unwrap();
    let [denied, good] = ["denied", "good"].map(|name| directory.path().join(name));
    for path in [&denied, &good] {
        fs::create_dir(path).unwrap();
        executable(&path.join("prog"), "#!/bin/sh\nexit 9\n");
    }
    fs::set_permissions(denied.join("prog"), PermissionsExt::from_mode(0o644)).unwrap();
    let (denied, good) = (denied.display(), good.display());

    let process = in_path("prog", &format!("/proc/nonexistent:/bin/sh:{denied}:{good}")).unwrap();
    assert_eq!(finish(process), WaitStatus::Exited(9));

    let error = in_path("prog", &format!("{denied}:/proc/nonexistent")).unwrap_err();
    assert_eq!(
        error,
        SpawnError::NotExecutable { path: format!("{denied}/prog").into(), errno: 13 }
    );
    assert_eq!((error.exit_code(), error.is_transient()), (126, false));

    let command = Command::new("true", [""; 0]).unwrap();
    let command = command.with_environment([("", ""); 0]).unwrap();
    assert_eq!(finish(spawn(&command).unwrap()), WaitStatus::Exited(0));
}

#[test]
fn directory_is_not_executable() {
    let error = refused(Path::new("/tmp"));
    assert_eq!(error, SpawnError::NotExecutable { path: "/tmp".into(), errno: 13 });
    assert!(error.to_string().contains("chmod"));
}

#[test]
fn garbage_is_not_given_to_a_shell() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("garbage");
    executable(&path, "exit 0\n");
    let error = refused(&path);
    assert_eq!(error, SpawnError::NotAProgram { path });
    assert_eq!((error.errno(), error.exit_code()), (8, 126));
}

#[test]
fn missing_interpreter_is_told_apart() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("script");
    executable(&path, "#!/proc/nonexistent/interpreter\n");
    let error = refused(&path);
    assert_eq!(error, SpawnError::InterpreterMissing { path });
    assert!(error.to_string().contains("interpreter"));
    assert_eq!((error.errno(), error.exit_code()), (2, 127));

    let error = in_path("script", &directory.path().display().to_string()).unwrap_err();
    assert!(matches!(error, SpawnError::InterpreterMissing { .. }));

    let link = directory.path().join("link");
    std::os::unix::fs::symlink("/proc/nonexistent/prog", &link).unwrap();
    assert!(matches!(refused(&link), SpawnError::NotFound { .. }));
}

#[test]
fn long_argument_is_permanent() {
    let error = spawn(&Command::new("true", ["x".repeat(128 * 1024)]).unwrap()).unwrap_err();
    assert!(matches!(error, SpawnError::ArgumentsTooLong { .. }));
    assert_eq!((error.errno(), error.is_transient()), (7, false));
}

#[test]
fn program_being_written_is_transient() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("prog");
    fs::copy("/bin/true", &path).unwrap();
    let writer = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let error = refused(&path);
    assert_eq!(error, SpawnError::Busy { path });
    assert_eq!((error.errno(), error.exit_code(), error.is_transient()), (26, 126, true));
    drop(writer);
}

#[test]
fn resource_errors_are_transient_and_ours() {
    for errno in [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE] {
        let error = SpawnError::from_errno("/bin/true".into(), errno);
        assert_eq!((error.exit_code(), error.is_transient()), (125, true), "{error}");
        assert_eq!(error.errno(), errno.raw_os_error());
    }
    let error = SpawnError::from_errno("/bin/true".into(), Errno::IO);
    assert_eq!((error.exit_code(), error.is_transient()), (126, false));
}

/// Goal: a taken name is transient, because the next try uses another; a missing right is
/// permanent.
#[test]
fn taken_names_are_transient() {
    let failed = |stage, errno| failed(stage, "of the run", errno).is_transient();
    assert!(
        failed(SetupStage::Readiness, Errno::ADDRINUSE)
            && failed(SetupStage::Readiness, Errno::AGAIN)
    );
    assert!(failed(SetupStage::Cgroup, Errno::EXIST));
    assert!(
        !failed(SetupStage::Readiness, Errno::PERM) && !failed(SetupStage::Cgroup, Errno::ACCESS)
    );
}

#[test]
fn unwatchable_keeps_the_errno() {
    // A number that is no child: the pidfd cannot be opened, and nothing is signalled.
    let error = take_over(1, "/bin/true".into()).unwrap_err();
    assert_eq!(error, SpawnError::Unwatchable { path: "/bin/true".into(), errno: 3 });
    assert_eq!(error.exit_code(), 125);
    assert!(error.to_string().contains("killed again"));
}

#[test]
fn killed_child_is_reaped() {
    let process = sleeper();
    kill_and_reap(process.pid().to_pid());
    assert_eq!(process.peek(), Some(WaitStatus::Lost));
}

/// Goal: the child inherits no blocked and no ignored signal. Method: this thread blocks all
/// signals, and Rust ignores SIGPIPE. The C library ignores its two internal signals, 32 and 33, in
/// every child, and resets them when it needs them.
#[test]
fn child_starts_with_default_signals() {
    SigSet::all().thread_block().unwrap();
    let directory = tempdir().unwrap();
    let out = directory.path().join("out");
    let process = shell(&format!("exec cat /proc/self/status > {}", out.display()));
    assert_eq!(finish(process), WaitStatus::Exited(0));
    let status = fs::read_to_string(out).unwrap();
    let set = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    assert_eq!(set("SigBlk:"), 0);
    assert_eq!(set("SigIgn:") & !0x1_8000_0000, 0);
    assert_eq!(set("SigCgt:"), 0);
}

#[test]
fn child_leads_its_session_and_group() {
    let directory = tempdir().unwrap();
    let out = directory.path().join("out");
    let process = shell(&format!("exec cat /proc/self/stat > {}", out.display()));
    let pid = process.pid().as_raw();
    assert_eq!(finish(process), WaitStatus::Exited(0));
    let stat = fs::read_to_string(out).unwrap();
    assert!(stat.starts_with(&format!("{pid} (cat) R ")), "{stat}");
    let fields: Vec<_> = stat.split(' ').collect();
    assert_eq!([fields[4], fields[5]], [pid.to_string(), pid.to_string()]);
}

/// Goal: the child has the three standard descriptors and no other of this process, even if one was
/// opened without close-on-exec. Method: pidfds, timers and files are open here; the child lists
/// its own.
#[test]
fn no_descriptor_leaks() {
    let null = fs::File::open("/dev/null").unwrap();
    let of_the_host = rustix::io::fcntl_dupfd_cloexec(&null, 200).unwrap();
    rustix::io::fcntl_setfd(&of_the_host, rustix::io::FdFlags::empty()).unwrap();
    let other = sleeper();
    let timer = crate::linux::timer::Timer::new().unwrap();
    let epoll = crate::linux::epoll::Epoll::new().unwrap();
    let wake = crate::linux::wake::Wake::new().unwrap();
    let signals =
        crate::linux::signals::Signals::new(&SigSet::from(nix::sys::signal::Signal::SIGHUP))
            .unwrap();
    let directory = tempdir().unwrap();
    let out = directory.path().join("out");
    let script = format!("exec ls -l /proc/self/fd > {}", out.display());
    assert_eq!(finish(shell(&script)), WaitStatus::Exited(0));
    let listed = fs::read_to_string(out).unwrap();
    // The listed directory is the program's own.
    let fds: Vec<_> = listed
        .lines()
        .filter_map(|line| line.split_once(" -> "))
        .filter(|(_, target)| !target.ends_with("/fd"))
        .filter_map(|(entry, _)| entry.rsplit(' ').next())
        .collect();
    assert_eq!(fds, ["0", "1", "2"], "{listed}");
    drop((timer, epoll, wake, signals));
    other.stop_group(9).unwrap();
    finish(other);
}

/// Goal: if descriptors are short, the start fails before a child exists; with one left it
/// succeeds. Method: the limit is of the whole process, so this binary is started again under a
/// small limit. It then runs the test below, which is ignored otherwise.
#[test]
fn short_descriptors_fail_before_the_start() {
    let test = env::current_exe().unwrap();
    let process = shell(&format!(
        "ulimit -n 40; exec '{}' --ignored --exact --test-threads=1 \
         linux::spawn::tests::under_few_descriptors",
        test.display()
    ));
    assert_eq!(finish(process), WaitStatus::Exited(0));
}

#[test]
#[ignore = "started by short_descriptors_fail_before_the_start"]
fn under_few_descriptors() {
    let directory = tempdir().unwrap();
    let marker = directory.path().join("marker");
    let script = format!("echo run >> {}", marker.display());
    let command = Command::new("/bin/sh", ["-c", &script]).unwrap();
    let mut filler: Vec<_> =
        std::iter::from_fn(|| eventfd(0, EventfdFlags::CLOEXEC).ok()).collect();
    let error = spawn(&command).unwrap_err();
    assert!(matches!(error, SpawnError::ResourcesExhausted { .. }) && error.is_transient());
    assert_eq!(
        waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG).unwrap_err(),
        Errno::CHILD
    );
    drop(filler.pop());
    let process = spawn(&command).unwrap();
    assert_eq!(finish(process), WaitStatus::Exited(0));
    drop(filler);
    assert_eq!(fs::read_to_string(marker).unwrap(), "run\n");
}
