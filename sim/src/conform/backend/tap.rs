//! The tap: a kernel around the backend, which makes the requests and checks the answers.

use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

use monitor_core::{Millis, Outcome, Remains, RunId, Scope, ServiceCommand, Signal, State};
use monitor_os::{
    DriverInput, Kernel, Moment, ObservedInput, Report, SaveStatus, SignalOutcome, SpawnOutcome,
    Ticket, UnitId, now,
};

use super::children::Child;
use super::finding::Rule;
use super::scenario::{Act, Cue};
use super::watch::Watch;

/// A backend, and the scenario that is played on it.
#[derive(Debug)]
pub(super) struct Tap<'a, K> {
    backend: K,
    watch: &'a mut Watch,
    /// The units that the driver does not have yet.
    units: VecDeque<DriverInput>,
    acts: VecDeque<Act>,
    releases_twice: bool,
    patience: Millis,
    /// When the scenario went on last.
    moved: Moment,
    clock: Option<Clock>,
    /// The moment that was observed last.
    observed: Moment,
    /// When the acts were over.
    over: Option<Moment>,
}

/// The clock of the backend, beside that of the kit.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// A moment of the backend.
    moment: Moment,
    /// The kit's time before and after the backend read that moment.
    before: Moment,
    after: Moment,
}

impl Clock {
    /// The latest moment that the backend can have now.
    fn latest(self) -> Moment {
        plus(self.moment, since(self.before))
    }

    /// The earliest moment that the backend can have now.
    fn earliest(self) -> Moment {
        plus(self.moment, since(self.after))
    }
}

/// Nanoseconds since an earlier moment of the kit.
fn since(earlier: Moment) -> u64 {
    now().nanos_since(earlier)
}

const fn plus(moment: Moment, nanos: u64) -> Moment {
    Moment::from_nanos(moment.as_nanos().saturating_add(nanos))
}

impl<'a, K: Kernel> Tap<'a, K> {
    pub(super) fn new(
        backend: K,
        watch: &'a mut Watch,
        acts: Vec<Act>,
        releases_twice: bool,
        patience: Millis,
    ) -> Self {
        Self {
            backend,
            watch,
            units: VecDeque::new(),
            acts: acts.into(),
            releases_twice,
            patience,
            moved: now(),
            clock: None,
            observed: Moment::ORIGIN,
            over: None,
        }
    }

    /// Adds units, before the scenario begins.
    pub(super) fn add(&mut self, units: Vec<DriverInput>) {
        self.units.extend(units);
    }

    /// Does what the scenario does next; `None` if it waits.
    fn next_input(&mut self) -> Option<DriverInput> {
        if let Some(unit) = self.units.pop_front() {
            return Some(unit);
        }
        if self.watch.is_found() {
            return Some(DriverInput::Quit);
        }
        loop {
            match self.acts.front().copied() {
                Some(Act::Request(unit, event)) => {
                    self.go_on();
                    return Some(DriverInput::Event(id(unit), event));
                }
                Some(Act::AwaitUnread(cue)) => {
                    let end = now().after(UNREAD_MAX);
                    // A backend that makes its processes while it waits makes none in this time.
                    while !self.holds(cue) && now() < end {
                        thread::park_timeout(Duration::from_millis(1));
                    }
                    self.go_on();
                }
                Some(Act::Await(cue)) if self.holds(cue) => self.go_on(),
                Some(Act::Await(cue)) => {
                    if now() < self.moved.after(self.patience) {
                        return None;
                    }
                    if !self.watch.find_owed() {
                        let (expected, seen) = self.describe(cue);
                        self.watch.find(Rule::ANSWERED_BY_EVENT, expected, seen);
                    }
                    return Some(DriverInput::Quit);
                }
                None => return self.end(),
            }
        }
    }

    fn go_on(&mut self) {
        self.acts.pop_front();
        self.moved = now();
    }

    /// Ends the scenario when everything is answered and nothing more has come for a while.
    fn end(&mut self) -> Option<DriverInput> {
        let over = *self.over.get_or_insert_with(now);
        if self.watch.owes() && now() < over.after(self.patience) || now() < over.after(LINGER) {
            return None;
        }
        self.watch.find_owed();
        Some(DriverInput::Quit)
    }

