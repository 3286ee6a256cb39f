//! A case that runs on real processes, up to its end.

use std::collections::BTreeSet;
use std::pin::pin;
use std::task::{Context, Poll};
use std::{fs, io};

use monitor_core::{Lifecycle, Millis};
use monitor_os::{Moment, UnitEvent};

use super::result::{CASE_TIMEOUT, RealResult, SimulatorMatch};
use super::running_unit::{RunningUnit, ScriptedEvent, send_input};
use crate::case::definition::Case;
use crate::case::script::Script;

/// A case that is running.
pub(super) struct RunningCase {
    pub(super) case: Case,
    pub(super) units: Vec<RunningUnit>,
    pub(super) began: Moment,
    /// When it is over in the virtual world.
    pub(super) ends: Moment,
    pub(super) next_input: usize,
    /// The events that the scripts ask for, which the engine reports in the place of the children.
    pub(super) scripted_events: BTreeSet<(Moment, usize, u32, ScriptedEvent)>,
    pub(super) phase: CasePhase,
    /// When the phase ends at the latest.
    pub(super) until: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CasePhase {
    Running,
    /// All inputs are given and the time is over; some runs are not reported to their end.
    Waiting,
    /// What is left is killed.
    Ending,
    Over,
}

impl RunningCase {
    /// Receives the events of all units.
    pub(super) fn receive_events(&mut self, context: &mut Context<'_>) {
        for number in 0..self.units.len() {
            loop {
                let next = pin!(self.units[number].events.next()).poll(context);
                let Poll::Ready(Some(notice)) = next else { break };
                self.note(number, &notice);
            }
        }
    }

    /// Finds out which units have handled every request.
    pub(super) fn poll_replies(&mut self, context: &mut Context<'_>) {
        for unit in &mut self.units {
            let pending_reply = unit.pending_reply.as_mut();
            if pending_reply
                .is_some_and(|pending_reply| pending_reply.as_mut().poll(context).is_ready())
            {
                unit.pending_reply = None;
            }
        }
    }

    fn note(&mut self, number: usize, notice: &UnitEvent) {
        let run = notice.step.state.run().as_u32();
        let script = *self.case.script(number, (run as usize).saturating_sub(1));
        // A run that was killed before its child began is not counted by the children, so that a
        // later one may follow its script.
        let scripts: Vec<Script> =
            (0..run as usize).map(|nth| *self.case.script(number, nth)).collect();
        self.units[number].note(notice, &scripts);
        if notice.lifecycle() == Some(Lifecycle::Started) {
            let mut plan = |after: Option<Millis>, event| {
                let at = after.map(|after| notice.at.after(after));
                self.scripted_events.extend(at.map(|at| (at, number, run, event)));
            };
            plan(script.ready, ScriptedEvent::Ready);
            plan(script.pings, ScriptedEvent::Ping);
            plan(script.extends, ScriptedEvent::Extend);
            plan(script.unhealthy, ScriptedEvent::Unhealthy);
        }
    }

    /// Does what is due; returns when something is due again.
    pub(super) fn advance(&mut self, at: Moment) -> Option<Moment> {
        while let Some(&event) = self.scripted_events.first().filter(|event| event.0 <= at) {
            self.scripted_events.remove(&event);
            self.send(event);
        }
        while let Some(input) = self.case.inputs.get(self.next_input)
            && self.began.after(input.at) <= at
        {
            let (unit, kind) = (usize::from(input.unit), input.kind);
            self.next_input += 1;
            if let Some(unit) = self.units.get(unit) {
                send_input(&unit.handle, kind);
            }
        }
        self.advance_phase(at);
        let input = self.case.inputs.get(self.next_input).map(|input| self.began.after(input.at));
        let event = self.scripted_events.first().map(|&(at, ..)| at);
        let phase = (self.phase == CasePhase::Running).then_some(self.ends);
        [input, event, phase].into_iter().flatten().min()
    }

    /// Reports an event in the place of a scripted child, if its run goes on.
    fn send(&mut self, (at, number, run, event): (Moment, usize, u32, ScriptedEvent)) {
        let unit = &self.units[number].handle;
        let state = unit.state().state();
        if state.run().as_u32() != run || !state.phase().is_live() {
            return;
        }
        let script = *self.case.script(number, (run as usize).saturating_sub(1));
        match event {
            ScriptedEvent::Ready => unit.ready(),
            ScriptedEvent::Unhealthy => unit.unhealthy(),
            ScriptedEvent::Ping => {
                unit.ping();
                if let Some(beats) = script.pings {
                    self.scripted_events.insert((at.after(beats), number, run, event));
                }
            }
            ScriptedEvent::Extend => {
                if let Some(every) = script.extends {
                    unit.extend(every.saturating_add(every));
                    self.scripted_events.insert((at.after(every), number, run, event));
                }
            }
        }
    }

    fn advance_phase(&mut self, at: Moment) {
        match self.phase {
            CasePhase::Running if self.next_input == self.case.inputs.len() && at >= self.ends => {
                self.phase = CasePhase::Waiting;
                // Also a machine that does other things at the same time is given its time.
                self.until = at.after(CASE_TIMEOUT);
                self.units.iter_mut().for_each(RunningUnit::await_replies);
            }
            CasePhase::Waiting => {
                // What went another way is over at the latest when it is down.
                let over =
                    |unit: &RunningUnit| unit.known.contains(&unit.runs_seen) || unit.is_down();
                if self.units.iter().all(over) || at >= self.until {
                    self.scripted_events.clear();
                    for unit in &mut self.units {
                        unit.final_runs = unit.runs_seen.clone();
                        drop(unit.handle.kill());
                        unit.await_replies();
                    }
                    self.phase = CasePhase::Ending;
                    self.until = at.after(CASE_TIMEOUT);
                }
            }
            CasePhase::Ending => {
                let down = self.units.iter().all(RunningUnit::is_down);
                if down || at >= self.until {
                    self.phase = CasePhase::Over;
                }
            }
            CasePhase::Running | CasePhase::Over => {}
        }
    }

    pub(super) fn check(self) -> io::Result<RealResult> {
        let mut seen = RealResult {
            case: self.case,
            steps: 0,
            runs: 0,
            exits: Vec::new(),
            leaked: 0,
            simulator_match: SimulatorMatch::Same,
            fault: None,
            records: Vec::new(),
        };
        for unit in self.units {
            let simulator_match = if unit.final_runs == unit.plain {
                SimulatorMatch::Same
            } else if unit.known.contains(&unit.final_runs) {
                SimulatorMatch::Late
            } else {
                SimulatorMatch::Other
            };
            seen.simulator_match = seen.simulator_match.max(simulator_match);
            seen.runs += unit.runs as usize;
            seen.leaked += unit.leaked;
            seen.exits.extend(&unit.exits);
            let record = fs::read_to_string(&unit.record)?;
            let (steps, fault) = unit.check(&record)?;
            seen.records.push(record);
            seen.steps += steps;
            seen.fault = seen.fault.or(fault);
        }
        Ok(seen)
    }
}
