//! How tests wait: for what is to come, and never for time. After a minute, which only a hang
//! takes, they fail with what was awaited, and what there was instead.

use std::fmt::Debug;
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::pin::pin;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use monitor_core::Millis;
use monitor_os::{Moment, now};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// How long a test waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeout {
    end: Moment,
}

impl Timeout {
    pub(crate) fn begin() -> Self {
        Self { end: now().after(Millis::from_secs(60)) }
    }

    /// How much of it is left; nothing if it is over.
    pub(crate) fn left(self) -> Duration {
        Duration::from_nanos(self.end.nanos_since(now()))
    }

    pub(crate) fn is_over(self) -> bool {
        self.left().is_zero()
    }
}

/// Waits for a condition of which nothing but looking tells, and whose place in the test says what
/// it is.
#[track_caller]
pub(crate) fn until(condition: impl Fn() -> bool) {
    awaited("the condition", condition, |&holds| holds);
}

/// Looks again and again until what is seen is as it should be, and returns it.
#[track_caller]
pub(crate) fn awaited<T: Debug>(
    what: &str,
    look: impl Fn() -> T,
    is_there: impl Fn(&T) -> bool,
) -> T {
    let timeout = Timeout::begin();
    loop {
        let seen = look();
        if is_there(&seen) {
            return seen;
        }
        assert!(!timeout.is_over(), "awaited in vain: {what}; seen instead: {seen:?}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// Waits for a future.
#[track_caller]
pub(crate) fn completed<F: Future>(what: &str, future: F) -> F::Output {
    let output = within(future);
    assert!(output.is_some(), "awaited in vain: {what}; the future does not complete");
    output.unwrap()
}

/// The same, for who says itself what there was instead, if it does not complete.
pub(crate) fn within<F: Future>(future: F) -> Option<F::Output> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let timeout = Timeout::begin();
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        if timeout.is_over() {
            return None;
        }
        thread::park_timeout(timeout.left());
    }
}

/// Waits for the end of a child. One that does not end is killed.
#[track_caller]
pub(crate) fn ended(child: &mut Child) -> ExitStatus {
    let timeout = Timeout::begin();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        let is_over = timeout.is_over();
        if is_over {
            child.kill().unwrap();
        }
        assert!(!is_over, "awaited in vain: the end of process {}; it was killed", child.id());
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// Waits until a descriptor has something of this to say, or a hang-up or an error; returns whether
/// it has.
pub(crate) fn comes(fd: impl AsFd, what: PollFlags) -> bool {
    let timeout = Timeout::begin();
    loop {
        let limit = Timespec { tv_sec: timeout.left().as_secs().cast_signed(), tv_nsec: 0 };
        match poll(&mut [PollFd::new(&fd, what)], Some(&limit)) {
            Ok(ready) => return ready > 0,
            Err(errno) => assert_eq!(errno, Errno::INTR),
        }
    }
}

/// Waits for a whole line in a file, and returns the last.
#[track_caller]
pub(crate) fn line(path: &Path) -> String {
    until(|| fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n')));
    fs::read_to_string(path).unwrap().lines().last().unwrap().to_owned()
}

/// Whether a process of that number runs. A zombie does not.
pub(crate) fn runs(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
        !matches!(state, Some(b'Z' | b'X'))
    })
}
