//! Files that a unit names for its streams and its log: who opens them, who may lead them
//! elsewhere, and that nobody else waits for them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod kernel_features;
mod trials;
#[expect(dead_code, reason = "other tests use the rest")]
mod waiting;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::num::{NonZeroU16, NonZeroU64};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use monitor_core::{Exit, Phase, Policy};
use monitor_os::{
    Capture, Command, Input, KernelFeatures, LogFormat, LogSink, Output, PathError, PathFault,
    PathTrust, Rotation, SpawnError, Status, Supervisor, Unit, Writer,
};
use rustix::fs::{CWD, Mode, mkfifoat};
use tempfile::TempDir;
use trials::{Outcome, launcher, require_root, trials};
use waiting::{awaited, completed};

trials! {
    file_is_appended_by_each_run,
    file_is_read_from_its_beginning_by_each_run,
    files_are_opened_before_limits_and_after_the_mask,
    file_takes_a_helper,
    fifo_without_a_peer_is_not_waited_for,
    output_is_not_led_into_a_file_of_another_user,
    log_is_not_led_into_a_file_of_another_user,
    environment_file_is_not_led_into_a_file_of_another_user,
    record_is_not_led_into_a_file_of_another_user,
    fifo_is_no_log,
}

/// A supervisor with a helper, and a directory that others may look into.
struct Scene {
    // Dropped first: what runs in the directory ends before it.
    supervisor: Supervisor,
    directory: TempDir,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let builder = Supervisor::builder()
            .launcher(&launcher())
            .kernel_features(kernel_features::available());
        Self { supervisor: builder.start().unwrap(), directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a directory that belongs to `nobody`.
    fn of_nobody(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).unwrap();
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        path
    }

    fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        path
    }

    fn start(&self, name: &str, policy: &str, command: Command) -> Unit {
        let unit = self.supervisor.add(name, command, policy.parse::<Policy>().unwrap());
        unit.start();
        unit
    }

    /// Runs a command to its end.
    fn run(&self, policy: &str, command: Command) -> Status {
        let unit = self.start("test", policy, command);
        completed("the unit is down", unit.wait_until(Status::is_down)).unwrap()
    }
}

fn shell(script: &str) -> Command {
    Command::new("/bin/sh", ["-c", script]).unwrap()
}

