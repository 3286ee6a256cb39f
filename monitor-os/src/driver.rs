//! The driver, which passes events to the machine and executes its commands in order. It decides
//! nothing.

mod agenda;
pub(crate) mod kernel;

use std::collections::BTreeMap;
use std::sync::Arc;

use monitor_core::{
    Event, Millis, Policy, ProcessCommand, RunId, SaveRule, ServiceCommand, StartFailure, State,
    Step, TimerCommand, TimerSlot, TimerToken,
};

use crate::driver::agenda::{Agenda, Alarm, Deadline};
use crate::driver::kernel::{
    DriverInput, Kernel, Moment, Report, SaveFailed, SaveStatus, SignalOutcome, SpawnOutcome,
    Ticket, UnitId,
};

/// Drives any number of units over one [`Kernel`]; synchronous, deterministic, one thread.
///
/// Inputs are handled in the order in which the kernel returns them. Due timers are delivered when
/// the kernel says that the deadline is reached, in the order of their deadlines, then of units,
/// then of slots. Delays count from the moment at which the event was observed, so a slow kernel
/// does not make them drift.
#[derive(Debug, Default)]
pub struct Driver<M = Core> {
    machine: M,
    /// Boxed, because a tree that grows at its end has room for twice its elements.
    units: BTreeMap<UnitId, Box<DrivenUnit>>,
    agenda: Agenda,
    /// The tickets given to saves.
    tickets: u64,
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
    save: SaveProgress,
    /// What accompanies the spawn of the state's run, if that spawn waits for the save.
    waiting_spawn: Option<ServiceCommand>,
}

/// The progress of a unit's last save.
#[derive(Clone, Copy, Debug)]
enum SaveProgress {
    Saved,
    /// The answer counts as a failure from this moment on.
    Pending(Ticket, Moment),
    /// The answer is overdue.
    Overdue(Ticket),
    /// The save is tried again at this moment.
    Failed(Moment),
}

impl SaveProgress {
    const fn status(self) -> SaveStatus {
        match self {
            Self::Saved => SaveStatus::Saved,
            Self::Pending(..) => SaveStatus::Pending,
            Self::Overdue(_) | Self::Failed(_) => SaveStatus::Failed,
        }
    }

    /// The deadline of the unit's alarm for saves.
    const fn deadline(self) -> Option<Moment> {
        match self {
            Self::Pending(_, at) | Self::Failed(at) => Some(at),
            Self::Saved | Self::Overdue(_) => None,
        }
    }
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
            Alarm::Save => self.save.deadline(),
        };
        set == Some(deadline.at)
    }
}

