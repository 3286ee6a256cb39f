//! A program that tells its supervisor what it finds in a file, and what is known of it.

use std::env;
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use super::waiting::{awaited, until};

pub(crate) fn say(directory: &Path, message: &[u8]) {
    fs::write(directory.join("new"), message).unwrap();
    fs::rename(directory.join("new"), directory.join("message")).unwrap();
    until(|| !directory.join("message").exists());
}

/// A program that says what it finds in a file, one message after the other. It stays, so that its
/// sender can be looked at.
pub(crate) fn speaker() {
    let socket = UnixDatagram::unbound().unwrap();
    // One that nobody stops ends with its directory.
    while env::current_dir().is_ok() {
        if let Ok(message) = fs::read("message") {
            // First, for what it says may be its end.
            fs::remove_file("message").unwrap();
            socket.send_to_addr(&message, &own_address(std::process::id())).unwrap();
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

pub(crate) fn variable(pid: u32, name: &str) -> Option<String> {
    // In the middle of an exec a process has no environment.
    let read = || fs::read(format!("/proc/{pid}/environ")).unwrap();
    let environment = awaited("an environment", read, |environment| !environment.is_empty());
    let environment = String::from_utf8(environment).unwrap();
    let mut variables = environment.split('\0').filter_map(|variable| variable.split_once('='));
    variables.find_map(|(found, value)| (found == name).then(|| value.to_owned()))
}

pub(crate) fn own_address(pid: u32) -> SocketAddr {
    // The helper has no address.
    let address = awaited("an address", || variable(pid, "NOTIFY_SOCKET"), Option::is_some);
    let address = address.unwrap();
    SocketAddr::from_abstract_name(address.strip_prefix('@').unwrap()).unwrap()
}
