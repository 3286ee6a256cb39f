//! The words that a shell offers for the word that is being typed: names of monitors, units,
//! signals, programs.
//!
//! No running monitor is asked, so a monitor that hangs blocks no shell.

use std::collections::BTreeSet;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use clap_complete::engine::{CompletionCandidate, PathCompleter, ValueCompleter};
use monitor_core::Signal;

use crate::names::{all_names, all_targets, units_in};

/// Offers NAME, and NAME/UNIT for each unit of a monitor of many.
pub(crate) fn targets(current: &OsStr) -> Vec<CompletionCandidate> {
    offered(all_targets(), current)
}

/// Offers the names of monitors.
pub(crate) fn names(current: &OsStr) -> Vec<CompletionCandidate> {
    offered(all_names().unwrap_or_default(), current)
}

/// Offers the units in the directory that `--state` has named on the line.
pub(crate) fn units(current: &OsStr) -> Vec<CompletionCandidate> {
    offered(state_on_the_line().map(|place| units_in(&place)).unwrap_or_default(), current)
}

/// Offers a target, if none is named yet, and then signals.
pub(crate) fn target_and_signal(current: &OsStr) -> Vec<CompletionCandidate> {
    if is_target_named() { signals(current) } else { targets(current) }
}

/// Offers the names of signals.
pub(crate) fn signals(current: &OsStr) -> Vec<CompletionCandidate> {
    let signals = (1..=64).filter_map(|number| Signal::new(number)?.name());
    offered(signals.map(ToOwned::to_owned), current)
}

/// Offers the rules of `--restart`.
pub(crate) fn restart_rules(current: &OsStr) -> Vec<CompletionCandidate> {
    let rules = ["no", "on-failure", "always", "unless-stopped"];
    offered(rules.map(ToOwned::to_owned), current)
}

/// Offers programs for the first word of a command, once it is begun, and files for the others. A
/// shell with a completion script does not offer its own words.
pub(crate) fn command_line(current: &OsStr) -> Vec<CompletionCandidate> {
    let line = line();
    let before = line.iter().rev().nth(1);
    let is_first = before.is_some_and(|word| word == "--" || word == "run");
    let begun = current.as_encoded_bytes();
    if !is_first || begun.contains(&b'/') {
        return PathCompleter::any().complete(current);
    }
    if begun.is_empty() { Vec::new() } else { offered(programs(), current) }
}

/// The names of the programs in the directories of `PATH`.
fn programs() -> BTreeSet<String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let entries = env::split_paths(&path).filter_map(|place| fs::read_dir(place).ok()).flatten();
    let programs = entries.flatten().filter(|entry| {
        // A link counts as its target.
        fs::metadata(entry.path()).is_ok_and(|it| it.is_file() && it.mode() & 0o111 != 0)
    });
    programs.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Offers a target, if none is named yet.
pub(crate) fn target_and_rules(current: &OsStr) -> Vec<CompletionCandidate> {
    if is_target_named() { Vec::new() } else { targets(current) }
}

pub(crate) fn offered(
    words: impl IntoIterator<Item = String>,
    current: &OsStr,
) -> Vec<CompletionCandidate> {
    let begun = current.to_str().unwrap_or_default();
    let words = words.into_iter().filter(|word| word.starts_with(begun));
    words.map(CompletionCandidate::new).collect()
}

/// The words of the line, which the shell passes after `--`. One of them is being typed.
fn line() -> Vec<OsString> {
    env::args_os().skip_while(|word| word != "--").skip(1).collect()
}

/// The value of `--state`.
fn state_on_the_line() -> Option<PathBuf> {
    let line = line();
    let attached = |word: &OsString| {
        let place = word.to_str()?.strip_prefix("--state=")?;
        Some(PathBuf::from(place))
    };
    let after = line.windows(2).find(|words| words[0] == "--state");
    after.map(|words| PathBuf::from(&words[1])).or_else(|| line.iter().find_map(attached))
}

/// Whether the line has a target beside the word that is being typed. The engine of completion does
/// not distinguish the first of several words from the second.
fn is_target_named() -> bool {
    // The program and its command come before.
    state_on_the_line().is_some() || line().len() > 3
}
