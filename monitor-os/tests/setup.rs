//! What a program is given by the helper: environment, user, limits, and the errors of each step.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod kernel_features;
mod program_copy;
mod trials;
#[expect(dead_code, reason = "other tests use the rest")]
mod waiting;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use monitor_core::{Exit, Policy};
use monitor_os::{
    Command, KernelFeatures, Launcher, ReadyBy, SetupStage, SpawnError, Status, Supervisor,
};
use program_copy::copy_program;
use tempfile::TempDir;
use trials::{Outcome, launcher, require_root, trials};
use waiting::completed;

trials! {
    processes: [under_a_small_limit, without_privileges];
    environment_is_changed_in_order_and_files_are_read_at_each_start,
    descriptors_of_the_host_are_not_the_programs,
    numbers_arrive,
    raised_descriptor_limit_is_given_back,
    inherited_oom_score_stays_unless_it_protects,
    user_has_its_groups_home_and_rights,
    settings_are_made_before_the_user,
    directory_is_entered_as_the_user,
    failed_steps_are_named,
    steps_that_take_privileges_are_told,
}

/// A command that runs `script` in `sh`, with the output in a file that it is told as `$1`.
fn shell(script: &str, directory: &TempDir) -> Command {
    let script = format!("exec > \"$1\" 2>&1; {script}");
    Command::new("/bin/sh", ["-c", &script, "sh", out(directory).to_str().unwrap()]).unwrap()
}

fn out(directory: &TempDir) -> std::path::PathBuf {
    directory.path().join("out")
}

/// A directory in which everybody may make files, as in `/tmp`.
fn open_directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o1777)).unwrap();
    directory
}

/// Runs a command once, to its end.
fn ended(command: Command, launcher: &Launcher) -> Status {
    let supervisor = Supervisor::builder()
        .launcher(launcher)
        .kernel_features(kernel_features::available())
        .start()
        .unwrap();
    let unit = supervisor.add("test", command, "restart=no".parse::<Policy>().unwrap());
    unit.start();
    completed("the unit is down", unit.wait_until(Status::is_down)).unwrap()
}

/// What a command prints that is successful.
fn printed(command: Command, directory: &TempDir) -> String {
    // One of another user may be there.
    fs::remove_file(out(directory)).ok();
    let status = ended(command, &launcher());
    let text = fs::read_to_string(out(directory)).unwrap_or_default();
    assert_eq!(status.exit(), Some(Exit::Code(0)), "{:?} {text}", status.start_error());
    text
}

/// Why a command does not start.
fn refused(command: Command) -> SpawnError {
    let status = ended(command, &launcher());
    assert_eq!(status.exit(), None);
    status.start_error().unwrap().clone()
}

fn environment_is_changed_in_order_and_files_are_read_at_each_start() {
    let directory = open_directory();
    let file = directory.path().join("env");
    let command = || {
        let command = shell("echo \"$A|$B|${HOME-none}|${CARGO_MANIFEST_DIR-none}\"", &directory);
        let command = command.with_variable("A", "1").unwrap();
        command.with_environment_file(&file).unwrap().without_variable("HOME").unwrap()
    };
    fs::write(&file, "A=2\nB=x y\n").unwrap();
    let manifest = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| "none".into());
    assert_eq!(printed(command(), &directory), format!("2|x y|none|{manifest}\n"));
    fs::write(&file, "A=3\n").unwrap();
    let command = command().without_environment().with_environment_file(&file).unwrap();
    assert_eq!(printed(command, &directory), "3||none|none\n");
}

/// Lists the descriptors of the shell that runs it, each in a line. The one by which they are
/// listed is closed by then.
const DESCRIPTORS: &str =
    "for fd in /proc/$$/fd/*; do if [ -L \"$fd\" ]; then echo \"${fd##*/}\"; fi; done";

