//! The driver, which passes events to the machine and executes its commands in order. It decides
//! nothing.

mod agenda;
pub(crate) mod kernel;

use std::collections::BTreeMap;
use std::sync::Arc;

use monitor_core::{
    Event, Millis, Policy, ProcessCommand, RunId, SaveRule, StartFailure, State, Step,
    TimerCommand, TimerSlot, TimerToken,
};

use crate::driver::agenda::{Agenda, Alarm, Deadline};
use crate::driver::kernel::{
    DriverInput, Kernel, Moment, Report, SignalOutcome, SpawnOutcome, UnitId,
};

/// Drives any number of units over one [`Kernel`]; synchronous, deterministic, one thread.
///
/// Due timers are delivered before an event that was observed at their moment. Their order is by
/// deadline, then by unit, then by slot. Delays count from the moment at which the event was
/// observed, so a slow kernel does not make them drift.
#[derive(Debug, Default)]
pub struct Driver<M = Core> {
    machine: M,
    /// Boxed, because a tree that grows at its end has room for twice its elements.
    units: BTreeMap<UnitId, Box<DrivenUnit>>,
    agenda: Agenda,
}

/// Makes the decisions of the driver.
///
/// Programs use [`Core`]. A harness may use a broken machine to check that its oracles notice.
pub trait Machine {
    /// Answers one event, as [`Policy::step`] does.
    fn step(&self, policy: &Policy, state: State, event: Event) -> Step;
}

/// The unmodified machine of `monitor-core`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Core;

impl Machine for Core {
    #[inline]
    fn step(&self, policy: &Policy, state: State, event: Event) -> Step {
        policy.step(state, event)
    }
}

#[derive(Debug)]
struct DrivenUnit {
    policy: Arc<Policy>,
    state: State,
    timers: [Option<ArmedTimer>; TimerSlot::ALL.len()],
    /// The time at which a failed save is retried.
    save_again: Option<Moment>,
}

#[derive(Clone, Copy, Debug)]
struct ArmedTimer {
    at: Moment,
    token: TimerToken,
}

impl DrivenUnit {
    /// Whether a deadline is one of the armed ones.
    fn has_set(&self, deadline: Deadline) -> bool {
        let set = match deadline.alarm() {
            Alarm::Timer(slot) => self.timers[slot as usize].map(|armed| armed.at),
            Alarm::Save => self.save_again,
        };
        set == Some(deadline.at)
    }
}

/// The delay between a failed save and its retry.
const SAVE_AGAIN_AFTER: Millis = Millis::from_secs(1);

impl Driver {
    /// Makes a driver without units.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<M: Machine> Driver<M> {
    /// Makes a driver without units that uses `machine`.
    #[must_use]
    pub fn with_machine(machine: M) -> Self {
        Self { machine, units: BTreeMap::new(), agenda: Agenda::default() }
    }

    /// Runs until the kernel returns [`DriverInput::Quit`].
    pub fn run(&mut self, kernel: &mut impl Kernel) {
        while self.turn(kernel) {}
    }

    /// Waits for one input, and handles all deadlines that are due and then the input.
    ///
    /// The result is false after [`DriverInput::Quit`].
    pub fn turn(&mut self, kernel: &mut impl Kernel) -> bool {
        let observed = kernel.wait(self.next_deadline());
        let at = observed.at;
        self.deliver_due(kernel, at);
        match observed.input {
            DriverInput::DeadlineReached => {}
            DriverInput::Event(unit, event) => self.handle(kernel, at, unit, event),
            DriverInput::UnitAdded(unit, policy, state) => self.add_unit(unit, policy, state),
            DriverInput::PolicyChanged(unit, policy) => {
                if let Some(found) = self.units.get_mut(&unit) {
                    found.policy = policy;
                    self.handle(kernel, at, unit, Event::PolicyChanged);
                }
            }
            DriverInput::UnitRemoved(unit) => self.remove_unit(unit),
            DriverInput::Quit => return false,
        }
        let stands = |deadline: Deadline| {
            self.units.get(&deadline.unit()).is_some_and(|unit| unit.has_set(deadline))
        };
        self.agenda.tidy(stands);
        true
    }