    fn holds(&mut self, cue: Cue) -> bool {
        self.watch.read_children();
        let (Cue::Armed(unit, _)
        | Cue::Received(unit, _)
        | Cue::MemberReceived(unit, _)
        | Cue::Ended(unit)
        | Cue::InPhase(unit, _)
        | Cue::Down(unit)
        | Cue::DownWith(unit, _)) = cue;
        let Some(found) = self.watch.unit(id(unit)) else { return false };
        let last = found.children.last();
        match cue {
            Cue::Armed(_, nth) => found.children.get(nth - 1).is_some_and(|child| child.is_armed),
            Cue::Received(_, signal) => last.is_some_and(|child| child.received.contains(&signal)),
            Cue::MemberReceived(_, signal) => {
                let mut members = last.into_iter().flat_map(|child| &child.members);
                members.any(|member| member.received.contains(&signal))
            }
            Cue::Ended(_) => last.is_some_and(|child| child.ends.is_some() && !child.is_alive()),
            Cue::InPhase(_, phase) => found.phase == phase,
            Cue::Down(_) => found.phase.is_down() && !found.runs.is_empty(),
            Cue::DownWith(_, exit) => {
                found.phase.is_down() && found.outcome == Outcome::Exited(exit)
            }
        }
    }

    /// What a cue waits for, and what there is.
    fn describe(&self, cue: Cue) -> (String, String) {
        let (Cue::Armed(unit, _)
        | Cue::Received(unit, _)
        | Cue::MemberReceived(unit, _)
        | Cue::Ended(unit)
        | Cue::InPhase(unit, _)
        | Cue::Down(unit)
        | Cue::DownWith(unit, _)) = cue;
        let expected = match cue {
            Cue::Armed(_, nth) => format!("process {nth} of {} goes on", id(unit)),
            Cue::Received(_, signal) => format!("{signal} reaches {}", id(unit)),
            Cue::MemberReceived(_, signal) => format!("{signal} reaches a member of {}", id(unit)),
            Cue::Ended(_) => format!("the process of {} ends", id(unit)),
            Cue::InPhase(_, phase) => format!("{} is {}", id(unit), phase.name()),
            Cue::Down(_) => format!("{} is down", id(unit)),
            Cue::DownWith(_, exit) => format!("{} is down after {exit}", id(unit)),
        };
        let seen = self.watch.unit(id(unit)).map_or_else(String::new, |found| {
            let living = found.children.iter().filter(|child| Child::is_alive(child)).count();
            let began = found.children.len();
            let (phase, outcome) = (found.phase.name(), found.outcome);
            format!("{phase}, outcome {outcome}, {began} processes began, {living} run")
        });
        (expected, seen)
    }

    /// Learns the time of the backend.
    fn begin(&mut self) {
        let before = now();
        let observed = self.backend.wait(Some(Moment::ORIGIN));
        let moment = observed.at;
        self.clock = Some(Clock { moment, before, after: now() });
        self.observed = moment;
        if observed.input != DriverInput::DeadlineReached {
            let seen = format!("{:?}", observed.input);
            self.watch.find(Rule::DEADLINES, "a deadline in the past is reached at once", seen);
        }
    }

    /// Lets the backend wait; `None` if the input is none for the driver.
    fn wait_for_backend(&mut self, deadline: Option<Moment>) -> Option<DriverInput> {
        let earliest = self.clock.map_or(self.observed, Clock::earliest).max(self.observed);
        let poll = earliest.after(POLL);
        let until = deadline.map_or(poll, |deadline| deadline.min(poll));
        let ObservedInput { at, input, .. } = self.backend.wait(Some(until));
        let latest = self.clock.map_or(at, Clock::latest);
        if at < self.observed {
            let expected = "a moment is never earlier than the one before it";
            let by = self.observed.nanos_since(at) / 1_000;
            self.watch.find(Rule::MOMENTS, expected, format!("earlier by {by} us"));
        }
        self.observed = self.observed.max(at);
        match input {
            DriverInput::DeadlineReached => {
                let early = until.nanos_since(at.min(latest)) / 1_000;
                if early > 0 {
                    let expected = "a deadline is reported when it is reached, and not before";
                    self.watch.find(Rule::DEADLINES, expected, format!("early by {early} us"));
                }
                deadline.filter(|&deadline| deadline <= at).map(|_| input)
            }
            DriverInput::Event(unit, event) => {
                self.watch.event(unit, event).then_some(DriverInput::Event(unit, event))
            }
            DriverInput::Saved(unit, ticket, result) => {
                let saves = self.watch.unit_mut(unit).map(|found| &mut found.saves);
                if !saves.is_some_and(|saves| saves.remove(&ticket)) {
                    let expected = "one answer to each save that is pending";
                    let seen = format!("an answer to {ticket} of {unit}");
                    self.watch.find(Rule::SAVES, expected, seen);
                    return None;
                }
                Some(DriverInput::Saved(unit, ticket, result))
            }
            DriverInput::UnitAdded(..)
            | DriverInput::PolicyChanged(..)
            | DriverInput::UnitRemoved(_)
            | DriverInput::Quit => {
                let expected = "facts and deadlines: the requests are those of the scenario";
                self.watch.find(Rule::REQUESTS, expected, format!("{input:?}"));
                None
            }
        }
    }
}

