//! The rules of an end, and of the wait or the verdict after it.

use monitor_core::{
    Counts, EarlyExit, Exit, Forgives, Lifecycle, Note, OnLimit, Outcome, Readiness, Reason,
    Remains, Restart, Signal, StartFailure, StartRetry, StartsCounted, TimerKind,
};

use super::scribe::{ALL_WELL, By, NOTHING_TO_DO, Scribe, delay_at, exactly};
use super::state::{RefAction, RefState, RefTimer, Wait, is_verdict, wants_down};

impl Scribe {
    pub(super) fn exited(&mut self, exit: Exit) -> Note {
        if !self.unit.spawning && !self.unit.alive {
            return NOTHING_TO_DO;
        }
        let RefState { serves, healthy, reason, .. } = self.unit;
        let too_early = self.rules.start.readiness == Readiness::Notify && !serves
            || self.rules.early_exit == EarlyExit::Failure && !healthy;
        let early = self.unit.is_up() && reason == Reason::Wanted && too_early;
        self.end(Outcome::Exited(exit), Lifecycle::Exited);
        if early {
            self.unit.reason = Reason::EarlyExit;
        }
        ALL_WELL
    }

    /// The run is over; what it left is sent what it was not sent yet.
    pub(super) fn end(&mut self, outcome: Outcome, lifecycle: Lifecycle) {
        let before = self.unit;
        self.strike();
        self.process = Some(if before.killed {
            self.release(Some(Signal::KILL))
        } else if before.alive && before.ending {
            self.release(None)
        } else {
            self.release(Some(self.rules.stop.signal))
        });
        if before.spawning && before.killed {
            self.set(TimerKind::KillWindow, self.rules.stop.kill_window);
        }
        if let (false, Some(grace)) = (before.ending, self.rules.stop.grace) {
            self.set(TimerKind::StopGrace, grace);
        }
        self.unit = RefState {
            spawning: false,
            alive: false,
            serves: false,
            healthy: false,
            ending: true,
            left: true,
            outcome,
            ..self.unit
        };
        self.emitted = Some(lifecycle);
    }

    pub(super) fn strike(&mut self) {
        let forgiven = self.unit.healthy && self.forgives_all();
        if self.unit.is_up() && !forgiven && !wants_down(self.unit.reason) {
            self.unit.strikes = self.unit.strikes.saturating_add(1);
        }
    }

    pub(super) fn forgives_all(&self) -> bool {
        self.rules.healthy.is_some_and(|rule| rule.forgives == Forgives::All)
    }

    pub(super) fn decide(&mut self, remains: Remains) {
        if self.unit.reason == Reason::RestartRequested {
            self.begin(By::User);
            // A limit may refuse the start, and what is left is reported all the same.
            if let Some(Lifecycle::GaveUp { remains: reported }) = &mut self.emitted {
                *reported = remains;
            }
            return;
        }
        if let Some(reason) = self.verdict() {
            return self.go_down(reason, remains);
        }
        let delay = delay_at(&self.rules, self.unit.level);
        self.vacate(Some(Wait::Delay));
        self.unit.level = self.unit.level.saturating_add(1);
        self.timers[0] = Some(RefTimer::Set(TimerKind::Backoff, delay));
        self.emitted = Some(Lifecycle::BackingOff);
    }

    /// Why it stays down; `None` if it is tried again.
    pub(super) fn verdict(&self) -> Option<Reason> {
        let rules = &self.rules;
        let RefState { reason, outcome, strikes, .. } = self.unit;
        if wants_down(reason) || is_verdict(reason) {
            return Some(reason);
        }
        let no = rules.restart == Restart::No;
        match outcome {
            Outcome::StartFailed(failure) => {
                let first = self.unit.restarts == 0;
                let retry = if first { rules.start.first } else { rules.start.later };
                let worthwhile = match retry {
                    StartRetry::Never => false,
                    StartRetry::Transient => failure == StartFailure::Transient,
                    StartRetry::Always => true,
                };
                if no || !worthwhile {
                    return Some(Reason::StartFailed);
                }
            }
            Outcome::Exited(exit) => {
                if rules.prevent.contains(exit) {
                    return Some(Reason::Prevented);
                }
                let faults =
                    [Reason::StartTimeout, Reason::Watchdog, Reason::Unhealthy, Reason::EarlyExit];
                let success = exit == Exit::Code(0) || rules.success.contains(exit);
                let failed = faults.contains(&reason) || !success;
                let content = no || rules.restart == Restart::OnFailure && !failed;
                if content && !rules.force.contains(exit) {
                    return Some(Reason::Completed);
                }
            }
            Outcome::None if no => return Some(Reason::Completed),
            Outcome::None => {}
        }
        let retries = rules.retries?;
        let allowed = match retries.counts {
            Counts::Restarts => u32::from(retries.max) + 1,
            Counts::Runs => u32::from(retries.max).max(u32::from(strikes == 0 && retries.max > 0)),
        };
        (u32::from(strikes) >= allowed).then_some(Reason::Exhausted)
    }

    pub(super) fn begin(&mut self, by: By) {
        let limit = self.rules.limit.filter(|limit| match by {
            By::User => limit.counts == StartsCounted::All,
            By::Policy | By::Retry => true,
            By::Comeback => false,
        });
        if let Some(limit) = limit {
            if self.unit.starts >= limit.burst && by != By::Retry {
                if limit.then == OnLimit::Stop {
                    return self.go_down(Reason::StartLimit, Remains::Nothing);
                }
                if by == By::User {
                    self.unit.reason = Reason::RestartRequested;
                }
                self.vacate(Some(Wait::Window));
                self.emitted = Some(Lifecycle::Throttled);
                return;
            }
            if self.unit.starts == 0 {
                self.window(RefTimer::Set(TimerKind::Window, exactly(limit.window)));
            }
            self.unit.starts = self.unit.starts.saturating_add(1);
        }
        match by {
            By::User => {
                self.unit.restarts = 0;
                self.unit.strikes = 0;
                self.unit.level = self.rules.backoff.skip;
            }
            By::Policy | By::Retry => self.unit.restarts = self.unit.restarts.saturating_add(1),
            By::Comeback => {}
        }
        self.vacate(None);
        self.unit.run = if self.unit.run == u32::MAX { 1 } else { self.unit.run + 1 };
        self.unit.outcome = Outcome::None;
        self.unit.reason = Reason::Wanted;
        self.unit.spawning = true;
        self.process = Some(RefAction::Spawn(self.unit.run));
        if let Some(timeout) = self.rules.start.timeout {
            self.set(TimerKind::StartTimeout, timeout);
        }
        self.emitted = Some(Lifecycle::Starting);
    }

    pub(super) fn go_down(&mut self, reason: Reason, remains: Remains) {
        self.vacate(None);
        self.unit.reason = reason;
        let gave_up = is_verdict(reason) && reason != Reason::Completed;
        self.emitted = Some(if gave_up {
            Lifecycle::GaveUp { remains }
        } else {
            Lifecycle::Stopped { remains }
        });
    }
}
