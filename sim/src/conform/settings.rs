//! The settings of a kit from the environment, and the cases that failed before.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::case::definition::Case;

/// The number of cases of one test: `MONITOR_SIM_CASES`, or `default`.
///
/// # Panics
/// If the variable is no number above 0, because a test that runs no case proves nothing.
pub(super) fn cases(default: u64) -> u64 {
    let cases = number("MONITOR_SIM_CASES").unwrap_or(default);
    assert!(cases > 0, "MONITOR_SIM_CASES: a test of no case proves nothing: write at least 1");
    cases
}

/// The first seed: `MONITOR_SIM_SEED`, or 0.
///
/// # Panics
/// If the variable is no number.
pub(super) fn seed() -> u64 {
    number("MONITOR_SIM_SEED").unwrap_or(0)
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    let number = text.trim().parse().ok();
    assert!(number.is_some(), "{name}: {text:?} is no whole number: write one such as 1000");
    number
}

/// The case that `MONITOR_SIM_REPLAY` names, with its file.
///
/// # Errors
/// A text that names the file: it cannot be read, or is no case.
pub(super) fn replayed() -> Result<Option<(PathBuf, Case)>, String> {
    let Some(file) = env::var_os("MONITOR_SIM_REPLAY") else { return Ok(None) };
    let file = PathBuf::from(file);
    Ok(Some((file.clone(), read(&file)?)))
}

fn read(file: &Path) -> Result<Case, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    text.parse().map_err(|error| format!("{}: {error}", file.display()))
}

/// The folder of the cases that failed: `monitor-sim-regressions` beside the manifest of the crate
/// that is tested.
pub(super) fn folder() -> PathBuf {
    let crate_folder = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    crate_folder.join("monitor-sim-regressions")
}

/// The cases in a folder, by the names of their files. A folder that is not there has none.
///
/// # Errors
/// A text that names the file: it cannot be read, or is no case.
pub(super) fn regressions(folder: &Path) -> Result<Vec<(PathBuf, Case)>, String> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{}: {error}", folder.display())),
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    files.into_iter().map(|file| read(&file).map(|case| (file, case))).collect()
}

/// Writes a case that failed, under a name that two equal cases share.
///
/// # Errors
/// What the file system says; nothing or a part of the file is written.
pub(super) fn keep(folder: &Path, case: &Case) -> io::Result<PathBuf> {
    let text = case.to_string();
    let file = folder.join(format!("{:016x}.txt", hash(&text)));
    fs::create_dir_all(folder)?;
    fs::write(&file, text)?;
    Ok(file)
}

/// FNV-1a, so that a name is the same on every machine.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
