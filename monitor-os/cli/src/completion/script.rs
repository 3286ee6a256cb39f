//! The completion script of a shell, and the answer to it.
//!
//! The script calls the program with [`VARIABLE`] set, and the program prints the words to offer.
//! `monitor completions` prints the script.

use clap_complete::env::{CompleteEnv, Shells};

/// Set to the name of a shell by its script.
const VARIABLE: &str = "MONITOR_COMPLETE";

const NAME: &str = "monitor";

/// Answers a shell that asks for the words of `program`, and ends. Returns if no shell asks.
pub(crate) fn answer(program: fn() -> clap::Command) {
    CompleteEnv::with_factory(program).var(VARIABLE).complete();
}

/// The completion script of a shell; `None` if it has none.
pub(crate) fn script(shell: &str) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let shells = Shells::builtins();
    shells.completer(shell)?.write_registration(VARIABLE, NAME, NAME, NAME, &mut text).ok()?;
    Some(text)
}
