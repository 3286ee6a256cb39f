//! A kernel timer for the nearest of all deadlines.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::linux::clock::timespec;

/// A timer on the monotonic clock whose descriptor becomes readable at an absolute deadline.
///
/// Its deadlines have nanoseconds, while the timeout of a wait has milliseconds. It fires once.
#[derive(Debug)]
pub(crate) struct Timer {
    fd: OwnedFd,
    armed: Option<u64>,
}

impl Timer {
    /// Creates a timer that is not armed.
    ///
    /// # Errors
    /// No descriptor left, or no memory (`timerfd_create(2)`); nothing changed.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { fd, armed: None })
    }

    /// Arms the timer for `deadline`, in nanoseconds of the monotonic clock, or disarms it.
    ///
    /// A deadline that has passed fires at once, 0 included. Setting the current deadline again
    /// makes no system call.
    ///
    /// # Errors
    /// None is known for this descriptor (`timerfd_settime(2)`); the timer is unchanged.
    pub(crate) fn set(&mut self, deadline: Option<u64>) -> io::Result<()> {
        if deadline == self.armed {
            return Ok(());
        }
        // To the kernel the value zero means "disarm", so the deadline 0 is moved by a nanosecond.
        let value = deadline.map_or(DISARMED, |nanos| timespec(nanos.max(1)));
        let spec = Itimerspec { it_interval: DISARMED, it_value: value };
        timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &spec)?;
        self.armed = deadline;
        Ok(())
    }

    /// Takes the expiry, so that the descriptor is not readable any more; returns whether there was
    /// one.
    ///
    /// After an expiry the timer is disarmed, and its old deadline can be set again.
    ///
    /// # Errors
    /// None is known for this descriptor (`read(2)`); nothing changed.
    pub(crate) fn drain(&mut self) -> io::Result<Expiry> {
        let mut count = [0_u8; 8];
        match rustix::io::read(&self.fd, &mut count) {
            Ok(_) => {
                self.armed = None;
                Ok(Expiry::Fired)
            }
            Err(Errno::AGAIN) => Ok(Expiry::Pending),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whether the deadline has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Expiry {
    /// The deadline has come, and the timer is disarmed.
    Fired,
    /// The deadline has not come, or none was set.
    Pending,
}

const DISARMED: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::clock::monotonic_nanos;
    use crate::testing::{is_readable, wait_readable};

    #[test]
    fn fires_not_before_the_deadline() {
        let mut timer = Timer::new().unwrap();
        let deadline = monotonic_nanos() + 5_000_000;
        timer.set(Some(deadline)).unwrap();
        wait_readable(&timer);
        assert!(monotonic_nanos() >= deadline);
        assert_eq!(timer.drain().unwrap(), Expiry::Fired);
        assert_eq!(timer.drain().unwrap(), Expiry::Pending);
    }

    #[test]
    fn passed_deadline_and_zero_fire() {
        let mut timer = Timer::new().unwrap();
        for deadline in [0, 1, monotonic_nanos()] {
            timer.set(Some(deadline)).unwrap();
            wait_readable(&timer);
            assert_eq!(timer.drain().unwrap(), Expiry::Fired);
            timer.set(Some(deadline)).unwrap();
            wait_readable(&timer);
            assert_eq!(timer.drain().unwrap(), Expiry::Fired);
        }
    }

    #[test]
    fn disarming_takes_back_an_expiry() {
        let mut timer = Timer::new().unwrap();
        timer.set(Some(0)).unwrap();
        wait_readable(&timer);
        timer.set(None).unwrap();
        assert!(!is_readable(&timer));
        assert_eq!(timer.drain().unwrap(), Expiry::Pending);
    }

    #[test]
    fn farthest_deadline_is_accepted() {
        let mut timer = Timer::new().unwrap();
        timer.set(Some(u64::MAX)).unwrap();
        assert!(!is_readable(&timer));
    }
}
