//! The virtual kernel: processes that follow scripts, on a clock that jumps from event to event.

use std::collections::BTreeSet;

use monitor_core::{
    Event, Exit, Found, Grace, Millis, Outcome, Phase, Policy, Remains, RunId, Scope, Signal,
    State, Step, StopMode,
};
use monitor_os::{
    Driver, Happening, Kernel, Machine, Moment, Occurrence, Report, SaveFailed, Signalled, Spawned,
    UnitId,
};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::case::{Case, OnStop, Script, Start, What};
use crate::watch::{Property, Watch};

/// One step of a trace: what was told when, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceLine {
    /// When the event was observed.
    pub at: Moment,
    /// What the machine was told.
    pub event: Event,
    /// The state before.
    pub before: State,
    /// The machine's answer.
    pub step: Step,
    /// The policy in force.
    pub policy: Policy,
}

/// What a run of a case has shown.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Every step, in order.
    pub trace: Vec<TraceLine>,
    /// The first property that was violated; by the last line of the trace, or by its end.
    pub violated: Option<Property>,
}

/// Runs a case through `machine` under the driver, until nothing more can happen, or for
/// `steps_max` steps.
pub fn run(case: &Case, machine: impl Machine, steps_max: usize) -> Verdict {
    let mut driver = Driver::with_machine(machine);
    let mut world = World::new(case, steps_max);
    driver.run(&mut world);
    if world.violated.is_none() && world.trace.len() < steps_max {
        world.violated = world.judge_the_end(driver.state(UNIT).unwrap_or_default());
    }
    Verdict { trace: world.trace, violated: world.violated }
}

/// The only unit of a case.
const UNIT: UnitId = UnitId::new(0);

/// A time by which every lawful stop is over and every loop has shown itself.
const HORIZON: Moment = Moment::from_millis(100 * 24 * 3_600_000);

#[derive(Debug)]
struct World<'a> {
    case: &'a Case,
    now: Moment,
    /// What is going to happen, in order; the number breaks ties by age.
    agenda: BTreeSet<(Moment, u64, Turn)>,
    age: u64,
    next_input: usize,
    joined: bool,
    spawned: usize,
    process: Option<Process>,
    rng: Pcg64Mcg,
    watch: Watch,
    policy: Policy,
    /// The state by the last step, and the one that was saved last.
    state: State,
    saved: State,
    /// What a monitor that was started again has found and is not told yet.
    found: Option<Event>,
    trace: Vec<TraceLine>,
    violated: Option<Property>,
    steps_max: usize,
}

/// Something that the world does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Acknowledge(RunId),
    FailStart(RunId),
    Die(RunId, Exit),
    LeftoverDies(RunId),
    Ready(RunId),
    Ping(RunId),
    Unhealthy(RunId),
}

#[derive(Clone, Copy, Debug)]
struct Process {
    run: RunId,
    script: Script,
    /// How it ended; `None` while it lives. A failed start is dead from the beginning.
    ended: Option<Exit>,
    /// Whether what it left is still there.
    leftover: bool,
    /// Whether the driver waits for the leftover to be gone.
    releasing: bool,
    released: bool,
}

impl<'a> World<'a> {
    fn new(case: &'a Case, steps_max: usize) -> Self {
        Self {
            case,
            now: Moment::ORIGIN,
            agenda: BTreeSet::new(),
            age: 0,
            next_input: 0,
            joined: false,
            spawned: 0,
            process: None,
            rng: Pcg64Mcg::seed_from_u64(case.seed),
            watch: Watch::default(),
            policy: case.policy,
            state: State::INITIAL,
            saved: State::INITIAL,
            found: None,
            trace: Vec::new(),
            violated: None,
            steps_max,
        }
    }

    fn plan(&mut self, at: Moment, turn: Turn) {
        self.age += 1;
        self.agenda.insert((at, self.age, turn));
    }

    fn violate(&mut self, property: Property) {
        self.violated.get_or_insert(property);
    }

    /// The process that a command means, if it is there to be meant.
    fn target(&mut self, run: RunId) -> Option<&mut Process> {
        self.process.as_mut().filter(|process| process.run == run && !process.released)
    }

