//! The changes and commands of one step of the reference machine.

use monitor_core::{
    Curve, Delay, Event, Grace, Lifecycle, Millis, Note, Rules, Scope, Signal, TimerKind, TimerSlot,
};

use super::state::{RefAction, RefService, RefState, RefTimer, Wait};

/// Changes the facts and writes down what is to be done.
pub(super) struct Scribe {
    pub(super) rules: Rules,
    pub(super) unit: RefState,
    pub(super) process: Option<RefAction>,
    pub(super) timers: [Option<RefTimer>; 3],
    pub(super) emitted: Option<Lifecycle>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    User,
    Policy,
    /// The user wants the policy to be quick.
    Retry,
    /// What went down with the monitor comes back with it.
    Comeback,
}

pub(super) const ALL_WELL: Note = Note::Applied;
pub(super) const NOTHING_TO_DO: Note = Note::NotApplicable;

impl Scribe {
    /// Adds what follows from the change itself: the save, and the timers that have lost their
    /// owner.
    pub(super) fn close(&mut self, before: &RefState, event: Event) -> Vec<RefAction> {
        let empty = |slot: TimerSlot| matches!(event, Event::TimerFired { timer } if timer.kind.slot() == slot);
        // A timer that the new phase owns as well goes on.
        let moved = self.unit.phase() != before.phase();
        if moved
            && before.own_timer().is_some()
            && self.unit.own_timer() != before.own_timer()
            && !empty(TimerSlot::Phase)
        {
            self.timers[0].get_or_insert(RefTimer::Empty);
        }
        if before.is_serving()
            && !self.unit.is_serving()
            && self.rules.watchdog.is_some()
            && !empty(TimerSlot::Watchdog)
        {
            self.timers[1].get_or_insert(RefTimer::Empty);
        }
        let mut actions = Vec::new();
        if self.unit != *before {
            actions.push(RefAction::Save);
        }
        actions.extend(self.process);
        let (was, is) = (before.service(&self.rules), self.unit.service(&self.rules));
        // A monitor that was started again has begun nothing; another policy may wait for another
        // sign.
        let is_fresh = matches!(event, Event::Recovered { .. });
        let asks_again = matches!(event, Event::PolicyChanged) && before.spawning && before.is_up();
        let goes_down = before.is_up() && !self.unit.is_up();
        let changes =
            if is_fresh { is != RefService::Ends } else { was != is || asks_again || goes_down };
        if changes {
            actions.push(RefAction::Service(self.unit.run, is));
        }
        for (slot, timer) in TimerSlot::ALL.into_iter().zip(self.timers) {
            actions.extend(timer.map(|timer| RefAction::Timer(slot, timer)));
        }
        actions.extend(self.emitted.map(RefAction::Emit));
        actions
    }

    pub(super) const fn signal(&mut self, signal: Signal) {
        self.process = Some(RefAction::Signal(self.unit.run, signal, self.rules.stop.scope));
    }

    /// The start in flight is not wanted any more.
    pub(super) const fn cancel(&mut self, signal: Signal) {
        self.process = Some(RefAction::Cancel(self.unit.run, signal));
    }

    pub(super) const fn set(&mut self, kind: TimerKind, delay: Millis) {
        self.timers[0] = Some(RefTimer::Set(kind, exactly(delay)));
    }

    pub(super) const fn window(&mut self, timer: RefTimer) {
        self.timers[2] = Some(timer);
    }

    /// Nothing is left of the run.
    pub(super) const fn vacate(&mut self, wait: Option<Wait>) {
        self.unit.left = false;
        self.unit.ending = false;
        self.unit.killed = false;
        self.unit.wait = wait;
        self.unit.ever = true;
    }

    /// Where only the process is meant, what is left is left alone.
    pub(super) const fn release(&self, signal: Option<Signal>) -> RefAction {
        match self.rules.stop.scope {
            Scope::Group => RefAction::Release(self.unit.run, signal, Scope::Group),
            Scope::Process => RefAction::Release(self.unit.run, None, Scope::Process),
        }
    }

    /// The kill of a process, or of what it left.
    pub(super) fn kill(&mut self) {
        self.unit.killed = true;
        self.set(TimerKind::KillWindow, self.rules.stop.kill_window);
        if self.unit.alive || self.rules.stop.scope == Scope::Group {
            self.signal(Signal::KILL);
            self.emitted = Some(Lifecycle::Killing);
        }
    }

    /// The stop signal now or as soon as there is a process, and the kill when the grace is over.
    pub(super) const fn bring_down(&mut self, grace: Grace) {
        self.unit.ending = true;
        if self.unit.alive {
            self.signal(self.rules.stop.signal);
        }
        if self.unit.spawning {
            self.cancel(self.rules.stop.signal);
        }
        if let Some(delay) = self.grace_delay(grace) {
            self.set(TimerKind::StopGrace, delay);
        }
        self.emitted = Some(Lifecycle::Stopping);
    }

    /// A second request may only make the kill come sooner.
    pub(super) const fn hasten(&mut self, grace: Grace) {
        if let (false, Some(delay)) = (self.unit.killed, self.grace_delay(grace)) {
            self.timers[0] = Some(RefTimer::Sooner(TimerKind::StopGrace, delay));
        }
    }

    pub(super) const fn grace_delay(&self, grace: Grace) -> Option<Millis> {
        match grace {
            Grace::Policy => self.rules.stop.grace,
            Grace::After(delay) => Some(delay),
            Grace::Never => None,
        }
    }
}

pub(super) const fn exactly(base: Millis) -> Delay {
    Delay { base, jitter: Millis::new(0) }
}

/// The delay law in floating point; the comparison allows for its rounding.
pub(crate) fn delay_at(rules: &Rules, level: u8) -> Delay {
    let float = |ms: Millis| f64::from(ms.as_u32());
    let step = match (rules.backoff.first, level) {
        (Some(_), level) => i32::from(level) - 1,
        (None, level) => i32::from(level),
    };
    let grown = match (rules.backoff.first, rules.backoff.curve) {
        (Some(first), _) if step < 0 => float(first),
        (_, Curve::Constant { delay }) => float(delay),
        (_, Curve::Linear { initial, increment, cap }) => {
            (float(initial) + f64::from(step) * float(increment)).min(float(cap))
        }
        (_, Curve::Exponential { initial, factor, cap }) => {
            let factor = f64::from(factor.hundredths()) / 100.0;
            (float(initial) * factor.powi(step)).min(float(cap))
        }
        (_, Curve::Geometric { initial, cap, steps }) => {
            let part = f64::from(step.min(i32::from(steps))) / f64::from(steps);
            float(initial) * (float(cap) / float(initial)).powf(part)
        }
    };
    let base = Millis::new(grown.round() as u32);
    let jitter = float(base) * f64::from(rules.backoff.jitter_percent) / 100.0;
    Delay { base, jitter: Millis::new(jitter as u32) }
}
