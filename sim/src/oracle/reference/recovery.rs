//! The rules of a monitor that is started again.

use monitor_core::{Exit, Found, Millis, Note, Reason, Restart, Signal, TimerKind};

use super::scribe::{ALL_WELL, By, NOTHING_TO_DO, Scribe, delay_at, exactly};
use super::state::{RefState, RefTimer, Wait};

impl Scribe {
    /// The monitor is back, without its timers.
    pub(super) fn recovered(&mut self, found: Found) -> Note {
        let note = match found {
            Found::Alive => self.found_alive(),
            Found::Exited(exit) => self.found_dead(exit, false),
            Found::Gone => self.found_dead(Exit::Unknown, false),
            Found::Rebooted => self.found_dead(Exit::Unknown, true),
        };
        match self.rules.limit {
            Some(limit) if self.unit.starts > 0 && self.timers[2].is_none() => {
                self.window(RefTimer::Set(TimerKind::Window, exactly(limit.window)));
            }
            Some(_) => {}
            // Without a limit there is no window to be closed.
            None => self.unit.starts = 0,
        }
        note
    }

    pub(super) fn found_alive(&mut self) -> Note {
        let before = self.unit;
        let stop = self.rules.stop;
        if before.spawning {
            let _applied = self.started();
        } else if before.alive && before.killed {
            self.signal(Signal::KILL);
        } else if before.alive && before.ending {
            self.signal(stop.signal);
        } else if before.alive && before.serves {
            self.time_service();
        } else if !before.alive {
            // Its end is saved: whatever this is must not live beside another run.
            if before.run == 0 {
                return NOTHING_TO_DO;
            }
            self.unit = RefState { left: true, ending: true, killed: true, wait: None, ..before };
            self.signal(Signal::KILL);
        }
        // The own timer of each phase is set again, in full.
        match self.unit.own_timer() {
            Some(TimerKind::StartTimeout) => {
                if let Some(timeout) = self.rules.start.timeout {
                    self.set(TimerKind::StartTimeout, timeout);
                }
            }
            Some(TimerKind::StopGrace) => {
                if let Some(grace) = stop.grace {
                    self.set(TimerKind::StopGrace, grace);
                }
            }
            Some(TimerKind::KillWindow) => self.set(TimerKind::KillWindow, stop.kill_window),
            Some(
                TimerKind::Healthy | TimerKind::Backoff | TimerKind::Watchdog | TimerKind::Window,
            )
            | None => {}
        }
        ALL_WELL
    }

    pub(super) fn found_dead(&mut self, exit: Exit, rebooted: bool) -> Note {
        let before = self.unit;
        if before.spawning || before.alive {
            let _applied = self.exited(exit);
        } else if before.left {
            let signal = if before.killed { Signal::KILL } else { self.rules.stop.signal };
            self.process = Some(self.release(Some(signal)));
        }
        if !before.is_empty() {
            let window = self.rules.stop.kill_window;
            match (self.unit.killed, self.rules.stop.grace) {
                (true, _) => self.set(TimerKind::KillWindow, window),
                (false, Some(grace)) => self.set(TimerKind::StopGrace, grace),
                (false, None) => {}
            }
            return ALL_WELL;
        }
        match before.wait {
            Some(Wait::Delay) => {
                let delay = delay_at(&self.rules, before.level.saturating_sub(1));
                self.timers[0] = Some(RefTimer::Set(TimerKind::Backoff, delay));
            }
            Some(Wait::Window) => {
                let rest = self.rules.limit.map_or(Millis::new(0), |limit| limit.window);
                self.window(RefTimer::Set(TimerKind::Window, exactly(rest)));
            }
            None => {
                let back = if before.reason == Reason::ShutdownRequested {
                    self.rules.restart != Restart::No
                } else {
                    let stopped = before.reason == Reason::StopRequested;
                    stopped && rebooted && self.rules.restart == Restart::Always
                };
                if back && before.ever && before.run > 0 {
                    self.begin(By::Comeback);
                }
            }
        }
        ALL_WELL
    }
}