/// The delay between a failed save and its retry, and the time that a save may take.
const SAVE_AFTER: Millis = Millis::from_secs(1);

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
        Self { machine, units: BTreeMap::new(), agenda: Agenda::default(), tickets: 0 }
    }

    /// Runs until the kernel returns [`DriverInput::Quit`].
    pub fn run(&mut self, kernel: &mut impl Kernel) {
        while self.turn(kernel) {}
    }

    /// Waits for one input and handles it; at a deadline, handles all deadlines that are due.
    ///
    /// The result is false after [`DriverInput::Quit`].
    pub fn turn(&mut self, kernel: &mut impl Kernel) -> bool {
        let observed = kernel.wait(self.next_deadline());
        let at = observed.at;
        let ticket = observed.ticket;
        match observed.input {
            DriverInput::DeadlineReached => self.deliver_due(kernel, at),
            DriverInput::Event(unit, event) => self.handle(kernel, at, unit, event, ticket),
            DriverInput::UnitAdded(unit, policy, state) => self.add_unit(unit, policy, state),
            DriverInput::PolicyChanged(unit, policy) => {
                if let Some(found) = self.units.get_mut(&unit) {
                    found.policy = policy;
                    self.handle(kernel, at, unit, Event::PolicyChanged, ticket);
                }
            }
            DriverInput::Saved(unit, ticket, result) => {
                self.save_answered(kernel, at, unit, ticket, result);
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
        let save = SaveProgress::Saved;
        let driven = DrivenUnit { policy, state, timers, save, waiting_spawn: None };
        self.units.insert(unit, Box::new(driven));
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
                        self.handle(kernel, now, unit, event, None);
                    }
                }
                Alarm::Save => self.save_is_due(kernel, now, unit),
            }
        }
    }

    /// Retries a failed save, or counts one as failed whose answer is overdue.
    fn save_is_due(&mut self, kernel: &mut impl Kernel, at: Moment, unit: UnitId) {
        self.change_save(kernel, at, unit, |executor| match executor.found.save {
            SaveProgress::Pending(ticket, _) => {
                executor.found.save = SaveProgress::Overdue(ticket);
            }
            SaveProgress::Saved | SaveProgress::Overdue(_) | SaveProgress::Failed(_) => {
                executor.save(executor.found.state);
            }
        });
    }

    /// Takes note of the answer to a save.
    fn save_answered(
        &mut self,
        kernel: &mut impl Kernel,
        at: Moment,
        unit: UnitId,
        ticket: Ticket,
        result: Result<(), SaveFailed>,
    ) {
        self.change_save(kernel, at, unit, |executor| {
            let after = at.after(SAVE_AFTER);
            match (executor.found.save, result) {
                (SaveProgress::Pending(last, _) | SaveProgress::Overdue(last), Ok(()))
                    if ticket < last =>
                {
                    // The store makes progress, so the last state has its second from now on.
                    executor.set_save(SaveProgress::Pending(last, after));
                }
                (SaveProgress::Pending(last, _) | SaveProgress::Overdue(last), result)
                    if ticket == last =>
                {
                    executor.set_save(match result {
                        Ok(()) => SaveProgress::Saved,
                        Err(SaveFailed) => SaveProgress::Failed(after),
                    });
                }
                // The answer to a state that another has replaced.
                (
                    SaveProgress::Saved
                    | SaveProgress::Pending(..)
                    | SaveProgress::Overdue(_)
                    | SaveProgress::Failed(_),
                    Ok(()) | Err(SaveFailed),
                ) => {}
            }
        });
    }

    /// Changes the progress of a save, reports its status if that is another, and makes the process
    /// that has waited for it.
    fn change_save<K: Kernel>(
        &mut self,
        kernel: &mut K,
        at: Moment,
        unit: UnitId,
        change: impl FnOnce(&mut StepExecutor<'_, K>),
    ) {
        let Some(mut executor) = self.executor(kernel, at, unit) else {
            return;
        };
        let before = executor.found.save.status();
        change(&mut executor);
        let status = executor.found.save.status();
        if status != before {
            executor.kernel.observe_save(at, unit, status);
        }
        if status == SaveStatus::Pending {
            return;
        }
        if let Some(service) = executor.found.waiting_spawn.take() {
            let run = executor.found.state.run();
            let event = executor.spawn(run, service);
            executor.service(run, service);
            if let Some(event) = event {
                self.handle(kernel, at, unit, event, None);
            }
        }
    }

    fn executor<'a, K>(
        &'a mut self,
        kernel: &'a mut K,
        at: Moment,
        unit: UnitId,
    ) -> Option<StepExecutor<'a, K>> {
        let Self { units, agenda, tickets, .. } = self;
        let found = units.get_mut(&unit)?;
        Some(StepExecutor { kernel, agenda, tickets, at, unit, found })
    }

    /// Handles one event, then the events that its commands cause.
    fn handle(
        &mut self,
        kernel: &mut impl Kernel,
        at: Moment,
        unit: UnitId,
        event: Event,
        mut ticket: Option<Ticket>,
    ) {
        let Self { machine, units, agenda, tickets } = self;
        let Some(found) = units.get_mut(&unit) else {
            return;
        };
        let mut executor = StepExecutor { kernel, agenda, tickets, at, unit, found };
        let mut next = Some(event);
        while let Some(event) = next {
            let before = executor.found.state;
            let step = machine.step(&executor.found.policy, before, event);
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
                save: executor.found.save.status(),
                ticket: ticket.take(),
            });
            next = effects.follow_up;
        }
    }
}

