//! `monitor check-config`.

use std::fmt::Write;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{Complete, read_all};
use crate::mistake::Mistake;
use crate::roster::Extent;
use crate::run::{put, say};

/// Says what the units of these files would do, or what is wrong in them.
pub(crate) fn check(paths: &[PathBuf]) -> ExitCode {
    let mut wrong = false;
    for path in paths {
        match read_all(path, Extent::One) {
            Ok(units) => {
                let text: String = units.iter().map(describe).collect();
                // Whoever reads has seen enough.
                put(io::stdout(), text).ok();
            }
            Err(mistakes) => {
                wrong = true;
                tell(&mistakes);
            }
        }
    }
    if wrong { ExitCode::from(WRONG) } else { ExitCode::SUCCESS }
}

/// Tells all mistakes.
pub(crate) fn tell(mistakes: &[Mistake]) {
    for mistake in mistakes {
        say(&format_args!("monitor: {mistake}"));
    }
}

fn describe(unit: &Complete) -> String {
    let mut text = format!("{}  from {}\n", unit.written.name, unit.written.file.display());
    let words: Vec<_> =
        unit.written.words.iter().map(|word| quoted(&word.to_string_lossy())).collect();
    // Writing to a string cannot fail.
    writeln!(text, "  command  {}", words.join(" ")).ok();
    if let Some(directory) = &unit.written.options.cwd {
        writeln!(text, "  cwd      {}", directory.display()).ok();
    }
    if let Some(log) = &unit.written.options.log {
        writeln!(text, "  log      {}", log.display()).ok();
    }
    writeln!(text, "  policy   {}", unit.spec.policy).ok();
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
