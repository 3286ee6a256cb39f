//! Bugs of drivers, planted between a driver and its kernel.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a bug is wrong in one place and right everywhere else"
)]

use std::collections::VecDeque;
use std::fmt;

use monitor_core::{Event, Exit, Millis, Remains, RunId, Scope, ServiceCommand, Signal, State};
use monitor_os::{
    DriverInput, Kernel, Moment, ObservedInput, Report, SaveStatus, SignalOutcome, SpawnOutcome,
    Ticket, UnitId,
};

/// A bug that is planted between a driver and its kernel, so that the pair behaves as if the driver
/// had it.
///
/// A kit is believed when it finds each of them in a driver that is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DriverMutant {
    /// C2: a state is saved after the process is made.
    SavesAfterSpawn,
    /// C3: a process that exists is not reported as started.
    StartedUntold,
    /// C3: the failure of a start is dropped.
    StartFailureDropped,
    /// C3: the answer to a release is dropped.
    ReleaseAnswerDropped,
    /// C4: delays count from the handling of an event, not from its observation.
    DelayFromHandling,
    /// C5: a signal is sent to the run after the one that is meant.
    WrongRun,
    /// C7: the driver waits without the deadline of its first timer.
    DeadlineForgotten,
    /// C9: the jitter is always its maximum.
    JitterMaximal,
    /// C10: a program that was told no watchdog period is held to one.
    WatchdogOfTheUntold,
    /// C11: a timer fires a millisecond early.
    TimerEarly,
    /// C12: deadlines come before what is readable.
    DeadlinesFirst,
    /// C14: a signal that finds no process is taken for sent.
    GoneIgnored,
    /// C14: a signal for the group goes to the main process.
    WrongScope,
    /// C14: the kill is not sent.
    KillSwallowed,
    /// C15: a process is made twice.
    SpawnsTwice,
    /// C16: a spawn that is not wanted is not cancelled.
    CancelSkipped,
    /// C19: what survived the kill is not abandoned.
    AbandonSkipped,
    /// C21: the begin of the service is not told.
    ServiceUntold,
    /// C25: a failed save is taken for saved.
    SaveErrorHidden,
    /// C25: the answer to a save is dropped.
    SaveAnswerDropped,
    /// C27: a stop that comes during a start is dropped.
    StopLostInStart,
    /// C27: a report has no ticket.
    TicketLost,
    /// C29: a step is not reported.
    ReportDropped,
    /// An end is handled twice, the second time with another status.
    EndTwice,
}

impl DriverMutant {
    /// All mutants, in the order of the contract.
    pub const ALL: [Self; 24] = [
        Self::SavesAfterSpawn,
        Self::StartedUntold,
        Self::StartFailureDropped,
        Self::ReleaseAnswerDropped,
        Self::DelayFromHandling,
        Self::WrongRun,
        Self::DeadlineForgotten,
        Self::JitterMaximal,
        Self::WatchdogOfTheUntold,
        Self::TimerEarly,
        Self::DeadlinesFirst,
        Self::GoneIgnored,
        Self::WrongScope,
        Self::KillSwallowed,
        Self::SpawnsTwice,
        Self::CancelSkipped,
        Self::AbandonSkipped,
        Self::ServiceUntold,
        Self::SaveErrorHidden,
        Self::SaveAnswerDropped,
        Self::StopLostInStart,
        Self::TicketLost,
        Self::ReportDropped,
        Self::EndTwice,
    ];

