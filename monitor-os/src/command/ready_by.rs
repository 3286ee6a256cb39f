//! The ways in which a program shows that it serves.

use std::net::SocketAddr;

/// Way in which a program shows that it serves, if its policy waits for that (`readiness=notify`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyBy {
    /// The program sends `READY=1` to the socket in `NOTIFY_SOCKET`, as `sd_notify(3)` does.
    Notify,
    /// The program writes a newline to this descriptor, 3 to 255, and closes it, as s6 expects.
    Descriptor(u8),
    /// A process accepts a connection at this address, which the monitor tries some 20 times a
    /// second.
    ///
    /// The monitor cannot identify the process: an earlier listener at the address counts too.
    Tcp(SocketAddr),
}
