//! The virtual operating system: process numbers, processes, and the group members that outlive
//! them.
//!
//! It injects no faults by itself.

use monitor_core::{Exit, Millis, RunId};

use crate::case::script::Script;

/// The processes that are there, and the numbers that they hold.
#[derive(Clone, Debug)]
pub(super) struct VirtualSystem<'a> {
    /// In the order of their making.
    processes: Vec<VirtualProcess<'a>>,
    /// How many numbers there are. What no process of ours holds is then held by strangers.
    table: Option<u8>,
    last: u32,
}

/// One process with the group that it leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct VirtualProcess<'a> {
    pub(super) unit: usize,
    pub(super) run: RunId,
    /// The number of the process and of its group.
    pub(super) pid: u32,
    pub(super) script: &'a Script,
    pub(super) state: ProcessState,
    /// Whether others of its group are there.
    pub(super) members: bool,
    /// Whether a process holds its output open.
    pub(super) output: bool,
    /// Whether it could not be set up: it is there to say so and to be reaped.
    pub(super) failed: bool,
    /// How long it may be silent, as it was announced to it.
    pub(super) watchdog: Option<Millis>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProcessState {
    Alive,
    /// Ended, and its parent has not asked how.
    Zombie(Exit),
    /// Ended, and its number is free once its group is empty.
    Reaped(Exit),
}

impl VirtualProcess<'_> {
    /// How it ended, if it did.
    pub(super) const fn ended(&self) -> Option<Exit> {
        match self.state {
            ProcessState::Alive => None,
            ProcessState::Zombie(exit) | ProcessState::Reaped(exit) => Some(exit),
        }
    }

    /// Whether it keeps its number from being given away.
    pub(super) const fn holds_number(&self) -> bool {
        !matches!(self.state, ProcessState::Reaped(_)) || self.members
    }
}

/// The owner of a process number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PidOwner {
    /// The process of this unit and run, alive or not reaped, or its group.
    Run(usize, RunId),
    /// A process that has nothing to do with the monitor.
    Foreign,
    /// No process.
    None,
}

impl<'a> VirtualSystem<'a> {
    pub(super) const fn new(table: Option<u8>) -> Self {
        Self { processes: Vec::new(), table, last: 0 }
    }

    /// Makes a process; `None` if all numbers are taken.
    pub(super) fn spawn(&mut self, process: VirtualProcess<'a>) -> Option<u32> {
        self.processes.retain(|old| old.holds_number() || old.unit != process.unit);
        let pid = self.free_number();
        self.last = pid.unwrap_or(self.last);
        let state = if pid.is_some() { process.state } else { ProcessState::Reaped(Exit::Unknown) };
        let failed = process.failed || pid.is_none();
        self.processes.push(VirtualProcess { pid: self.last, state, failed, ..process });
        pid
    }

    /// The number that was given last; 0 if none was.
    pub(super) const fn last(&self) -> u32 {
        self.last
    }

    /// The number after the last one that no process of ours holds.
    fn free_number(&self) -> Option<u32> {
        let Some(table) = self.table.map(u32::from) else { return Some(self.last + 1) };
        (1..=table)
            .map(|step| (self.last + step - 1) % table + 1)
            .find(|&pid| !self.processes.iter().any(|old| old.holds_number() && old.pid == pid))
    }

    pub(super) fn find(&self, unit: usize, run: RunId) -> Option<&VirtualProcess<'a>> {
        self.processes.iter().rev().find(|process| process.unit == unit && process.run == run)
    }

    pub(super) fn find_mut(&mut self, unit: usize, run: RunId) -> Option<&mut VirtualProcess<'a>> {
        self.processes.iter_mut().rev().find(|process| process.unit == unit && process.run == run)
    }

    /// The process that a unit has made last.
    pub(super) fn latest(&self, unit: usize) -> Option<&VirtualProcess<'a>> {
        self.processes.iter().rev().find(|process| process.unit == unit)
    }

    pub(super) fn owner(&self, pid: u32) -> PidOwner {
        let held = self.processes.iter().find(|old| old.holds_number() && old.pid == pid);
        match (held, self.table) {
            (Some(process), _) => PidOwner::Run(process.unit, process.run),
            (None, Some(_)) => PidOwner::Foreign,
            (None, None) => PidOwner::None,
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &VirtualProcess<'a>> {
        self.processes.iter()
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut VirtualProcess<'a>> {
        self.processes.iter_mut()
    }
}
