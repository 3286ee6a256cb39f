//! The error of a malformed record.

use std::fmt;
use std::io;

/// Error of a malformed line of a record: its place, its value and the correction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    line: usize,
    field: &'static str,
    value: String,
    fix: String,
}

impl RecordError {
    pub(super) fn new(line: usize, field: &'static str, value: &str, fix: &str) -> Self {
        let value = value.chars().take(EXCERPT).collect();
        Self { line, field, value, fix: fix.into() }
    }

    pub(super) fn unreadable(line: usize, error: &io::Error) -> Self {
        let fix = "give a file that can be read";
        Self { line, field: "file", value: error.to_string(), fix: fix.into() }
    }

    /// The number of the line, counted from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.line
    }

    /// The field of the line; `line` if the line is no JSON object, `file` if it cannot be read.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// The malformed value, or the error of the file; empty if the field is missing.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The correction.
    #[must_use]
    pub fn fix(&self) -> &str {
        &self.fix
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, field, value, fix } = self;
        if value.is_empty() {
            write!(f, "line {line}: {field} is missing: {fix}")
        } else if *field == "file" {
            write!(f, "line {line}: {value}: {fix}")
        } else {
            write!(f, "line {line}: {field}: {value} is not understood: {fix}")
        }
    }
}

impl std::error::Error for RecordError {}

/// The most characters of a value in an error.
const EXCERPT: usize = 60;
