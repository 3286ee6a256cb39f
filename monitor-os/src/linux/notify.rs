//! The socket of a run that takes the program's `sd_notify(3)` datagrams.
//!
//! Each run has a socket of its own, so that no datagram of one run counts for the next. Its
//! address is abstract, for three reasons. A program that runs as another user reaches it, which a
//! directory of mode 0700 would prevent. It fits into an address wherever the state directory is.
//! It ends with the monitor.
//!
//! Any process may send to it, so a datagram counts by its sender, which the kernel names. Any
//! process may take an address too. The address therefore has 128 random bits, so that no process
//! takes that of the next run. Every process can read the addresses in use (`/proc/net/unix`). They
//! prove nothing, and do not reveal the mark of their run.

use std::fs;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use monitor_core::Millis;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials,
    bind, recvmsg, setsockopt, socket, sockopt,
};
use rustix::process::Pid;

use crate::linux::run_name::{PREFIX, Token, with_free_name};

/// A socket that receives datagrams with the process id of their sender.
#[derive(Debug)]
pub(crate) struct NotifySocket {
    socket: OwnedFd,
    name: String,
}

impl NotifySocket {
    /// Makes a socket at an unpredictable address.
    ///
    /// # Errors
    /// No descriptor left, no random numbers yet, or all tried addresses are taken (EADDRINUSE of
    /// `bind(2)`). Nothing changed, and the error may pass.
    pub(crate) fn new() -> io::Result<Self> {
        with_free_name(|| Self::bind(format!("{PREFIX}{}{SUFFIX}", Token::random()?)))
    }

    /// Makes the socket of an adopted run again; the second value is the watchdog period of its
    /// program.
    ///
    /// The result is `None` if the run had no socket.
    ///
    /// # Errors
    /// Those of [`NotifySocket::new`], or the environment of the program cannot be read
    /// (`proc_pid_environ(5)`). EADDRINUSE: another process took the address while there was no
    /// monitor, and the program sends to that process.
    pub(crate) fn of_adopted(pid: Pid) -> io::Result<Option<(Self, Option<Millis>)>> {
        let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()))?;
        let find = |name: &str| {
            let mut variables = environment.split(|&byte| byte == 0);
            let value = variables.find_map(|variable| variable.strip_prefix(name.as_bytes()))?;
            str::from_utf8(value).ok()
        };
        // An address that the program inherited from this monitor's own environment is not a run's.
        let Some(name) = find("NOTIFY_SOCKET=@").filter(|name| is_own(name)) else {
            return Ok(None);
        };
        let micros: Option<u64> = find("WATCHDOG_USEC=").and_then(|period| period.parse().ok());
        let period = micros.and_then(|micros| u32::try_from(micros / 1_000).ok()).map(Millis::new);
        Ok(Some((Self::bind(name.into())?, period)))
    }

    fn bind(name: String) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        // Before any process can send.
        setsockopt(&socket, sockopt::PassCred, &true)?;
        bind(socket.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
        Ok(Self { socket, name })
    }

    /// The value of `NOTIFY_SOCKET` for the program.
    pub(crate) fn address(&self) -> String {
        format!("@{}", self.name)
    }

    /// Receives the next datagram; `None` if there is none.
    ///
    /// The kernel closes descriptors that come with it, because there is no room for them. A
    /// `BARRIER=1` is answered by that, and no sender can use up descriptors here. The sender's
    /// process id is 0 if it is outside of this PID namespace. `rustix` would treat it as a number
    /// that cannot be 0, so this call uses `nix`.
    pub(crate) fn receive(&self, datagram: &mut Datagram) -> Option<()> {
        let Datagram { bytes, length, sender } = datagram;
        let mut space = nix::cmsg_space!(UnixCredentials);
        let mut parts = [IoSliceMut::new(bytes)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        // EAGAIN; no other error is known for this socket.
        let received =
            recvmsg::<UnixAddr>(self.socket.as_raw_fd(), &mut parts, Some(&mut space), flags)
                .ok()?;
        *sender = None;
        for message in received.cmsgs().into_iter().flatten() {
            if let ControlMessageOwned::ScmCredentials(credentials) = message {
                *sender = Pid::from_raw(credentials.pid());
            }
        }
        *length = (!received.flags.contains(MsgFlags::MSG_TRUNC)).then_some(received.bytes);
        Some(())
    }
}

impl AsFd for NotifySocket {
    /// Readable when there is a datagram.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A datagram, and the memory for it.
#[derive(Debug)]
pub(crate) struct Datagram {
    bytes: Box<[u8]>,
    /// The number of bytes; `None` if the datagram was too large for the memory.
    length: Option<usize>,
    /// The process id of the sender; `None` if the sender is outside of this PID namespace.
    pub(crate) sender: Option<Pid>,
}

impl Datagram {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; DATAGRAM_MAX].into(), length: None, sender: None }
    }

    /// The lines; `None` if the datagram was too large, or if a line is no `NAME=value`.
    pub(crate) fn lines(&self) -> Option<Vec<NotifyLine<'_>>> {
        let text = str::from_utf8(self.bytes.get(..self.length?)?).ok()?;
        text.strip_suffix('\n').unwrap_or(text).split('\n').map(NotifyLine::read).collect()
    }
}

