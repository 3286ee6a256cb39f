//! Control of a running monitor: a Unix socket in its state directory.
//!
//! A client connects, writes one request as one line of JSON, and reads answers, one a line, until the monitor
//! closes. `protocol` is what is said, `server` the monitor's side, `client` the other, `history` what the
//! monitor keeps for it, `report` the answer to `status`, `tree` what that says of the processes.

pub(crate) mod client;
mod history;
pub(crate) mod protocol;
pub(crate) mod report;
pub(crate) mod server;
mod tree;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::SocketAddrUnix;

/// The address of the socket in a directory, whatever the length of its path, which the kernel bounds to 107
/// bytes. Good while the directory is open.
fn address(directory: &File) -> Result<SocketAddrUnix, Errno> {
    let path = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
    SocketAddrUnix::new(Path::new(&path))
}

/// The name of the socket in the state directory.
const SOCKET: &str = "control";
