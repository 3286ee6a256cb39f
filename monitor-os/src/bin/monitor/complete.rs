//! What a shell offers for a word that is being typed: beside what the definitions of the command line know, the names
//! of monitors and units that are there.
//!
//! A shell asks by calling the program with [`VARIABLE`] set; the script that makes it do so is printed by
//! `monitor completions`. Nothing is asked of a monitor, so one that hangs holds up no shell.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{CompleteEnv, Shells};
use monitor_core::Signal;
use monitor_os::remembered;

use crate::args::Args;
use crate::state::{all_names, default_directory};

/// Set to the name of a shell by its script.
const VARIABLE: &str = "MONITOR_COMPLETE";

const NAME: &str = "monitor";

/// Answers a shell that asks, and ends; returns if none does.
pub(crate) fn answer() {
    CompleteEnv::with_factory(Args::command).var(VARIABLE).complete();
}

/// The script by which a shell asks; `None` if there is none for it.
pub(crate) fn script(shell: &str) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let shells = Shells::builtins();
    shells.completer(shell)?.write_registration(VARIABLE, NAME, NAME, NAME, &mut text).ok()?;
    Some(text)
}

/// Offers NAME, and NAME/UNIT for each unit of a monitor of many.
pub(crate) fn targets(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut targets = Vec::new();
    for name in all_names().unwrap_or_default() {
        let units = default_directory(&name).map(|place| units_in(&place)).unwrap_or_default();
        let of_many = units.iter().filter(|unit| **unit != name);
        let of_many: Vec<_> = of_many.map(|unit| format!("{name}/{unit}")).collect();
        targets.push(name);
        targets.extend(of_many);
    }
    offered(targets, current)
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
    if is_target_named() {
        let signals = (1..=64).filter_map(|number| Signal::new(number)?.name());
        return offered(signals.map(ToOwned::to_owned), current);
    }
    targets(current)
}

/// Offers a target, if none is named yet.
pub(crate) fn target_and_rules(current: &OsStr) -> Vec<CompletionCandidate> {
    if is_target_named() { Vec::new() } else { targets(current) }
}

/// The units that are remembered in a state directory; none if it cannot be read.
fn units_in(place: &Path) -> Vec<String> {
    let units = remembered(place).unwrap_or_default();
    units.into_iter().map(|left| left.unit).collect()
}

fn offered(words: impl IntoIterator<Item = String>, current: &OsStr) -> Vec<CompletionCandidate> {
    let begun = current.to_str().unwrap_or_default();
    let words = words.into_iter().filter(|word| word.starts_with(begun));
    words.map(CompletionCandidate::new).collect()
}

/// The words that the shell has given after `--`, of which one is being typed.
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

/// Whether the line has a target beside the word that is being typed. The engine does not tell the first word of several
/// from the second.
fn is_target_named() -> bool {
    // The program and its command come before.
    state_on_the_line().is_some() || line().len() > 3
}