    const fn occur(&mut self, at: Moment, happening: Happening) -> Occurrence {
        self.now = at;
        Occurrence { at, happening }
    }

    /// Whether a fact told from outside contradicts what is the case. News of a run that is over, and
    /// doubled news, are no lies.
    fn is_lie(&self, event: Event) -> bool {
        let Some(process) = self.process else { return event.run().is_some() };
        if event.run().is_some_and(|run| run > process.run) {
            return true;
        }
        let current = event.run() == Some(process.run);
        let failed = matches!(process.script.start, Start::Fails(..));
        match event {
            Event::Exited { .. } => current && (process.ended.is_none() || failed),
            Event::Started { .. } | Event::Ready { .. } => current && failed,
            Event::StartFailed { .. } => current && !failed,
            Event::Released { .. } => current && !process.released,
            Event::TimerFired { .. } | Event::Recovered { .. } => current,
            Event::StartRequested
            | Event::StopRequested { .. }
            | Event::RestartRequested { .. }
            | Event::SignalRequested { .. }
            | Event::PolicyChanged
            | Event::ResetRequested
            | Event::RetryRequested
            | Event::Ping { .. }
            | Event::Unhealthy { .. } => false,
        }
    }

    /// Lets the world take its next turn; returns what the driver is told of it, if anything.
    fn take(&mut self, at: Moment, turn: Turn) -> Option<Event> {
        let process = self.process.as_mut()?;
        let alive = process.ended.is_none();
        match turn {
            Turn::Acknowledge(run) => Some(Event::Started { run }),
            Turn::FailStart(run) => match process.script.start {
                Start::Fails(_, failure) => Some(Event::StartFailed { run, failure }),
                Start::After(_) => None,
            },
            Turn::Die(run, exit) => (process.run == run && alive).then(|| {
                process.ended = Some(exit);
                Event::Exited { run, exit }
            }),
            Turn::LeftoverDies(run) => {
                if process.run != run || !process.leftover {
                    return None;
                }
                process.leftover = false;
                process.releasing.then(|| {
                    process.releasing = false;
                    process.released = true;
                    Event::Released { run, remains: Remains::Nothing }
                })
            }
            Turn::Ready(run) => (process.run == run && alive).then_some(Event::Ready { run }),
            Turn::Unhealthy(run) => {
                (process.run == run && alive).then_some(Event::Unhealthy { run })
            }
            Turn::Ping(run) => {
                let beats = process.script.pings.filter(|_| process.run == run && alive)?;
                // A process that pings for ever would keep the world awake for ever.
                if self.trace.len() < self.steps_max {
                    self.plan(at.after(beats), Turn::Ping(run));
                }
                Some(Event::Ping { run })
            }
        }
    }

    /// Kills the monitor, if that leaves it with something to find, and starts it again.
    fn crash(&mut self, reboot: bool) -> Option<Happening> {
        let run = self.saved.run();
        let process = self.process.as_mut().filter(|process| process.run == run)?;
        if self.saved != self.state {
            // A process that no saved state knows of is nobody's.
            return None;
        }
        let found = if reboot {
            process.ended.get_or_insert(Exit::Unknown);
            process.leftover = false;
            Found::Rebooted
        } else {
            match process.ended {
                None => Found::Alive,
                Some(_) if matches!(process.script.start, Start::Fails(..)) => Found::Gone,
                Some(exit) => Found::Exited(exit),
            }
        };
        self.found = Some(Event::Recovered { run, found });
        self.watch = self.watch.after_crash();
        Some(Happening::Joined(UNIT, self.policy, self.saved))
    }

    fn ask_to_stop(&mut self, at: Moment, run: RunId, signal: Signal, scope: Scope) {
        let Some(process) = self.target(run) else { return };
        let Process { script, ended, leftover, .. } = *process;
        let kill = signal == Signal::KILL;
        let dies = |on_stop| match on_stop {
            _ if kill => Some(Millis::ZERO),
            OnStop::Dies(delay) => Some(delay),
            OnStop::Ignores => None,
        };
        if ended.is_none()
            && let Some(delay) = dies(script.on_stop)
        {
            self.plan(at.after(delay), Turn::Die(run, Exit::Signal(signal)));
        }
        if leftover
            && scope == Scope::Group
            && let Some(delay) = script.leaves.and_then(dies)
        {
            self.plan(at.after(delay), Turn::LeftoverDies(run));
        }
    }

