//! Checks of each answer and event of a backend, when it comes.

use monitor_core::{Event, Exit, Remains, RunId, Scope, Signal, StartFailure};
use monitor_os::{SignalOutcome, SpawnOutcome, UnitId};

use super::finding::Rule;
use super::watch::{RunWatch, SpawnAnswer, Watch};
use crate::real::process_identity::ProcessLife;

impl Watch {
    /// Notes that a run is to be spawned, before the backend is asked.
    pub(super) fn spawns(&mut self, unit: UnitId, run: RunId) {
        self.read_children();
        let Some(found) = self.unit_mut(unit) else { return };
        let first_child = found.children.len();
        let living = found.children.iter().filter(|child| child.is_alive()).count();
        found.runs.insert(run, RunWatch::new(first_child));
        if living > 0 {
            let expected = format!("no earlier run of {unit} lives when {run} is spawned");
            self.find(Rule::ONE_RUN, expected, format!("{living} processes live"));
        }
    }

    /// Checks the direct answer to a spawn.
    pub(super) fn spawn_answered(&mut self, unit: UnitId, run: RunId, outcome: SpawnOutcome) {
        match outcome {
            SpawnOutcome::Started => self.started(unit, run),
            SpawnOutcome::Pending => {}
            SpawnOutcome::Failed(failure) => self.start_failed(unit, run, failure),
        }
    }

    /// Checks an event that the backend reports; false if the machine must not be told.
    pub(super) fn event(&mut self, unit: UnitId, event: Event) -> bool {
        let Some(run) = event.run() else {
            self.find(Rule::REQUESTS, "the events of processes, and no request", event.to_string());
            return false;
        };
        let Some(found) = self.run_mut(unit, run) else {
            let expected = "an event names a run that was spawned";
            self.find(Rule::FACTS, expected, format!("{event}, {unit}"));
            return false;
        };
        let (is_over, has_exited) = (found.released.is_some(), found.exit.is_some());
        let is_fact = !matches!(event, Event::Released { .. });
        if is_over && is_fact {
            let expected = format!("{run} of {unit} is released, and nothing follows");
            self.find(Rule::RELEASES, expected, event.to_string());
        }
        match event {
            Event::Started { .. } => self.started(unit, run),
            Event::StartFailed { failure, .. } => self.start_failed(unit, run, failure),
            Event::Ready { .. }
            | Event::Ping { .. }
            | Event::Extended { .. }
            | Event::Unhealthy { .. } => {
                if has_exited {
                    let expected = format!("reports of {run} of {unit} come before its exit");
                    self.find(Rule::ORDER, expected, format!("{event}, after the exit"));
                }
                if let Some(found) = self.run_mut(unit, run) {
                    found.is_ready |= matches!(event, Event::Ready { .. });
                }
            }
            Event::Exited { exit, .. } => self.exited(unit, run, exit),
            Event::Released { remains, .. } => {
                self.release_told(unit, run);
                self.released(unit, run, remains);
            }
            Event::StartRequested
            | Event::StopRequested { .. }
            | Event::RestartRequested { .. }
            | Event::SignalRequested { .. }
            | Event::PolicyChanged
            | Event::ResetRequested
            | Event::RetryRequested
            | Event::TimerFired { .. }
            | Event::Recovered { .. } => {
                let expected = "the events of processes, and no request or timer";
                self.find(Rule::REQUESTS, expected, event.to_string());
                return false;
            }
        }
        true
    }

    fn started(&mut self, unit: UnitId, run: RunId) {
        let is_missing = self.unit(unit).is_some_and(|unit| unit.is_missing);
        let Some(found) = self.run_mut(unit, run) else { return };
        let before = found.spawn;
        found.spawn = SpawnAnswer::Started;
        if is_missing {
            let expected = format!("start-failed {run} of {unit}: there is no such program");
            self.find(Rule::SPAWNS, expected, "started");
        }
        if matches!(before, SpawnAnswer::Started | SpawnAnswer::Failed) {
            self.answered_twice(unit, run, "started");
        }
    }

    fn start_failed(&mut self, unit: UnitId, run: RunId, failure: StartFailure) {
        let is_missing = self.unit(unit).is_some_and(|unit| unit.is_missing);
        let has_child = self.child_now(unit, run).is_some();
        let Some(found) = self.run_mut(unit, run) else { return };
        let before = found.spawn;
        found.spawn = SpawnAnswer::Failed;
        if !is_missing && has_child {
            let expected = format!("{run} of {unit} is started: its program has begun");
            self.find(Rule::SPAWNS, expected, format!("start-failed {failure}"));
        } else if !is_missing {
            let expected = format!("{run} of {unit} is started: its program can be run");
            self.find(Rule::SPAWNS, expected, format!("start-failed {failure}"));
        }
        if before != SpawnAnswer::Awaited {
            self.answered_twice(unit, run, "start-failed");
        }
    }

    fn answered_twice(&mut self, unit: UnitId, run: RunId, seen: &str) {
        let expected = format!("one answer to the spawn of {run} of {unit}");
        self.find(Rule::SPAWNS, expected, format!("{seen}, after another answer"));
    }