/// A line of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotifyLine<'a> {
    Ready,
    Ping,
    /// The program requests the effect of a watchdog timeout.
    Unhealthy,
    /// The program requests this much more time.
    Extend(Millis),
    Stopping,
    Reloading,
    Status(&'a str),
    Errno(i32),
    BusError(&'a str),
    /// The program declares another process to be the main one.
    MainPid(i32),
    /// A message for service managers with features that this monitor lacks.
    NotHonoured(&'static str),
    /// Any other message, such as `X_...` or an unknown one.
    Other,
}

impl<'a> NotifyLine<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (name, value) = line.split_once('=')?;
        let is_word = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if name.is_empty() || !name.bytes().all(is_word) {
            return None;
        }
        Some(match (name, value) {
            ("READY", "1") => Self::Ready,
            ("WATCHDOG", "1") => Self::Ping,
            ("WATCHDOG", "trigger") => Self::Unhealthy,
            ("EXTEND_TIMEOUT_USEC", micros) => Self::Extend(rounded_up(micros.parse().ok()?)),
            ("STOPPING", "1") => Self::Stopping,
            ("RELOADING", "1") => Self::Reloading,
            ("STATUS", text) => Self::Status(text),
            ("ERRNO", number) => Self::Errno(number.parse().ok()?),
            ("BUSERROR", text) => Self::BusError(text),
            ("MAINPID", number) => Self::MainPid(number.parse().ok()?),
            _ => NOT_HONOURED
                .iter()
                .find(|known| **known == name)
                .map_or(Self::Other, |known| Self::NotHonoured(known)),
        })
    }
}

fn rounded_up(micros: u64) -> Millis {
    Millis::new(u32::try_from(micros.div_ceil(1000)).unwrap_or(u32::MAX))
}

/// Messages of `sd_notify(3)` that have no effect under this monitor.
const NOT_HONOURED: &[&str] = &["WATCHDOG_USEC", "FDSTORE"];
const SUFFIX: &str = "/notify";

/// Whether an address has the form of an own one.
///
/// The program may have changed its environment, and the monitor must not take the address of
/// another service.
fn is_own(name: &str) -> bool {
    let token = name.strip_prefix(PREFIX).and_then(|name| name.strip_suffix(SUFFIX));
    token.is_some_and(|token| token.parse::<Token>().is_ok())
}

/// The size that systemd accepts on a machine with pages of 4 KiB.
const DATAGRAM_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use super::*;
    use crate::testing::is_readable;

    fn sent(bytes: &[u8]) -> Datagram {
        let notify = NotifySocket::new().unwrap();
        let address = SocketAddr::from_abstract_name(&notify.name).unwrap();
        UnixDatagram::unbound().unwrap().send_to_addr(bytes, &address).unwrap();
        let mut datagram = Datagram::new();
        notify.receive(&mut datagram).unwrap();
        assert!(!is_readable(&notify) && notify.receive(&mut datagram).is_none());
        datagram
    }

    /// Goal: every run has another address, its own address is recognised, and a taken one is an
    /// error.
    #[test]
    fn addresses_are_of_their_run() {
        let [one, two] = [(); 2].map(|()| NotifySocket::new().unwrap());
        assert_ne!(one.name, two.name);
        assert!(is_own(&one.name));
        for foreign in [
            "monitor-/notify",
            "monitor-12/notify",
            "monitor-12-345-00112233445566778899aabbccddeeff-7/notify",
            "other/notify",
            "/notify",
            "",
        ] {
            assert!(!is_own(foreign), "{foreign}");
        }
        let taken = NotifySocket::bind(one.name).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn lines_are_read_and_garbage_is_not() {
        let datagram = sent(b"READY=1\nSTATUS=a=b c\nX_OWN=1\nMAINPID=7\nFDSTORE=1\n");
        assert_eq!(datagram.sender, Some(rustix::process::getpid()));
        let read = [
            NotifyLine::Ready,
            NotifyLine::Status("a=b c"),
            NotifyLine::Other,
            NotifyLine::MainPid(7),
            NotifyLine::NotHonoured("FDSTORE"),
        ];
        assert_eq!(datagram.lines().unwrap(), read);
        assert_eq!(sent(b"WATCHDOG=trigger").lines().unwrap(), [NotifyLine::Unhealthy]);
        for (micros, millis) in [("1", 1), ("30000000", 30_000), ("18446744073709551615", u32::MAX)]
        {
            let datagram = sent(format!("EXTEND_TIMEOUT_USEC={micros}").as_bytes());
            assert_eq!(datagram.lines().unwrap(), [NotifyLine::Extend(Millis::new(millis))]);
        }
        assert_eq!(sent(b"READY=0").lines().unwrap(), [NotifyLine::Other]);
        for garbage in [
            &b""[..],
            b"\n",
            b"READY",
            b"READY=1\n\nREADY=1",
            b"ready=1",
            b"=1",
            b"STATUS=\xff",
            b"MAINPID=x",
            b"EXTEND_TIMEOUT_USEC=30s",
        ] {
            assert_eq!(sent(garbage).lines(), None, "{garbage:?}");
        }
        let fits = [&b"READY=1\nSTATUS="[..], &[b'x'; DATAGRAM_MAX - 15]].concat();
        assert_eq!(sent(&fits).lines().unwrap()[0], NotifyLine::Ready);
        assert_eq!(sent(&[&fits[..], b"x"].concat()).lines(), None);
    }
}