/// Goal: a program has the descriptors that its command names and no other, whatever its host has
/// open and not close-on-exec, with a helper and without.
fn descriptors_of_the_host_are_not_the_programs() {
    let directory = open_directory();
    let null = fs::File::open("/dev/null").unwrap();
    let of_the_host = rustix::io::fcntl_dupfd_cloexec(&null, 200).unwrap();
    rustix::io::fcntl_setfd(&of_the_host, rustix::io::FdFlags::empty()).unwrap();
    let command = || shell(DESCRIPTORS, &directory);
    assert_eq!(printed(command(), &directory), "0\n1\n2\n");
    let told = command().ready_by(ReadyBy::Descriptor(9)).unwrap();
    assert_eq!(printed(told, &directory), "0\n1\n2\n9\n");

    fs::remove_file(out(&directory)).unwrap();
    let supervisor = Supervisor::new().unwrap();
    let unit = supervisor.add("test", command(), "restart=no".parse::<Policy>().unwrap());
    unit.start();
    completed("the unit is down", unit.wait_until(Status::is_down)).unwrap();
    assert_eq!(fs::read_to_string(out(&directory)).unwrap(), "0\n1\n2\n");
    drop(of_the_host);
}

fn numbers_arrive() {
    let directory = open_directory();
    let script = "umask; ulimit -Sn; ulimit -Hn; ulimit -Sc; cut -d' ' -f19 /proc/self/stat
        cat /proc/self/oom_score_adj";
    let command = shell(script, &directory).with_umask(0o27).unwrap().with_nice(5).unwrap();
    let command = command.with_limit("nofile=100:200".parse().unwrap());
    let command = command.with_limit("core=0".parse().unwrap()).with_oom_score(300).unwrap();
    assert_eq!(printed(command, &directory), "0027\n100\n200\n0\n5\n300\n");
}

/// Goal: pitfall 21. What the monitor raised for itself is not handed down, unless the command says
/// so. Method: the limit is of the whole process, so this binary is started again under a small one
/// with the test below.
fn raised_descriptor_limit_is_given_back() {
    let test = std::env::current_exe().unwrap();
    let script = "ulimit -Sn 60; exec \"$0\" under_a_small_limit";
    let status = std::process::Command::new("sh").args(["-c", script]).arg(test).status().unwrap();
    assert!(status.success());
}

fn under_a_small_limit() {
    let directory = open_directory();
    let mut launcher = launcher();
    launcher.raise_descriptor_limit().unwrap();
    launcher.raise_descriptor_limit().unwrap();
    let own = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    assert_eq!(own.current, own.maximum);
    let limits = |command| {
        assert_eq!(ended(command, &launcher).exit(), Some(Exit::Code(0)));
        fs::read_to_string(out(&directory)).unwrap()
    };
    assert_eq!(limits(shell("ulimit -Sn", &directory)), "60\n");
    let command = shell("ulimit -Sn", &directory).with_limit("nofile=70".parse().unwrap());
    assert_eq!(limits(command), "70\n");
}

/// Goal: pitfall 52. A protection that was meant for the monitor is not handed down, and anything
/// else is. Method: the kernel lets nobody but the mighty lower the score, so the other direction
/// stands for both.
fn inherited_oom_score_stays_unless_it_protects() {
    let directory = open_directory();
    let own: i16 = fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse().unwrap();
    let text = printed(shell("cat /proc/self/oom_score_adj", &directory), &directory);
    assert_eq!(text, format!("{}\n", own.max(0)));
}

fn user_has_its_groups_home_and_rights() -> Outcome {
    require_root("become another user")?;
    let directory = open_directory();
    let script = "id -u; id -g; id -G; echo $HOME $USER $LOGNAME; grep CapEff /proc/self/status";
    let command = || shell(script, &directory);
    let none = "CapEff:\t0000000000000000";
    let text = printed(command().as_user("daemon").unwrap(), &directory);
    assert_eq!(text, format!("1\n1\n1\n/usr/sbin daemon daemon\n{none}\n"));

    let numbered = command().as_user("4000000000").unwrap().with_group("7").unwrap();
    let numbered = numbered.with_groups(["8", "daemon"]).unwrap().with_variable("HOME", "/x");
    let text = printed(numbered.unwrap(), &directory);
    let mut lines = text.lines();
    assert_eq!(
        [lines.next(), lines.next(), lines.next()],
        [Some("4000000000"), Some("7"), Some("7 1 8")]
    );
    assert!(text.contains("\n/x") && text.ends_with(&format!("{none}\n")), "{text}");

    let text =
        printed(command().as_user("daemon").unwrap().with_groups([""; 0]).unwrap(), &directory);
    assert!(text.starts_with("1\n1\n1\n"), "{text}");
    Ok(())
}