fn as_nobody(command: Command) -> Command {
    let number = NOBODY.to_string();
    command.as_user(number.clone()).unwrap().with_group(number).unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// Goal: a file belongs to the program itself, which writes it over all its runs.
fn file_is_appended_by_each_run() {
    let scene = Scene::new();
    let log = scene.path("log");
    let command = shell("readlink /proc/$$/fd/1; echo err >&2; exit 1");
    let command = command.with_output(Output::File(log.clone())).with_joined_error();
    scene.run("restart=on-failure retries=1 backoff=constant:1ms", command);
    let place = log.display();
    assert_eq!(read(&log), format!("{place}\nerr\n{place}\nerr\n"));
    let command = shell("exit 0").with_error(Output::File("/no/such/directory/log".into()));
    let status = scene.run("restart=no", command);
    let error = status.start_error().unwrap();
    assert!(matches!(error, SpawnError::Stream(_)), "{error}");
    assert_eq!((error.step(), error.is_transient(), error.exit_code()), ("stream", false, 125));
    assert!(error.to_string().contains("no directory `/no`"), "{error}");
}

fn file_is_read_from_its_beginning_by_each_run() {
    let scene = Scene::new();
    fs::write(scene.path("in"), "from a file\n").unwrap();
    let command = shell("cat; exit 1").with_input(Input::File(scene.path("in")));
    let command = command.with_output(Output::File(scene.path("out")));
    scene.run("restart=on-failure retries=1 backoff=constant:1ms", command);
    assert_eq!(read(&scene.path("out")), "from a file\n".repeat(2));
}

/// Goal: each stream has its own file, with the mode that the program's mask leaves, whatever
/// limits the program has.
fn files_are_opened_before_limits_and_after_the_mask() {
    let scene = Scene::new();
    let (out, err) = (scene.path("out"), scene.path("err"));
    let command = Command::new("/bin/echo", ["out"]).unwrap().with_umask(0o077).unwrap();
    let command = command.with_limit("nofile=4".parse().unwrap());
    let command = command.with_output(Output::File(out.clone()));
    let status = scene.run("restart=no", command.with_error(Output::File(err.clone())));
    assert_eq!(status.exit(), Some(Exit::Code(0)), "{:?}", status.start_error());
    assert_eq!((read(&out), read(&err)), ("out\n".into(), String::new()));
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Goal: a supervisor without a helper says what it lacks, since it must not wait for a file
/// itself.
fn file_takes_a_helper() {
    let supervisor = Supervisor::new().unwrap();
    let command = shell("true").with_output(Output::File("/dev/null".into()));
    let unit = supervisor.add("test", command, "restart=no".parse::<Policy>().unwrap());
    unit.start();
    let status = completed("the unit is down", unit.wait_until(Status::is_down)).unwrap();
    let error = status.start_error().unwrap();
    assert!(matches!(error, SpawnError::NoLauncher { .. }), "{error}");
}

/// Goal: a FIFO without a peer holds up nobody: neither its own unit nor another, nor a stop.
fn fifo_without_a_peer_is_not_waited_for() {
    let scene = Scene::new();
    let (out, input) = (scene.fifo("out"), scene.fifo("in"));
    let command = shell("echo began; cat").with_input(Input::File(input.clone()));
    let first = scene.start("first", "restart=no", command.with_output(Output::File(out.clone())));
    let other = scene.start("other", "restart=no", Command::new("sleep", ["1000"]).unwrap());
    for unit in [&first, &other] {
        completed("it runs", unit.wait_until(|s| s.phase() == Phase::Running)).unwrap();
    }
    let mut reader = File::open(out).unwrap();
    File::options().write(true).open(input).unwrap().write_all(b"said\n").unwrap();
    let mut printed = [0; 11];
    reader.read_exact(&mut printed).unwrap();
    assert_eq!(&printed, b"began\nsaid\n");
    for unit in [first, other] {
        completed("it stops", unit.stop());
        assert!(unit.state().is_down());
    }
}

/// Goal: a program that puts a link in the place of its own output leads its next run into no file
/// of root's.
fn output_is_not_led_into_a_file_of_another_user() -> Outcome {
    require_root("become another user")?;
    let scene = Scene::new();
    let (logs, secret) = (scene.of_nobody("logs"), scene.path("secret"));
    fs::write(&secret, "of root\n").unwrap();
    let out = logs.join("out");
    let lead = format!(
        "echo first; ln -sfn {} {1}/next && mv -f {1}/next {1}/out; exit 1",
        secret.display(),
        logs.display()
    );
    let command = as_nobody(shell(&lead)).with_output(Output::File(out.clone()));
    let status = scene.run("restart=on-failure retries=3 backoff=constant:1ms", command.clone());
    let expected = PathError { path: out.clone(), fault: PathFault::Link };
    assert_eq!(status.start_error(), Some(&SpawnError::Stream(expected)));
    assert_eq!(read(&secret), "of root\n");
    // Neither is the first of another monitor.
    let status = scene.run("restart=no", command);
    assert!(status.start_error().is_some());
    fs::remove_file(&out).unwrap();
    let command = as_nobody(shell("cat")).with_input(Input::File(out.clone()));
    symlink(&secret, &out).unwrap();
    let command = command.with_output(Output::File(logs.join("read")));
    let status = scene.run("restart=no", command);
    assert!(status.start_error().is_some(), "what root alone may read is read");
    assert!(!logs.join("read").exists());
    Ok(())
}

/// Goal: a log that the monitor itself writes is guarded as well, and a directory that strangers
/// may write is refused.
fn log_is_not_led_into_a_file_of_another_user() -> Outcome {
    require_root("become another user")?;
    let scene = Scene::new();
    let (logs, secret) = (scene.of_nobody("logs"), scene.path("secret"));
    fs::write(&secret, "of root\n").unwrap();
    let log = logs.join("log");
    let command = as_nobody(shell("echo line"));
    let trust = command.path_trust().unwrap();
    let rotation = Rotation {
        size_bytes: NonZeroU64::new(1 << 20).unwrap(),
        kept: NonZeroU16::new(1).unwrap(),
    };
    let open =
        |trust: &PathTrust| LogSink::file(&log, trust.clone(), Some(rotation), LogFormat::Lines);
    let sink = open(&trust).unwrap();
    let captured = |sink| Output::Captured(Capture::new().to_sink(sink));
    scene.run("restart=no", command.clone().with_output(captured(sink.clone())));
    assert_eq!(read(&log), "line\n");
    // By name it is root's now, also for who opened it before.
    fs::remove_file(&log).unwrap();
    symlink(&secret, &log).unwrap();
    let expected = PathError { path: log.clone(), fault: PathFault::Link };
    assert_eq!(open(&trust).unwrap_err(), expected);
    scene.run("restart=no", command.with_output(captured(sink)));
    fs::remove_file(&log).unwrap();
    fs::hard_link(&secret, &log).unwrap();
    assert_eq!(
        open(&trust).unwrap_err(),
        PathError { path: log.clone(), fault: PathFault::Owner(0) }
    );
    assert_eq!(read(&secret), "of root\n");
    let exposed = |writer| PathError { path: logs.clone(), fault: PathFault::Exposed(writer) };
    assert_eq!(open(&PathTrust::MONITOR).unwrap_err(), exposed(Writer::User(NOBODY)));
    fs::set_permissions(&logs, PermissionsExt::from_mode(0o777)).unwrap();
    assert_eq!(open(&trust).unwrap_err(), exposed(Writer::Everyone));
    Ok(())
}

/// Goal: an environment file gives a program nothing that its user could not read, however the user
/// names it.
fn environment_file_is_not_led_into_a_file_of_another_user() -> Outcome {
    require_root("become another user")?;
    let scene = Scene::new();
    let (own, secret) = (scene.of_nobody("own"), scene.path("secret"));
    fs::write(&secret, "SECRET=of root\n").unwrap();
    let file = own.join("env");
    symlink(&secret, &file).unwrap();
    let command = || as_nobody(shell("true")).with_environment_file(file.clone()).unwrap();
    let status = scene.run("restart=no", command());
    let expected = PathError { path: file.clone(), fault: PathFault::Link };
    assert_eq!(status.start_error(), Some(&SpawnError::EnvironmentPath(expected)));
    // Nor does it fill the memory of the helper.
    fs::remove_file(&file).unwrap();
    File::create(&file).unwrap().set_len(1 << 40).unwrap();
    chown(&file, Some(NOBODY), None).unwrap();
    let status = scene.run("restart=no", command());
    let error = status.start_error().unwrap();
    assert!(error.to_string().contains("File too large"), "{error}");
    // That of root, to which nobody else may lead, is read as before.
    let command = as_nobody(shell("test \"$SECRET\" = 'of root'"));
    let status = scene.run("restart=no", command.with_environment_file(secret).unwrap());
    assert_eq!(status.exit(), Some(Exit::Code(0)), "{:?}", status.start_error());
    Ok(())
}

/// Goal: the record of a supervision is as little led elsewhere as a log.
fn record_is_not_led_into_a_file_of_another_user() -> Outcome {
    require_root("become another user")?;
    let scene = Scene::new();
    let (own, secret) = (scene.of_nobody("own"), scene.path("secret"));
    fs::write(&secret, "of root\n").unwrap();
    symlink(&secret, own.join("record")).unwrap();
    let error = PathTrust::MONITOR.create(own.join("record")).unwrap_err();
    assert_eq!(error.fault, PathFault::Exposed(Writer::User(NOBODY)));
    assert_eq!(read(&secret), "of root\n");
    let plain = scene.path("record");
    fs::write(&plain, "an older and longer one").unwrap();
    PathTrust::MONITOR.create(&plain).unwrap().write_all(b"new").unwrap();
    assert_eq!(read(&plain), "new");
    Ok(())
}

/// Goal: a log of the monitor's own is a regular file or a device, never something that it would
/// wait for.
fn fifo_is_no_log() {
    let scene = Scene::new();
    let fifo = scene.fifo("fifo");
    let error = LogSink::file(&fifo, PathTrust::MONITOR, None, LogFormat::Lines).unwrap_err();
    assert_eq!(error, PathError { path: fifo, fault: PathFault::Fifo });
    let sink = LogSink::file("/dev/null", PathTrust::MONITOR, None, LogFormat::Lines).unwrap();
    scene.run(
        "restart=no",
        shell("echo x").with_output(Output::Captured(Capture::new().to_sink(sink.clone()))),
    );
    awaited("nothing failed", || sink.counts().failed_writes, |&failed| failed == 0);
}

const NOBODY: u32 = 65_534;
