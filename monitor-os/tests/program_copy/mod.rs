//! A program that a test copies.

use std::path::Path;
use std::process::Command;

/// Copies a program. Another process writes the copy: a child that another test is just starting
/// would hold this process's open file for a moment, and a file that is open for writing is not run.
pub(crate) fn copy_program(from: impl AsRef<Path>, to: &Path) {
    assert!(Command::new("cp").arg(from.as_ref()).arg(to).status().unwrap().success());
}
