//! A backend with one planted bug.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use monitor_core::{Event, Exit, Millis, Remains, RunId, Scope, ServiceCommand, Signal, State};
use monitor_os::{
    DriverInput, Kernel, Moment, ObservedInput, Report, SaveStatus, SignalOutcome, SpawnOutcome,
    Ticket, UnitId,
};
use rustix::fs::{Mode, OFlags, open};

use super::mutant::MutantKind;

/// A backend, and the bug between it and its caller.
#[derive(Debug)]
pub(super) struct Mutated<K> {
    backend: K,
    kind: MutantKind,
    /// Events that the bug makes up, which come next.
    queue: VecDeque<DriverInput>,
    waits: u64,
    last: Moment,
    has_made_up: bool,
    /// Descriptors that each program inherits.
    leaked: Vec<OwnedFd>,
}

impl<K: Kernel> Mutated<K> {
    pub(super) const fn new(backend: K, kind: MutantKind) -> Self {
        Self {
            backend,
            kind,
            queue: VecDeque::new(),
            waits: 0,
            last: Moment::ORIGIN,
            has_made_up: false,
            leaked: Vec::new(),
        }
    }

    /// Changes an event; `None` if it is not reported.
    fn change(&mut self, unit: UnitId, event: Event) -> Option<Event> {
        match (self.kind, event) {
            (MutantKind::ExitToldTwice, Event::Exited { run, exit }) => {
                let other = if exit == Exit::Code(0) { Exit::Code(1) } else { Exit::Code(0) };
                self.add(unit, Event::Exited { run, exit: other });
            }
            (MutantKind::ExitNeverTold, Event::Exited { .. })
            | (MutantKind::StartFailureDropped, Event::StartFailed { .. })
            | (MutantKind::StartedNeverTold, Event::Started { .. })
            | (MutantKind::ReadyDropped, Event::Ready { .. })
            | (MutantKind::ReleaseNeverTold, Event::Released { .. }) => return None,
            (MutantKind::ExitOfAnotherStatus, Event::Exited { run, .. }) => {
                return Some(Event::Exited { run, exit: Exit::Code(0) });
            }
            (MutantKind::ExitWhileItRuns, Event::Started { run }) => {
                self.add(unit, Event::Exited { run, exit: Exit::Code(0) });
            }
            (MutantKind::WrongRun, Event::Exited { run, exit }) => {
                let run = RunId::new(run.as_u32().wrapping_add(1));
                return Some(Event::Exited { run, exit });
            }
            (MutantKind::StartFailureStarted, Event::StartFailed { run, .. }) => {
                return Some(Event::Started { run });
            }
            (MutantKind::ReadyAfterRelease, Event::Released { run, .. }) => {
                self.add(unit, Event::Ready { run });
            }
            (MutantKind::ReleaseToldTwice, Event::Released { .. }) => self.add(unit, event),
            (MutantKind::LeakDenied, Event::Released { run, .. }) => {
                return Some(Event::Released { run, remains: Remains::Nothing });
            }
            _ => {}
        }
        Some(event)
    }

    fn add(&mut self, unit: UnitId, event: Event) {
        self.queue.push_back(DriverInput::Event(unit, event));
    }

    /// The deadline that the backend gets, and that a mutant has to report.
    fn deadline(&self, deadline: Option<Moment>) -> Option<Moment> {
        if self.kind == MutantKind::DeadlineEarly {
            return deadline.map(|_| Moment::ORIGIN);
        }
        let early = if self.kind == MutantKind::DeadlineBeforeItsMoment { NANOS_EARLY } else { 0 };
        let earlier = |deadline: Moment| deadline.as_nanos().saturating_sub(early);
        deadline.map(earlier).map(Moment::from_nanos)
    }
}

impl<K: Kernel> Kernel for Mutated<K> {
    fn spawn(&mut self, at: Moment, unit: UnitId, run: RunId) -> SpawnOutcome {
        if self.kind == MutantKind::DescriptorLeaked {
            self.leaked.extend(open("/dev/zero", OFlags::RDONLY, Mode::empty()).ok());
        }
        if self.kind == MutantKind::SpawnedTwice {
            // What answers it comes as that of the second.
            self.backend.spawn(at, unit, run);
        }
        let outcome = self.backend.spawn(at, unit, run);
        match (self.kind, outcome) {
            (MutantKind::StartFailureDropped, SpawnOutcome::Failed(_))
            | (MutantKind::StartedNeverTold, SpawnOutcome::Started) => SpawnOutcome::Pending,
            (MutantKind::StartFailureStarted, SpawnOutcome::Failed(_)) => SpawnOutcome::Started,
            (MutantKind::ExitWhileItRuns, SpawnOutcome::Started) => {
                self.add(unit, Event::Exited { run, exit: Exit::Code(0) });
                outcome
            }
            _ => outcome,
        }
    }

