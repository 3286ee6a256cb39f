//! The timer slots of a unit, as its recorded commands set them.

use monitor_core::{Millis, Step, TimerCommand, TimerSlot, TimerToken};

use super::rule::Rule;
use super::violation::time;

/// The delay of a watchdog, as the driver of a record chooses it (C10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WatchdogDelay {
    /// The period that the program was told at its start.
    #[default]
    OfRun,
    /// The delay of the command, because the driver cannot tell a program its period.
    OfCommand,
}

/// The period that the program of a run was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ToldPeriod {
    Known(Option<Millis>),
    /// An earlier monitor has told it, or the policy changed while the spawn waited.
    Unknown,
    /// The driver takes the delay of each command.
    OfCommand,
}

/// The timer slots of a unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timers {
    slots: [Option<SetTimer>; TimerSlot::ALL.len()],
    /// No slot has an earlier latest deadline; [`u64::MAX`] if none has any.
    due: u64,
}

/// A timer in its slot. Its deadline lies between two moments, which differ if the
/// record lacks the delay.
#[derive(Clone, Copy, Debug)]
struct SetTimer {
    token: TimerToken,
    earliest: u64,
    latest: u64,
}

/// The rule that is broken, what it expects, and what the record has.
pub(super) type Objection = (Rule, String, String);

impl Timers {
    /// No timer is armed.
    pub(super) const EMPTY: Self = Self { slots: [None; TimerSlot::ALL.len()], due: u64::MAX };

    /// Checks that no deadline lies more than `late` microseconds before `now`.
    #[inline]
    pub(super) fn check_passed(&self, now: u64, late: u64) -> Result<(), Objection> {
        if now <= self.due.saturating_add(late) {
            return Ok(());
        }
        match self.slots.iter().flatten().find(|set| now > set.latest.saturating_add(late)) {
            None => Ok(()),
            Some(set) => Err((
                Rule::C11,
                format!(
                    "fired {} at {}, or at most {} later",
                    set.token,
                    time(set.latest),
                    time(late)
                ),
                format!("the deadline was passed over until {}", time(now)),
            )),
        }
    }

    /// Takes the timer out of its slot that fires at `now`.
    pub(super) fn fire(&mut self, timer: TimerToken, now: u64) -> Result<(), Objection> {
        let slot = timer.kind.slot();
        let seen = |what: &str| format!("fired {timer} at {}{what}", time(now));
        let Some(set) = self.slots[slot as usize] else {
            let expected = format!("no timer fires, because the slot {slot} is empty");
            return Err((Rule::C11, expected, seen("")));
        };
        if set.token != timer {
            let expected = format!("fired {}, the timer that was armed last", set.token);
            return Err((Rule::C11, expected, seen("")));
        }
        if now < set.earliest {
            let expected = format!("fired {timer} at {} or later", time(set.earliest));
            let early = time(set.earliest - now);
            return Err((Rule::C11, expected, seen(&format!(", which is {early} too early"))));
        }
        for other in TimerSlot::ALL {
            let Some(first) = self.slots[other as usize].filter(|_| other != slot) else {
                continue;
            };
            let is_before = first.latest < set.earliest
                || first.latest == set.earliest && (other as usize) < slot as usize;
            if is_before {
                let expected = format!(
                    "fired {} first, whose deadline was {}",
                    first.token,
                    time(first.latest)
                );
                return Err((Rule::C13, expected, seen("")));
            }
        }
        self.slots[slot as usize] = None;
        Ok(())
    }

