//! The mark: the name of a run in the environment of its processes.

use std::ffi::CString;
use std::fs;
use std::thread;

use rustix::process::{Pid, geteuid};

use crate::linux::run_name::RunName;

/// The mark by which the processes of an earlier monitor's run are identified.
///
/// The kernel does not identify them, because their orphans went to another parent. The run, root,
/// and every process that one of them has told know the token in the name. A foreign process that
/// was told may still delay a stop. A process therefore counts only if it runs as the monitor's or
/// the program's user. A root program that dropped its privileges and left its group, session and
/// parents is therefore spared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Mark {
    pub(crate) name: RunName,
    /// The real user of the program; `None` if it was not recorded.
    pub(crate) owner: Option<u32>,
}

impl Mark {
    /// Whether a process has the mark, and runs as a permitted user.
    pub(crate) fn is_borne_by(&self, pid: Pid) -> bool {
        mark_of(pid) == Some(self.name)
            && real_user(pid)
                .is_some_and(|user| user == geteuid().as_raw() || Some(user) == self.owner)
    }
}

/// The name in the mark of a process; `None` if it has none.
pub(crate) fn mark_of(pid: Pid) -> Option<RunName> {
    let environment = environment(pid)?;
    let mut variables = environment.split(|&byte| byte == 0);
    let mark = variables.find_map(|variable| variable.strip_prefix(MARK.as_bytes()))?;
    str::from_utf8(mark).ok()?.parse().ok()
}

/// The environment with which a process was started.
///
/// In the middle of an `execve(2)` a process has none for a moment, so an empty one is read again.
fn environment(pid: Pid) -> Option<Vec<u8>> {
    let read = || fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok();
    for _ in 0..READS_MAX {
        let environment = read()?;
        if !environment.is_empty() {
            return Some(environment);
        }
        thread::yield_now();
    }
    read()
}

/// More reads than an `execve(2)` lasts. A process without an environment takes as many.
const READS_MAX: u32 = 50;

/// The real user of a process, which a program run as its owner (`su`) cannot change.
pub(crate) fn real_user(pid: Pid) -> Option<u32> {
    let status = fs::read(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    str::from_utf8(line).ok()?.split_ascii_whitespace().next()?.parse().ok()
}

/// The variable that marks the processes of a run.
pub(crate) fn mark(name: RunName) -> Option<CString> {
    CString::new(format!("{MARK}{name}")).ok()
}

const MARK: &str = "MONITOR_RUN=";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::testing::{finish, spawn, until};

    /// Goal: a process with the mark and another user than the monitor's and the program's is
    /// foreign.
    #[test]
    fn mark_counts_with_the_user() {
        let name = RunName::next().unwrap();
        let command = Command::new("sleep", ["100"]).unwrap();
        let command = command.with_variable("MONITOR_RUN", name.to_string()).unwrap();
        let process = spawn(&command).unwrap();
        let pid = process.pid().to_pid();
        let mark = Mark { name, owner: None };
        // A program is started before its environment is readable.
        until(|| mark_of(pid) == Some(name));
        assert_eq!(real_user(pid), Some(geteuid().as_raw()));
        assert!(mark.is_borne_by(pid));
        assert!(!Mark { name: RunName::next().unwrap(), owner: None }.is_borne_by(pid));
        process.stop_group(9).unwrap();
        finish(process);
    }

    /// Goal: a process that bears the mark is of the run if the program may run as its user.
    #[test]
    #[ignore = "it takes root, as which the gate runs it"]
    fn mark_of_another_user_counts_with_the_owner() {
        let name = RunName::next().unwrap();
        let mark = Mark { name, owner: None };
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
