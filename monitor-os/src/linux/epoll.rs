//! An epoll set: one thread waits for many descriptors.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

/// A set of descriptors, each with a key of the caller, that one thread waits for.
///
/// A closed descriptor leaves the set by itself, unless it was duplicated.
#[derive(Debug)]
pub(crate) struct Epoll {
    fd: OwnedFd,
}

impl Epoll {
    /// Creates an empty set.
    ///
    /// # Errors
    /// No descriptor left, or no memory (`epoll_create1(2)`); nothing changed.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { fd: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Adds `source`, whose readiness is reported as `key`.
    ///
    /// # Errors
    /// `source` is in the set already, the user's limit of watches is reached, or no memory
    /// (`epoll_ctl(2)`); nothing changed.
    pub(crate) fn add(&self, source: impl AsFd, key: u64, trigger: Trigger) -> io::Result<()> {
        Ok(epoll::add(&self.fd, source, EventData::new_u64(key), trigger.flags())?)
    }

    /// Removes `source`; a source that is not in the set is no error.
    pub(crate) fn remove(&self, source: impl AsFd) {
        epoll::delete(&self.fd, source).ok();
    }

    /// Blocks until a source is ready, and replaces the content of `keys` by the keys of the sources
    /// that are ready by then, sorted.
    ///
    /// One call returns at most 4,096 keys. There is no timeout: a deadline is a
    /// [`Timer`](crate::linux::timer::Timer) in the set.
    ///
    /// # Errors
    /// None is known for this descriptor (`epoll_wait(2)`).
    pub(crate) fn wait(&self, keys: &mut Vec<u64>) -> io::Result<()> {
        const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        keys.clear();
        let mut buffer = [MaybeUninit::<Event>::uninit(); EVENTS_PER_CALL];
        let mut timeout = None;
        loop {
            let taken = match epoll::wait(&self.fd, &mut buffer, timeout) {
                Ok((ready, _)) => {
                    keys.extend(ready.iter().map(|event| event.data.u64()));
                    ready.len()
                }
                // Also by a stop and its end: `epoll_wait(2)` is not restarted.
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            if taken < EVENTS_PER_CALL || keys.len() >= EVENTS_PER_WAIT {
                break;
            }
            timeout = Some(&AT_ONCE);
        }
        // The kernel repeats a source that is still ready.
        keys.sort_unstable();
        keys.dedup();
        Ok(())
    }
}

/// The condition under which a descriptor is reported, and how often.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Trigger {
    /// At every wait while the descriptor is readable, for sources that the caller drains.
    Level,
    /// Once, when the descriptor takes bytes.
    Room,
    /// Once, for pidfds, which stay readable for ever.
    ///
    /// A pidfd can be readable while the zombie cannot be reaped yet, because a tracer holds it.
    Once,
    /// When the contents of a kernel file have changed since its last read.
    Change,
}

impl Trigger {
    fn flags(self) -> EventFlags {
        match self {
            Self::Level => EventFlags::IN,
            Self::Room => EventFlags::OUT | EventFlags::ONESHOT,
            Self::Once => EventFlags::IN | EventFlags::ONESHOT,
            Self::Change => EventFlags::PRI,
        }
    }
}

/// The room for events on the stack.
const EVENTS_PER_CALL: usize = 64;

/// The bound for one wait, so that a flood of exits does not delay timers.
const EVENTS_PER_WAIT: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::timer::Timer;
    use crate::linux::wake::Wake;

    #[test]
    fn level_repeats_once_does_not() {
        let epoll = Epoll::new().unwrap();
        let (level, notifier) = Wake::new().unwrap();
        let mut once = Timer::new().unwrap();
        once.set(Some(0)).unwrap();
        epoll.add(&once, 2, Trigger::Once).unwrap();
        assert_eq!(keys_of(&epoll), [2]);
        notifier.notify();
        epoll.add(&level, 1, Trigger::Level).unwrap();
        for _ in 0..3 {
            assert_eq!(keys_of(&epoll), [1]);
        }
    }

    #[test]
    fn adding_twice_is_told() {
        let epoll = Epoll::new().unwrap();
        let timer = Timer::new().unwrap();
        epoll.add(&timer, 1, Trigger::Level).unwrap();
        assert_eq!(
            epoll.add(&timer, 1, Trigger::Level).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
    }

    #[test]
    fn turn_is_bounded_and_nothing_is_lost() {
        let epoll = Epoll::new().unwrap();
        let mut seen = std::collections::BTreeSet::new();
        let mut timers: Vec<_> = (0..EVENTS_PER_WAIT + 6).map(|_| Timer::new().unwrap()).collect();
        for (key, timer) in (0_u64..).zip(&mut timers) {
            timer.set(Some(0)).unwrap();
            epoll.add(&*timer, key, Trigger::Once).unwrap();
        }
        while seen.len() < timers.len() {
            let keys = keys_of(&epoll);
            assert!(keys.len() <= EVENTS_PER_WAIT);
            for key in keys {
                assert!(seen.insert(key), "{key} was reported twice");
            }
        }
    }

    fn keys_of(epoll: &Epoll) -> Vec<u64> {
        let mut keys = vec![99];
        epoll.wait(&mut keys).unwrap();
        keys
    }
}
