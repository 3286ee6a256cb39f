//! Probes of readiness: the newline on a descriptor, and the TCP connection.

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use monitor_core::Millis;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrStorage, connect,
    getpeername, getsockname, getsockopt, socket, sockopt,
};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::driver::kernel::Moment;

/// A pending check of readiness.
#[derive(Debug)]
pub(crate) enum ReadinessProbe {
    /// Reads the program's newline from a pipe.
    Newline(File),
    Connection(TcpProbe),
    /// Counts as ready, because an earlier monitor may have received the notification.
    Presumed,
}

/// The result of a [`ReadinessProbe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeResult {
    /// The program serves.
    Ready,
    NotYet,
    /// The program cannot report readiness any more.
    Never,
}

impl ReadinessProbe {
    pub(crate) const fn connection(address: SocketAddr) -> Self {
        Self::Connection(TcpProbe { address, attempt: None })
    }

    /// Makes a pipe; the second value is the end for the program.
    ///
    /// # Errors
    /// No descriptor left (`pipe(2)`).
    pub(crate) fn pipe() -> io::Result<(Self, OwnedFd)> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        fcntl_setfl(&read, OFlags::NONBLOCK)?;
        // Open for reading too, so that SIGPIPE does not kill a program whose monitor was killed.
        let path = format!("/proc/self/fd/{}", write.as_raw_fd());
        let both = File::options().read(true).write(true).open(path)?;
        Ok((Self::Newline(read.into()), both.into()))
    }

    /// The descriptor that becomes readable, if the probe has one.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Newline(pipe) => Some(pipe.as_fd()),
            Self::Connection(_) | Self::Presumed => None,
        }
    }

    /// Checks once, without blocking.
    pub(crate) fn poll(&mut self, at: Moment) -> ProbeResult {
        match self {
            Self::Newline(pipe) => {
                let mut bytes = [0; 512];
                match pipe.read(&mut bytes) {
                    Ok(0) => ProbeResult::Never,
                    Ok(count) if bytes[..count].contains(&b'\n') => ProbeResult::Ready,
                    Ok(_) => ProbeResult::NotYet,
                    // EAGAIN or EINTR; no other error is possible for this pipe.
                    Err(_) => ProbeResult::NotYet,
                }
            }
            Self::Presumed => ProbeResult::Ready,
            Self::Connection(probe) => {
                if probe.poll(at).is_ok() {
                    ProbeResult::Ready
                } else {
                    ProbeResult::NotYet
                }
            }
        }
    }
}

/// Tries to connect without blocking.
#[derive(Debug)]
pub(crate) struct TcpProbe {
    address: SocketAddr,
    attempt: Option<(OwnedFd, Moment)>,
}

impl TcpProbe {
    /// Advances the connection attempt, and begins another after an error or [`ATTEMPT_MAX`].
    ///
    /// # Errors
    /// There is no connection yet.
    fn poll(&mut self, at: Moment) -> Result<(), Errno> {
        let (socket, began) = match self.attempt.take() {
            Some(attempt) => attempt,
            None => (self.connect()?, at),
        };
        let outcome = is_connected(&socket);
        // A refused attempt reports that by the socket's error, which is read once.
        let failed = getsockopt(&socket, sockopt::SocketError);
        if outcome == Err(Errno::ENOTCONN) && failed == Ok(0) && at < began.after(ATTEMPT_MAX) {
            self.attempt = Some((socket, began));
        }
        outcome
    }

    fn connect(&self) -> Result<OwnedFd, Errno> {
        let family =
            if self.address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(family, SockType::Stream, flags, None)?;
        let connecting = match self.address {
            SocketAddr::V4(address) => connect(socket.as_raw_fd(), &SockaddrIn::from(address)),
            SocketAddr::V6(address) => connect(socket.as_raw_fd(), &SockaddrIn6::from(address)),
        };
        match connecting {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
            Err(errno) => Err(errno),
        }
    }
}

/// Whether the peer is another socket; a socket with a chance port can connect to itself.
fn is_connected(socket: &OwnedFd) -> Result<(), Errno> {
    let peer = getpeername::<SockaddrStorage>(socket.as_raw_fd())?;
    let own = getsockname::<SockaddrStorage>(socket.as_raw_fd())?;
    if peer == own { Err(Errno::ECONNREFUSED) } else { Ok(()) }
}

/// The time between two probes of a connection.
pub(crate) const PROBE_INTERVAL: Millis = Millis::new(50);
/// The longest time of one attempt.
const ATTEMPT_MAX: Millis = Millis::from_secs(1);

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::linux::clock::now;
    use crate::testing::{Port, awaited};

    #[test]
    fn newline_means_ready() {
        let (mut probe, program) = ReadinessProbe::pipe().unwrap();
        let mut program = File::from(program);
        assert_eq!(probe.poll(now()), ProbeResult::NotYet);
        program.write_all(b"half a line").unwrap();
        assert_eq!(probe.poll(now()), ProbeResult::NotYet);
        program.write_all(b", and its end\n").unwrap();
        assert_eq!(probe.poll(now()), ProbeResult::Ready);
        // The pipe has no reader any more, and no process is killed for that.
        drop(probe);
        program.write_all(b"more").unwrap();
        let (probe, program) = ReadinessProbe::pipe().unwrap();
        drop(program);
        // A child that another test is just starting may hold the end for a moment.
        let probe = std::cell::RefCell::new(probe);
        let poll = || probe.borrow_mut().poll(now());
        awaited("the end of the pipe", poll, |result| *result == ProbeResult::Never);
    }

    #[test]
    fn connection_means_ready() {
        let port = Port::new();
        let mut probe = ReadinessProbe::connection(port.address());
        for _ in 0..3 {
            assert_eq!(probe.poll(now()), ProbeResult::NotYet);
        }
        port.listen();
        let probe = std::cell::RefCell::new(probe);
        let poll = || probe.borrow_mut().poll(now());
        awaited("a connection", poll, |result| *result == ProbeResult::Ready);
    }
}
