//! The rules of a run that serves: its start, its pings, its faults and its timers.

use monitor_core::{Grace, Lifecycle, Note, Readiness, Reason, Remains, Signal, TimerKind};

use super::scribe::{ALL_WELL, By, NOTHING_TO_DO, Scribe, exactly};
use super::state::{RefAction, RefTimer, Wait};

impl Scribe {
    pub(super) fn started(&mut self) -> Note {
        if !self.unit.spawning {
            return NOTHING_TO_DO;
        }
        if !self.unit.ending && self.rules.start.readiness == Readiness::Exec {
            self.serve(Lifecycle::Started);
            return ALL_WELL;
        }
        self.unit.spawning = false;
        self.unit.alive = true;
        if self.unit.killed {
            self.signal(Signal::KILL);
            self.set(TimerKind::KillWindow, self.rules.stop.kill_window);
        } else if self.unit.ending {
            self.signal(self.rules.stop.signal);
        }
        self.emitted = Some(Lifecycle::Started);
        ALL_WELL
    }

    pub(super) const fn serve(&mut self, lifecycle: Lifecycle) {
        self.unit.spawning = false;
        self.unit.alive = true;
        self.unit.serves = true;
        self.time_service();
        self.emitted = Some(lifecycle);
    }

    /// The timers of a process that serves.
    pub(super) const fn time_service(&mut self) {
        if let (Some(rule), false) = (self.rules.healthy, self.unit.healthy) {
            self.set(TimerKind::Healthy, rule.after);
        }
        self.feed_watchdog();
    }

    pub(super) const fn feed_watchdog(&mut self) {
        if let Some(watchdog) = self.rules.watchdog {
            self.timers[1] = Some(RefTimer::Set(TimerKind::Watchdog, exactly(watchdog.period)));
        }
    }

    /// The run failed for a reason of the monitor's own.
    pub(super) fn fault(&mut self, fault: Reason, signal: Signal) {
        self.strike();
        if self.unit.reason == Reason::Wanted {
            self.unit.reason = fault;
        }
        self.bring_down(Grace::Policy);
        if self.unit.alive {
            self.signal(signal);
        }
    }

    pub(super) fn fired(&mut self, kind: TimerKind) -> Note {
        let unit = self.unit;
        match kind {
            TimerKind::StartTimeout if unit.is_up() && !unit.serves => {
                self.fault(Reason::StartTimeout, self.rules.stop.signal);
            }
            TimerKind::Healthy if unit.is_serving() && !unit.healthy => {
                self.unit.healthy = true;
                self.unit.level = 0;
                if self.forgives_all() {
                    self.unit.strikes = 0;
                }
                self.emitted = Some(Lifecycle::Healthy);
            }
            TimerKind::StopGrace if unit.ending && !unit.killed => {
                if unit.spawning {
                    self.unit.killed = true;
                    self.cancel(Signal::KILL);
                } else {
                    self.kill();
                }
            }
            TimerKind::KillWindow if unit.killed && unit.alive => {
                self.kill();
                self.emitted = Some(Lifecycle::Unkillable);
            }
            TimerKind::KillWindow if unit.killed && unit.left => {
                self.decide(Remains::Leaked);
                self.process.get_or_insert(RefAction::Abandon(unit.run));
            }
            TimerKind::Backoff if unit.wait == Some(Wait::Delay) => self.begin(By::Policy),
            TimerKind::Watchdog if unit.is_serving() => {
                let Some(watchdog) = self.rules.watchdog else { return Note::Stale };
                self.fault(Reason::Watchdog, watchdog.signal);
            }
            TimerKind::Window if unit.wait == Some(Wait::Window) => {
                self.unit.starts = 0;
                let asked = unit.reason == Reason::RestartRequested;
                self.begin(if asked { By::User } else { By::Policy });
            }
            TimerKind::Window if unit.starts > 0 => self.unit.starts = 0,
            TimerKind::StartTimeout
            | TimerKind::Healthy
            | TimerKind::StopGrace
            | TimerKind::KillWindow
            | TimerKind::Backoff
            | TimerKind::Watchdog
            | TimerKind::Window => return Note::Stale,
        }
        ALL_WELL
    }
}
