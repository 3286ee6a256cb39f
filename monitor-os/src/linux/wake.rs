//! The wake-up of a thread that waits in epoll by another thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

/// The waiting half, whose descriptor is readable from [`Notifier::notify`] to [`Wake::drain`].
#[derive(Debug)]
pub(crate) struct Wake {
    fd: Arc<OwnedFd>,
}

impl Wake {
    /// Creates both halves.
    ///
    /// # Errors
    /// No descriptor left, or no memory (`eventfd(2)`); nothing changed.
    pub(crate) fn new() -> io::Result<(Self, Notifier)> {
        let fd = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        Ok((Self { fd: Arc::clone(&fd) }, Notifier { fd }))
    }

    /// Takes all pending wake-ups; none pending is no error.
    ///
    /// Read shared data *after* this call, never before it, or a wake-up is lost.
    pub(crate) fn drain(&self) {
        // The one possible error is "nothing pending", which is the requested state.
        rustix::io::read(&self.fd, &mut [0_u8; 8]).ok();
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The waking half, for any number of threads.
#[derive(Clone, Debug)]
pub(crate) struct Notifier {
    fd: Arc<OwnedFd>,
}

impl Notifier {
    /// Wakes the waiting thread; several calls before its drain are one wake-up.
    ///
    /// The call never blocks, and succeeds without the other half.
    pub(crate) fn notify(&self) {
        // A full counter is the one possible failure, and a full counter is readable.
        rustix::io::write(&self.fd, &1_u64.to_ne_bytes()).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{is_readable, wait_readable};

    #[test]
    fn notifications_coalesce_until_drained() {
        let (wake, notifier) = Wake::new().unwrap();
        assert!(!is_readable(&wake));
        let other = notifier.clone();
        std::thread::spawn(move || other.notify()).join().unwrap();
        notifier.notify();
        wait_readable(&wake);
        wake.drain();
        assert!(!is_readable(&wake));
        wake.drain();
    }

    #[test]
    fn notifying_nobody_is_harmless() {
        let (wake, notifier) = Wake::new().unwrap();
        drop(wake);
        notifier.notify();
    }
}
