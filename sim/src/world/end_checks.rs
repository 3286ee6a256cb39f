//! Checks the end of a run: nothing may be pending.

use monitor_core::{Event, Grace, Phase, Policy, RunId, StopMode};

use super::os::ProcessState;
use super::state::World;
use crate::case::input::{InputKind, TimedInput};
use crate::oracle::property::Property;

impl<'a> World<'a> {
    /// Checks a world in which nothing more can happen.
    pub(super) fn check_end(&self) -> Option<Property> {
        if self.monitor_gave_up {
            return Some(Property::Total);
        }
        if !self.pending_replies.has_handled_all() {
            return Some(Property::OneReply);
        }
        for number in 0..self.units.len() {
            let unit = &self.units[number];
            let latest = self.os.latest(number);
            let alive = latest.is_some_and(|process| process.state == ProcessState::Alive);
            let phase = unit.state.phase();
            let patient = self.may_wait_for_ever(number);
            if unit.oracle.is_stopping() && !phase.is_down() && !patient {
                return Some(Property::StopEnds);
            }
            let waits_for_life = phase.is_live() && alive;
            let waits_for_ever = patient && matches!(phase, Phase::Releasing | Phase::Stopping);
            if !phase.is_down() && !waits_for_life && !waits_for_ever {
                return Some(Property::NeverStuck);
            }
            if phase.is_down() && alive {
                return Some(Property::StoppedMeansGone);
            }
            let over = |run: RunId| run != unit.state.run() || phase.is_down();
            let mut all = self.os.all().filter(|process| process.unit == number);
            if all.any(|process| {
                matches!(process.state, ProcessState::Zombie(_)) && over(process.run)
            }) {
                return Some(Property::ReapedOnce);
            }
        }
        None
    }

    /// Returns whether a stop without a kill may have begun, by a request or by a policy. A stop
    /// keeps the grace with which it began.
    pub(super) fn may_wait_for_ever(&self, unit: usize) -> bool {
        let endless = |policy: &Policy| policy.rules().stop.grace.is_none();
        let concerned = |input: &&TimedInput| usize::from(input.unit) == unit;
        endless(self.case.unit(unit).0)
            || self.case.inputs.iter().filter(concerned).any(|input| match &input.kind {
                InputKind::Policy(policy) => endless(policy),
                InputKind::Event(Event::StopRequested { mode, .. }) => {
                    *mode == StopMode::Graceful(Grace::Never)
                }
                InputKind::Event(event) => {
                    *event == Event::RestartRequested { grace: Grace::Never }
                }
                InputKind::Crash { .. }
                | InputKind::Reboot { .. }
                | InputKind::StopFaults
                | InputKind::Wall(_)
                | InputKind::Suspend(_) => false,
            })
    }
}
