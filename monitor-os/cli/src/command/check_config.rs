//! `monitor check-config`.

use std::fmt::Write;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::config_error::ConfigError;
use crate::config::file::{ReadPhase, ResolvedUnit, UnitConfig, read_all};
use crate::config::streams::Ends;
use crate::report::unit_mode::UnitMode;
use crate::view::diagnostics::{put, say};

/// Prints what the units of these files would do, or the errors in them.
pub(crate) fn check(paths: &[PathBuf]) -> ExitCode {
    let mut wrong = false;
    for path in paths {
        match read_all(path, UnitMode::One, ReadPhase::AtStart) {
            Ok(units) => {
                let text: String = units.iter().map(describe).collect();
                // The reader has seen enough.
                put(io::stdout(), text).ok();
            }
            Err(errors) => {
                wrong = true;
                print_errors(&errors);
            }
        }
    }
    if wrong { ExitCode::from(WRONG) } else { ExitCode::SUCCESS }
}

/// Prints errors in files.
pub(crate) fn print_errors(errors: &[ConfigError]) {
    for error in errors {
        say(&format_args!("monitor: {error}"));
    }
}

fn describe(unit: &ResolvedUnit) -> String {
    let UnitConfig { name, file, options, words, settings } = &unit.config;
    let ends = Ends::of(options, unit.mode);
    let words: Vec<_> = words.iter().map(|word| quoted(&word.to_string_lossy())).collect();
    let settings = settings.iter().filter(|(key, _)| !SHOWN_AS_A_WHOLE.contains(key));
    let settings = settings.map(|(key, values)| {
        let values: Vec<_> = values.iter().map(|value| quoted(value)).collect();
        (*key, values.join(" "))
    });
    let rows: Vec<_> = [("command", words.join(" "))]
        .into_iter()
        .chain(settings)
        .chain((options.tty != Some(true)).then(|| ("streams", ends.to_string())))
        .chain([("policy", unit.spec.policy.to_string())])
        .collect();
    let width = rows.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
    let mut text = format!("{name}  from {}\n", file.display());
    for (key, value) in rows {
        // Writing to a string cannot fail.
        writeln!(text, "  {key:width$}  {value}").ok();
    }
    text
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The keys about the policy and the streams, which are shown as a whole with their defaults.
const SHOWN_AS_A_WHOLE: &[&str] = &[
    "restart",
    "preset",
    "policy",
    "backoff-initial",
    "backoff-max",
    "backoff-factor",
    "jitter",
    "healthy-after",
    "start-limit",
    "success",
    "prevent",
    "force",
    "start-timeout",
    "stop-signal",
    "stop-timeout",
    "kill-window",
    "scope",
    "stdin",
    "stdout",
    "stderr",
];

/// The exit status of wrong options.
pub(crate) const WRONG: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (word, shown) in
            [("a-b/c.d", "a-b/c.d"), ("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'")]
        {
            assert_eq!(quoted(word), shown);
        }
    }
}