    /// Checks the answer to a signal.
    pub(super) fn signalled(
        &mut self,
        unit: UnitId,
        run: RunId,
        (signal, scope): (Signal, Scope),
        outcome: SignalOutcome,
    ) {
        let Some(found) = self.run_mut(unit, run) else { return };
        match outcome {
            SignalOutcome::Sent if found.exit.is_none() => found.sent.push((signal, scope)),
            SignalOutcome::Sent if scope == Scope::Group => found.sent_later.push(signal),
            SignalOutcome::Sent => {}
            // The main process is gone. Where others of the run are left, they have it.
            SignalOutcome::Gone(exit) => match found.exit {
                Some(_) if exit == Exit::Unknown => {}
                Some(known) if known == exit => {}
                Some(_) => self.exited(unit, run, exit),
                None => {
                    self.exited(unit, run, exit);
                    if let Some(found) = self.run_mut(unit, run) {
                        found.was_gone = true;
                    }
                }
            },
            SignalOutcome::Refused => {
                let expected = format!("{signal} reaches {run} of {unit}, which has this user");
                self.find(Rule::SIGNALS, expected, "refused");
            }
        }
    }

    /// Checks a reported exit against what the child did.
    fn exited(&mut self, unit: UnitId, run: RunId, exit: Exit) {
        let is_missing = self.unit(unit).is_some_and(|unit| unit.is_missing);
        let child = self.child_now(unit, run).cloned();
        let Some(found) = self.run_mut(unit, run) else { return };
        let sent = |signal| found.sent.iter().any(|&(sent, _)| sent == signal);
        let by_signal = matches!(exit, Exit::Signal(signal) if sent(signal));
        let (known, was_gone) = (found.exit, found.was_gone);
        let was_ready = found.is_ready;
        found.was_gone = false;
        found.exit = found.exit.or(Some(exit));
        if found.spawn == SpawnAnswer::Awaited {
            found.spawn = SpawnAnswer::Exited;
        }
        let name = format!("{run} of {unit}");
        let said = child.as_ref().and_then(|child| child.ends);
        if let Some(known) = known {
            if known != exit || !was_gone {
                let expected = format!("one exit of {name}: {known}");
                self.find(Rule::FACTS, expected, format!("{exit} after it"));
            }
        } else if is_missing {
            let expected = format!("start-failed {name}: there is no such program");
            self.find(Rule::SPAWNS, expected, format!("exited {exit}"));
        } else if child.as_ref().is_some_and(super::children::Child::is_alive) {
            let expected = format!("no exit of {name}, whose process runs");
            self.find(Rule::FACTS, expected, format!("exited {exit}"));
        } else if !by_signal && said != Some(exit) {
            let said = said.map_or_else(|| "a signal that was sent".into(), |end| end.to_string());
            self.find(Rule::FACTS, format!("exited {name}: {said}"), format!("exited {exit}"));
        }
        if child.is_some_and(|child| child.is_ready) && !was_ready && known.is_none() {
            let expected = format!("ready {name}, which it reported before its end");
            self.find(Rule::ORDER, expected, "exited without it");
        }
    }

    /// Notes a call of release.
    pub(super) fn releases(
        &mut self,
        unit: UnitId,
        run: RunId,
        signal: Option<Signal>,
        scope: Scope,
    ) {
        if let Some(found) = self.run_mut(unit, run) {
            found.releases += 1;
            found.scope = scope;
            found.sent_later.extend(signal.filter(|_| scope == Scope::Group));
        }
    }

    /// Checks that an event is the one answer to a release.
    fn release_told(&mut self, unit: UnitId, run: RunId) {
        let Some(found) = self.run_mut(unit, run) else { return };
        found.released_events += 1;
        let (asked, known) = (found.releases > 0, found.released.is_some());
        let expected = format!("one answer to the release of {run} of {unit}");
        if !asked {
            self.find(Rule::RELEASES, expected, "released, before the release");
        } else if known {
            self.find(Rule::RELEASED_ONCE, expected, "released, after another answer");
        }
    }

    /// Checks an answer to a release: nothing but what is reported may be left.
    pub(super) fn released(&mut self, unit: UnitId, run: RunId, remains: Remains) {
        self.read_children();
        let Some(found) = self.unit(unit) else { return };
        let children = found.children_of(run);
        let living: usize = children.iter().map(|child| child.living_members().count()).sum();
        let members: usize = children.iter().map(|child| child.members.len()).sum();
        let main = children.first().map_or(ProcessLife::Gone, |child| child.process.life());
        let Some(found) = self.run_mut(unit, run) else { return };
        let scope = found.scope;
        found.released = found.released.or(Some(remains));
        let name = format!("{run} of {unit}");
        match main {
            ProcessLife::Gone => {}
            ProcessLife::Zombie => {
                let expected = format!("the main process of {name} is reaped at the release");
                self.find(Rule::RELEASES, expected, "a zombie");
            }
            ProcessLife::Alive => {
                let expected = format!("the main process of {name} has ended at the release");
                self.find(Rule::RELEASES, expected, "it runs");
            }
        }
        match (scope, remains) {
            (Scope::Group, Remains::Nothing) if living > 0 => {
                let expected = format!("the release of {name} waits until its group is empty");
                self.find(Rule::RELEASES, expected, format!("released, {living} members run"));
            }
            (Scope::Group, Remains::Leaked) => {
                let expected = format!("the release of {name} waits until its group is empty");
                self.find(Rule::RELEASES, expected, format!("a leak, {living} members run"));
            }
            (Scope::Process, Remains::Nothing) if living > 0 => {
                let expected = format!("the release of {name} reports what is left");
                self.find(Rule::RELEASES, expected, format!("nothing, {living} members run"));
            }
            (Scope::Process, Remains::Leaked) if members == 0 => {
                let expected = format!("nothing is left of {name}");
                self.find(Rule::RELEASES, expected, "a leak");
            }
            (Scope::Group | Scope::Process, Remains::Nothing) | (Scope::Process, _) => {}
        }
    }
}