    /// Judges a world in which nothing more can happen.
    fn judge_the_end(&self, state: State) -> Option<Property> {
        let alive = self.process.is_some_and(|process| process.ended.is_none());
        let phase = state.phase();
        let patient = self.may_wait_for_ever();
        if self.watch.is_stopping() && !phase.is_down() && !patient {
            return Some(Property::StopEnds);
        }
        let waits_for_life = phase.is_live() && alive;
        let waits_for_ever = patient && matches!(phase, Phase::Releasing | Phase::Stopping);
        if !phase.is_down() && !waits_for_life && !waits_for_ever {
            return Some(Property::NoLimbo);
        }
        if phase.is_down() && alive {
            return Some(Property::StoppedMeansGone);
        }
        None
    }

    /// Whether a stop without a kill may have begun: by a wish, or under a policy that has none. A stop
    /// keeps the grace with which it began.
    fn may_wait_for_ever(&self) -> bool {
        let endless = |policy: &Policy| policy.rules().stop.grace.is_none();
        endless(&self.case.policy)
            || self.case.inputs.iter().any(|input| match input.what {
                What::Amend(policy) => endless(&policy),
                What::Crash | What::Reboot => false,
                What::Tell(Event::StopRequested { mode, .. }) => {
                    mode == StopMode::Graceful(Grace::Never)
                }
                What::Tell(event) => event == Event::RestartRequested { grace: Grace::Never },
            })
    }
}

