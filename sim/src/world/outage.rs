//! The death of the monitor, and its restart.

use std::sync::Arc;

use monitor_core::{Event, Millis};
use monitor_os::{DriverInput, Moment};

use super::event_queue::{PlannedEvent, WorldEvent};
use super::state::{MonitorStatus, Outage, VirtualUnit, World, id};
use crate::case::input::InputKind;
use crate::machine::injected_bug::InjectedBug;
use crate::oracle::fault_effects::FaultEffect;

impl<'a> World<'a> {
    /// Plans the death of the monitor after this number of operations. Returns the event of its
    /// restart if it dies at once.
    pub(super) fn die_after(
        &mut self,
        at: Moment,
        after: u8,
        outage: Outage,
    ) -> Option<DriverInput> {
        if self.monitor != MonitorStatus::Running {
            return None;
        }
        if after > 0 {
            self.monitor = MonitorStatus::Dying(after, outage);
            return None;
        }
        if !self.may_die() {
            return None;
        }
        self.now = at;
        self.monitor = MonitorStatus::Dead(outage, false);
        self.lose_power(outage);
        self.restart_monitor();
        self.undelivered.pop_front()
    }

    /// No monitor could find a process that no saved state knows of, so the monitor does not die
    /// with one.
    pub(super) fn may_die(&self) -> bool {
        let known = |unit: &VirtualUnit<'_>| unit.saved == unit.state;
        let ran = |(number, unit): (usize, &VirtualUnit<'_>)| {
            self.os.find(number, unit.saved.run()).is_some()
        };
        self.units.iter().all(known) && self.units.iter().enumerate().any(ran)
    }

    /// Counts an operation of the monitor, unless a state is not saved; returns whether it is
    /// carried out.
    pub(super) fn operate(&mut self) -> bool {
        if self.violated.is_some() || self.trace.len() >= self.steps_max {
            // A machine that answers a failed start with the next one would never come back to
            // wait.
            return false;
        }
        match self.monitor {
            MonitorStatus::Running => true,
            MonitorStatus::Dying(..) if self.units.iter().any(|unit| unit.unsaved) => true,
            MonitorStatus::Dead(..) | MonitorStatus::Restarting => false,
            MonitorStatus::Dying(left, outage) => {
                self.monitor = match left.saturating_sub(1) {
                    0 => MonitorStatus::Dead(outage, true),
                    left => MonitorStatus::Dying(left, outage),
                };
                true
            }
        }
    }

    /// The monitor is dead, what it does has no effect.
    pub(super) const fn is_dead(&self) -> bool {
        matches!(self.monitor, MonitorStatus::Dead(..) | MonitorStatus::Restarting)
    }

    pub(super) fn lose_power(&mut self, outage: Outage) {
        if outage != Outage::Reboot {
            return;
        }
        let mut lost = false;
        for unit in &mut self.units {
            lost |= unit.disk.lose_power(self.case.disk);
        }
        if lost {
            self.record_effect(FaultEffect::ContentLost);
        }
    }

    /// Starts the monitor again with what it finds.
    pub(super) fn restart_monitor(&mut self) {
        let MonitorStatus::Dead(outage, _) = self.monitor else { return };
        self.monitor = MonitorStatus::Restarting;
        self.undelivered.clear();
        self.pending_replies.clear();
        let down = match outage {
            Outage::Crash { down } => down,
            Outage::Reboot => Millis::ZERO,
        };
        if down > Millis::ZERO {
            self.pass_without_monitor(self.now.after(down));
        }
        for number in 0..self.units.len() {
            let state = self.read_saved(number);
            let unit = &mut self.units[number];
            unit.state = state;
            unit.saved = state;
            unit.saving = None;
            unit.unsaved = false;
            unit.pending_saves.clear();
            unit.over_by = None;
            unit.oracle = unit.oracle.after_crash();
        }
        self.join();
        for number in 0..self.units.len() {
            let found = self.recover_run(number, outage);
            let run = self.units[number].state.run();
            if !self.has(InjectedBug::ServesUnread) {
                let event = Event::Recovered { run, found };
                self.undelivered.push_back(DriverInput::Event(id(number), event));
            }
            // Another policy that was given meanwhile, or in the last step before the death.
            if let Some(policy) = self.units[number].next_policy {
                self.undelivered
                    .push_back(DriverInput::PolicyChanged(id(number), Arc::new(*policy)));
            }
        }
    }

    /// Advances the time without a monitor. Events are lost, and other processes reap each ended
    /// process.
    pub(super) fn pass_without_monitor(&mut self, until: Moment) {
        while self.event_queue.next().is_some_and(|at| at <= until) {
            if let Some((at, planned)) = self.event_queue.pop() {
                let PlannedEvent { unit, run, event } = planned;
                match event {
                    WorldEvent::Die(exit) => {
                        self.die(at, unit, run, exit);
                        self.record_effect(FaultEffect::EndUnseen);
                    }
                    WorldEvent::LeftoverDies => {
                        if let Some(process) = self.os.find_mut(unit, run) {
                            process.members = false;
                        }
                    }
                    WorldEvent::Ping | WorldEvent::Extend => {
                        self.deliver_planned(at, planned);
                    }
                    WorldEvent::Acknowledge
                    | WorldEvent::FailStart
                    | WorldEvent::OutputEnds
                    | WorldEvent::UnitEvent
                    | WorldEvent::Ready
                    | WorldEvent::Unhealthy
                    | WorldEvent::SaveDone(_) => {}
                }
            }
        }
        while let Some(input) = self.case.inputs.get(self.next_input)
            && Moment::ORIGIN.after(input.at) <= until
        {
            match &input.kind {
                InputKind::Event(_) | InputKind::Crash { .. } | InputKind::Reboot { .. } => {
                    self.next_input += 1
                }
                InputKind::Policy(_)
                | InputKind::StopFaults
                | InputKind::Wall(_)
                | InputKind::Suspend(_) => {
                    self.deliver_input(until);
                }
            }
        }
        self.undelivered.clear();
        self.now = until;
    }
}
