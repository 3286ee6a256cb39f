//! The virtual operating system: process numbers, processes, and the group members that outlive
//! them.
//!
//! It injects no faults by itself.

use monitor_core::{Exit, Millis, RunId};

use crate::case::script::Script;

/// The processes, and the numbers that they hold.
#[derive(Clone, Debug)]
pub(super) struct VirtualSystem<'a> {
    /// The processes, in the order of their spawns.
    processes: Vec<VirtualProcess<'a>>,
    /// The count of numbers. Foreign processes hold each number that no process of the case holds.
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
    /// Whether other members of its group live.
    pub(super) members: bool,
    /// Whether a process holds its output open.
    pub(super) output: bool,
    /// Set if its setup failed: it only reports the failure and must be reaped.
    pub(super) failed: bool,
    /// The watchdog period that it was told.
    pub(super) watchdog: Option<Millis>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProcessState {
    Alive,
    /// Ended, and not waited for by its parent.
    Zombie(Exit),
    /// Ended, and its number is free once its group is empty.
    Reaped(Exit),
}

impl VirtualProcess<'_> {
    /// Returns its exit, if it has ended.
    pub(super) const fn ended(&self) -> Option<Exit> {
        match self.state {
            ProcessState::Alive => None,
            ProcessState::Zombie(exit) | ProcessState::Reaped(exit) => Some(exit),
        }
    }

    /// Returns whether it holds its number.
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

    /// Makes a process. Returns `None` if all numbers are taken.
    pub(super) fn spawn(&mut self, process: VirtualProcess<'a>) -> Option<u32> {
        self.processes.retain(|old| old.holds_number() || old.unit != process.unit);
        let pid = self.free_number();
        self.last = pid.unwrap_or(self.last);
        let state = if pid.is_some() { process.state } else { ProcessState::Reaped(Exit::Unknown) };
        let failed = process.failed || pid.is_none();
        self.processes.push(VirtualProcess { pid: self.last, state, failed, ..process });
        pid
    }

    /// Returns the last assigned number; 0 if none was assigned.
    pub(super) const fn last(&self) -> u32 {
        self.last
    }

    /// Returns the next number that no process of the case holds.
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

    /// Returns the last process of a unit.
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
