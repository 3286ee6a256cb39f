//! A program that a test writes.

use std::path::Path;
use std::process::Command;

/// Writes `content` as an executable file. Another process does it: a child that another test is
/// just starting would have the file of this one open for a moment, and what is open for writing is
/// not run.
pub(crate) fn executable(path: &Path, content: &str) {
    let script = "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\"";
    let mut shell = Command::new("sh");
    assert!(shell.args(["-c", script]).arg(path).arg(content).status().unwrap().success());
}