    fn cancel_spawn(&mut self, at: Moment, unit: UnitId, run: RunId, signal: Signal) {
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
        let (unit, scope) = match (self.kind, scope) {
            (MutantKind::SignalSwallowed, _) => return SignalOutcome::Sent,
            (MutantKind::WrongUnit, _) => (UnitId::new(unit.as_u32() ^ 1), scope),
            (MutantKind::GroupForProcess, _) => (unit, Scope::Group),
            (MutantKind::ProcessForGroup, _) => (unit, Scope::Process),
            _ => (unit, scope),
        };
        let outcome = self.backend.signal(at, unit, run, signal, scope);
        match (self.kind, outcome) {
            (MutantKind::SignalRefused, SignalOutcome::Sent) => SignalOutcome::Refused,
            (MutantKind::ExitNeverTold, SignalOutcome::Gone(_)) => SignalOutcome::Sent,
            _ => outcome,
        }
    }

    fn release(
        &mut self,
        at: Moment,
        unit: UnitId,
        run: RunId,
        signal: Option<Signal>,
        scope: Scope,
    ) -> Option<Remains> {
        let answer = self.backend.release(at, unit, run, signal, scope);
        match (self.kind, answer) {
            (MutantKind::ReleasedTooEarly, None) | (MutantKind::LeakDenied, Some(_)) => {
                Some(Remains::Nothing)
            }
            (MutantKind::ReleaseNeverTold, _) => None,
            (MutantKind::ReleaseToldTwice, Some(remains)) => {
                self.add(unit, Event::Released { run, remains });
                answer
            }
            (MutantKind::ReadyAfterRelease, Some(_)) => {
                self.add(unit, Event::Ready { run });
                answer
            }
            _ => answer,
        }
    }

    fn abandon(&mut self, at: Moment, unit: UnitId, run: RunId) {
        self.backend.abandon(at, unit, run);
    }

    fn service(&mut self, at: Moment, unit: UnitId, run: RunId, command: ServiceCommand) {
        self.backend.service(at, unit, run, command);
    }

    fn save(&mut self, at: Moment, unit: UnitId, state: State, ticket: Ticket) -> SaveStatus {
        let status = self.backend.save(at, unit, state, ticket);
        if self.kind == MutantKind::SaveOfAnother {
            let other = Ticket::new(ticket.as_u64() + 1_000);
            self.queue.push_back(DriverInput::Saved(unit, other, Ok(())));
        }
        if self.kind == MutantKind::SaveNeverAnswered { SaveStatus::Pending } else { status }
    }

    fn watchdog(&mut self, unit: UnitId, run: RunId) -> Option<Millis> {
        self.backend.watchdog(unit, run)
    }

    fn draw(&mut self, jitter: Millis) -> Millis {
        let drawn = self.backend.draw(jitter);
        if self.kind == MutantKind::TooMuchJitter {
            return jitter.saturating_add(Millis::new(1));
        }
        drawn
    }

    fn observe(&mut self, report: &Report<'_>) {
        if self.kind == MutantKind::RequestMadeUp && !self.has_made_up {
            self.has_made_up = true;
            self.add(report.unit, Event::restart());
        }
        self.backend.observe(report);
    }

    fn observe_save(&mut self, at: Moment, unit: UnitId, status: SaveStatus) {
        self.backend.observe_save(at, unit, status);
    }

    fn wait(&mut self, deadline: Option<Moment>) -> ObservedInput {
        loop {
            if let Some(input) = self.queue.pop_front() {
                return ObservedInput::new(self.last, input);
            }
            let mut observed = self.backend.wait(self.deadline(deadline));
            self.waits += 1;
            if self.kind == MutantKind::MomentGoesBack && self.waits.is_multiple_of(2) {
                let back = self.last.as_nanos().saturating_sub(NANOS_EARLY);
                return ObservedInput::new(Moment::from_nanos(back), observed.input);
            }
            if self.kind == MutantKind::DeadlineEarly
                && observed.input == DriverInput::DeadlineReached
                && let Some(deadline) = deadline
            {
                observed.at = observed.at.max(deadline);
            }
            self.last = self.last.max(observed.at);
            match observed.input {
                DriverInput::Event(unit, event) => {
                    if let Some(event) = self.change(unit, event) {
                        return ObservedInput::new(observed.at, DriverInput::Event(unit, event));
                    }
                }
                DriverInput::Saved(..) if self.kind == MutantKind::SaveNeverAnswered => {}
                DriverInput::DeadlineReached
                | DriverInput::UnitAdded(..)
                | DriverInput::PolicyChanged(..)
                | DriverInput::Saved(..)
                | DriverInput::UnitRemoved(_)
                | DriverInput::Quit => return observed,
            }
        }
    }
}

const NANOS_EARLY: u64 = 1_000_000;
