//! Errors in files, shown as a compiler shows them.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::view::text::printable;

/// One error: the file, the place, the reason, and how to correct it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigError {
    file: PathBuf,
    location: Option<SourceLocation>,
    message: String,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SourceLocation {
    /// From 1.
    line: usize,
    /// In characters, from 1.
    column: usize,
    /// The line, as it can be printed.
    shown: String,
    /// How wide the wrong part of the line is on a terminal, at least 1.
    width: usize,
}

impl ConfigError {
    /// An error of the file as a whole.
    pub(crate) fn of_file(file: &Path, message: impl fmt::Display) -> Self {
        Self { file: file.into(), location: None, message: message.to_string() }
    }

    /// An error at some bytes of the file's text.
    pub(crate) fn at(
        file: &Path,
        text: &str,
        bytes: Range<usize>,
        message: impl fmt::Display,
    ) -> Self {
        let before = text.get(..bytes.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let rest = text.get(line_start..).unwrap_or_default();
        let shown = rest.lines().next().unwrap_or_default();
        let column = before.get(line_start..).unwrap_or_default().chars().count();
        let meant = text.get(bytes).and_then(|meant| meant.lines().next()).unwrap_or_default();
        let location = SourceLocation {
            line: before.matches('\n').count() + 1,
            column: column + 1,
            shown: printable(shown),
            width: meant.width().max(1),
        };
        Self { file: file.into(), location: Some(location), message: message.to_string() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, location, message } = self;
        let Some(SourceLocation { line, column, shown, width }) = location else {
            return write!(f, "{}: {message}", file.display());
        };
        writeln!(f, "{}:{line}:{column}: {message}", file.display())?;
        writeln!(f, "{line:>5} | {shown}")?;
        // A tab is as wide under a tab as it is above.
        let lead = shown.chars().take(column - 1).map(|c| match c {
            '\t' => "\t".into(),
            c => " ".repeat(c.width().unwrap_or(0)),
        });
        write!(f, "      | {}{}", lead.collect::<String>(), "^".repeat(*width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str, bytes: Range<usize>) -> String {
        ConfigError::at(Path::new("a.toml"), text, bytes, "no").to_string()
    }

    #[test]
    fn place_is_counted_in_characters_and_underlined() {
        assert_eq!(
            rendered("a = 1\n\té = 22\nc = 3\n", 12..14),
            "a.toml:2:6: no\n    2 | \té = 22\n      | \t    ^^"
        );
    }

    #[test]
    fn underline_is_below_wide_and_combining_characters() {
        assert_eq!(
            rendered("\u{5024} e\u{301} = \"\u{5024}\"", 10..15),
            "a.toml:1:8: no\n    1 | \u{5024} e\u{301} = \"\u{5024}\"\n      |        ^^^^"
        );
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(
            rendered("a = '\u{1b}[31m'", 5..6),
            "a.toml:1:6: no\n    1 | a = '\u{fffd}[31m'\n      |      ^"
        );
    }

    #[test]
    fn places_at_the_edges_are_shown() {
        assert_eq!(rendered("", 0..0), "a.toml:1:1: no\n    1 | \n      | ^");
        assert_eq!(rendered("a =\n", 4..4), "a.toml:2:1: no\n    2 | \n      | ^");
        assert_eq!(rendered("a\nb", 0..3), "a.toml:1:1: no\n    1 | a\n      | ^");
        assert_eq!(rendered("a", 9..12), "a.toml:1:2: no\n    1 | a\n      |  ^");
    }
}