    /// The earliest armed deadline.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        self.agenda.first().map(|first| first.at)
    }

    /// The state of a unit; `None` if the unit was not added.
    #[must_use]
    pub fn state(&self, unit: UnitId) -> Option<State> {
        self.units.get(&unit).map(|unit| unit.state)
    }

    /// The policy of a unit; `None` if the unit was not added.
    #[must_use]
    pub fn policy(&self, unit: UnitId) -> Option<&Policy> {
        self.units.get(&unit).map(|unit| &*unit.policy)
    }

    /// The armed timers of a unit with their deadlines, in the order of their slots.
    pub fn armed(&self, unit: UnitId) -> impl Iterator<Item = (TimerToken, Moment)> + '_ {
        let timers = self.units.get(&unit).map(|unit| unit.timers);
        timers.into_iter().flatten().flatten().map(|armed| (armed.token, armed.at))
    }

    fn add_unit(&mut self, unit: UnitId, policy: Arc<Policy>, state: State) {
        self.remove_unit(unit);
        let timers = [None; TimerSlot::ALL.len()];
        self.units.insert(unit, Box::new(DrivenUnit { policy, state, timers, save_again: None }));
    }

    fn remove_unit(&mut self, unit: UnitId) {
        self.units.remove(&unit);
    }

    /// Delivers every timer that is due at `now`, including timers that a delivery has armed.
    fn deliver_due(&mut self, kernel: &mut impl Kernel, now: Moment) {
        while let Some(deadline) = self.agenda.take_due(now) {
            let unit = deadline.unit();
            let Some(found) = self.units.get_mut(&unit).filter(|found| found.has_set(deadline))
            else {
                continue;
            };
            match deadline.alarm() {
                Alarm::Timer(slot) => {
                    if let Some(armed) = found.timers[slot as usize].take() {
                        let event = Event::TimerFired { timer: armed.token };
                        self.handle(kernel, now, unit, event);
                    }
                }
                Alarm::Save => {
                    found.save_again = None;
                    let state = found.state;
                    StepExecutor { kernel, agenda: &mut self.agenda, at: now, unit, found }
                        .save(state);
                }
            }
        }
    }

    /// Handles one event, then the events that its commands cause.
    fn handle(&mut self, kernel: &mut impl Kernel, at: Moment, unit: UnitId, event: Event) {
        let Some(found) = self.units.get_mut(&unit) else {
            return;
        };
        let mut executor = StepExecutor { kernel, agenda: &mut self.agenda, at, unit, found };
        let mut next = Some(event);
        while let Some(event) = next {
            let before = executor.found.state;
            let step = self.machine.step(&executor.found.policy, before, event);
            let effects = executor.execute(&step);
            executor.found.state = step.state;
            executor.kernel.observe(&Report {
                at,
                unit,
                policy: &executor.found.policy,
                before,
                event,
                step,
                delay: effects.delay,
                saved: executor.found.save_again.is_none(),
            });
            next = effects.follow_up;
        }
    }
}

/// Executes the commands of one unit's steps.
struct StepExecutor<'a, K> {
    kernel: &'a mut K,
    agenda: &'a mut Agenda,
    at: Moment,
    unit: UnitId,
    found: &'a mut DrivenUnit,
}

/// The results of executing a step's commands.
#[derive(Default)]
struct Effects {
    /// The delay drawn for the phase's timer.
    delay: Option<Millis>,
    /// The next event: the answer to the one command to the process that a step may have.
    follow_up: Option<Event>,
}

