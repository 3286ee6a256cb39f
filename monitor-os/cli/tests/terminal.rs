//! `monitor run --tty` on a terminal of the tests' own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
mod waiting;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use rustix::event::PollFlags;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use waiting::{comes, ended};

/// A monitor on a terminal, of which this is the other side.
struct Scene {
    master: File,
    /// Kept, so that the terminal outlives the monitor.
    slave: OwnedFd,
    /// As it was before the monitor had it.
    before: LocalModes,
    monitor: Child,
    shown: String,
}

impl Scene {
    /// The command has no terminal but its own; the monitor has a session of its own, so that the
    /// size of its terminal is told to it.
    fn start(script: &str) -> Self {
        let args = ["run", "--quiet", "--restart", "no", "--tty", "--", "sh", "-c", script];
        Self::of(&[], &args)
    }

    /// The same with other arguments, and with these settings of its environment.
    fn of(settings: &[&str], args: &[&str]) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
        resize(&master, 24, 80);
        let before = tcgetattr(&slave).unwrap().local_modes;
        let stream = || Stdio::from(slave.try_clone().unwrap());
        let monitor = Command::new("setsid")
            .args(["--ctty", "--wait", "env", "--default-signal=HUP,INT,TERM", "--unset=NO_COLOR"])
            .args(["TERM=xterm"])
            .args(settings)
            .arg(env!("CARGO_BIN_EXE_monitor"))
            .args(args)
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .unwrap();
        Self { master: master.into(), slave, before, monitor, shown: String::new() }
    }

    /// Reads what is shown up to `word`.
    #[track_caller]
    fn wait_for(&mut self, word: &str) {
        while !self.shown.contains(word) {
            let shows = comes(&self.master, PollFlags::IN);
            assert!(shows, "awaited in vain: {word:?}; shown instead: {}", self.shown);
            let mut portion = [0; 4096];
            let count = self.master.read(&mut portion).unwrap();
            self.shown += &String::from_utf8_lossy(&portion[..count]);
        }
    }

    fn type_in(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    fn code(&mut self) -> Option<i32> {
        ended(&mut self.monitor).code()
    }
}

fn resize(master: &OwnedFd, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).unwrap();
}

/// Goal: keys go to the command, which has a terminal of the same size that follows, and what it
/// prints comes back; afterwards the terminal is as it was.
#[test]
fn command_has_a_terminal_that_follows_ours() {
    let script =
        "tty; stty size; echo up; until test \"$(stty size)\" = '50 132'; do sleep 0.01; done
                  echo resized; read -r line; echo got $line; exit 7";
    let mut scene = Scene::start(script);
    assert!(scene.before.contains(LocalModes::ICANON | LocalModes::ECHO));
    scene.wait_for("up\r");
    assert!(scene.shown.contains("/dev/pts/"), "{}", scene.shown);
    assert!(scene.shown.contains("24 80"), "{}", scene.shown);
    let raw = tcgetattr(&scene.slave).unwrap();
    assert!(!raw.local_modes.contains(LocalModes::ICANON));
    resize(&OwnedFd::from(scene.master.try_clone().unwrap()), 50, 132);
    scene.wait_for("resized");
    scene.type_in("typed\r");
    scene.wait_for("got typed");
    // Once by the echo of its terminal, once by the command.
    assert_eq!(scene.shown.matches("typed").count(), 2, "{}", scene.shown);
    assert_eq!(scene.code(), Some(7));
    assert_eq!(tcgetattr(&scene.slave).unwrap().local_modes, scene.before);
}

/// Goal: the keys of the command's terminal make signals there, and what it prints last is not lost
/// (pitfall 42).
#[test]
fn interrupt_is_the_commands_and_its_last_words_are_shown() {
    let mut scene =
        Scene::start("trap 'seq 1 5000; exit 4' INT; echo up; while :; do sleep 0.01; done");
    scene.wait_for("up\r");
    scene.type_in("\u{3}");
    scene.wait_for("\n5000\r");
    assert_eq!(scene.code(), Some(4));
}

/// Goal: on a terminal the name before a line of a unit has a colour that ends with it, and
/// `NO_COLOR` takes it away. That a file gets none is seen by
/// `echoed_lines_have_the_name_of_their_unit`.
#[test]
fn names_of_units_are_in_colour() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let unit = "[unit.web]\ncommand = ['sh', '-c', 'echo out; exec sleep 1000']\nstdout = 'log'\n";
    std::fs::write(path("fleet.toml"), unit).unwrap();
    for (settings, seen) in
        [(&[][..], "\u{1b}[36mweb |\u{1b}[0m out\r\n"), (&["NO_COLOR=1"], "web | out\r\n")]
    {
        let args = ["up", &path("fleet.toml"), "--quiet", "--state", &path("state")];
        let mut scene = Scene::of(settings, &args);
        scene.wait_for("out\r\n");
        assert_eq!(scene.shown, seen);
        // The monitor has the terminal, so this key is a stop.
        scene.type_in("\u{3}");
        assert_eq!(scene.code(), Some(0));
    }
}
