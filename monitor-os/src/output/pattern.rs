//! The pattern of a line by which a program shows that it serves.

use std::fmt;
use std::str::FromStr;

use regex::bytes::Regex;

/// A regular expression that is searched in each line, in the syntax of the crate `regex`.
///
/// A plain text is a valid expression. The expression may match anywhere in a line of at most 16
/// KiB, or in a piece of a longer line. `^` and `$` are the ends of that text. The newline, and a
/// carriage return before it, are no part of the line.
#[derive(Clone, Debug)]
pub struct LinePattern(Regex);

impl LinePattern {
    pub(crate) fn is_in(&self, line: &[u8]) -> bool {
        self.0.is_match(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

impl FromStr for LinePattern {
    type Err = PatternError;

    fn from_str(pattern: &str) -> Result<Self, PatternError> {
        Regex::new(pattern).map(Self).map_err(|error| {
            let error = error.to_string();
            // The last line has the reason; the lines above it mark the position.
            let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            PatternError { pattern: pattern.into(), reason: reason.into() }
        })
    }
}

impl fmt::Display for LinePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl PartialEq for LinePattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for LinePattern {}

/// Error of a pattern that is no regular expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    pattern: String,
    reason: String,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no regular expression: {}; correct it, or write a backslash before a literal character",
            self.pattern, self.reason
        )
    }
}

impl std::error::Error for PatternError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_is_found_in_a_line() {
        let pattern: LinePattern = "listening on [0-9]+$".parse().unwrap();
        assert!(pattern.is_in(b"\xff 12:00 listening on 80"));
        assert!(pattern.is_in(b"listening on 80\r"));
        for line in [&b"listening on"[..], b"Listening on 80", b"listening on 80 soon", b""] {
            assert!(!pattern.is_in(line), "{line:?}");
        }
        assert!("(?i)^r\u{e9}ady$".parse::<LinePattern>().unwrap().is_in("R\u{c9}ADY".as_bytes()));
        assert_eq!(pattern, "listening on [0-9]+$".parse().unwrap());
        assert_ne!(pattern, "listening".parse().unwrap());
    }

    #[test]
    fn what_is_no_pattern_is_told_why() {
        let error = "ready (".parse::<LinePattern>().unwrap_err().to_string();
        assert!(
            error.starts_with("\"ready (\" is no regular expression: unclosed group; "),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1);
    }
}