/// Goal: limits and nice values that take privileges can be given to who has none.
fn settings_are_made_before_the_user() -> Outcome {
    require_root("become another user")?;
    let directory = open_directory();
    let script = "id -u; ulimit -Hn; cut -d' ' -f19 /proc/self/stat";
    let command = shell(script, &directory).as_user("daemon").unwrap().with_nice(-5).unwrap();
    let command = command.with_limit("nofile=64".parse().unwrap());
    assert_eq!(printed(command, &directory), "1\n64\n-5\n");
    Ok(())
}

fn directory_is_entered_as_the_user() -> Outcome {
    require_root("become another user")?;
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let command = Command::new("true", [""; 0]).unwrap().as_user("daemon").unwrap();
    let error = refused(command.in_directory(closed.path()).unwrap());
    let subject = closed.path().as_os_str().into();
    assert_eq!(error, SpawnError::Setup { stage: SetupStage::Directory, subject, errno: 13 });
    Ok(())
}

/// Goal: each step that fails says which, on what, and why.
fn failed_steps_are_named() {
    let plain = || Command::new("true", [""; 0]).unwrap();
    let setup =
        |stage, subject: &str, errno| SpawnError::Setup { stage, subject: subject.into(), errno };
    for (command, expected) in [
        (plain().as_user("no-such-user"), setup(SetupStage::UserLookup, "no-such-user", 2)),
        (plain().with_group("no-such-group"), setup(SetupStage::GroupLookup, "no-such-group", 2)),
        (
            plain().with_environment_file("/proc/nonexistent"),
            setup(SetupStage::EnvironmentFile, "/proc/nonexistent", 2),
        ),
        (
            plain().in_directory("/proc/nonexistent"),
            setup(SetupStage::Directory, "/proc/nonexistent", 2),
        ),
    ] {
        let error = refused(command.unwrap());
        assert_eq!(error, expected);
        assert_eq!((error.exit_code(), error.is_transient()), (126, false));
    }
    let directory = open_directory();
    let file = directory.path().join("env");
    fs::write(&file, "A=1\nexport B=2\n").unwrap();
    let error = refused(plain().with_environment_file(&file).unwrap());
    assert_eq!(error, SpawnError::EnvironmentLine { path: file, line: 2 });
}

/// Goal: who is not root is told what it takes. Method: this binary is started again as another
/// user.
fn steps_that_take_privileges_are_told() -> Outcome {
    require_root("become another user")?;
    let directory = open_directory();
    // The directory of the build may be closed to others.
    let test = directory.path().join("test");
    copy_program(std::env::current_exe().unwrap(), &test);
    // Whoever runs the tests may have more of the processor than is asked for there.
    let output = std::process::Command::new("nice")
        .args(["-n", "39", "setpriv", "--reuid=1", "--regid=1", "--clear-groups"])
        .arg(&test)
        .arg("without_privileges")
        .env("TMPDIR", directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn without_privileges() {
    let launcher = launcher();
    let plain = || Command::new("true", [""; 0]).unwrap();
    for (command, stage) in [
        (plain().as_user("root").unwrap(), SetupStage::Account),
        (plain().with_groups(["0"]).unwrap(), SetupStage::Account),
        (plain().with_nice(-5).unwrap(), SetupStage::Nice),
        (plain().with_oom_score(-5).unwrap(), SetupStage::OomScore),
        (plain().with_limit("nofile=unlimited".parse().unwrap()), SetupStage::Limit),
    ] {
        let status = ended(command, &launcher);
        let error = status.start_error().unwrap();
        let SpawnError::Setup { stage: found, errno, .. } = error else { panic!("{error}") };
        assert_eq!(*found, stage, "{error}");
        assert!([1, 13].contains(errno), "{error}");
        assert!(error.to_string().contains("CAP_"), "{error}");
    }
    // Who it is already, it may be.
    let status = ended(plain().as_user("daemon").unwrap(), &launcher);
    assert_eq!(status.exit(), Some(Exit::Code(0)), "{:?}", status.start_error());
}
