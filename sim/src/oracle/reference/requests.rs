//! The rules of requests: start, stop, restart, and a change of the policy.

use monitor_core::{
    Grace, Lifecycle, Millis, Note, Origin, Reason, Remains, Signal, StopMode, TimerKind,
};

use super::scribe::{ALL_WELL, By, NOTHING_TO_DO, Scribe};
use super::state::{RefTimer, Wait, is_verdict, wants_down};

impl Scribe {
    pub(super) fn start(&mut self) -> Note {
        if self.unit.is_empty() {
            self.begin(By::User);
        } else if self.unit.is_up() {
            if !wants_down(self.unit.reason) {
                return NOTHING_TO_DO;
            }
            self.unit.reason = Reason::Wanted;
        } else {
            return self.up_again_afterwards();
        }
        ALL_WELL
    }

    /// One start follows the end; a shutdown is not called off.
    pub(super) fn up_again_afterwards(&mut self) -> Note {
        if [Reason::ShutdownRequested, Reason::RestartRequested].contains(&self.unit.reason) {
            return NOTHING_TO_DO;
        }
        self.unit.reason = Reason::RestartRequested;
        ALL_WELL
    }

    pub(super) fn stop(&mut self, mode: StopMode, origin: Origin) {
        let standing = self.unit.reason;
        let reason = match origin {
            Origin::User => Reason::StopRequested,
            Origin::Shutdown if standing == Reason::StopRequested || is_verdict(standing) => {
                standing
            }
            Origin::Shutdown => Reason::ShutdownRequested,
        };
        if self.unit.is_empty() {
            if self.unit.wait.is_some() || !self.unit.ever {
                self.go_down(reason, Remains::Nothing);
            } else {
                self.unit.reason = reason;
            }
            return;
        }
        match mode {
            StopMode::Graceful(grace) if self.unit.is_up() => self.bring_down(grace),
            StopMode::Graceful(grace) => self.hasten(grace),
            StopMode::Kill if !self.unit.killed => {
                if self.unit.spawning && !self.unit.ending {
                    self.emitted = Some(Lifecycle::Stopping);
                }
                self.unit.ending = true;
                if self.unit.spawning {
                    self.cancel(Signal::KILL);
                } else {
                    self.kill();
                }
                self.unit.killed = true;
            }
            StopMode::Kill | StopMode::OnNextExit => {}
        }
        self.unit.reason = reason;
    }

    pub(super) fn restart(&mut self, grace: Grace) -> Note {
        if self.unit.is_empty() {
            self.begin(By::User);
            return ALL_WELL;
        }
        if self.unit.is_up() {
            self.bring_down(grace);
            self.unit.reason = Reason::RestartRequested;
            return ALL_WELL;
        }
        let shutting_down = self.unit.reason == Reason::ShutdownRequested;
        let note = self.up_again_afterwards();
        if shutting_down || self.unit.killed || self.grace_delay(grace).is_none() {
            return note;
        }
        self.hasten(grace);
        ALL_WELL
    }

    /// It ends a wait that it would not have begun; it starts nothing and forgets nothing.
    pub(super) fn policy_changed(&mut self) {
        if self.unit.is_serving() && self.rules.watchdog.is_none() {
            self.timers[1] = Some(RefTimer::Empty);
        }
        let Some(wait) = self.unit.wait else { return };
        let asked = wait == Wait::Window && self.unit.reason == Reason::RestartRequested;
        match self.verdict() {
            Some(reason) if !asked => self.go_down(reason, Remains::Nothing),
            _ if wait == Wait::Window && self.rules.limit.is_none() => {
                self.window(RefTimer::Sooner(TimerKind::Window, Millis::new(0)));
            }
            _ => {}
        }
    }
}
