//! A log of events as a monitor may see it, recorded by running a small world against the machine.

use std::collections::BTreeMap;
use std::fmt;

use monitor_core::{
    Action, Counts, Event, Exit, Forgives, Found, Grace, HealthyRule, Millis, OnLimit, Origin,
    Phase, Policy, Readiness, Remains, Retries, RunId, Signal, StartFailure, StartLimit, StartRule,
    StartsCounted, State, StopMode, TimerKind, TimerSlot, TimerToken, Watchdog,
};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// The number of events in a log.
pub const EVENTS: usize = 200_000;

/// A policy, and the events of a process under it.
#[derive(Clone, Debug)]
pub struct Mix {
    /// The rules in force, which use every part of the machine.
    pub policy: Policy,
    /// The events in order, from the first state on.
    pub events: Vec<Event>,
}

/// Records the log: the same 200,000 events each time.
///
/// The world has a process and a user. The process starts slowly, serves, sends pings and sometimes
/// crashes. The user sometimes interferes. Timers fire only while they are armed.
///
/// One event in ten is late: it is about another run, or about a timer that is not armed. The
/// printed log has the share of each kind.
#[must_use]
pub fn recorded_mix() -> Mix {
    let mut world = Environment {
        rng: Pcg64Mcg::seed_from_u64(SEED),
        state: State::INITIAL,
        armed: [None; TimerSlot::ALL.len()],
    };
    let events = std::iter::repeat_with(|| world.next_event()).take(EVENTS).collect();
    Mix { policy: POLICY, events }
}

