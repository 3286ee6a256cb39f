//! A kernel that writes down the calls of a driver, and ends a driver that goes astray.

use monitor_core::{Millis, Remains, RunId, Scope, ServiceCommand, Signal, State};
use monitor_os::{
    DriverInput, Kernel, Moment, ObservedInput, Report, SaveStatus, SignalOutcome, SpawnOutcome,
    Ticket, UnitId,
};

use super::call::{Call, What};

/// Writes down the calls to a kernel.
pub(super) struct Recorder<'a> {
    kernel: &'a mut dyn Kernel,
    /// The calls, which outlast a driver that panics.
    calls: &'a mut Vec<Call>,
    /// The tickets of the saves, in their order.
    saves: Vec<Ticket>,
    /// The calls since the last wait.
    since_wait: usize,
    /// The waits at one moment that were answered by a deadline.
    same_deadline: (Moment, usize),
    /// The waits that were answered by `Quit`.
    pub(super) quits: usize,
}

/// More calls between two waits than any case needs.
const CALLS_MAX: usize = 50_000;

/// More deadlines at one moment than any case has.
const SAME_DEADLINE_MAX: usize = 1_000;

impl<'a> Recorder<'a> {
    pub(super) fn new(kernel: &'a mut dyn Kernel, calls: &'a mut Vec<Call>) -> Self {
        let same_deadline = (Moment::ORIGIN, 0);
        Self { kernel, calls, saves: Vec::new(), since_wait: 0, same_deadline, quits: 0 }
    }

    /// The number of calls so far.
    pub(super) const fn calls(&self) -> usize {
        self.calls.len()
    }

    fn record(&mut self, unit: Option<UnitId>, at: Option<Moment>, what: What) {
        self.since_wait += 1;
        // The panic is caught, and shown as what the driver did.
        assert!(
            self.since_wait <= CALLS_MAX,
            "the driver made {CALLS_MAX} calls without a wait: let it wait for the next input"
        );
        self.calls.push(Call { unit, at, what });
    }
}

impl Kernel for Recorder<'_> {
    fn spawn(&mut self, at: Moment, unit: UnitId, run: RunId) -> SpawnOutcome {
        let outcome = self.kernel.spawn(at, unit, run);
        self.record(Some(unit), Some(at), What::Spawn(run, outcome));
        outcome
    }

    fn cancel_spawn(&mut self, at: Moment, unit: UnitId, run: RunId, signal: Signal) {
        self.kernel.cancel_spawn(at, unit, run, signal);
        self.record(Some(unit), Some(at), What::CancelSpawn(run, signal));
    }

    fn signal(
        &mut self,
        at: Moment,
        unit: UnitId,
        run: RunId,
        signal: Signal,
        scope: Scope,
    ) -> SignalOutcome {
        let outcome = self.kernel.signal(at, unit, run, signal, scope);
        self.record(Some(unit), Some(at), What::Signal(run, signal, scope, outcome));
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
        let remains = self.kernel.release(at, unit, run, signal, scope);
        self.record(Some(unit), Some(at), What::Release(run, signal, scope, remains));
        remains
    }

    fn abandon(&mut self, at: Moment, unit: UnitId, run: RunId) {
        self.kernel.abandon(at, unit, run);
        self.record(Some(unit), Some(at), What::Abandon(run));
    }

    fn service(&mut self, at: Moment, unit: UnitId, run: RunId, command: ServiceCommand) {
        self.kernel.service(at, unit, run, command);
        self.record(Some(unit), Some(at), What::Service(run, command));
    }

    fn save(&mut self, at: Moment, unit: UnitId, state: State, ticket: Ticket) -> SaveStatus {
        let status = self.kernel.save(at, unit, state, ticket);
        self.saves.push(ticket);
        self.record(Some(unit), Some(at), What::Save(self.saves.len(), state, status));
        status
    }

    fn watchdog(&mut self, unit: UnitId, run: RunId) -> Option<Millis> {
        let period = self.kernel.watchdog(unit, run);
        self.record(Some(unit), None, What::Watchdog(run, period));
        period
    }

    fn draw(&mut self, jitter: Millis) -> Millis {
        let drawn = self.kernel.draw(jitter);
        self.record(None, None, What::Draw(jitter, drawn));
        drawn
    }

    fn observe(&mut self, report: &Report<'_>) {
        self.kernel.observe(report);
        let what = What::Observe(Box::new(report.into()));
        self.record(Some(report.unit), Some(report.at), what);
    }

    fn observe_save(&mut self, at: Moment, unit: UnitId, status: SaveStatus) {
        self.kernel.observe_save(at, unit, status);
        self.record(Some(unit), Some(at), What::ObserveSave(status));
    }

    fn wait(&mut self, deadline: Option<Moment>) -> ObservedInput {
        assert!(self.quits < 2, "the driver waits after `Quit`: let its loop end");
        let observed = self.kernel.wait(deadline);
        let mut input = observed.input.clone();
        if let DriverInput::Saved(_, ticket, _) = &mut input {
            // Each driver numbers its saves as it likes: what counts is which one it was.
            let place = self.saves.iter().rposition(|known| known == ticket);
            *ticket = Ticket::new(place.map_or(0, |place| place as u64 + 1));
        }
        self.quits += usize::from(input == DriverInput::Quit);
        self.same_deadline = match (&input, self.same_deadline) {
            (DriverInput::DeadlineReached, (at, times)) if at == observed.at => (at, times + 1),
            _ => (observed.at, 0),
        };
        assert!(
            self.same_deadline.1 <= SAME_DEADLINE_MAX,
            "the driver waits again and again for a deadline that is reached: let it fire the timers \
             that are due (C11)"
        );
        self.record(None, Some(observed.at), What::Wait(deadline, input));
        self.since_wait = 0;
        observed
    }
}
