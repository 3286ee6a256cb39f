//! A port for a test.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, getsockname, listen, setsockopt,
    socket, sockopt,
};

/// A port of this machine that the kernel gives to nobody while it is held, so that who connects is
/// refused until somebody listens there. One that was only asked for, by a listener that is gone,
/// may be anybody's the next moment, and a child that another test is just starting may still have
/// that listener.
pub(crate) struct Port {
    socket: OwnedFd,
}

impl Port {
    pub(crate) fn new() -> Self {
        let family = AddressFamily::Inet;
        let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        // A server that does the same may have the port beside this, which never listens.
        setsockopt(&socket, sockopt::ReuseAddr, &true).unwrap();
        let any = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
        bind(socket.as_raw_fd(), &any).unwrap();
        Self { socket }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let own: SockaddrIn = getsockname(self.socket.as_raw_fd()).unwrap();
        SocketAddrV4::from(own).into()
    }

    /// From now on connections are taken, and nobody answers.
    pub(crate) fn listen(&self) {
        listen(&self.socket, Backlog::MAXCONN).unwrap();
    }
}
