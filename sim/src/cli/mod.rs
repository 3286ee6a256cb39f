//! The subcommands of `monitor-sim`, one file each, and the exit statuses that they share.

pub(crate) mod campaign;
pub(crate) mod timeline;

use std::fs;
use std::io;
use std::path::Path;

/// Reads a file, or the standard input for `-`.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    if path == Path::new("-") { io::read_to_string(io::stdin()) } else { fs::read_to_string(path) }
}

/// Exit status: a property is violated, or a record disagrees.
pub(crate) const VIOLATED: u8 = 10;
/// Exit status: the harness did not find a bug that was put in on purpose.
pub(crate) const BLIND: u8 = 12;
/// Exit status: the input is not understood.
pub(crate) const USAGE: u8 = 64;
/// Exit status: a file cannot be read or written.
pub(crate) const INTERNAL: u8 = 70;
