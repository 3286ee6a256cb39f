//! The resources that a process and its descendants use, read from `/proc` at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

use rustix::param::{clock_ticks_per_second, page_size};
use serde::{Deserialize, Serialize};

/// The resources of a process, its descendants, and the rest of its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tree {
    pub(crate) processes: u32,
    /// The sum of the resident memory of each. Memory that several share is counted in each.
    pub(crate) resident_bytes: u64,
    /// The CPU time of the living processes, and of their children that were waited for.
    pub(crate) cpu_ms: u64,
    /// The time since the main process was started.
    pub(crate) up_ms: u64,
}

/// One process, as in `proc_pid_stat(5)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ProcessInfo {
    parent: u32,
    session: u32,
    /// User and system time of the process and of its children that were waited for.
    cpu_ticks: u64,
    start_ticks: u64,
    resident_pages: u64,
}

/// The processes of the machine, at one moment.
#[derive(Debug)]
pub(crate) struct Processes {
    processes: BTreeMap<u32, ProcessInfo>,
    /// The time since the machine was booted.
    up_ms: u64,
}

impl Processes {
    /// Reads all visible processes.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(crate) fn scan() -> io::Result<Self> {
        let mut processes = BTreeMap::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            // A process that cannot be read has ended meanwhile, or is hidden.
            if let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok())
                && let Some(process) =
                    fs::read(format!("/proc/{pid}/stat")).ok().as_deref().and_then(parse)
            {
                processes.insert(pid, process);
            }
        }
        let uptime = fs::read_to_string("/proc/uptime")?;
        // Seconds with two decimals.
        let up = uptime.split_once(' ').and_then(|(up, _)| up.replace('.', "").parse::<u64>().ok());
        let up_ms = up.ok_or(io::ErrorKind::InvalidData)? * 10;
        Ok(Self { processes, up_ms })
    }

    /// The tree of a session leader; `None` if the leader is gone.
    pub(crate) fn tree(&self, leader: u32) -> Option<Tree> {
        let main = self.processes.get(&leader)?;
        let ticks = clock_ticks_per_second();
        let millis = |ticked: u64| ticked.saturating_mul(1_000) / ticks;
        let members = members(&self.processes, leader);
        let of_members = || members.iter().filter_map(|pid| self.processes.get(pid));
        let pages: u64 = of_members().map(|process| process.resident_pages).sum();
        Some(Tree {
            processes: u32::try_from(members.len()).unwrap_or(u32::MAX),
            resident_bytes: pages.saturating_mul(page_size() as u64),
            cpu_ms: millis(of_members().map(|process| process.cpu_ticks).sum()),
            up_ms: self.up_ms.saturating_sub(millis(main.start_ticks)),
        })
    }
}

/// The leader, its descendants, and the processes of its session.
fn members(processes: &BTreeMap<u32, ProcessInfo>, leader: u32) -> BTreeSet<u32> {
    let in_session = processes.iter().filter(|(_, process)| process.session == leader);
    let mut members: BTreeSet<u32> = in_session.map(|(&pid, _)| pid).collect();
    members.insert(leader);
    loop {
        let children = processes.iter().filter(|(_, process)| members.contains(&process.parent));
        let children: Vec<u32> = children.map(|(&pid, _)| pid).collect();
        let before = members.len();
        members.extend(children);
        if members.len() == before {
            return members;
        }
    }
}

/// Reads a `/proc/PID/stat`. Fields are counted from the end of the name, because a name may hold
/// anything.
fn parse(stat: &[u8]) -> Option<ProcessInfo> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = str::from_utf8(stat.get(name_end + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // The field after the name is the third.
    let field = |number: usize| fields.get(number - 3)?.parse::<i64>().ok();
    let counted = |number| u64::try_from(field(number)?).ok();
    Some(ProcessInfo {
        parent: u32::try_from(field(4)?).ok()?,
        session: u32::try_from(field(6)?).ok()?,
        cpu_ticks: (14..=17).map(counted).sum::<Option<u64>>()?,
        start_ticks: counted(22)?,
        resident_pages: counted(24)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_the_name() {
        let stat = b"7 (a) b) S 1 6 5 0 -1 6 7 8 9 10 100 20 3 4 15 16 17 18 1234 20 21 22";
        let process = ProcessInfo {
            parent: 1,
            session: 5,
            cpu_ticks: 127,
            start_ticks: 1234,
            resident_pages: 21,
        };
        assert_eq!(parse(stat), Some(process));
        assert_eq!(parse(b"7 (sh) S 1"), None);
    }

    /// Goal: who left the session but descends from the leader is counted, and who was given to
    /// another parent but stayed in the session too; strangers are not.
    #[test]
    fn tree_is_descent_and_session() {
        let process = |parent, session| ProcessInfo {
            parent,
            session,
            cpu_ticks: 0,
            start_ticks: 0,
            resident_pages: 0,
        };
        let processes = BTreeMap::from([
            (1, process(0, 1)),
            (10, process(1, 10)),
            (11, process(10, 10)),
            (12, process(11, 12)),
            (13, process(12, 12)),
            (14, process(1, 10)),
            (20, process(1, 20)),
        ]);
        assert_eq!(members(&processes, 10), BTreeSet::from([10, 11, 12, 13, 14]));
    }

    #[test]
    fn own_tree_is_there() {
        let processes = Processes::scan().unwrap();
        let tree = processes.tree(std::process::id()).unwrap();
        assert!(tree.processes >= 1 && tree.resident_bytes > 0);
        assert_eq!(processes.tree(u32::MAX), None);
    }
}