    /// Executes the commands of a step at `now`; `delay` is the recorded delay of the phase's timer.
    pub(super) fn execute(
        &mut self,
        step: &Step,
        now: u64,
        delay: Option<Millis>,
        told: ToldPeriod,
    ) -> Result<(), Objection> {
        let mut drawn = None;
        for slot in TimerSlot::ALL {
            let command = step.actions.timer_command(slot);
            let set = &mut self.slots[slot as usize];
            match (command, step.timer_token(slot)) {
                (TimerCommand::Keep, _) => {}
                (TimerCommand::Disarm, _) => *set = None,
                (_, None) => {}
                (TimerCommand::Arm(range), Some(token)) => {
                    let most = range.base.saturating_add(range.jitter);
                    let (least, most) = match slot {
                        TimerSlot::Phase => {
                            drawn = Some(range);
                            // What is checked below.
                            let delay = delay.unwrap_or(range.base);
                            (Some(delay), Some(delay))
                        }
                        TimerSlot::Watchdog => match told {
                            ToldPeriod::Known(None) => {
                                *set = None;
                                continue;
                            }
                            ToldPeriod::Known(period) => (period, period),
                            ToldPeriod::Unknown => (None, None),
                            ToldPeriod::OfCommand => (Some(range.base), Some(most)),
                        },
                        TimerSlot::Window => (Some(range.base), Some(most)),
                    };
                    *set = Some(SetTimer {
                        token,
                        earliest: least.map_or(now, |least| after(now, least)),
                        latest: most.map_or(u64::MAX, |most| after(now, most)),
                    });
                }
                (TimerCommand::Shorten(delay), Some(token)) => {
                    let at = after(now, delay);
                    // An equal deadline stays, with its token.
                    if set.is_none_or(|set| set.latest > at) {
                        *set = Some(SetTimer { token, earliest: at, latest: at });
                    }
                }
                (TimerCommand::Lengthen(delay), Some(token)) => {
                    let at = after(now, delay);
                    if set.is_some_and(|set| set.earliest < at) {
                        *set = Some(SetTimer { token, earliest: at, latest: at });
                    }
                }
            }
        }
        self.due = self.slots.iter().flatten().map(|set| set.latest).min().unwrap_or(u64::MAX);
        let seen =
            delay.map_or_else(|| "no delay_ms".into(), |delay| format!("a delay of {delay}"));
        match (drawn, delay) {
            (None, None) => Ok(()),
            (Some(range), Some(delay))
                if delay >= range.base && delay <= range.base.saturating_add(range.jitter) =>
            {
                Ok(())
            }
            (Some(range), _) => {
                let most = range.base.saturating_add(range.jitter);
                Err((Rule::C9, format!("a delay from {} to {most}", range.base), seen))
            }
            (None, Some(_)) => {
                Err((Rule::C9, "no delay_ms, because no timer of a phase is armed".into(), seen))
            }
        }
    }
}

/// The time after a delay.
const fn after(now: u64, delay: Millis) -> u64 {
    now.saturating_add(micros(delay))
}

/// A delay in microseconds.
pub(super) const fn micros(delay: Millis) -> u64 {
    delay.as_u32() as u64 * 1_000
}

#[cfg(test)]
mod tests {
    use monitor_core::{Delay, Event, Policy, RunId, State, TimerKind};

    use super::*;

    const RUN: RunId = RunId::new(1);
    const TOLD: ToldPeriod = ToldPeriod::Known(Some(Millis::new(30)));

    /// A step in the phase `activating` of the first run, with this command to a slot.
    fn step(slot: TimerSlot, command: TimerCommand) -> Step {
        let policy: Policy = "readiness=notify start-timeout=10s".parse().unwrap();
        let state = policy.step(State::INITIAL, Event::StartRequested).state;
        let mut step = policy.step(state, Event::Started { run: RUN });
        step.actions.timer = TimerCommand::Keep;
        match slot {
            TimerSlot::Phase => step.actions.timer = command,
            TimerSlot::Watchdog => step.actions.watchdog = command,
            TimerSlot::Window => step.actions.window = command,
        }
        step
    }

    const fn timer(kind: TimerKind) -> TimerToken {
        TimerToken { run: RUN, kind }
    }

    fn arm(timers: &mut Timers, slot: TimerSlot, at: u64, millis: u32, told: ToldPeriod) {
        let step = step(slot, TimerCommand::Arm(Delay::exact(Millis::new(millis))));
        let delay = (slot == TimerSlot::Phase).then_some(Millis::new(millis));
        timers.execute(&step, at, delay, told).unwrap();
    }

    fn set(timers: &mut Timers, at: u64, command: TimerCommand) {
        timers.execute(&step(TimerSlot::Phase, command), at, None, TOLD).unwrap();
    }

