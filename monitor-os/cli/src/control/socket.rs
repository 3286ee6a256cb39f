//! The address of the control socket.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::SocketAddrUnix;

/// The address of the socket in a directory, whatever the length of its path, which the kernel
/// bounds to 107 bytes. Good while the directory is open.
pub(super) fn address(directory: &File) -> Result<SocketAddrUnix, Errno> {
    let path = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
    SocketAddrUnix::new(Path::new(&path))
}

/// The name of the socket in the state directory.
pub(super) const SOCKET: &str = "control";
