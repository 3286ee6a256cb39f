//! Delivers the inputs of a case to the virtual world.

use std::sync::Arc;

use monitor_core::Event;
use monitor_os::{DriverInput, Moment};

use super::state::{NANOS_PER_MILLI, Outage, World, id};
use crate::case::input::InputKind;
use crate::machine::injected_bug::InjectedBug;
use crate::oracle::fault_effects::FaultEffect;

impl<'a> World<'a> {
    /// Returns whether a reported fact contradicts the true state of the world. Repeated events,
    /// and events of a run that is over, do not contradict it.
    pub(super) fn contradicts_world(&self, unit: usize, event: Event) -> bool {
        let Some(process) = self.os.latest(unit) else { return event.run().is_some() };
        if event.run().is_some_and(|run| run > process.run) {
            return true;
        }
        let current = event.run() == Some(process.run);
        let entry = self.units[unit].entry.filter(|entry| entry.run == process.run);
        match event {
            Event::Exited { .. } => {
                let reported = entry.is_some_and(|entry| entry.end_reported);
                current && (process.ended().is_none() || process.failed || !reported)
            }
            Event::Started { .. } | Event::Ready { .. } => current && process.failed,
            Event::StartFailed { .. } => current && !process.failed,
            Event::Released { .. } => current && !entry.is_some_and(|entry| entry.released),
            Event::TimerFired { .. } | Event::Recovered { .. } => current,
            Event::StartRequested
            | Event::StopRequested { .. }
            | Event::RestartRequested { .. }
            | Event::SignalRequested { .. }
            | Event::PolicyChanged
            | Event::ResetRequested
            | Event::RetryRequested
            | Event::Ping { .. }
            | Event::Extended { .. }
            | Event::Unhealthy { .. } => false,
        }
    }

    /// Delivers the next input; returns the event for the driver, if there is one.
    pub(super) fn deliver_input(&mut self, at: Moment) -> Option<DriverInput> {
        let input = self.case.inputs.get(self.next_input)?;
        self.next_input += 1;
        let unit = usize::from(input.unit);
        self.units.get(unit)?;
        if self.time_faults.hides(input.kind) {
            return None;
        }
        match &input.kind {
            InputKind::Event(event) if self.contradicts_world(unit, *event) => None,
            InputKind::Event(event) => {
                if self.has(InjectedBug::ForwardsByNumber)
                    && let Event::SignalRequested { .. } = event
                {
                    self.forward(unit);
                }
                let requested = event.is_request();
                if requested {
                    self.ticket = Some(self.pending_replies.note_request());
                }
                let next = self.case.inputs.get(self.next_input);
                let collapses = self.has(InjectedBug::CollapsesRequests)
                    && next.is_some_and(|next| {
                        (next.at, next.unit) == (input.at, input.unit)
                            && matches!(next.kind, InputKind::Event(next) if next.is_request())
                    });
                if requested && collapses {
                    return None;
                }
                Some(DriverInput::Event(id(unit), *event))
            }
            InputKind::Policy(policy) => {
                self.units[unit].next_policy = Some(policy);
                Some(DriverInput::PolicyChanged(id(unit), Arc::new(*policy)))
            }
            &InputKind::Crash { after, down } => self.die_after(at, after, Outage::Crash { down }),
            &InputKind::Reboot { after } => self.die_after(at, after, Outage::Reboot),
            InputKind::StopFaults => {
                self.stop_faults(at);
                self.undelivered.pop_front()
            }
            InputKind::Wall(jump) => {
                self.clocks.set(*jump);
                if self.units.iter().any(|unit| !unit.state.phase().is_down()) {
                    self.record_effect(FaultEffect::WallJump);
                }
                None
            }
            InputKind::Suspend(time) => {
                self.clocks.asleep += u64::from(time.as_u32()) * NANOS_PER_MILLI;
                if self.units.iter().any(|unit| !unit.state.phase().is_down()) {
                    self.record_effect(FaultEffect::Sleep);
                }
                None
            }
        }
    }

    /// Stops all faults.
    pub(super) fn stop_faults(&mut self, at: Moment) {
        self.now = at;
        self.faults_stopped = true;
        self.faults_stop_at = None;
        for process in self.os.all_mut() {
            process.output = false;
        }
        self.notified();
    }
}
