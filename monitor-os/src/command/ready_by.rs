//! How a program shows that it serves.

use std::net::SocketAddr;

/// How a program shows that it serves, where its policy waits for that (`readiness=notify`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyBy {
    /// It sends `READY=1` to the socket in its variable `NOTIFY_SOCKET`, as `sd_notify(3)` does.
    Notify,
    /// It writes a newline to this descriptor, 3 to 255, and closes it, as programs for s6 do.
    Descriptor(u8),
    /// A process accepts a connection at this address, which is tried some twenty times a second. The monitor cannot
    /// see which process: one that listened there before counts too.
    Tcp(SocketAddr),
}
