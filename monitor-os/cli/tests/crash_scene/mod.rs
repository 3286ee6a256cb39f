//! A monitor that can be killed and started again on the same state directory.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::program::Running;
use super::program::waiting::until;

/// A state directory, and a directory in which the supervised script leaves marks.
pub(crate) struct Scene {
    pub(crate) directory: TempDir,
    pub(crate) state: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state").to_str().unwrap().to_owned();
        Self { directory, state }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts a monitor of `script`, which runs in the directory of the marks.
    pub(crate) fn start(&self, options: &[&str], script: &str) -> Running {
        Running::start(&self.args(options, script))
    }

    pub(crate) fn args<'a>(&'a self, options: &[&'a str], script: &'a str) -> Vec<&'a str> {
        let cwd = self.directory.path().to_str().unwrap();
        let own = ["--state", &self.state, "--cwd", cwd];
        // The pipe of standard error ends with the reader of the monitor that is killed, and a
        // shell that has something to say then would end by SIGPIPE.
        let shell = ["--", "sh", "-c", "exec 2>/dev/null; eval \"$1\"", "sh", script];
        [&own[..], options, &shell].concat()
    }

    /// Starts a monitor again, which stops what it finds.
    pub(crate) fn end(&self, options: &[&str]) {
        let mut last = self.start(options, "");
        last.wait_for("adopted #1");
        last.signal("TERM");
        last.finish();
    }

    pub(crate) fn journal(&self) -> PathBuf {
        Path::new(&self.state).join("main.journal")
    }

    /// Waits until the script has written a whole line, and returns the first.
    pub(crate) fn line(&self, name: &str) -> String {
        let path = self.path(name);
        until(|| fs::read_to_string(&path).is_ok_and(|text| text.contains('\n')));
        fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned()
    }

    /// How many lines there are.
    pub(crate) fn count(&self, name: &str) -> usize {
        fs::read_to_string(self.path(name)).map_or(0, |text| text.lines().count())
    }
}

/// A script that tells its number and then waits to be asked to end.
pub(crate) const SERVE: &str = "trap 'exit 9' TERM; echo $$ >> pids; while :; do sleep 0.01; done";

pub(crate) const FAST: [&str; 2] = ["--backoff-initial", "1ms"];