/// Executes the commands of one unit's steps.
struct StepExecutor<'a, K> {
    kernel: &'a mut K,
    agenda: &'a mut Agenda,
    tickets: &'a mut u64,
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
        let run = step.state.run();
        let follow_up = self.act(run, step);
        match &mut self.found.waiting_spawn {
            // What belongs to the process is said once it is made.
            Some(waiting) if step.actions.service != ServiceCommand::Keep => {
                *waiting = step.actions.service;
            }
            Some(_) => {}
            None => self.service(run, step.actions.service),
        }
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

    #[inline]
    fn service(&mut self, run: RunId, command: ServiceCommand) {
        if command != ServiceCommand::Keep {
            self.kernel.service(self.at, self.unit, run, command);
        }
    }

    /// Executes the command to the process of a run; returns the event that it causes.
    #[inline]
    fn act(&mut self, run: RunId, step: &Step) -> Option<Event> {
        let (at, unit) = (self.at, self.unit);
        let command = step.actions.process;
        let waited = command != ProcessCommand::Leave && self.found.waiting_spawn.take().is_some();
        match command {
            ProcessCommand::Leave => None,
            ProcessCommand::Spawn => self.spawn(run, step.actions.service),
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
            ProcessCommand::CancelSpawn { signal } => {
                if waited {
                    return Some(Event::StartFailed { run, failure: StartFailure::Transient });
                }
                self.kernel.cancel_spawn(at, unit, run, signal);
                None
            }
            ProcessCommand::Abandon => {
                self.kernel.abandon(at, unit, run);
                None
            }
        }
    }

    /// Makes the process of a run, unless the policy demands a save that is not there.
    ///
    /// If it waits for the save, so does the command that accompanies it.
    fn spawn(&mut self, run: RunId, service: ServiceCommand) -> Option<Event> {
        let required = self.found.policy.rules().save == SaveRule::Required;
        let answer = match self.found.save.status() {
            SaveStatus::Pending if required => {
                self.found.waiting_spawn = Some(service);
                return None;
            }
            SaveStatus::Failed if required => SpawnOutcome::Failed(StartFailure::Transient),
            SaveStatus::Saved | SaveStatus::Pending | SaveStatus::Failed => {
                self.kernel.spawn(self.at, self.unit, run)
            }
        };
        match answer {
            SpawnOutcome::Started => Some(Event::Started { run }),
            SpawnOutcome::Pending => None,
            SpawnOutcome::Failed(failure) => Some(Event::StartFailed { run, failure }),
        }
    }

    fn save(&mut self, state: State) {
        *self.tickets += 1;
        let ticket = Ticket::new(*self.tickets);
        let after = self.at.after(SAVE_AFTER);
        let status = self.kernel.save(self.at, self.unit, state, ticket);
        self.set_save(match status {
            SaveStatus::Saved => SaveProgress::Saved,
            // The second counts from the first state that is not saved.
            SaveStatus::Pending => match self.found.save {
                SaveProgress::Pending(_, at) => SaveProgress::Pending(ticket, at),
                SaveProgress::Overdue(_) => SaveProgress::Overdue(ticket),
                SaveProgress::Saved | SaveProgress::Failed(_) => {
                    SaveProgress::Pending(ticket, after)
                }
            },
            SaveStatus::Failed => SaveProgress::Failed(after),
        });
    }

    fn set_save(&mut self, save: SaveProgress) {
        self.found.save = save;
        if let Some(at) = save.deadline() {
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
    use crate::driver::kernel::ObservedInput;

    /// A kernel with inputs to come, one after the other, and a log of what it is asked.
    struct Script {
        inputs: VecDeque<(u64, DriverInput)>,
        save: SaveStatus,
        calls: Vec<String>,
    }

    const UNIT: UnitId = UnitId::new(0);

    impl Script {
        fn new<const N: usize>(inputs: [(u64, DriverInput); N]) -> Self {
            Self { inputs: inputs.into(), save: SaveStatus::Saved, calls: Vec::new() }
        }

        fn events<const N: usize>(events: [(u64, Event); N]) -> Self {
            Self::new(events.map(|(at, event)| (at, input(event))))
        }
    }

    fn input(event: Event) -> DriverInput {
        DriverInput::Event(UNIT, event)
    }

    impl Kernel for Script {
        fn wait(&mut self, _: Option<Moment>) -> ObservedInput {
            let (at, input) = self.inputs.pop_front().unwrap_or((0, DriverInput::Quit));
            let ticket = matches!(input, DriverInput::Event(_, event) if event.is_request());
            let ticket = ticket.then_some(Ticket::new(at));
            ObservedInput { at: Moment::from_millis(at), input, ticket }
        }

        fn spawn(&mut self, _: Moment, _: UnitId, run: RunId) -> SpawnOutcome {
            self.calls.push(format!("spawn {run}"));
            SpawnOutcome::Started
        }

        fn cancel_spawn(&mut self, _: Moment, _: UnitId, run: RunId, signal: Signal) {
            self.calls.push(format!("cancel-spawn {run} {signal}"));
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

        fn service(&mut self, _: Moment, _: UnitId, _: RunId, command: ServiceCommand) {
            self.calls.push(format!("{command:?}"));
        }

        fn save(&mut self, _: Moment, _: UnitId, _: State, ticket: Ticket) -> SaveStatus {
            self.calls.push(format!("save {}", ticket.as_u64()));
            self.save
        }

        fn watchdog(&mut self, _: UnitId, run: RunId) -> Option<Millis> {
            // As if the policy had got its watchdog between the first two runs.
            (run > RunId::new(1)).then_some(Millis::from_secs(30))
        }

        fn draw(&mut self, _: Millis) -> Millis {
            Millis::ZERO
        }

        fn observe(&mut self, report: &Report<'_>) {
            let Report { event, ticket, .. } = report;
            let ticket = ticket.map_or_else(String::new, |ticket| format!(" by {ticket}"));
            self.calls.push(format!("{event}{ticket}"));
        }

        fn observe_save(&mut self, at: Moment, _: UnitId, status: SaveStatus) {
            self.calls.push(format!("{at} {status:?}"));
        }
    }

    /// Runs a driver with one unit of this policy over a kernel; returns the last phase.
    fn run(policy: &str, kernel: &mut Script) -> Option<Phase> {
        let mut driver = Driver::new();
        driver.add_unit(UNIT, Arc::new(policy.parse().unwrap()), State::INITIAL);
        while driver.turn(kernel) {}
        driver.state(UNIT).map(State::phase)
    }

    /// A monitor that was suspended finds the ping and the deadline at one wake.
    #[test]
    fn what_is_readable_counts_before_a_deadline_that_is_due() {
        let second = RunId::new(2);
        let mut kernel = Script::new([
            (0, input(Event::StartRequested)),
            (0, input(Event::Exited { run: RunId::new(1), exit: Exit::Code(1) })),
            (0, input(Event::RetryRequested)),
            (90_000, input(Event::Ping { run: second })),
            (90_000, DriverInput::DeadlineReached),
        ]);
        let phase = run("restart=always healthy-after=none watchdog=2s", &mut kernel);
        assert_eq!(phase, Some(Phase::Running), "{:#?}", kernel.calls);
    }

    #[test]
    fn a_ticket_comes_back_with_the_report_of_its_request_alone() {
        let mut kernel = Script::events([(7, Event::StartRequested)]);
        run("", &mut kernel);
        assert_eq!(
            kernel.calls,
            ["save 1", "spawn #1", "start by ticket 7", "save 2", "Begin", "started #1"]
        );
    }

    fn saved(ticket: u64, result: Result<(), SaveFailed>) -> DriverInput {
        DriverInput::Saved(UNIT, Ticket::new(ticket), result)
    }

    /// Runs a unit whose spawns need a save over a store that answers later.
    fn run_slow_store<const N: usize>(
        inputs: [(u64, DriverInput); N],
    ) -> (Option<Phase>, Vec<String>) {
        let mut kernel = Script { save: SaveStatus::Pending, ..Script::new(inputs) };
        let phase = run("save=required first-start=never", &mut kernel);
        kernel.calls.retain(|call| !call.starts_with("save"));
        (phase, kernel.calls)
    }

    #[test]
    fn a_spawn_that_needs_a_save_waits_for_it() {
        let (phase, calls) = run_slow_store([
            (0, input(Event::StartRequested)),
            (10, saved(7, Ok(()))),
            (400, saved(1, Ok(()))),
        ]);
        assert_eq!(phase, Some(Phase::Running));
        assert_eq!(calls, ["start by ticket 0", "0.400s Saved", "spawn #1", "Begin", "started #1"]);
    }

    #[test]
    fn a_spawn_that_needs_a_save_fails_with_it() {
        for (at, answer, told) in [
            (400, saved(1, Err(SaveFailed)), "0.400s Failed"),
            (1_000, DriverInput::DeadlineReached, "1.000s Failed"),
        ] {
            let (phase, calls) = run_slow_store([(0, input(Event::StartRequested)), (at, answer)]);
            assert_eq!(phase, Some(Phase::Stopped));
            let failed = ["End", "start-failed #1 transient", "released #1"];
            assert_eq!(calls, [&["start by ticket 0", told], &failed[..]].concat());
        }
    }

    #[test]
    fn a_stop_cancels_a_spawn_that_waits_for_its_save() {
        let (phase, calls) = run_slow_store([
            (0, input(Event::StartRequested)),
            (10, input(Event::stop())),
            (400, saved(1, Ok(()))),
            (400, saved(4, Ok(()))),
        ]);
        assert_eq!(phase, Some(Phase::Stopped));
        let ended = ["start-failed #1 transient", "released #1", "0.400s Saved"];
        let stopped = ["start by ticket 0", "End", "stop by ticket 10"];
        assert_eq!(calls, [&stopped[..], &ended[..]].concat());
    }

    /// Another policy may wait for readiness while the spawn waits for its save.
    #[test]
    fn the_last_word_on_readiness_goes_with_a_spawn_that_has_waited() {
        let notify: Policy = "save=required readiness=notify".parse().unwrap();
        let (_, calls) = run_slow_store([
            (0, input(Event::StartRequested)),
            (10, DriverInput::PolicyChanged(UNIT, Arc::new(notify))),
            (400, saved(1, Ok(()))),
        ]);
        assert_eq!(calls[3..5], ["spawn #1", "AwaitReady"], "{calls:?}");
    }

    /// A disk that hangs is noticed although each new state is saved anew.
    #[test]
    fn new_states_do_not_put_off_the_failure_of_a_save() {
        let reset = |at| (at, input(Event::ResetRequested));
        let change = |at| (at, input(Event::stop()));
        let (_, calls) = run_slow_store([
            (0, input(Event::stop())),
            (600, input(Event::shutdown())),
            change(900),
            (1_000, DriverInput::DeadlineReached),
            reset(1_100),
            (1_200, saved(1, Ok(()))),
        ]);
        let told: Vec<_> = calls.iter().filter(|call| call.contains("s ")).collect();
        assert_eq!(told, ["1.000s Failed", "1.200s Saved"], "{calls:?}");
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
        let mut kernel = Script::events([
            (0, Event::StartRequested),
            (10, Event::Exited { run, exit: Exit::Code(1) }),
            (20, Event::stop()),
        ]);
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
        let mut kernel = Script::events([
            (0, Event::StartRequested),
            (10, Event::Ping { run: first }),
            (20, Event::Exited { run: first, exit: Exit::Code(1) }),
            (30, Event::RetryRequested),
            (40, Event::Ping { run: second }),
        ]);
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
            let mut kernel = Script::events([
                (0, Event::StartRequested),
                (1_000, extended(2)),
                (2_000, extended(20)),
                (3_000, extended(1)),
            ]);
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
        let mut kernel = Script::new([
            (0, input(Event::StartRequested)),
            (9_999, DriverInput::DeadlineReached),
            (10_000, DriverInput::DeadlineReached),
        ]);
        let mut seen = Vec::new();
        while driver.turn(&mut kernel) {
            let phase = driver.state(UNIT).map(State::phase);
            seen.push((phase, driver.next_deadline().map(Moment::as_millis)));
        }
        let activating = (Some(Phase::Activating), Some(10_000));
        assert_eq!(seen, [activating, activating, (Some(Phase::Stopping), Some(15_000))]);
    }
}