impl<K: Kernel> Kernel for Tap<'_, K> {
    fn spawn(&mut self, at: Moment, unit: UnitId, run: RunId) -> SpawnOutcome {
        self.watch.spawns(unit, run);
        let outcome = self.backend.spawn(at, unit, run);
        self.watch.spawn_answered(unit, run, outcome);
        outcome
    }

    fn cancel_spawn(&mut self, at: Moment, unit: UnitId, run: RunId, signal: Signal) {
        // A program that runs already may have it.
        self.watch.signalled(unit, run, (signal, Scope::Group), SignalOutcome::Sent);
        self.backend.cancel_spawn(at, unit, run, signal);
    }

    fn signal(
        &mut self,
        at: Moment,
        unit: UnitId,
        run: RunId,
        signal: Signal,
        scope: Scope,
    ) -> SignalOutcome {
        let outcome = self.backend.signal(at, unit, run, signal, scope);
        self.watch.signalled(unit, run, (signal, scope), outcome);
        outcome
    }

    fn release(
        &mut self,
        at: Moment,
        unit: UnitId,
        run: RunId,
        signal: Option<Signal>,
        scope: Scope,
    ) -> Option<Remains> {
        let mut answer = None;
        for _ in 0..=usize::from(self.releases_twice) {
            self.watch.releases(unit, run, signal, scope);
            let remains = self.backend.release(at, unit, run, signal, scope);
            if let Some(remains) = remains {
                self.watch.released(unit, run, remains);
            }
            answer = answer.or(remains);
        }
        answer
    }

    fn abandon(&mut self, at: Moment, unit: UnitId, run: RunId) {
        if let Some(found) = self.watch.run_mut(unit, run) {
            found.is_abandoned = true;
        }
        self.backend.abandon(at, unit, run);
    }

    fn service(&mut self, at: Moment, unit: UnitId, run: RunId, command: ServiceCommand) {
        self.backend.service(at, unit, run, command);
    }

    fn save(&mut self, at: Moment, unit: UnitId, state: State, ticket: Ticket) -> SaveStatus {
        let status = self.backend.save(at, unit, state, ticket);
        if status == SaveStatus::Pending
            && let Some(found) = self.watch.unit_mut(unit)
        {
            found.saves.insert(ticket);
        }
        status
    }

    fn watchdog(&mut self, unit: UnitId, run: RunId) -> Option<Millis> {
        self.backend.watchdog(unit, run)
    }

    fn draw(&mut self, jitter: Millis) -> Millis {
        let drawn = self.backend.draw(jitter);
        if drawn > jitter {
            self.watch.find(Rule::JITTER, format!("from 0 to {jitter}"), drawn.to_string());
        }
        drawn
    }

    fn observe(&mut self, report: &Report<'_>) {
        if let Some(found) = self.watch.unit_mut(report.unit) {
            found.phase = report.step.state.phase();
            found.outcome = report.step.state.outcome();
        }
        self.backend.observe(report);
    }

    fn observe_save(&mut self, at: Moment, unit: UnitId, status: SaveStatus) {
        self.backend.observe_save(at, unit, status);
    }

    fn wait(&mut self, deadline: Option<Moment>) -> ObservedInput {
        if self.clock.is_none() {
            self.begin();
        }
        loop {
            if let Some(input) = self.next_input() {
                return ObservedInput::new(self.observed, input);
            }
            if let Some(input) = self.wait_for_backend(deadline) {
                return ObservedInput::new(self.observed, input);
            }
        }
    }
}

const fn id(unit: usize) -> UnitId {
    UnitId::new(unit as u32)
}

/// How often the kit looks for what it waits for.
const POLL: Millis = Millis::new(5);

/// How long the backend reads nothing, at most.
const UNREAD_MAX: Millis = Millis::from_secs(2);

/// How long a late event is awaited at the end.
const LINGER: Millis = Millis::new(60);
