//! Which process it is, and what is left of it, by `/proc`.

use std::{fs, io};

/// A process: its number, and when it was started, for others have that number before and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProcessIdentity {
    pub(crate) pid: u32,
    /// Clock ticks from the boot.
    pub(crate) start: u64,
}

/// What is left of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessLife {
    /// It runs.
    Alive,
    /// It has ended and is not reaped.
    Zombie,
    /// Nothing is left of it.
    Gone,
}

impl ProcessIdentity {
    /// What is left of the process now.
    pub(crate) fn life(self) -> ProcessLife {
        let Ok(stat) = fs::read(format!("/proc/{}/stat", self.pid)) else {
            return ProcessLife::Gone;
        };
        let start = after_name(&stat).and_then(|mut fields| fields.nth(22 - 3)?.parse().ok());
        match state_and_parent(&stat) {
            Some(('Z', _)) if start == Some(self.start) => ProcessLife::Zombie,
            Some((state, _)) if start == Some(self.start) && state != 'X' => ProcessLife::Alive,
            Some(_) | None => ProcessLife::Gone,
        }
    }

    /// Looks at a process that has not been waited for.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat"))?;
        let start = after_name(&stat).and_then(|mut fields| fields.nth(22 - 3)?.parse().ok());
        Ok(Self { pid, start: start.ok_or(io::ErrorKind::InvalidData)? })
    }

    /// When it was started, in clock ticks from the boot.
    pub(crate) const fn ticks(self) -> u64 {
        self.start
    }
}

/// The state and the parent of `/proc/PID/stat`.
pub(crate) fn state_and_parent(stat: &[u8]) -> Option<(char, u32)> {
    let mut fields = after_name(stat)?;
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

/// The fields of `/proc/PID/stat` from the third on, counted from the end of the name, which may
/// hold anything.
fn after_name(stat: &[u8]) -> Option<std::str::SplitAsciiWhitespace<'_>> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    Some(str::from_utf8(stat.get(name_end + 1..)?).ok()?.split_ascii_whitespace())
}