/// Prints the share of each kind of event, the most frequent first, and of events that do not
/// count.
impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
        let mut notes: BTreeMap<&str, u32> = BTreeMap::new();
        let mut state = State::INITIAL;
        for event in &self.events {
            let step = self.policy.step(state, *event);
            state = step.state;
            *kinds.entry(kind(*event)).or_default() += 1;
            *notes.entry(step.note.name()).or_default() += 1;
        }
        let total = self.events.len();
        for (title, shares) in [("events", kinds), ("answers", notes)] {
            let mut shares: Vec<_> = shares.into_iter().collect();
            shares.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            write!(f, "{title}:")?;
            for (name, count) in shares {
                write!(f, " {name} {:.1}%", 100.0 * f64::from(count) / total as f64)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The next actions of a process, its timers and its user.
struct Environment {
    rng: Pcg64Mcg,
    state: State,
    /// The timer in each slot, in the order of [`TimerSlot::ALL`].
    armed: [Option<TimerToken>; TimerSlot::ALL.len()],
}

impl Environment {
    fn next_event(&mut self) -> Event {
        let event = if self.percent() < LATE_PERCENT { self.late() } else { self.timely() };
        if let Event::TimerFired { timer } = event {
            let slot = &mut self.armed[timer.kind.slot() as usize];
            if *slot == Some(timer) {
                *slot = None;
            }
        }
        let step = POLICY.step(self.state, event);
        self.state = step.state;
        step.for_each(|action| match action {
            Action::Arm { timer, .. } | Action::Shorten { timer, .. } => {
                self.armed[timer.kind.slot() as usize] = Some(timer);
            }
            Action::Disarm { slot } => self.armed[slot as usize] = None,
            Action::Persist(_)
            | Action::Spawn { .. }
            | Action::Signal { .. }
            | Action::CancelSpawn { .. }
            | Action::Abandon { .. }
            | Action::AwaitReady { .. }
            | Action::BeginService { .. }
            | Action::EndService { .. }
            | Action::Release { .. }
            | Action::Lengthen { .. }
            | Action::Emit(_) => {}
        });
        event
    }

    /// An event of the run before, or of a timer that was disarmed meanwhile.
    fn late(&mut self) -> Event {
        let current = self.state.run();
        let run = RunId::new(current.as_u32().wrapping_sub(1));
        let kind = TimerKind::ALL[self.below(TimerKind::ALL.len())];
        let of_the_run_before = TimerToken { run, kind };
        let disarmed = TimerToken { run: current, kind };
        let unarmed = !self.armed.contains(&Some(disarmed));
        self.often(
            Event::TimerFired { timer: of_the_run_before },
            &[
                (40, unarmed.then_some(Event::TimerFired { timer: disarmed })),
                (20, Some(Event::Ping { run })),
                (10, Some(Event::Exited { run, exit: Exit::Code(0) })),
                (5, Some(Event::Ready { run })),
                (5, Some(Event::Released { run, remains: Remains::Nothing })),
            ],
        )
    }

    fn timely(&mut self) -> Event {
        let run = self.state.run();
        let request = Some(self.request());
        let exit = self.exit();
        let exited = Event::Exited { run, exit };
        let ping = Event::Ping { run };
        let started = Event::Started { run };
        let unhealthy = Some(Event::Unhealthy { run });
        let released = Event::Released { run, remains: Remains::Nothing };
        let failed = Some(Event::StartFailed { run, failure: StartFailure::Transient });
        // The monitor was started again, and the process still exists.
        let found = Some(Event::Recovered { run, found: Found::Alive });
        let timer = self.due(TimerSlot::Phase);
        let watchdog = self.due(TimerSlot::Watchdog);
        let window = self.due(TimerSlot::Window);
        match self.state.phase() {
            Phase::Idle | Phase::Stopped => {
                self.often(Event::StartRequested, &[(10, request), (5, window)])
            }
            Phase::Starting => {
                self.often(started, &[(6, failed), (5, Some(exited)), (3, timer), (4, request)])
            }
            Phase::Cancelling => self.often(started, &[(10, failed), (8, timer), (4, request)]),
            Phase::Aborting => self.often(started, &[(10, failed), (4, request)]),
            Phase::Activating => self.often(
                Event::Ready { run },
                &[
                    (8, Some(exited)),
                    (4, timer),
                    (3, Some(ping)),
                    (2, unhealthy),
                    (3, found),
                    (4, request),
                ],
            ),
            Phase::Running => self.often(
                ping,
                &[
                    (25, timer),
                    (12, Some(exited)),
                    (2, watchdog),
                    (2, unhealthy),
                    (1, found),
                    (3, window),
                    (4, request),
                ],
            ),
            Phase::Healthy => self.often(
                ping,
                &[(12, Some(exited)), (2, watchdog), (1, unhealthy), (3, window), (4, request)],
            ),
            Phase::Stopping => self.often(exited, &[(10, timer), (8, Some(ping)), (5, request)]),
            Phase::Killing => self.often(exited, &[(8, timer), (4, request)]),
            Phase::Releasing => {
                self.often(released, &[(6, timer), (3, Some(exited)), (4, request)])
            }
            Phase::Purging => self.often(released, &[(10, timer), (4, request)]),
            Phase::BackingOff => {
                let due = timer.unwrap_or(Event::RetryRequested);
                self.often(due, &[(5, window), (8, request)])
            }
            Phase::Throttled => {
                let due = window.unwrap_or(Event::RetryRequested);
                self.often(due, &[(20, request)])
            }
        }
    }

    fn request(&mut self) -> Event {
        let signal = Signal::HUP;
        let origin = Origin::User;
        let later = Grace::After(Millis::from_secs(2));
        self.often(
            Event::stop(),
            &[
                (20, Some(Event::restart())),
                (15, Some(Event::StartRequested)),
                (10, Some(Event::kill())),
                (5, Some(Event::StopRequested { mode: StopMode::Graceful(later), origin })),
                (5, Some(Event::StopRequested { mode: StopMode::OnNextExit, origin })),
                (5, Some(Event::shutdown())),
                (8, Some(Event::SignalRequested { signal })),
                (4, Some(Event::ResetRequested)),
                (4, Some(Event::RetryRequested)),
                (4, Some(Event::PolicyChanged)),
            ],
        )
    }

    fn exit(&mut self) -> Exit {
        match self.percent() {
            0..60 => Exit::Code(1),
            60..75 => Exit::Code(0),
            75..98 => Exit::Signal(Signal::TERM),
            _ => Exit::Unknown,
        }
    }

    /// The timer in a slot is due.
    fn due(&self, slot: TimerSlot) -> Option<Event> {
        self.armed[slot as usize].map(|timer| Event::TimerFired { timer })
    }

    /// A rare event, each with its chance in per cent if it is possible; else the usual event.
    fn often(&mut self, usual: Event, others: &[(usize, Option<Event>)]) -> Event {
        let mut drawn = self.percent();
        for (chance, other) in others {
            if drawn < *chance {
                return other.unwrap_or(usual);
            }
            drawn -= chance;
        }
        usual
    }

    fn percent(&mut self) -> usize {
        self.below(100)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.rng.random_range(0..bound)
    }
}

const fn kind(event: Event) -> &'static str {
    match event {
        Event::StartRequested => "start-requested",
        Event::StopRequested { .. } => "stop-requested",
        Event::RestartRequested { .. } => "restart-requested",
        Event::SignalRequested { .. } => "signal-requested",
        Event::PolicyChanged => "policy-changed",
        Event::ResetRequested => "reset-requested",
        Event::RetryRequested => "retry-requested",
        Event::Started { .. } => "started",
        Event::StartFailed { .. } => "start-failed",
        Event::Ready { .. } => "ready",
        Event::Ping { .. } => "ping",
        Event::Extended { .. } => "extended",
        Event::Unhealthy { .. } => "unhealthy",
        Event::Exited { .. } => "exited",
        Event::Released { .. } => "released",
        Event::TimerFired { .. } => "timer-fired",
        Event::Recovered { .. } => "recovered",
    }
}

/// A policy with readiness, a watchdog, forgiveness, and bounds on retries and starts.
const POLICY: Policy = {
    let start = StartRule {
        timeout: Some(Millis::from_secs(30)),
        readiness: Readiness::Notify,
        ..Policy::DEFAULT.rules().start
    };
    let built = Policy::builder()
        .retries(Some(Retries { max: 10, counts: Counts::Restarts }))
        .healthy(Some(HealthyRule { after: Millis::from_secs(10), forgives: Forgives::All }))
        .limit(Some(StartLimit {
            burst: 20,
            window: Millis::from_mins(1),
            counts: StartsCounted::Automatic,
            then: OnLimit::Wait,
        }))
        .start(start)
        .watchdog(Some(Watchdog { period: Millis::from_secs(5), signal: Signal::ABRT }))
        .build();
    match built {
        Ok(policy) => policy,
        Err(_) => panic!("the policy of the log is sound"),
    }
};

/// The seed of the log; another number gives another log.
const SEED: u64 = 0x5eed;

/// The percentage of late events.
const LATE_PERCENT: usize = 10;

#[cfg(test)]
mod tests {
    use monitor_core::Note;

    use super::*;

    #[test]
    fn two_recordings_are_equal() {
        assert_eq!(recorded_mix().events, recorded_mix().events);
    }

    #[test]
    fn the_mix_holds_every_kind_of_event_and_one_stale_in_ten() {
        let mix = recorded_mix();
        let mut phases = BTreeMap::new();
        let mut kinds = BTreeMap::new();
        let mut stale = 0;
        let mut state = State::INITIAL;
        for event in &mix.events {
            let step = mix.policy.step(state, *event);
            state = step.state;
            *phases.entry(state.phase()).or_insert(0) += 1;
            *kinds.entry(kind(*event)).or_insert(0) += 1;
            stale += usize::from(step.note == Note::Stale);
        }
        println!("{mix}{phases:?}");
        assert_eq!(mix.events.len(), EVENTS);
        // Idle is left once and never entered again.
        assert_eq!(phases.len(), Phase::ALL.len() - 1, "{phases:?}");
        assert_eq!(kinds.len(), 16, "{kinds:?}");
        assert!((EVENTS / 12..EVENTS / 8).contains(&stale), "{stale} stale events");
    }
}