    /// Returns the printed name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SavesAfterSpawn => "saves-after-spawn",
            Self::StartedUntold => "started-untold",
            Self::StartFailureDropped => "start-failure-dropped",
            Self::ReleaseAnswerDropped => "release-answer-dropped",
            Self::DelayFromHandling => "delay-from-handling",
            Self::WrongRun => "wrong-run",
            Self::DeadlineForgotten => "deadline-forgotten",
            Self::JitterMaximal => "jitter-maximal",
            Self::WatchdogOfTheUntold => "watchdog-of-the-untold",
            Self::TimerEarly => "timer-early",
            Self::DeadlinesFirst => "deadlines-first",
            Self::GoneIgnored => "gone-ignored",
            Self::WrongScope => "wrong-scope",
            Self::KillSwallowed => "kill-swallowed",
            Self::SpawnsTwice => "spawns-twice",
            Self::CancelSkipped => "cancel-skipped",
            Self::AbandonSkipped => "abandon-skipped",
            Self::ServiceUntold => "service-untold",
            Self::SaveErrorHidden => "save-error-hidden",
            Self::SaveAnswerDropped => "save-answer-dropped",
            Self::StopLostInStart => "stop-lost-in-start",
            Self::TicketLost => "ticket-lost",
            Self::ReportDropped => "report-dropped",
            Self::EndTwice => "end-twice",
        }
    }
}

impl fmt::Display for DriverMutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A kernel with a planted bug above it; without one it changes nothing.
pub(super) struct Mutated<K> {
    pub(super) kernel: K,
    mutant: Option<DriverMutant>,
    /// The saves that are held back.
    held_saves: Vec<(Moment, UnitId, State, Ticket)>,
    /// Inputs that come before the next one of the kernel.
    inputs: VecDeque<ObservedInput>,
    /// The spawns that are not answered.
    unanswered: usize,
}

impl<K: Kernel> Mutated<K> {
    pub(super) const fn new(kernel: K, mutant: Option<DriverMutant>) -> Self {
        Self { kernel, mutant, held_saves: Vec::new(), inputs: VecDeque::new(), unanswered: 0 }
    }

    fn has(&self, mutant: DriverMutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn save_held(&mut self) {
        for (at, unit, state, ticket) in std::mem::take(&mut self.held_saves) {
            self.kernel.save(at, unit, state, ticket);
        }
    }

    /// Changes an input on its way to the driver; `None` if it is dropped.
    fn changed(
        &mut self,
        deadline: Option<Moment>,
        mut observed: ObservedInput,
    ) -> Option<ObservedInput> {
        let late = observed.at.after(Millis::new(1));
        match (self.mutant, &observed.input) {
            (Some(DriverMutant::DelayFromHandling), DriverInput::Event(..)) => observed.at = late,
            (Some(DriverMutant::TimerEarly), DriverInput::DeadlineReached) => {
                observed.at = deadline.unwrap_or(observed.at).max(observed.at);
            }
            (Some(DriverMutant::DeadlinesFirst), DriverInput::Event(..))
                if deadline.is_some_and(|deadline| deadline <= observed.at) =>
            {
                let due = ObservedInput::new(observed.at, DriverInput::DeadlineReached);
                self.inputs.push_front(observed);
                return Some(due);
            }
            (Some(DriverMutant::SaveAnswerDropped), DriverInput::Saved(..)) => return None,
            (
                Some(DriverMutant::StopLostInStart),
                DriverInput::Event(_, Event::StopRequested { .. }),
            ) if self.unanswered > 0 => return None,
            (Some(DriverMutant::TicketLost), _) => observed.ticket = None,
            (
                Some(DriverMutant::EndTwice),
                &DriverInput::Event(unit, Event::Exited { run, .. }),
            ) => {
                let again = Event::Exited { run, exit: Exit::Code(99) };
                let input = DriverInput::Event(unit, again);
                self.inputs.push_back(ObservedInput::new(observed.at, input));
            }
            _ => {}
        }
        if let DriverInput::Event(_, Event::Started { .. } | Event::StartFailed { .. }) =
            observed.input
        {
            self.unanswered = self.unanswered.saturating_sub(1);
        }
        Some(observed)
    }
}

impl<K: Kernel> Kernel for Mutated<K> {
    fn spawn(&mut self, at: Moment, unit: UnitId, run: RunId) -> SpawnOutcome {
        let outcome = self.kernel.spawn(at, unit, run);
        if self.has(DriverMutant::SpawnsTwice) {
            self.kernel.spawn(at, unit, run);
        }
        self.save_held();
        match outcome {
            SpawnOutcome::Pending => self.unanswered += 1,
            SpawnOutcome::Started if self.has(DriverMutant::StartedUntold) => {
                return SpawnOutcome::Pending;
            }
            SpawnOutcome::Failed(_) if self.has(DriverMutant::StartFailureDropped) => {
                return SpawnOutcome::Pending;
            }
            SpawnOutcome::Started | SpawnOutcome::Failed(_) => {}
        }
        outcome
    }