impl<K: Kernel> StepExecutor<'_, K> {
    /// Executes the commands of a step in their order.
    ///
    /// The kernel observes the whole step; other observers see a part of it.
    #[inline]
    fn execute(&mut self, step: &Step) -> Effects {
        if step.actions.persist {
            self.save(step.state);
        }
        let follow_up = self.act(step.state.run(), step.actions.process);
        let mut delay = None;
        for slot in TimerSlot::ALL {
            let drawn =
                self.set_timer(slot, step.actions.timer_command(slot), step.timer_token(slot));
            if slot == TimerSlot::Phase {
                delay = drawn;
            }
        }
        Effects { delay, follow_up }
    }

    /// Executes the command to the process of a run; returns the event that it causes.
    #[inline]
    fn act(&mut self, run: RunId, command: ProcessCommand) -> Option<Event> {
        let (at, unit) = (self.at, self.unit);
        match command {
            ProcessCommand::Leave => None,
            ProcessCommand::Spawn => self.spawn(run),
            ProcessCommand::Signal { signal, scope } => {
                match self.kernel.signal(at, unit, run, signal, scope) {
                    SignalOutcome::Sent | SignalOutcome::Refused => None,
                    SignalOutcome::Gone(exit) => Some(Event::Exited { run, exit }),
                }
            }
            ProcessCommand::Release { signal, scope } => {
                let remains = self.kernel.release(at, unit, run, signal, scope);
                remains.map(|remains| Event::Released { run, remains })
            }
        }
    }

    fn spawn(&mut self, run: RunId) -> Option<Event> {
        let may =
            self.found.save_again.is_none() || self.found.policy.rules().save == SaveRule::Optional;
        let answer = if may {
            self.kernel.spawn(self.at, self.unit, run)
        } else {
            SpawnOutcome::Failed(StartFailure::Transient)
        };
        match answer {
            SpawnOutcome::Started => Some(Event::Started { run }),
            SpawnOutcome::Pending => None,
            SpawnOutcome::Failed(failure) => Some(Event::StartFailed { run, failure }),
        }
    }

    fn save(&mut self, state: State) {
        let failed = self.kernel.save(self.at, self.unit, state).is_err();
        self.found.save_again = failed.then(|| self.at.after(SAVE_AGAIN_AFTER));
        if let Some(at) = self.found.save_again {
            self.agenda.set(Deadline::new(at, self.unit, Alarm::Save));
        }
    }

    /// Executes the command to a timer slot; returns the delay if one was drawn.
    #[inline]
    fn set_timer(
        &mut self,
        slot: TimerSlot,
        command: TimerCommand,
        timer: Option<TimerToken>,
    ) -> Option<Millis> {
        let set = &mut self.found.timers[slot as usize];
        let (token, delay, drawn) = match (command, timer) {
            (TimerCommand::Disarm, _) => {
                *set = None;
                return None;
            }
            (TimerCommand::Keep, _) | (_, None) => return None,
            (TimerCommand::Arm(_), Some(token)) if slot == TimerSlot::Watchdog => {
                let Some(told) = self.kernel.watchdog(self.unit, token.run) else {
                    *set = None;
                    return None;
                };
                (token, told, None)
            }
            (TimerCommand::Arm(delay), Some(token)) => {
                let delay = delay.base.saturating_add(self.kernel.draw(delay.jitter));
                (token, delay, Some(delay))
            }
            (TimerCommand::Shorten(delay) | TimerCommand::Lengthen(delay), Some(token)) => {
                (token, delay, None)
            }
        };
        let at = self.at.after(delay);
        let stays = match command {
            TimerCommand::Shorten(_) => set.is_some_and(|set| set.at <= at),
            TimerCommand::Lengthen(_) => set.is_none_or(|set| set.at >= at),
            TimerCommand::Keep | TimerCommand::Disarm | TimerCommand::Arm(_) => false,
        };
        if !stays {
            *set = Some(ArmedTimer { at, token });
            self.agenda.set(Deadline::new(at, self.unit, Alarm::Timer(slot)));
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use monitor_core::{
        Backoff, Curve, Exit, Forgives, HealthyRule, Phase, Remains, Restart, Scope, Signal,
    };

    use super::*;
    use crate::driver::kernel::{ObservedInput, SaveFailed};

    /// The events to come, one after the other.
    struct Script(VecDeque<(u64, Event)>);

    const UNIT: UnitId = UnitId::new(0);

    impl Kernel for Script {
        fn wait(&mut self, _: Option<Moment>) -> ObservedInput {
            let next = self.0.pop_front();
            let (at, input) = next.map_or((0, DriverInput::Quit), |(at, event)| {
                (at, DriverInput::Event(UNIT, event))
            });
            ObservedInput { at: Moment::from_millis(at), input }
        }

        fn spawn(&mut self, _: Moment, _: UnitId, _: RunId) -> SpawnOutcome {
            SpawnOutcome::Started
        }

        fn signal(&mut self, _: Moment, _: UnitId, _: RunId, _: Signal, _: Scope) -> SignalOutcome {
            SignalOutcome::Sent
        }

        fn release(
            &mut self,
            _: Moment,
            _: UnitId,
            _: RunId,
            _: Option<Signal>,
            _: Scope,
        ) -> Option<Remains> {
            Some(Remains::Nothing)
        }

        fn save(&mut self, _: Moment, _: UnitId, _: State) -> Result<(), SaveFailed> {
            Ok(())
        }

        fn watchdog(&mut self, _: UnitId, run: RunId) -> Option<Millis> {
            // As if the policy had got its watchdog between the first two runs.
            (run > RunId::new(1)).then_some(Millis::from_secs(30))
        }

        fn draw(&mut self, _: Millis) -> Millis {
            Millis::ZERO
        }

        fn observe(&mut self, _: &Report<'_>) {}
    }

    /// A kernel gets only armed deadlines. Those of an ended healthy run and of a stopped wait are
    /// not armed.
    #[test]
    fn the_next_deadline_is_one_that_is_armed() {
        let curve = Curve::Constant { delay: Millis::new(500) };
        let policy = Policy::builder()
            .restart(Restart::Always)
            .backoff(Backoff { curve, first: None, skip: 0, jitter_percent: 0 })
            .healthy(Some(HealthyRule { after: Millis::new(100), forgives: Forgives::All }))
            .build()
            .unwrap_or_default();
        let mut driver = Driver::new();
        driver.add_unit(UNIT, Arc::new(policy), State::INITIAL);
        let run = RunId::new(1);
        let mut kernel = Script(VecDeque::from([
            (0, Event::StartRequested),
            (10, Event::Exited { run, exit: Exit::Code(1) }),
            (20, Event::stop()),
        ]));
        let mut deadlines = Vec::new();
        while driver.turn(&mut kernel) {
            deadlines.push(driver.next_deadline());
            let armed = driver.armed(UNIT).map(|(_, at)| at).min();
            assert_eq!(driver.next_deadline(), armed);
        }
        assert_eq!(
            deadlines,
            [Some(Moment::from_millis(100)), Some(Moment::from_millis(510)), None]
        );
    }

    /// A run keeps the watchdog of its start, whatever the later policy.
    #[test]
    fn a_run_keeps_the_watchdog_of_its_start() {
        let policy = "restart=always backoff=constant:1s jitter=0 healthy-after=none watchdog=2s";
        let mut driver = Driver::new();
        driver.add_unit(UNIT, Arc::new(policy.parse().unwrap()), State::INITIAL);
        let [first, second] = [1, 2].map(RunId::new);
        let mut kernel = Script(VecDeque::from([
            (0, Event::StartRequested),
            (10, Event::Ping { run: first }),
            (20, Event::Exited { run: first, exit: Exit::Code(1) }),
            (30, Event::RetryRequested),
            (40, Event::Ping { run: second }),
        ]));
        let mut deadlines = Vec::new();
        while driver.turn(&mut kernel) {
            deadlines.push(driver.next_deadline().map(Moment::as_millis));
        }
        assert_eq!(deadlines, [None, None, Some(1_020), Some(30_030), Some(30_040)]);
    }

    /// More time moves a deadline later, never earlier, and arms none.
    #[test]
    fn a_deadline_is_lengthened_if_there_is_one() {
        let run = RunId::new(1);
        let extended = |secs| Event::Extended { run, by: Millis::from_secs(secs) };
        for (timeout, expected) in
            [("10s", [10_000, 10_000, 22_000, 22_000].map(Some)), ("none", [None; 4])]
        {
            let policy = format!("readiness=notify start-timeout={timeout}");
            let mut driver = Driver::new();
            driver.add_unit(UNIT, Arc::new(policy.parse().unwrap()), State::INITIAL);
            let mut kernel = Script(VecDeque::from([
                (0, Event::StartRequested),
                (1_000, extended(2)),
                (2_000, extended(20)),
                (3_000, extended(1)),
            ]));
            let mut deadlines = Vec::new();
            while driver.turn(&mut kernel) {
                deadlines.push(driver.next_deadline().map(Moment::as_millis));
            }
            assert_eq!(deadlines, expected, "{timeout}");
        }
    }

    /// A start that takes too long is stopped, and the deadline is that of the policy.
    #[test]
    fn a_start_is_late_when_its_policy_says() {
        let policy = "readiness=notify start-timeout=10s stop-timeout=5s";
        let mut driver = Driver::new();
        driver.add_unit(UNIT, Arc::new(policy.parse().unwrap()), State::INITIAL);
        let mut kernel = Script(VecDeque::from([
            (0, Event::StartRequested),
            // An event that changes nothing and moves the clock to this time.
            (9_999, Event::Ping { run: RunId::new(9) }),
            (10_000, Event::Ping { run: RunId::new(9) }),
        ]));
        let mut seen = Vec::new();
        while driver.turn(&mut kernel) {
            let phase = driver.state(UNIT).map(State::phase);
            seen.push((phase, driver.next_deadline().map(Moment::as_millis)));
        }
        let activating = (Some(Phase::Activating), Some(10_000));
        assert_eq!(seen, [activating, activating, (Some(Phase::Stopping), Some(15_000))]);
    }
}
