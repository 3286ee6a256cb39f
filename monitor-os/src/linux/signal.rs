//! Sending a signal to a process by its pidfd.

use std::fmt;
use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};

/// Why a signal was not sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SignalError {
    /// The receiver has ended and was reaped; there is nothing to do.
    Gone,
    /// The receiver runs as another user (EPERM); give the monitor the right to signal it
    /// (`CAP_KILL`), or stop the receiver by hand.
    Forbidden {
        /// The number of the signal.
        signal: u8,
    },
    /// It is not the number of a named signal of this machine, 1 to 31; choose one of them.
    ///
    /// Real-time signals count as unknown: they are queued and can fail for want of room.
    Unknown {
        /// The number that was asked for.
        signal: u8,
    },
    /// The kernel refused for another reason, which `pidfd_send_signal(2)` and `kill(2)` do not know.
    Refused {
        /// The error number.
        errno: i32,
    },
}

impl SignalError {
    pub(crate) fn new(errno: Errno, signal: Signal) -> Self {
        match errno {
            Errno::SRCH => Self::Gone,
            Errno::PERM => Self::Forbidden { signal: number(signal) },
            other => Self::Refused { errno: other.raw_os_error() },
        }
    }
}

impl fmt::Display for SignalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the process is gone"),
            Self::Forbidden { signal } => write!(
                f,
                "not allowed to send signal {signal}: the process runs as another user; \
                 give the monitor CAP_KILL or stop the process by hand"
            ),
            Self::Unknown { signal } => {
                write!(f, "{signal} is not the number of a signal; choose one from 1 to 31")
            }
            Self::Refused { errno } => {
                write!(f, "signal not sent: {}", io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

impl std::error::Error for SignalError {}

/// Sends `signal` to the process behind `pidfd`.
pub(crate) fn send(pidfd: impl AsFd, signal: Signal) -> Result<(), SignalError> {
    pidfd_send_signal(pidfd, signal).map_err(|errno| SignalError::new(errno, signal))
}

/// Looks up the signal with this number.
pub(crate) fn named(signal: u8) -> Result<Signal, SignalError> {
    Signal::from_named_raw(i32::from(signal)).ok_or(SignalError::Unknown { signal })
}

/// Whether SIGCONT goes after a signal that asks to end.
pub(crate) fn continue_follows(signal: u8) -> bool {
    i32::from(signal) != Signal::KILL.as_raw()
}

fn number(signal: Signal) -> u8 {
    // Named signals are 1 to 31 (or 127 on the oddest architecture), so this is exact.
    u8::try_from(signal.as_raw()).unwrap_or(u8::MAX)
}

/// Whether a stopped process is to be continued so that it handles this signal.
pub(crate) const fn asks_to_end(signal: monitor_core::Signal) -> bool {
    use monitor_core::Signal;
    matches!(signal, Signal::TERM | Signal::INT | Signal::HUP | Signal::QUIT | Signal::ABRT)
}