    fn cancel_spawn(&mut self, at: Moment, unit: UnitId, run: RunId, signal: Signal) {
        if !self.has(DriverMutant::CancelSkipped) {
            self.kernel.cancel_spawn(at, unit, run, signal);
        }
    }

    fn signal(
        &mut self,
        at: Moment,
        unit: UnitId,
        run: RunId,
        signal: Signal,
        scope: Scope,
    ) -> SignalOutcome {
        if self.has(DriverMutant::KillSwallowed) && signal == Signal::KILL {
            return SignalOutcome::Sent;
        }
        let run = if self.has(DriverMutant::WrongRun) {
            RunId::new(run.as_u32().saturating_add(1))
        } else {
            run
        };
        let scope = if self.has(DriverMutant::WrongScope) { Scope::Process } else { scope };
        match self.kernel.signal(at, unit, run, signal, scope) {
            SignalOutcome::Gone(_) if self.has(DriverMutant::GoneIgnored) => SignalOutcome::Sent,
            outcome => outcome,
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
        let remains = self.kernel.release(at, unit, run, signal, scope);
        remains.filter(|_| !self.has(DriverMutant::ReleaseAnswerDropped))
    }

    fn abandon(&mut self, at: Moment, unit: UnitId, run: RunId) {
        if !self.has(DriverMutant::AbandonSkipped) {
            self.kernel.abandon(at, unit, run);
        }
    }

    fn service(&mut self, at: Moment, unit: UnitId, run: RunId, command: ServiceCommand) {
        if !(self.has(DriverMutant::ServiceUntold) && command == ServiceCommand::Begin) {
            self.kernel.service(at, unit, run, command);
        }
    }

    fn save(&mut self, at: Moment, unit: UnitId, state: State, ticket: Ticket) -> SaveStatus {
        if self.has(DriverMutant::SavesAfterSpawn) {
            self.held_saves.push((at, unit, state, ticket));
            return SaveStatus::Saved;
        }
        match self.kernel.save(at, unit, state, ticket) {
            SaveStatus::Failed if self.has(DriverMutant::SaveErrorHidden) => SaveStatus::Saved,
            status => status,
        }
    }

    fn watchdog(&mut self, unit: UnitId, run: RunId) -> Option<Millis> {
        let period = self.kernel.watchdog(unit, run);
        let untold = self.has(DriverMutant::WatchdogOfTheUntold).then_some(Millis::from_secs(1));
        period.or(untold)
    }

    fn draw(&mut self, jitter: Millis) -> Millis {
        let drawn = self.kernel.draw(jitter);
        if self.has(DriverMutant::JitterMaximal) { jitter } else { drawn }
    }

    fn observe(&mut self, report: &Report<'_>) {
        self.save_held();
        let dropped =
            self.has(DriverMutant::ReportDropped) && matches!(report.event, Event::Released { .. });
        if !dropped {
            self.kernel.observe(report);
        }
    }

    fn observe_save(&mut self, at: Moment, unit: UnitId, status: SaveStatus) {
        self.kernel.observe_save(at, unit, status);
    }

    fn wait(&mut self, deadline: Option<Moment>) -> ObservedInput {
        let early = |at: Moment| Moment::from_nanos(at.as_nanos().saturating_sub(1_000_000));
        let asked = match self.mutant {
            Some(DriverMutant::DeadlineForgotten) => None,
            Some(DriverMutant::TimerEarly) => deadline.map(early),
            Some(_) | None => deadline,
        };
        loop {
            if let Some(observed) = self.inputs.pop_front() {
                return observed;
            }
            let observed = self.kernel.wait(asked);
            if let Some(observed) = self.changed(deadline, observed) {
                return observed;
            }
        }
    }
}
