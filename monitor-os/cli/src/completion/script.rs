//! The script by which a shell asks the program what to offer, and the answer to it.
//!
//! A shell asks by calling the program with [`VARIABLE`] set. `monitor completions` prints the script that makes it do
//! so.

use clap_complete::env::{CompleteEnv, Shells};

/// Set to the name of a shell by its script.
const VARIABLE: &str = "MONITOR_COMPLETE";

const NAME: &str = "monitor";

/// Answers a shell that asks for the words of `program`, and ends. Returns if no shell asks.
pub(crate) fn answer(program: fn() -> clap::Command) {
    CompleteEnv::with_factory(program).var(VARIABLE).complete();
}

/// The script by which a shell asks; `None` if there is none for it.
pub(crate) fn script(shell: &str) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let shells = Shells::builtins();
    shells.completer(shell)?.write_registration(VARIABLE, NAME, NAME, NAME, &mut text).ok()?;
    Some(text)
}
