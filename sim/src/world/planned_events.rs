//! The events of the virtual processes.

use monitor_core::{Event, Exit, Millis, RunId};
use monitor_os::{DriverInput, Moment};

use super::event_queue::{PlannedEvent, WorldEvent};
use super::os::ProcessState;
use super::state::{World, id};
use crate::case::script::{ExitNotice, OutputHold};
use crate::machine::injected_bug::InjectedBug;
use crate::oracle::fault_effects::FaultEffect;

impl<'a> World<'a> {
    /// Delivers a planned event; returns the event for the driver, if there is one.
    pub(super) fn deliver_planned(
        &mut self,
        at: Moment,
        planned: PlannedEvent,
    ) -> Option<DriverInput> {
        let PlannedEvent { unit, run, event } = planned;
        let current = self.os.latest(unit).is_some_and(|process| process.run == run);
        if event == WorldEvent::Acknowledge {
            // Also of a run that is over by now.
            self.acknowledge(unit, run);
            return Some(DriverInput::Event(id(unit), Event::Started { run }));
        }
        if let WorldEvent::SaveDone(number) = event {
            return self.save_done(unit, number);
        }
        let process = *self.os.find(unit, run)?;
        let alive = process.state == ProcessState::Alive && current;
        let event = match event {
            WorldEvent::Acknowledge | WorldEvent::SaveDone(_) => None,
            WorldEvent::FailStart => self.fail_start(&process),
            WorldEvent::Die(exit) => {
                self.deliver_deaths(at, unit, run, exit);
                return self.undelivered.pop_front();
            }
            WorldEvent::UnitEvent => {
                self.record_effect(if process.script.notice == ExitNotice::Twice {
                    FaultEffect::NoticeTwice
                } else {
                    FaultEffect::NoticeLate
                });
                self.now = at;
                self.notified();
                return self.undelivered.pop_front();
            }
            WorldEvent::OutputEnds => {
                if let Some(process) = self.os.find_mut(unit, run) {
                    process.output = false;
                }
                if self.has(InjectedBug::EndIsEndOfOutput) {
                    self.now = at;
                    self.notified();
                }
                return self.undelivered.pop_front();
            }
            WorldEvent::LeftoverDies => {
                if !process.members {
                    return None;
                }
                if let Some(process) = self.os.find_mut(unit, run) {
                    process.members = false;
                }
                return self.members_gone(unit, run);
            }
            WorldEvent::Ready => alive.then_some(Event::Ready { run }),
            WorldEvent::Unhealthy => alive.then_some(Event::Unhealthy { run }),
            WorldEvent::Ping => {
                let beats = process.script.pings.filter(|_| alive)?;
                // A process that pings for ever would keep the world awake for ever.
                if self.trace.len() < self.steps_max {
                    self.plan(at.after(beats), unit, run, WorldEvent::Ping);
                }
                Some(Event::Ping { run })
            }
            WorldEvent::Extend => {
                let every = process.script.extends.filter(|_| alive)?;
                if self.trace.len() < self.steps_max {
                    self.plan(at.after(every), unit, run, WorldEvent::Extend);
                }
                Some(Event::Extended { run, by: every.saturating_add(every) })
            }
        };
        event
            .filter(|&event| self.passes_stamps(at, unit, event))
            .map(|event| DriverInput::Event(id(unit), event))
    }

    /// Ends a process and all others that end at this moment, of which there is one notice.
    fn deliver_deaths(&mut self, at: Moment, unit: usize, run: RunId, exit: Exit) {
        let mut noticed = self.die(at, unit, run, exit);
        let mut ends = u32::from(noticed);
        while let Some(other) = self.event_queue.pop_death(at) {
            if let WorldEvent::Die(exit) = other.event {
                let heard = self.die(at, other.unit, other.run, exit);
                ends += u32::from(heard);
                noticed |= heard;
            }
        }
        if ends > 1 {
            self.record_effect(FaultEffect::NoticesMerged);
        }
        if noticed {
            self.now = at;
            self.notified();
        }
    }

    /// Ends a process; returns whether the monitor is notified at once.
    pub(super) fn die(&mut self, at: Moment, unit: usize, run: RunId, exit: Exit) -> bool {
        let faults_stopped = self.faults_stopped;
        let Some(process) = self.os.find_mut(unit, run) else { return false };
        if process.state != ProcessState::Alive {
            return false;
        }
        process.state = ProcessState::Zombie(exit);
        let script = process.script;
        if let Some(output) = script.output.filter(|_| !faults_stopped) {
            process.output = true;
            if let OutputHold::For(time) = output {
                self.plan(at.after(time), unit, run, WorldEvent::OutputEnds);
            }
        }
        match script.notice {
            _ if faults_stopped => true,
            ExitNotice::Once => true,
            ExitNotice::Twice => {
                self.plan(at.after(Millis::new(1)), unit, run, WorldEvent::UnitEvent);
                true
            }
            ExitNotice::Late(delay) => {
                self.plan(at.after(delay), unit, run, WorldEvent::UnitEvent);
                false
            }
            ExitNotice::Lost => false,
        }
    }
}
