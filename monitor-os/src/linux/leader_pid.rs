//! The process id of a session leader.

use rustix::process::Pid;

/// The process id of a child that leads a session, which is the number of its session and group.
///
/// Always greater than 1: to the kernel the other values mean "everybody", "my own group" and
/// "init".
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct LeaderPid(i32);

impl LeaderPid {
    /// Checks a number that the kernel gave.
    pub(crate) fn new(raw: i32) -> Option<Self> {
        (raw > 1).then_some(Self(raw))
    }

    /// The number, for logs and records.
    pub(crate) const fn as_raw(self) -> i32 {
        self.0
    }

    pub(crate) fn to_pid(self) -> Pid {
        // The number is positive, so the fallback is never used; init is a harmless one.
        Pid::from_raw(self.0).unwrap_or(Pid::INIT)
    }
}

impl From<LeaderPid> for Pid {
    fn from(pid: LeaderPid) -> Self {
        pid.to_pid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_child_numbers_are_leaders() {
        for raw in [i32::MIN, -1, 0, 1] {
            assert_eq!(LeaderPid::new(raw), None);
        }
        assert_eq!(LeaderPid::new(2).unwrap().as_raw(), 2);
        assert_eq!(LeaderPid::new(2).unwrap().to_pid(), Pid::from_raw(2).unwrap());
    }
}
