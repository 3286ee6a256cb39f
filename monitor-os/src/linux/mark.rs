//! The name of a run in the environment of its processes.

use std::ffi::CString;
use std::fs;

use rustix::process::{Pid, geteuid};

use crate::linux::run_name::RunName;

/// What the environment of a process says that a run has started, for runs of which the kernel does not say it: those
/// of an earlier monitor, whose orphans went to another parent.
///
/// The token in the name is known to the run, to root, and to whoever one of them has told it. Who was told may still be a
/// stranger that holds up a stop. So a process counts only if it runs as this monitor does or as the program did: a
/// program of root that gave its rights away and left its group, its session and its parents is left alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Mark {
    pub(crate) name: RunName,
    /// The real user of the program; `None` if it was not written down.
    pub(crate) owner: Option<u32>,
}

impl Mark {
    /// Whether a process bears it, and may.
    pub(crate) fn is_borne_by(&self, pid: Pid) -> bool {
        mark_of(pid) == Some(self.name)
            && real_user(pid)
                .is_some_and(|user| user == geteuid().as_raw() || Some(user) == self.owner)
    }
}

pub(crate) fn mark_of(pid: Pid) -> Option<RunName> {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
    let mut variables = environment.split(|&byte| byte == 0);
    let mark = variables.find_map(|variable| variable.strip_prefix(MARK.as_bytes()))?;
    str::from_utf8(mark).ok()?.parse().ok()
}

/// The real user of a process: what a program that others may run as its owner (`su`) cannot change.
pub(crate) fn real_user(pid: Pid) -> Option<u32> {
    let status = fs::read(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    str::from_utf8(line).ok()?.split_ascii_whitespace().next()?.parse().ok()
}

/// The variable that marks what a run starts.
pub(crate) fn mark(name: RunName) -> Option<CString> {
    CString::new(format!("{MARK}{name}")).ok()
}

const MARK: &str = "MONITOR_RUN=";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::testing::{finish, spawn, until};

    /// Goal: who bears the mark and runs as another user than the monitor and the program is a stranger.
    #[test]
    fn mark_counts_with_the_user() {
        let name = RunName::next().unwrap();
        let command = Command::new("sleep", ["100"]).unwrap();
        let command = command.with_variable("MONITOR_RUN", name.to_string()).unwrap();
        let process = spawn(&command).unwrap();
        let pid = process.pid().to_pid();
        let mark = Mark { name, owner: None };
        // A program is started before its environment can be read.
        until(|| mark_of(pid) == Some(name));
        assert_eq!(real_user(pid), Some(geteuid().as_raw()));
        assert!(mark.is_borne_by(pid));
        assert!(!Mark { name: RunName::next().unwrap(), owner: None }.is_borne_by(pid));
        process.stop_group(9).unwrap();
        finish(process);

        if !geteuid().is_root() {
            eprintln!("passed over: it takes root to run a process as another user");
            return;
        }
        let arguments = ["--reuid=4000000000", "--clear-groups", "sleep", "100"];
        let command = Command::new("setpriv", arguments).unwrap();
        let command = command.with_variable("MONITOR_RUN", name.to_string()).unwrap();
        let process = spawn(&command).unwrap();
        let pid = process.pid().to_pid();
        until(|| real_user(pid) == Some(4_000_000_000) && mark_of(pid) == Some(name));
        assert!(!mark.is_borne_by(pid));
        assert!(!Mark { owner: Some(1), ..mark }.is_borne_by(pid));
        assert!(Mark { owner: Some(4_000_000_000), ..mark }.is_borne_by(pid));
        process.stop_group(9).unwrap();
        finish(process);
    }
}
