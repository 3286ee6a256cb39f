//! The signals that the monitor itself receives.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// A set of signals, read from a descriptor instead of handled.
#[derive(Debug)]
pub(crate) struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Blocks the signals in the calling thread and opens the descriptor.
    ///
    /// Call it in the first thread, before any other is started, because threads inherit the mask.
    /// If one thread does not block a signal, the signal kills the process. The signals stay
    /// blocked when the value is dropped. Children are not affected: they start with no signal
    /// blocked.
    ///
    /// # Errors
    /// No descriptor left, or no memory (`signalfd(2)`); the signals are blocked even then.
    pub(crate) fn new(signals: &SigSet) -> io::Result<Self> {
        signals.thread_block()?;
        let fd = SignalFd::with_flags(signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { fd })
    }

    /// Takes the pending signals, as numbers, up to [`SIGNALS_PER_TURN`].
    ///
    /// The bound exists because real-time signals may come without end. Several signals of any
    /// other kind can appear as one.
    ///
    /// # Errors
    /// None is known for this descriptor (`read(2)`).
    pub(crate) fn drain(&self) -> io::Result<Vec<u8>> {
        let mut numbers = Vec::new();
        while numbers.len() < SIGNALS_PER_TURN
            && let Some(info) = self.fd.read_signal()?
        {
            numbers.extend(u8::try_from(info.ssi_signo));
        }
        Ok(numbers)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Checks that the kernel keeps the status of children until a wait takes it.
///
/// If SIGCHLD is ignored, the kernel reaps every child at once. No status is available then, and a
/// process id can be reused before a pidfd is opened. The disposition is inherited through `exec`.
/// It is only checked here, because setting a disposition is not safe in a program that may have
/// handlers.
///
/// `SA_NOCLDWAIT` is not visible. `exec` clears it, so only other code in this process could set
/// it. Its effect is [`WaitStatus::Lost`](crate::WaitStatus::Lost).
///
/// # Errors
/// See [`ChildrenUnwaitable`]; nothing is changed in either case.
///
/// # Source
/// `sigaction(2)`, about an ignored SIGCHLD; `proc_pid_status(5)`, `SigIgn`.
pub(crate) fn ensure_children_waitable() -> Result<(), ChildrenUnwaitable> {
    match ignored() {
        Ok(ignored) if ignored & CHLD_BIT != 0 => Err(ChildrenUnwaitable::Ignored),
        Ok(_) => Ok(()),
        Err(error) => Err(ChildrenUnwaitable::Unknown(error)),
    }
}

/// The signals that this process ignores: bit n - 1 stands for signal n.
///
/// # Errors
/// `/proc/self/status` cannot be read or parsed.
pub(crate) fn ignored() -> io::Result<u64> {
    let status = fs::read("/proc/self/status")?;
    ignored_signals(&status).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Reason for which the end of a child could go unnoticed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ChildrenUnwaitable {
    /// SIGCHLD is ignored; start the monitor with the default disposition, or do not ignore it.
    Ignored,
    /// `/proc/self/status` could not be read or parsed; mount `/proc`.
    Unknown(io::Error),
}

impl fmt::Display for ChildrenUnwaitable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ignored => f.write_str(
                "SIGCHLD is ignored, so the kernel discards the exit status of children; \
                 start the program by `env --default-signal=CHLD ...`, \
                 or correct what starts it (the disposition is inherited)",
            ),
            Self::Unknown(_) => f.write_str(
                "cannot see whether SIGCHLD is ignored: /proc/self/status is not readable; mount /proc",
            ),
        }
    }
}

impl std::error::Error for ChildrenUnwaitable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ignored => None,
            Self::Unknown(error) => Some(error),
        }
    }
}

/// Parses the set of ignored signals: bit n - 1 stands for signal n.
fn ignored_signals(status: &[u8]) -> Option<u64> {
    // By bytes, because the text contains the name of the process, which need not be UTF-8.
    let line =
        status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"SigIgn:"))?;
    u64::from_str_radix(str::from_utf8(line).ok()?.trim(), 16).ok()
}

const SIGNALS_PER_TURN: usize = 64;
const CHLD_BIT: u64 = 1 << (Signal::SIGCHLD as u32 - 1);

#[cfg(test)]
mod tests {
    use nix::sys::signal::raise;

    use super::*;
    use crate::command::Command;
    use crate::linux::process::WaitStatus;
    use crate::testing::{finish, is_readable, sleeper, spawn, wait_readable};

    #[test]
    fn signals_are_read_as_numbers() {
        // The raised signals go to this thread alone, so other tests are not affected.
        let three = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
        let signals = Signals::new(&SigSet::from_iter(three)).unwrap();
        assert!(signals.drain().unwrap().is_empty());
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGTERM] {
            raise(signal).unwrap();
        }
        wait_readable(&signals);
        let mut seen = signals.drain().unwrap();
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 15]);
        assert!(!is_readable(&signals));
    }

    #[test]
    fn children_are_waitable_by_default() {
        ensure_children_waitable().unwrap();
    }

    #[test]
    fn ignored_set_is_read_among_odd_bytes() {
        let status =
            b"Name:\tSigIgn\xff\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000011000\nX:\n";
        assert_eq!(ignored_signals(status), Some(0x11000));
        assert_ne!(0x11000 & CHLD_BIT, 0);
        assert_eq!(ignored_signals(b"Name:\tsh\n"), None);
        assert_eq!(ignored_signals(b"SigIgn:\tx\n"), None);
    }

    /// Goal: an ignored SIGCHLD is reported before it does harm, and its effect is reported as
    /// `Lost`. Method: setting the disposition here would harm other tests. This binary is
    /// therefore started again under `env --ignore-signal` with the test below, which is ignored
    /// otherwise.
    #[test]
    fn ignored_sigchld_is_told() {
        let test = std::env::current_exe().unwrap();
        let command = Command::new(
            "env",
            [
                "--ignore-signal=CHLD".as_ref(),
                test.as_os_str(),
                "--ignored".as_ref(),
                "--exact".as_ref(),
                "linux::signals::tests::under_ignored_sigchld".as_ref(),
            ],
        )
        .unwrap();
        assert_eq!(finish(spawn(&command).unwrap()), WaitStatus::Exited(0));
    }

    #[test]
    #[ignore = "started by ignored_sigchld_is_told"]
    fn under_ignored_sigchld() {
        let error = ensure_children_waitable().unwrap_err();
        assert!(error.to_string().contains("--default-signal=CHLD"));
        let process = sleeper();
        process.stop_group(9).unwrap();
        assert_eq!(finish(process), WaitStatus::Lost);
    }
}