    /// The first time at which the timer of the phase may fire; `None` if it is not armed.
    fn deadline(timers: &Timers) -> Option<u64> {
        timers.slots[TimerSlot::Phase as usize].map(|set| set.earliest)
    }

    #[test]
    fn shorten_sets_an_empty_slot_and_leaves_an_earlier_deadline() {
        let shorten = |millis| TimerCommand::Shorten(Millis::new(millis));
        let mut timers = Timers::EMPTY;
        set(&mut timers, 7, shorten(10));
        assert_eq!(deadline(&timers), Some(10_007));
        set(&mut timers, 8, shorten(10));
        assert_eq!(deadline(&timers), Some(10_007));
        set(&mut timers, 9, shorten(1));
        assert_eq!(deadline(&timers), Some(1_009));
    }

    #[test]
    fn lengthen_leaves_an_empty_slot_and_a_later_deadline() {
        let lengthen = |millis| TimerCommand::Lengthen(Millis::new(millis));
        let mut timers = Timers::EMPTY;
        set(&mut timers, 7, lengthen(10));
        assert_eq!(deadline(&timers), None);
        arm(&mut timers, TimerSlot::Phase, 0, 10, TOLD);
        set(&mut timers, 0, lengthen(5));
        assert_eq!(deadline(&timers), Some(10_000));
        set(&mut timers, 0, lengthen(20));
        assert_eq!(deadline(&timers), Some(20_000));
    }

    #[test]
    fn a_timer_fires_to_the_microsecond() {
        let mut timers = Timers::EMPTY;
        arm(&mut timers, TimerSlot::Phase, 5, 10, TOLD);
        let fired = timer(TimerKind::StartTimeout);
        let (rule, expected, seen) = timers.fire(fired, 10_004).unwrap_err();
        assert_eq!(rule, Rule::C11);
        assert_eq!(expected, "fired start-timeout #1 at 0.010005s or later");
        assert!(seen.ends_with("which is 0.000001s too early"), "{seen}");
        timers.fire(fired, 10_005).unwrap();
        assert_eq!(timers.fire(fired, 10_005).unwrap_err().0, Rule::C11);
    }

    #[test]
    fn the_watchdog_has_the_period_of_its_run() {
        let fired = timer(TimerKind::Watchdog);
        for (told, early, due) in [
            (TOLD, Some(29_999), 30_000),
            (ToldPeriod::OfCommand, Some(1_999), 2_000),
            (ToldPeriod::Unknown, None, 0),
        ] {
            let mut timers = Timers::EMPTY;
            arm(&mut timers, TimerSlot::Watchdog, 0, 2, told);
            if let Some(early) = early {
                assert_eq!(timers.fire(fired, early).unwrap_err().0, Rule::C11, "{told:?}");
            }
            timers.fire(fired, due).unwrap();
        }
        let mut timers = Timers::EMPTY;
        arm(&mut timers, TimerSlot::Watchdog, 0, 2, ToldPeriod::Known(None));
        assert_eq!(timers.fire(fired, 90_000).unwrap_err().0, Rule::C11);
    }

    #[test]
    fn a_deadline_is_passed_over_after_the_tolerance() {
        let mut timers = Timers::EMPTY;
        arm(&mut timers, TimerSlot::Window, 0, 1, TOLD);
        timers.check_passed(1_500, 500).unwrap();
        assert_eq!(timers.check_passed(1_501, 500).unwrap_err().0, Rule::C11);
    }

    #[test]
    fn timers_fire_in_the_order_of_deadlines_and_then_of_slots() {
        let (phase, window) = (timer(TimerKind::StartTimeout), timer(TimerKind::Window));
        let both = |window| {
            let mut timers = Timers::EMPTY;
            arm(&mut timers, TimerSlot::Phase, 0, 5, TOLD);
            arm(&mut timers, TimerSlot::Window, 0, window, TOLD);
            timers
        };
        assert_eq!(both(5).fire(window, 9_000).unwrap_err().0, Rule::C13);
        both(5).fire(phase, 9_000).unwrap();
        assert_eq!(both(4).fire(phase, 9_000).unwrap_err().0, Rule::C13);
        both(4).fire(window, 9_000).unwrap();
    }
}