impl Kernel for World<'_> {
    fn spawn(&mut self, at: Moment, _unit: UnitId, run: RunId) -> Spawned {
        if self.process.is_some_and(|old| old.ended.is_none()) {
            self.violate(Property::OneIncarnation);
        }
        if self.violated.is_some() || self.trace.len() >= self.steps_max {
            // A machine that answers a failed start with the next one would never come back to wait.
            return Spawned::Pending;
        }
        let script = self.case.script(self.spawned);
        self.spawned += 1;
        let fails = matches!(script.start, Start::Fails(..));
        self.process = Some(Process {
            run,
            script,
            ended: fails.then_some(Exit::Unknown),
            leftover: script.leaves.is_some() && !fails,
            releasing: false,
            released: false,
        });
        match script.start {
            Start::Fails(Millis::ZERO, failure) => return Spawned::Failed(failure),
            Start::Fails(delay, _) => {
                self.plan(at.after(delay), Turn::FailStart(run));
                return Spawned::Pending;
            }
            Start::After(_) => {}
        }
        if let Some(lives) = script.lives {
            self.plan(at.after(lives), Turn::Die(run, script.exits));
        }
        if let Some(ready) = script.ready {
            self.plan(at.after(ready), Turn::Ready(run));
        }
        if let Some(beats) = script.pings {
            self.plan(at.after(beats), Turn::Ping(run));
        }
        if let Some(unhealthy) = script.unhealthy {
            self.plan(at.after(unhealthy), Turn::Unhealthy(run));
        }
        match script.start {
            Start::After(delay) if delay > Millis::ZERO => {
                self.plan(at.after(delay), Turn::Acknowledge(run));
                Spawned::Pending
            }
            Start::After(_) | Start::Fails(..) => Spawned::Started,
        }
    }

    fn signal(
        &mut self,
        at: Moment,
        _unit: UnitId,
        run: RunId,
        signal: Signal,
        scope: Scope,
    ) -> Signalled {
        // Released, and the driver not told yet: nobody is there to be reached.
        let Some(process) = self.target(run) else { return Signalled::Gone(Exit::Unknown) };
        if scope == Scope::Process && process.ended.is_some() {
            // A zombie takes any signal and does nothing.
            return Signalled::Sent;
        }
        if signal != Signal::HUP {
            self.ask_to_stop(at, run, signal, scope);
        }
        Signalled::Sent
    }

    fn release(
        &mut self,
        at: Moment,
        _unit: UnitId,
        run: RunId,
        signal: Option<Signal>,
        scope: Scope,
    ) -> Option<Remains> {
        if let Some(signal) = signal {
            self.ask_to_stop(at, run, signal, scope);
        }
        let Some(process) = self.target(run) else { return Some(Remains::Nothing) };
        if process.ended.is_none() {
            self.violate(Property::ReleasedOnce);
            return None;
        }
        match (process.leftover, scope) {
            (true, Scope::Group) => {
                process.releasing = true;
                None
            }
            (leaked, _) => {
                process.released = true;
                Some(if leaked { Remains::Leaked } else { Remains::Nothing })
            }
        }
    }

    fn save(&mut self, at: Moment, _unit: UnitId, state: State) -> Result<(), SaveFailed> {
        if at < Moment::ORIGIN.after(self.case.saves_fail_until) {
            return Err(SaveFailed);
        }
        self.saved = state;
        Ok(())
    }

    fn draw(&mut self, jitter: Millis) -> Millis {
        Millis::new(self.rng.random_range(0..=jitter.as_u32()))
    }

    fn tell(&mut self, report: &Report<'_>) {
        if self.violated.is_some() {
            return;
        }
        self.policy = *report.policy;
        self.state = report.step.state;
        self.trace.push(TraceLine {
            at: report.at,
            event: report.event,
            before: report.before,
            step: report.step,
            policy: self.policy,
        });
        let judged = self.watch.observe(report.policy, report.before, report.event, report.step);
        if let Err(property) = judged {
            self.violate(property);
        } else if let Outcome::Exited(told) = report.step.state.outcome()
            && let Some(process) = self.process
            && process.run == report.step.state.run()
            && process.ended.is_some_and(|truth| truth != told)
        {
            self.violate(Property::FirstStatusStands);
        }
    }

    fn wait(&mut self, deadline: Option<Moment>) -> Occurrence {
        if self.violated.is_some() || self.trace.len() >= self.steps_max || self.now > HORIZON {
            return self.occur(self.now, Happening::Quit);
        }
        if !self.joined {
            self.joined = true;
            let joined = Happening::Joined(UNIT, self.case.policy, State::INITIAL);
            return self.occur(self.now, joined);
        }
        if let Some(event) = self.found.take() {
            return self.occur(self.now, Happening::Told(UNIT, event));
        }
        let late = self.case.timers_late;
        loop {
            let due = deadline.map(|at| at.after(late).max(self.now));
            let turn = self.agenda.first().map(|&(at, _, _)| at);
            let input = self.case.inputs.get(self.next_input);
            let asked = input.map(|input| Moment::ORIGIN.after(input.at).max(self.now));
            let Some(next) = [due, turn, asked].into_iter().flatten().min() else {
                return self.occur(self.now, Happening::Quit);
            };
            if due == Some(next) {
                return self.occur(next, Happening::Due);
            }
            if asked == Some(next) {
                let crash =
                    input.is_some_and(|input| matches!(input.what, What::Crash | What::Reboot));
                if crash && deadline.is_some_and(|at| at <= next) {
                    // What is due comes before a crash, as it comes before any event.
                    return self.occur(next, Happening::Due);
                }
                self.next_input += 1;
                match input.map(|input| input.what) {
                    Some(What::Tell(event)) if self.is_lie(event) => continue,
                    Some(What::Tell(event)) => {
                        return self.occur(next, Happening::Told(UNIT, event));
                    }
                    Some(What::Amend(policy)) => {
                        return self.occur(next, Happening::Amended(UNIT, policy));
                    }
                    Some(what @ (What::Crash | What::Reboot)) => {
                        match self.crash(what == What::Reboot) {
                            Some(joined) => return self.occur(next, joined),
                            None => continue,
                        }
                    }
                    None => continue,
                }
            }
            if let Some((at, _, turn)) = self.agenda.pop_first()
                && let Some(event) = self.take(at, turn)
            {
                return self.occur(at, Happening::Told(UNIT, event));
            }
        }
    }
}
