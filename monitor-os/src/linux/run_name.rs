//! The name of a run: by it a control group, a socket and a process say which run they are of.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::getpid;

use super::identity::start_time;

/// A name that no other run has since the boot. It is kept for each run, so it is four numbers and no text.
///
/// Prints `monitor-12-345-6-7`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct RunName {
    /// The process that made the run.
    monitor: i32,
    /// When that one was started, for its number is given to others after it.
    start: u64,
    /// Which of its runs.
    number: u64,
    /// The PID namespace in which its number means something (`pid_namespaces(7)`): a container may share the control
    /// groups of another.
    namespace: u64,
}

impl RunName {
    /// The name of the next run.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(super) fn next() -> io::Result<Self> {
        let monitor = getpid().as_raw_nonzero().get();
        // All supervisors of a process count together.
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Ok(Self { monitor, start: start_time(monitor)?, number, namespace: pid_namespace()? })
    }

    /// Whether the monitor that made it is dead. Of one in another PID namespace nothing can be known here.
    pub(super) fn is_abandoned(self) -> bool {
        if Some(self.namespace) != pid_namespace().ok() {
            return false;
        }
        match start_time(self.monitor) {
            Ok(found) => found != self.start,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { monitor, start, number, namespace } = self;
        write!(f, "{PREFIX}{monitor}-{start}-{number}-{namespace}")
    }
}

impl FromStr for RunName {
    type Err = NoRunName;

    fn from_str(text: &str) -> Result<Self, NoRunName> {
        fn next<'a, T: FromStr>(numbers: &mut impl Iterator<Item = &'a str>) -> Option<T> {
            numbers.next()?.parse().ok()
        }
        let mut numbers = text.strip_prefix(PREFIX).ok_or(NoRunName)?.split('-');
        let name = (|| {
            let (monitor, start) = (next(&mut numbers)?, next(&mut numbers)?);
            let (number, namespace) = (next(&mut numbers)?, next(&mut numbers)?);
            Some(Self { monitor, start, number, namespace })
        })();
        // What is read is the name of something to be killed, so it is this one and not one that is like it.
        name.filter(|name| name.to_string() == text).ok_or(NoRunName)
    }
}

/// A text is not the form of a [`RunName`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NoRunName;

fn pid_namespace() -> io::Result<u64> {
    Ok(fs::metadata("/proc/self/ns/pid")?.ino())
}

static MADE: AtomicU64 = AtomicU64::new(0);
const PREFIX: &str = "monitor-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_whose_they_are() {
        let name = RunName { monitor: 12, start: 345, number: 6, namespace: 7 };
        assert_eq!("monitor-12-345-6-7".parse(), Ok(name));
        for foreign in
            ["monitor", "monitor-", "monitor-1-2-3", "monitor-x-1-2-3", "monitor-01-2-3-4", "web"]
        {
            assert_eq!(foreign.parse::<RunName>(), Err(NoRunName), "{foreign}");
        }
        assert!("monitor-1-2-3-4-5".parse::<RunName>().is_err());
        let own = RunName::next().unwrap();
        assert_ne!(RunName::next().unwrap(), own);
        assert!(!own.is_abandoned());
        assert!(RunName { start: 0, ..own }.is_abandoned());
        assert!(RunName { monitor: i32::MAX, ..own }.is_abandoned());
        // In another container the same number is another's.
        assert!(!RunName { start: 0, namespace: 1, ..own }.is_abandoned());
    }
}
