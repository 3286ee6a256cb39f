//! The backend over the virtual operating system: ends, signals, and the effects of an injected
//! bug.

use monitor_core::{Event, Exit, Millis, Remains, RunId, Scope, Signal};
use monitor_os::{DriverInput, Moment};

use super::event_queue::WorldEvent;
use super::os::{PidOwner, ProcessState, VirtualProcess};
use super::state::{BackendRun, World, id};
use crate::case::script::{ExitNotice, OnStop, Start};
use crate::machine::injected_bug::InjectedBug;
use crate::oracle::fault_effects::FaultEffect;
use crate::oracle::property::Property;

impl World<'_> {
    /// The run that a command means, if it is there to be meant.
    pub(super) fn target(&mut self, unit: usize, run: RunId) -> Option<&mut BackendRun> {
        self.units[unit].entry.as_mut().filter(|entry| entry.run == run && !entry.released)
    }

    /// Asks for every child whether it has ended, and queues what is to be reported.
    pub(super) fn notified(&mut self) {
        if self.is_dead() {
            return;
        }
        let mut reported = 0;
        for unit in 0..self.units.len() {
            let Some(entry) =
                self.units[unit].entry.filter(|entry| !entry.end_reported && !entry.released)
            else {
                continue;
            };
            let Some(process) = self.os.find(unit, entry.run).copied() else { continue };
            let Some(exit) = self.end_seen(&process, &entry) else { continue };
            let dropped = (self.has(InjectedBug::KeepsOneEnd) && reported > 0)
                || (self.has(InjectedBug::MissesEarlyEnds) && !entry.acknowledged);
            let whose = if self.has(InjectedBug::AnyChildEndsTheRun) {
                self.first_untold().unwrap_or(unit)
            } else {
                unit
            };
            if let Some(entry) = &mut self.units[whose].entry {
                entry.end_reported = true;
                let run = entry.run;
                if !dropped && self.passes_stamps(self.now, whose, Event::Exited { run, exit }) {
                    let event = Event::Exited { run, exit };
                    self.undelivered.push_back(DriverInput::Event(id(whose), event));
                }
            }
            if process.script.notice == ExitNotice::Lost {
                self.record_effect(FaultEffect::NoticeLost);
            }
            if process.output {
                self.record_effect(FaultEffect::OutputHeld);
            }
            if self.has(InjectedBug::ReapsAtNotice) || self.has(InjectedBug::TwoReapers) {
                self.reap(unit, entry.run);
            }
            reported += 1;
            if self.has(InjectedBug::OneWaitPerNotice) {
                break;
            }
        }
    }

    pub(super) fn first_untold(&self) -> Option<usize> {
        self.units
            .iter()
            .position(|unit| unit.entry.is_some_and(|entry| !entry.end_reported && !entry.released))
    }

    /// Returns the exit of a process, as the backend sees it.
    pub(super) fn end_seen(
        &self,
        process: &VirtualProcess<'_>,
        entry: &BackendRun,
    ) -> Option<Exit> {
        if self.has(InjectedBug::EndIsEndOfOutput) && process.output || process.failed {
            return None;
        }
        match (process.ended(), self.injected_bug) {
            (None, Some(InjectedBug::NobodyIsAnEnd)) if entry.acknowledged => Some(Exit::Code(0)),
            (Some(_), Some(InjectedBug::EmptyGroupIsTheEnd)) if !process.members => {
                Some(Exit::Code(0))
            }
            (Some(_), Some(InjectedBug::TwoReapers)) => Some(Exit::Unknown),
            (ended, _) => ended,
        }
    }

    /// The event of a group whose last member has gone.
    pub(super) fn members_gone(&mut self, unit: usize, run: RunId) -> Option<DriverInput> {
        let entry = self.target(unit, run).filter(|entry| entry.releasing)?;
        entry.releasing = false;
        entry.released = true;
        let remains = Remains::Nothing;
        Some(DriverInput::Event(id(unit), Event::Released { run, remains }))
    }

    pub(super) fn acknowledge(&mut self, unit: usize, run: RunId) {
        if let Some(entry) = self.target(unit, run) {
            entry.acknowledged = true;
        }
    }

    pub(super) fn fail_start(&mut self, process: &VirtualProcess<'_>) -> Option<Event> {
        let Start::Fails(_, failure) = process.script.start else { return None };
        self.record_effect(FaultEffect::FailedChild);
        let run = process.run;
        Some(if self.has(InjectedBug::StartsAtFork) {
            Event::Exited { run, exit: Exit::Code(127) }
        } else {
            Event::StartFailed { run, failure }
        })
    }

    /// Takes the end of a process from the kernel, which frees its number.
    pub(super) fn reap(&mut self, unit: usize, run: RunId) {
        if let Some(process) = self.os.find_mut(unit, run)
            && let ProcessState::Zombie(exit) = process.state
        {
            process.state = ProcessState::Reaped(exit);
        }
    }

    /// Applies a signal to the process or the group.
    pub(super) fn deliver(
        &mut self,
        at: Moment,
        unit: usize,
        run: RunId,
        signal: Signal,
        scope: Scope,
    ) {
        let Some(process) = self.os.find(unit, run) else { return };
        let VirtualProcess { script, state, members, .. } = *process;
        let kill = signal == Signal::KILL;
        let dies = |on_stop| match on_stop {
            _ if kill => Some(Millis::ZERO),
            OnStop::Dies(delay) => Some(delay),
            OnStop::Ignores => None,
        };
        if state == ProcessState::Alive
            && let Some(delay) = dies(script.on_stop)
        {
            self.plan(at.after(delay), unit, run, WorldEvent::Die(Exit::Signal(signal)));
        }
        let snapshot = self.has(InjectedBug::KillsASnapshot);
        if members
            && scope == Scope::Group
            && !snapshot
            && let Some(delay) = script.leaves.and_then(dies)
        {
            self.plan(at.after(delay), unit, run, WorldEvent::LeftoverDies);
        }
    }

    /// Sends a signal to the owner of a number, meaning this run.
    pub(super) fn deliver_to(
        &mut self,
        at: Moment,
        pid: u32,
        meant: (usize, RunId),
        signal: Signal,
    ) {
        match self.os.owner(pid) {
            PidOwner::Run(unit, run) => {
                self.require((unit, run) == meant, Property::SignalsHitTheRun);
                self.deliver(at, unit, run, signal, Scope::Group);
            }
            PidOwner::Foreign => self.violate(Property::SignalsHitTheRun),
            PidOwner::None => {}
        }
    }

    /// Passes a signal on by the number that is remembered.
    pub(super) fn forward(&mut self, unit: usize) {
        if let Some(entry) = self.units[unit].entry {
            self.deliver_to(self.now, entry.pid, (unit, entry.run), Signal::HUP);
        }
    }

    /// Returns whether an event passes the check of stamps that an injected bug adds.
    pub(super) fn passes_stamps(&self, now: Moment, unit: usize, event: Event) -> bool {
        let set_back = || {
            let start =
                self.trace.iter().rev().find(|line| {
                    line.unit == id(unit) && matches!(line.event, Event::Started { .. })
                });
            start.is_some_and(|line| self.clocks.wall(now) < line.at)
        };
        match (self.injected_bug, event) {
            (Some(InjectedBug::EndsByStamp), Event::Exited { .. })
            | (Some(InjectedBug::PingsByStamp), Event::Ping { .. })
            | (Some(InjectedBug::EventsByStamp), _) => !set_back(),
            _ => true,
        }
    }
}
