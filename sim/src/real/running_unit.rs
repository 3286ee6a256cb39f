//! A unit of a case that runs on real processes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;

use monitor_core::{Action, Event, Exit, Note, Phase, Remains, Signal, State};
use monitor_os::record::{RecordReader, Recorder};
use monitor_os::{Events, Unit, UnitEvent};

use super::live_runs::LiveRuns;
use super::result::{CASE_TIMEOUT, RealFault};
use super::scripted_child::ScriptedChild;
use crate::case::input::InputKind;
use crate::case::script::Script;
use crate::conform::record::{RecordFault, Tolerance, record as judge};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ScriptedEvent {
    Ready,
    Ping,
    Extend,
    Unhealthy,
}

/// One unit of a running case.
pub(super) struct RunningUnit {
    pub(super) handle: Unit,
    pub(super) events: Events,
    pub(super) child: ScriptedChild,
    pub(super) recorder: Recorder<File>,
    pub(super) record: PathBuf,
    /// What was reported so far, and what was reported when the case was over.
    pub(super) runs_seen: LiveRuns,
    pub(super) final_runs: LiveRuns,
    pub(super) plain: LiveRuns,
    pub(super) known: BTreeSet<LiveRuns>,
    /// The signals that each run was sent.
    pub(super) signals: BTreeMap<u32, Vec<Signal>>,
    pub(super) exits: Vec<Exit>,
    pub(super) runs: u32,
    pub(super) leaked: usize,
    pub(super) fault: Option<RealFault>,
    /// The state that was reported last.
    pub(super) state: State,
    /// Waits until every request was handled.
    pub(super) pending_reply: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl RunningUnit {
    pub(super) fn note(&mut self, notice: &UnitEvent, scripts: &[Script]) {
        // If the disk is full, the record is incomplete, which its check reports.
        self.recorder.record(&notice.name, &notice.report()).ok();
        self.runs_seen.add(notice.step);
        self.state = notice.step.state;
        let run = notice.step.state.run().as_u32();
        notice.step.for_each(|action| match action {
            Action::Signal { run, signal, .. }
            | Action::Release { run, signal: Some(signal), .. } => {
                self.signals.entry(run.as_u32()).or_default().push(signal);
            }
            Action::Persist(_)
            | Action::Spawn { .. }
            | Action::CancelSpawn { .. }
            | Action::Abandon { .. }
            | Action::AwaitReady { .. }
            | Action::BeginService { .. }
            | Action::EndService { .. }
            | Action::Release { signal: None, .. }
            | Action::Arm { .. }
            | Action::Shorten { .. }
            | Action::Lengthen { .. }
            | Action::Disarm { .. }
            | Action::Emit(_) => {}
        });
        // Of a start that is unwanted the supervisor may end the helper by itself.
        let phase = notice.step.state.phase();
        let stop = notice.status.policy().rules().stop.signal;
        let ends = if phase == Phase::Cancelling {
            Some(stop)
        } else {
            (phase == Phase::Aborting).then_some(Signal::KILL)
        };
        self.signals.entry(run).or_default().extend(ends);
        let applied = notice.step.note == Note::Applied;
        let released = Phase::is_releasing;
        let given_up = released(notice.before.phase())
            && matches!(notice.event, Event::TimerFired { .. })
            && !released(notice.step.state.phase());
        if given_up || matches!(notice.event, Event::Released { remains: Remains::Leaked, .. }) {
            self.leaked += 1;
        } else if let Event::Started { .. } = notice.event
            && applied
        {
            self.runs += 1;
        } else if let Event::Exited { exit, .. } = notice.event
            && applied
        {
            self.exits.push(exit);
            let sent = self.signals.get(&run);
            let scripted =
                |exit| scripts.iter().any(|script| script.lives.is_some() && script.exits == exit);
            let killed = |signal| sent.is_some_and(|sent| sent.contains(&signal));
            let fault = match exit {
                Exit::Unknown => Some(RealFault::Lost { run }),
                Exit::Signal(signal) if killed(signal) => None,
                Exit::Code(_) | Exit::Signal(_) if scripted(exit) => None,
                Exit::Code(_) | Exit::Signal(_) => {
                    Some(RealFault::WrongStatus { run, reported: exit })
                }
            };
            self.fault = self.fault.take().or(fault);
        }
    }

    /// Makes it count as down only when all requests so far are handled.
    pub(super) fn await_replies(&mut self) {
        let handled = self.handle.wait_until(|_| true);
        self.pending_reply = Some(Box::pin(async { drop(handled.await) }));
    }

    /// Whether it is down, every request was handled, and all of it was reported.
    pub(super) fn is_down(&self) -> bool {
        let state = self.handle.state().state();
        self.pending_reply.is_none() && state.phase().is_down() && state == self.state
    }

    /// Checks what was recorded; returns how many steps were checked.
    pub(super) fn check(self, record: &str) -> io::Result<(usize, Option<RealFault>)> {
        // A computer under load may be late, which is no fault of the driver.
        let tolerance = Tolerance { late: CASE_TIMEOUT, ..Tolerance::default() };
        let (steps, violates) = match judge(&mut RecordReader::new(record.as_bytes()), tolerance) {
            Ok(summary) => (summary.steps, None),
            Err(RecordFault::Violation(violation)) => (0, Some(RealFault::Violates(violation))),
            Err(RecordFault::Unreadable(error)) => {
                return Ok((0, Some(RealFault::Unreadable(error.to_string()))));
            }
        };
        let not_down = (!self.is_down()).then_some(RealFault::NotDown);
        let complaint = self.child.complaint().map(RealFault::Complaint);
        let begun = self.child.begun()?;
        let unrecorded =
            (begun > self.runs).then_some(RealFault::Unrecorded { begun, reported: self.runs });
        let fault = violates.or(self.fault).or(complaint).or(unrecorded).or(not_down);
        Ok((usize::try_from(steps).unwrap_or(usize::MAX), fault))
    }
}

/// Asks a unit for what a case asks for.
pub(super) fn send_input(unit: &Unit, kind: InputKind) {
    match kind {
        InputKind::Event(event) => match event {
            Event::StartRequested => unit.start(),
            Event::StopRequested { mode, origin } => drop(unit.stop_with(mode, origin)),
            Event::RestartRequested { grace } => unit.restart_within(grace),
            Event::SignalRequested { signal } => unit.signal(signal),
            Event::ResetRequested => unit.reset(),
            Event::RetryRequested => unit.retry(),
            // Not for this engine: such cases are not playable.
            Event::PolicyChanged
            | Event::Started { .. }
            | Event::StartFailed { .. }
            | Event::Ready { .. }
            | Event::Ping { .. }
            | Event::Extended { .. }
            | Event::Unhealthy { .. }
            | Event::Exited { .. }
            | Event::Released { .. }
            | Event::TimerFired { .. }
            | Event::Recovered { .. } => {}
        },
        InputKind::Policy(policy) => unit.set_policy(policy),
        InputKind::Crash { .. }
        | InputKind::Reboot { .. }
        | InputKind::StopFaults
        | InputKind::Wall(_)
        | InputKind::Suspend(_) => {}
    }
}
