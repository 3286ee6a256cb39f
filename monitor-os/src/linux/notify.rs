//! The socket at which a program says how it is, as `sd_notify(3)` does.
//!
//! Each run has a socket of its own, so that nothing said for one run counts for the next. Its address is abstract: a
//! program that runs as another user reaches it, which a folder of mode 0700 would prevent; it fits into an address
//! wherever the state directory lies; and it is gone with the monitor. Anybody may send to it, so what counts is the
//! sender, whom the kernel names. Anybody may take an address as well, so it has 128 random bits, and nobody takes
//! that of the next run. Addresses that are in use can be read by everybody (`/proc/net/unix`): they prove nothing, and
//! say nothing of the mark of their run.

use std::fs;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use monitor_core::Millis;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials,
    bind, recvmsg, setsockopt, socket, sockopt,
};
use rustix::process::Pid;

use crate::linux::run_name::{PREFIX, RunName, Token, with_free_name};

/// A socket that receives datagrams with the number of their sender.
#[derive(Debug)]
pub(crate) struct NotifySocket {
    socket: OwnedFd,
    name: String,
}

impl NotifySocket {
    /// Makes a socket at an address that nobody knows before.
    ///
    /// # Errors
    /// No descriptor left, nothing random yet, or all addresses that were tried are taken (EADDRINUSE of `bind(2)`);
    /// nothing changed, and it may pass.
    pub(crate) fn new() -> io::Result<Self> {
        with_free_name(|| Self::bind(format!("{PREFIX}{}{SUFFIX}", Token::random()?)))
    }

    /// Makes again the socket of a run that an earlier monitor has started, with the watchdog that its program was
    /// told of; `None` if that had no socket.
    ///
    /// # Errors
    /// As [`NotifySocket::new`], or the environment of the program cannot be read (`proc_pid_environ(5)`). EADDRINUSE:
    /// another process took the address while there was no monitor, and the program speaks to that one.
    pub(crate) fn of_adopted(pid: Pid) -> io::Result<Option<(Self, Option<Millis>)>> {
        let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()))?;
        let find = |name: &str| {
            let mut variables = environment.split(|&byte| byte == 0);
            let value = variables.find_map(|variable| variable.strip_prefix(name.as_bytes()))?;
            str::from_utf8(value).ok()
        };
        // One that this monitor itself was given is not its own to serve.
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
        // Before anybody can send.
        setsockopt(&socket, sockopt::PassCred, &true)?;
        bind(socket.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
        Ok(Self { socket, name })
    }

    /// What the program finds in `NOTIFY_SOCKET`.
    pub(crate) fn address(&self) -> String {
        format!("@{}", self.name)
    }

    /// Takes the next datagram; `None` if there is none.
    ///
    /// Descriptors that come with it are closed by the kernel, since there is no room for them: so a `BARRIER=1` is
    /// answered, and none can be used up here. The other library would take the number of a sender from outside of this
    /// PID namespace, which is 0, for one that cannot be 0.
    pub(crate) fn receive(&self, datagram: &mut Datagram) -> Option<()> {
        let Datagram { bytes, length, sender } = datagram;
        let mut space = nix::cmsg_space!(UnixCredentials);
        let mut parts = [IoSliceMut::new(bytes)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        // EAGAIN; no other error is known for an own socket.
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
    /// `None` if it was larger than there is room for.
    length: Option<usize>,
    /// `None` if it is not of this PID namespace.
    pub(crate) sender: Option<Pid>,
}

impl Datagram {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; DATAGRAM_MAX].into(), length: None, sender: None }
    }

    /// Its lines; `None` if one of them is no `NAME=value`, or if it was too large.
    pub(crate) fn lines(&self) -> Option<Vec<NotifyLine<'_>>> {
        let text = str::from_utf8(self.bytes.get(..self.length?)?).ok()?;
        text.strip_suffix('\n').unwrap_or(text).split('\n').map(NotifyLine::read).collect()
    }
}

/// One line of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotifyLine<'a> {
    Ready,
    Ping,
    /// It asks to be treated as if its watchdog had run out.
    Unhealthy,
    /// It asks for so much more time.
    Extend(Millis),
    Stopping,
    Reloading,
    Status(&'a str),
    Errno(i32),
    BusError(&'a str),
    /// Another process is to count as the main one.
    MainPid(i32),
    /// Something that is meant for a service manager which can do more.
    NotHonoured(&'static str),
    /// Something else, as `X_...` and what is not known yet.
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

/// What `sd_notify(3)` has and a program under this monitor has no use of.
const NOT_HONOURED: &[&str] = &["WATCHDOG_USEC", "FDSTORE"];
const SUFFIX: &str = "/notify";

/// Whether an address is of the form that this release gives, or an earlier one. The program may have changed what is
/// read there, and the monitor is not to take the address of another service for it.
fn is_own(name: &str) -> bool {
    name.strip_suffix(SUFFIX).is_some_and(|name| {
        let token = |name: &str| name.parse::<Token>().is_ok();
        name.strip_prefix(PREFIX).is_some_and(token) || name.parse::<RunName>().is_ok()
    })
}

/// As much as systemd takes on a machine with pages of 4 KiB.
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

    /// Goal: no address is that of another run, an address is known again, and one that is taken is an error that says so.
    #[test]
    fn addresses_are_of_their_run() {
        let [one, two] = [(); 2].map(|()| NotifySocket::new().unwrap());
        assert_ne!(one.name, two.name);
        assert!(
            is_own(&one.name) && is_own("monitor-12-345-00112233445566778899aabbccddeeff-7/notify")
        );
        for foreign in ["monitor-/notify", "monitor-12/notify", "other/notify", "/notify", ""] {
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
