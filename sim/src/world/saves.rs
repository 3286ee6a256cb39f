//! Saves of states, and the recovery of a monitor that is started again.

use monitor_core::{Exit, Found, Millis, Outcome, State};
use monitor_os::{DriverInput, Moment, SaveFailed, Ticket};

use super::disk::{Content, File};
use super::event_queue::WorldEvent;
use super::os::{PidOwner, ProcessState};
use super::state::{MonitorStatus, Outage, PendingSave, World, id};
use crate::machine::injected_bug::InjectedBug;
use crate::oracle::fault_effects::FaultEffect;
use crate::oracle::property::Property;

impl World<'_> {
    /// Returns whether a save is atomic, because nothing can come between its operations.
    pub(super) const fn saves_plainly(&self) -> bool {
        self.injected_bug.is_none()
            && matches!(self.monitor, MonitorStatus::Running)
            && self.case.disk.is_none()
    }

    /// Writes a state by a temporary file, synced before it is renamed, and renamed for good.
    pub(super) fn write(&mut self, unit: usize, state: State) {
        let state =
            if self.has(InjectedBug::SavesWithoutOutcome) { without_outcome(state) } else { state };
        let in_place = self.has(InjectedBug::SavesInPlace);
        let file = if in_place { File::Main } else { File::Temporary };
        for step in 0..5 {
            if !self.operate() {
                return;
            }
            let unsynced = self.has(InjectedBug::SavesWithoutSync);
            let disk = &mut self.units[unit].disk;
            match step {
                0 => disk.truncate(file),
                1 => disk.write(file, state),
                2 if !unsynced => disk.sync(file),
                3 if !in_place => disk.rename(),
                4 if !in_place => disk.sync_folder(),
                _ => {}
            }
            if self.is_dead() && step < 4 {
                self.record_effect(FaultEffect::DeathInASave);
            }
        }
        if self.has(InjectedBug::SharesTemporary) {
            let now = self.now;
            let shared = self.units.iter().enumerate().any(|(other, known)| {
                other != unit && known.at_once.0 == now && known.state != State::INITIAL
            });
            if shared {
                self.units[unit].disk.tear();
            }
        }
    }

    /// Answers a save later.
    pub(super) fn save_later(
        &mut self,
        at: Moment,
        unit: usize,
        state: State,
        ticket: Ticket,
        result: Result<(), SaveFailed>,
    ) {
        self.saves += 1;
        let number = self.saves;
        self.units[unit].unsaved = true;
        self.units[unit].pending_saves.push_back(PendingSave { ticket, state, result, number });
        let done = WorldEvent::SaveDone(number);
        self.plan(at.after(self.case.saves_take), unit, state.run(), done);
    }

    /// Carries out a save that was pending; returns its answer.
    pub(super) fn save_done(&mut self, unit: usize, number: u64) -> Option<DriverInput> {
        let pending = &mut self.units[unit].pending_saves;
        let &PendingSave { ticket, state, result, .. } =
            pending.front().filter(|first| first.number == number)?;
        pending.pop_front();
        if result.is_ok() {
            self.store(unit, state);
            self.record_effect(FaultEffect::SavedLate);
            let known = &mut self.units[unit];
            known.unsaved = !known.pending_saves.is_empty();
        }
        Some(DriverInput::Saved(id(unit), ticket, result))
    }

    /// Writes a state.
    pub(super) fn store(&mut self, unit: usize, state: State) {
        if self.saves_plainly() {
            self.units[unit].settle(state);
            return;
        }
        self.units[unit].saving = Some(state);
        self.write(unit, state);
        self.saved(unit, state);
    }

    /// Takes note of a state that is saved, unless the monitor has died meanwhile.
    pub(super) fn saved(&mut self, unit: usize, state: State) {
        if !self.is_dead() {
            self.units[unit].saved = state;
            self.units[unit].unsaved = false;
        }
    }

    /// Returns the state that a restarted monitor reads, and checks that this state was saved.
    pub(super) fn read_saved(&mut self, unit: usize) -> State {
        let known = &self.units[unit];
        let (saved, saving) = (known.saved, known.saving);
        let read = match known.disk.read() {
            Content::Whole(state) => Some(state),
            Content::Missing => Some(State::INITIAL),
            Content::Empty | Content::Torn => None,
        };
        let safe = read.is_some_and(|read| read == saved || Some(read) == saving);
        self.require(safe, Property::CrashSafe);
        // The monitor before may have died before the folder was synced: what is gone on from must
        // survive.
        if let Some(state) = read {
            self.units[unit].disk.settle(state);
        }
        if self.has(InjectedBug::ServesUnread) { State::INITIAL } else { read.unwrap_or_default() }
    }

    /// Returns the fate of the run that the saved state names.
    pub(super) fn recover_run(&mut self, unit: usize, outage: Outage) -> Found {
        let state = self.units[unit].state;
        let run = state.run();
        let kept = state.outcome();
        let alone = matches!(outage, Outage::Crash { down } if down > Millis::ZERO);
        for process in self.os.all_mut().filter(|process| process.unit == unit) {
            let exit = match (process.state, kept) {
                (ProcessState::Alive, _) if outage == Outage::Reboot => Exit::Unknown,
                (ProcessState::Zombie(_) | ProcessState::Reaped(_), Outcome::Exited(exit))
                    if process.run == run =>
                {
                    exit
                }
                // Others have reaped it, and its status is unknown.
                (ProcessState::Zombie(_), _) if alone || outage == Outage::Reboot => Exit::Unknown,
                _ => continue,
            };
            let frees = alone || outage == Outage::Reboot;
            process.state = match process.state {
                ProcessState::Zombie(_) if !frees => ProcessState::Zombie(exit),
                ProcessState::Alive | ProcessState::Zombie(_) | ProcessState::Reaped(_) => {
                    ProcessState::Reaped(exit)
                }
            };
        }
        if outage == Outage::Reboot {
            for process in self.os.all_mut().filter(|process| process.unit == unit) {
                process.members = false;
            }
        }
        let process = self.os.find(unit, run).copied();
        let truth = match process {
            _ if outage == Outage::Reboot => Found::Rebooted,
            None => Found::Gone,
            Some(process) if process.failed => Found::Gone,
            Some(process) => match process.ended() {
                None => Found::Alive,
                Some(_) if alone => Found::Gone,
                Some(exit) => Found::Exited(exit),
            },
        };
        let pid = self.units[unit].entry.map(|entry| entry.pid);
        let lives = state.phase().is_live();
        let zombie =
            process.is_some_and(|process| matches!(process.state, ProcessState::Zombie(_)));
        let found = match (self.injected_bug, truth) {
            (Some(InjectedBug::AdoptsByNumber), Found::Gone | Found::Rebooted)
                if lives && pid.is_some_and(|pid| self.os.owner(pid) != PidOwner::None) =>
            {
                Found::Alive
            }
            (Some(InjectedBug::AdoptsBlindly), _) if lives => Found::Alive,
            (Some(InjectedBug::AdoptsZombies), _) if lives && zombie => Found::Alive,
            (Some(InjectedBug::UnknownIsZero), Found::Gone) if lives => {
                Found::Exited(Exit::Code(0))
            }
            _ => truth,
        };
        self.require(found != Found::Alive || truth == Found::Alive, Property::AdoptsItsOwn);
        let reported = truth != Found::Alive;
        if let Some(entry) = &mut self.units[unit].entry {
            if entry.run == run {
                entry.end_reported = reported;
                entry.acknowledged = true;
                entry.releasing = false;
            } else {
                self.units[unit].entry = None;
            }
        }
        found
    }
}

/// A form of the state that cannot say how a run ended, as far as there is one.
fn without_outcome(state: State) -> State {
    let mut bytes = state.to_bytes();
    (bytes[5], bytes[6]) = (bytes[5].min(1), 0);
    State::from_bytes(&bytes).unwrap_or(State::INITIAL)
}
