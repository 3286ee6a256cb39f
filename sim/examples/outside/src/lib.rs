//! A toy supervisor with a driver of its own: one job, a clock that is moved by hand.
//!
//! It asks `monitor-core` what to do and does it. Its tests check every step with `monitor-sim`.

use monitor_core::{
    Action, Event, Millis, Policy, Remains, RunId, State, Step, TimerSlot, TimerToken,
};

/// What the jobs of a supervisor are made of: threads, containers, connections.
pub trait Jobs {
    /// Makes a job.
    fn spawn(&mut self, run: RunId);
    /// Asks a job to end.
    fn ask_to_end(&mut self, run: RunId);
}

/// A supervisor of one job.
pub struct Toy<J> {
    pub jobs: J,
    policy: Policy,
    state: State,
    now_ms: u64,
    timers: [Option<(TimerToken, u64)>; TimerSlot::ALL.len()],
}

/// A callback for each step: the time, the state before, the event and the answer.
pub type Observer<'a> = &'a mut dyn FnMut(u64, State, Event, Step);

impl<J: Jobs> Toy<J> {
    pub fn new(policy: Policy, jobs: J) -> Self {
        Self { jobs, policy, state: State::INITIAL, now_ms: 0, timers: [None; 3] }
    }

    /// Lets time pass: every timer that is due fires at its time.
    pub fn pass(&mut self, delay: Millis, observer: Observer<'_>) {
        let end = self.now_ms + u64::from(delay.as_u32());
        loop {
            let due = self.timers.iter().flatten().copied().filter(|&(_, at)| at <= end);
            let Some((timer, at)) = due.min_by_key(|&(timer, at)| (at, timer.kind.slot() as u8))
            else {
                break;
            };
            self.now_ms = at;
            self.timers[timer.kind.slot() as usize] = None;
            self.handle(Event::TimerFired { timer }, observer);
        }
        self.now_ms = end;
    }

    /// Handles an event, and what follows from it at once.
    pub fn handle(&mut self, event: Event, observer: Observer<'_>) {
        let mut pending = Some(event);
        while let Some(event) = pending.take() {
            let before = self.state;
            let step = self.policy.step(before, event);
            self.state = step.state;
            observer(self.now_ms, before, event, step);
            step.for_each(|action| match action {
                Action::Spawn { run } => {
                    self.jobs.spawn(run);
                    pending = Some(Event::Started { run });
                }
                Action::Signal { run, .. } => self.jobs.ask_to_end(run),
                Action::Release { run, .. } => {
                    pending = Some(Event::Released { run, remains: Remains::Nothing });
                }
                Action::Arm { timer, delay } => {
                    let due = self.now_ms + u64::from(delay.base.as_u32());
                    self.timers[timer.kind.slot() as usize] = Some((timer, due));
                }
                Action::Shorten { timer, delay } => {
                    let due = self.now_ms + u64::from(delay.as_u32());
                    let slot = &mut self.timers[timer.kind.slot() as usize];
                    let due = slot.map_or(due, |(_, known)| known.min(due));
                    *slot = Some((timer, due));
                }
                Action::Lengthen { timer, delay } => {
                    let due = self.now_ms + u64::from(delay.as_u32());
                    if let Some((_, known)) = &mut self.timers[timer.kind.slot() as usize] {
                        *known = due.max(*known);
                    }
                }
                Action::Disarm { slot } => self.timers[slot as usize] = None,
                Action::Persist(_) | Action::Emit(_) => {}
            });
        }
    }
}
