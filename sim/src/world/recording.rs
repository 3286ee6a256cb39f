//! A world whose supervision is recorded, as the program `monitor` records one.

use std::io::{self, Write};

use monitor_core::{Millis, Remains, RunId, Scope, ServiceCommand, Signal, State};
use monitor_os::record::Recorder;
use monitor_os::{
    Core, Driver, Kernel, Moment, ObservedInput, Report, SaveStatus, SignalOutcome, SpawnOutcome,
    Ticket, UnitId,
};

use super::state::{Checks, TimeFaults, World};
use crate::case::definition::Case;

/// Runs a case with the driver that ships, and writes the record of its supervision.
///
/// # Errors
/// The record cannot be written.
pub fn record(case: &Case, steps_max: usize, out: impl Write) -> io::Result<()> {
    let world = World::new(case, &Core, None, steps_max, TimeFaults::AsGiven, Checks::None);
    let recorder = Recorder::new(out);
    let mut recorded = RecordedWorld { world, recorder, result: Ok(()) };
    Driver::new().run(&mut recorded);
    recorded.result
}

struct RecordedWorld<'a, W> {
    world: World<'a>,
    recorder: Recorder<W>,
    result: io::Result<()>,
}

impl<W: Write> Kernel for RecordedWorld<'_, W> {
    fn spawn(&mut self, at: Moment, unit: UnitId, run: RunId) -> SpawnOutcome {
        self.world.spawn(at, unit, run)
    }

    fn cancel_spawn(&mut self, at: Moment, unit: UnitId, run: RunId, signal: Signal) {
        self.world.cancel_spawn(at, unit, run, signal);
    }

    fn signal(
        &mut self,
        at: Moment,
        unit: UnitId,
        run: RunId,
        signal: Signal,
        scope: Scope,
    ) -> SignalOutcome {
        self.world.signal(at, unit, run, signal, scope)
    }

    fn release(
        &mut self,
        at: Moment,
        unit: UnitId,
        run: RunId,
        signal: Option<Signal>,
        scope: Scope,
    ) -> Option<Remains> {
        self.world.release(at, unit, run, signal, scope)
    }

    fn abandon(&mut self, at: Moment, unit: UnitId, run: RunId) {
        self.world.abandon(at, unit, run);
    }

    fn service(&mut self, at: Moment, unit: UnitId, run: RunId, command: ServiceCommand) {
        self.world.service(at, unit, run, command);
    }

    fn save(&mut self, at: Moment, unit: UnitId, state: State, ticket: Ticket) -> SaveStatus {
        self.world.save(at, unit, state, ticket)
    }

    fn watchdog(&mut self, unit: UnitId, run: RunId) -> Option<Millis> {
        self.world.watchdog(unit, run)
    }

    fn draw(&mut self, jitter: Millis) -> Millis {
        self.world.draw(jitter)
    }

    fn observe(&mut self, report: &Report<'_>) {
        let steps = self.world.trace.len();
        Kernel::observe(&mut self.world, report);
        // The steps of a dead monitor did not take place.
        if self.world.trace.len() > steps {
            let name = format!("unit-{}", report.unit.as_u32());
            let result = self.recorder.record(&name, report);
            self.result = std::mem::replace(&mut self.result, Ok(())).and(result);
        }
    }

    fn observe_save(&mut self, at: Moment, unit: UnitId, status: SaveStatus) {
        self.world.observe_save(at, unit, status);
    }

    fn wait(&mut self, deadline: Option<Moment>) -> ObservedInput {
        self.world.wait(deadline)
    }
}
