//! One step of the reference machine.

use monitor_core::{
    Event, Exit, Lifecycle, Millis, Note, Outcome, Policy, Reason, Scope, TimerKind,
};

use super::scribe::{ALL_WELL, By, NOTHING_TO_DO, Scribe};
use super::state::{RefAction, RefState, RefTimer, Wait};

/// The answer of the reference to one event.
#[must_use]
pub fn step(policy: &Policy, state: &RefState, event: Event) -> (RefState, Vec<RefAction>, Note) {
    let mut scribe = Scribe {
        rules: *policy.rules(),
        unit: *state,
        process: None,
        timers: [None; 3],
        emitted: None,
    };
    let foreign = names_run(event).is_some_and(|run| run != state.run);
    let note = if foreign { Note::Stale } else { scribe.answer(event) };
    if note != Note::Applied {
        return (*state, Vec::new(), note);
    }
    let actions = scribe.close(state, event);
    (scribe.unit, actions, note)
}

const fn names_run(event: Event) -> Option<u32> {
    match event {
        Event::Started { run }
        | Event::StartFailed { run, .. }
        | Event::Ready { run }
        | Event::Ping { run }
        | Event::Extended { run, .. }
        | Event::Unhealthy { run }
        | Event::Exited { run, .. }
        | Event::Released { run, .. }
        | Event::Recovered { run, .. } => Some(run.as_u32()),
        Event::TimerFired { timer } if !matches!(timer.kind, TimerKind::Window) => {
            Some(timer.run.as_u32())
        }
        Event::TimerFired { .. }
        | Event::StartRequested
        | Event::StopRequested { .. }
        | Event::RestartRequested { .. }
        | Event::SignalRequested { .. }
        | Event::PolicyChanged
        | Event::ResetRequested
        | Event::RetryRequested => None,
    }
}

impl Scribe {
    pub(super) fn answer(&mut self, event: Event) -> Note {
        match event {
            Event::StartRequested => self.start(),
            Event::StopRequested { mode, origin } => {
                self.stop(mode, origin);
                ALL_WELL
            }
            Event::RestartRequested { grace } => self.restart(grace),
            Event::SignalRequested { signal } => {
                if !self.unit.alive {
                    return NOTHING_TO_DO;
                }
                self.process = Some(RefAction::Signal(self.unit.run, signal, Scope::Process));
                ALL_WELL
            }
            Event::PolicyChanged => {
                self.policy_changed();
                ALL_WELL
            }
            Event::ResetRequested => {
                if self.unit.wait == Some(Wait::Window) {
                    self.window(RefTimer::Sooner(TimerKind::Window, Millis::new(0)));
                } else if self.unit.starts > 0 {
                    self.window(RefTimer::Empty);
                }
                self.unit.strikes = 0;
                self.unit.starts = 0;
                self.unit.level = self.rules.backoff.skip;
                ALL_WELL
            }
            Event::RetryRequested => {
                if self.unit.wait.is_none() {
                    return NOTHING_TO_DO;
                }
                self.begin(By::Retry);
                ALL_WELL
            }
            Event::Started { .. } => self.started(),
            Event::StartFailed { failure, .. } => {
                if self.unit.spawning {
                    self.end(Outcome::StartFailed(failure), Lifecycle::StartFailed);
                    return ALL_WELL;
                }
                // An error after the process was there is its end.
                self.exited(Exit::Unknown)
            }
            Event::Ready { .. } => {
                if !self.unit.is_up() || self.unit.serves {
                    return NOTHING_TO_DO;
                }
                self.serve(Lifecycle::Ready);
                ALL_WELL
            }
            Event::Ping { .. } => {
                if !self.unit.is_serving() || self.rules.watchdog.is_none() {
                    return NOTHING_TO_DO;
                }
                self.feed_watchdog();
                ALL_WELL
            }
            Event::Extended { by, .. } => {
                if !self.unit.is_up() || self.unit.serves {
                    return NOTHING_TO_DO;
                }
                self.timers[0] = Some(RefTimer::Later(TimerKind::StartTimeout, by));
                ALL_WELL
            }
            Event::Unhealthy { .. } => {
                if !self.unit.alive || self.unit.ending {
                    return NOTHING_TO_DO;
                }
                self.fault(Reason::Unhealthy, self.rules.stop.signal);
                ALL_WELL
            }
            Event::Exited { exit, .. } => self.exited(exit),
            Event::Released { remains, .. } => {
                if !self.unit.left {
                    return NOTHING_TO_DO;
                }
                self.decide(remains);
                ALL_WELL
            }
            Event::TimerFired { timer } => self.fired(timer.kind),
            Event::Recovered { found, .. } => self.recovered(found),
        }
    }
}
