//! The process that plays one scene: this program once more, under a name of its own.
//!
//! Each scene has its own process, so that all its descendants belong to that scene.

use std::os::unix::process::{CommandExt as _, parent_id};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, fs, io};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::file;
use super::recording::Recording;
use super::scenario::Scenario;
use super::scene;
use super::suite::{SUITE, scenario};

/// Plays a scene, if the process was started for one. Then it does not return.
///
/// Call it before anything else in `main`, after [`real::enter`](crate::real::enter).
pub fn enter() {
    let words: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [name, file, id, folder] = &words[..] else { return };
    if name != Path::new(NAME) {
        return;
    }
    let starter = parent_id();
    let played = play_here(file, id, folder)
        .and_then(|recording| fs::write(folder.join(RESULT), serde_json::to_string(&recording)?));
    if let Err(error) = &played {
        // If it cannot be written, the exit status alone shows it.
        fs::write(folder.join(ERROR), error.to_string()).ok();
    }
    if parent_id() != starter {
        // Nobody else removes the folder any more.
        fs::remove_dir_all(folder).ok();
    }
    process::exit(i32::from(played.is_err()));
}

/// The first word on the command line of a player.
const NAME: &str = "monitor-sim-scene";
const RESULT: &str = "recording.json";
const ERROR: &str = "error";

fn play_here(file: &Path, id: &Path, folder: &Path) -> io::Result<Recording> {
    let text = fs::read_to_string(file)?;
    let rules: Vec<_> = SUITE.iter().map(|scenario| scenario.id).collect();
    let supervisor = file::parse(file, &text, &rules).map_err(io::Error::other)?;
    let scenario = id.to_str().and_then(scenario).ok_or(io::ErrorKind::InvalidInput)?;
    scene::play(&supervisor, scenario, folder)
}

/// Plays a scenario in a process and a folder of its own; `None` if `interrupted` became true.
///
/// # Errors
/// The scene cannot be set, or something of it cannot be ended.
pub(super) fn play(
    file: &Path,
    scenario: &Scenario,
    path: &str,
    interrupted: &AtomicBool,
) -> io::Result<Option<Recording>> {
    let folder = tempfile::Builder::new().prefix("monitor-sim-").tempdir()?;
    if !is_plain(folder.path()) {
        return Err(io::Error::other(format!(
            "{}: supervisors split such a path: set TMPDIR to one of letters, digits and -_./",
            folder.path().display()
        )));
    }
    let mut child = Command::new(env::current_exe()?)
        .arg(NAME)
        .args([file, Path::new(scenario.id), folder.path()])
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        // Keys such as Ctrl-C reach this process alone, which then ends the others.
        .process_group(0)
        .spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(io::ErrorKind::InvalidData)?;
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if interrupted.load(Ordering::Relaxed) {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        let mut polled = [PollFd::new(std::os::fd::AsFd::as_fd(&ended), PollFlags::POLLIN)];
        // An interruption ends it earlier, as good.
        poll(&mut polled, PollTimeout::from(100_u8)).ok();
    };
    if !status.success() {
        let error = fs::read_to_string(folder.path().join(ERROR));
        return Err(io::Error::other(
            error.unwrap_or_else(|_| format!("the scene ended: {status}")),
        ));
    }
    let text = fs::read_to_string(folder.path().join(RESULT))?;
    Ok(Some(serde_json::from_str(&text)?))
}

fn is_plain(path: &Path) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    path.to_str().is_some_and(|path| path.chars().all(plain))
}
