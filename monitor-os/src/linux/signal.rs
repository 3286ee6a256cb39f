//! Signals to a process by its pidfd.

use std::fmt;
use std::io;
use std::os::fd::AsFd;

use monitor_core::Scope;
use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};

/// Error of a signal that was not sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SignalError {
    /// The receiver has ended and was reaped; no action is needed.
    Gone,
    /// The receiver runs as another user (EPERM).
    ///
    /// Give the monitor the right to signal it (`CAP_KILL`), or stop the receiver by hand.
    Forbidden {
        /// The number of the signal.
        signal: u8,
    },
    /// The number is not that of a named signal of this machine; choose one from 1 to 31.
    ///
    /// Real-time signals count as unknown: they are queued, and can fail for lack of room.
    Unknown {
        /// The requested number.
        signal: u8,
    },
    /// The kernel refused for a reason that `pidfd_send_signal(2)` and `kill(2)` do not list.
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

/// Returns the signal with this number.
pub(crate) fn named(signal: u8) -> Result<Signal, SignalError> {
    Signal::from_named_raw(i32::from(signal)).ok_or(SignalError::Unknown { signal })
}

/// Sends a signal, then SIGCONT where it follows.
///
/// # Errors
/// See [`SignalError`].
pub(crate) fn send_and_continue(
    pidfd: impl AsFd,
    signal: u8,
    scope: Scope,
) -> Result<(), SignalError> {
    send(&pidfd, named(signal)?)?;
    if continue_follows(signal, scope) { send(&pidfd, Signal::CONT) } else { Ok(()) }
}

/// Whether SIGCONT follows a signal, because a stopped process would keep the signal pending.
///
/// A signal to a group is part of a stop. SIGCONT follows each of them but SIGKILL, which needs
/// none. A signal to the main process alone may be the request of a user, who may have stopped the
/// process on purpose. SIGCONT follows it only if it is one that requests the end of a process.
pub(crate) fn continue_follows(signal: u8, scope: Scope) -> bool {
    use monitor_core::Signal;
    let ends = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::ABRT];
    match scope {
        Scope::Group => signal != Signal::KILL.number(),
        Scope::Process => ends.iter().any(|known| known.number() == signal),
    }
}

fn number(signal: Signal) -> u8 {
    // Named signals are 1 to 31 (or up to 127 on an unusual architecture), so this is exact.
    u8::try_from(signal.as_raw()).unwrap_or(u8::MAX)
}
