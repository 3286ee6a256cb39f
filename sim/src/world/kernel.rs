//! The kernel that the driver is given.

use monitor_core::{Exit, Millis, Remains, RunId, SaveRule, Scope, Signal, State};
use monitor_os::{
    DriverInput, Kernel, Moment, ObservedInput, Report, SaveFailed, SaveStatus, SignalOutcome,
    SpawnOutcome, Ticket, UnitId,
};
use rand::RngExt;

use super::disk::Content;
use super::event_queue::WorldEvent;
use super::os::{ProcessState, VirtualProcess};
use super::state::{BackendRun, MonitorStatus, World, number};
use crate::case::script::{ExitNotice, Script, SignalDelivery, Start};
use crate::machine::injected_bug::InjectedBug;
use crate::oracle::fault_effects::FaultEffect;
use crate::oracle::property::Property;

/// The earlier of two moments, as far as there are any.
fn earlier(one: Option<Moment>, other: Option<Moment>) -> Option<Moment> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl World<'_> {
    /// Plans what a process does by itself. Events at one moment come to pass in the order of their
    /// planning.
    fn plan_script(&mut self, at: Moment, unit: usize, run: RunId, script: &Script) {
        if let Some(lives) = script.lives {
            self.plan(at.after(lives), unit, run, WorldEvent::Die(script.exits));
        }
        if let Some(ready) = script.ready {
            self.plan(at.after(ready), unit, run, WorldEvent::Ready);
        }
        if let Some(beats) = script.pings {
            self.plan(at.after(beats), unit, run, WorldEvent::Ping);
        }
        if let Some(every) = script.extends {
            self.plan(at.after(every), unit, run, WorldEvent::Extend);
        }
        if let Some(unhealthy) = script.unhealthy {
            self.plan(at.after(unhealthy), unit, run, WorldEvent::Unhealthy);
        }
    }
}

impl Kernel for World<'_> {
    fn spawn(&mut self, at: Moment, unit: UnitId, run: RunId) -> SpawnOutcome {
        let unit = number(unit);
        if !self.operate() {
            return SpawnOutcome::Pending;
        }
        if self.os.latest(unit).is_some_and(|old| old.state == ProcessState::Alive) {
            self.violate(Property::OneIncarnation);
        }
        let known = &self.units[unit];
        let required = known.policy.rules().save == SaveRule::Required;
        let saved = known.saved.run() == run;
        self.require(saved || !required, Property::SpawnIsSaved);
        let script = self.case.script(unit, self.units[unit].spawned);
        self.units[unit].spawned += 1;
        let fails = matches!(script.start, Start::Fails(..));
        let state = match script.start {
            Start::Fails(Millis::ZERO, _) => ProcessState::Reaped(Exit::Unknown),
            Start::Fails(..) => ProcessState::Zombie(Exit::Unknown),
            Start::After(_) => ProcessState::Alive,
        };
        let members = script.leaves.is_some() && !fails;
        let watchdog = self.units[unit].policy.rules().watchdog.map(|watchdog| watchdog.period);
        let (output, failed) = (false, fails);
        let process =
            VirtualProcess { unit, run, pid: 0, script, state, members, output, failed, watchdog };
        let last = self.os.last();
        let pid = self.os.spawn(process);
        let first = self.units[unit].entry.map(|entry| entry.pid);
        self.units[unit].entry = Some(BackendRun {
            run,
            pid: match first {
                Some(first) if self.has(InjectedBug::KeepsFirstNumber) => first,
                _ => pid.unwrap_or(last),
            },
            acknowledged: false,
            end_reported: false,
            releasing: false,
            released: false,
        });
        let Some(pid) = pid else {
            self.record_effect(FaultEffect::PidsExhausted);
            return SpawnOutcome::Failed(monitor_core::StartFailure::Transient);
        };
        if pid <= last {
            self.record_effect(FaultEffect::PidReused);
        }
        match script.start {
            Start::Fails(Millis::ZERO, failure) => return SpawnOutcome::Failed(failure),
            Start::Fails(delay, _) => {
                self.plan(at.after(delay), unit, run, WorldEvent::FailStart);
                return if self.has(InjectedBug::StartsAtFork) {
                    SpawnOutcome::Started
                } else {
                    SpawnOutcome::Pending
                };
            }
            Start::After(_) => {}
        }
        self.plan_script(at, unit, run, script);
        match script.start {
            Start::After(delay) if delay > Millis::ZERO => {
                self.plan(at.after(delay), unit, run, WorldEvent::Acknowledge);
                SpawnOutcome::Pending
            }
            Start::After(_) | Start::Fails(..) => {
                self.acknowledge(unit, run);
                if self.has(InjectedBug::ForgetsAnswers) {
                    SpawnOutcome::Pending
                } else {
                    SpawnOutcome::Started
                }
            }
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
        let unit = number(unit);
        if !self.operate() {
            return SignalOutcome::Sent;
        }
        if self.units.len() > 1
            && self.os.all().filter(|p| p.state == ProcessState::Alive).count() > 1
        {
            self.record_effect(FaultEffect::Neighbours);
        }
        // Released, and not reported to the driver yet: there is no process to reach.
        let Some(entry) = self.target(unit, run).copied() else {
            return SignalOutcome::Gone(Exit::Unknown);
        };
        let faults_stopped = self.faults_stopped;
        let Some(process) = self.os.find_mut(unit, run) else { return SignalOutcome::Sent };
        if process.script.signals == SignalDelivery::Missed
            && process.state == ProcessState::Alive
            && !faults_stopped
        {
            process.state = ProcessState::Reaped(Exit::Unknown);
            self.record_effect(FaultEffect::SignalMissed);
            if self.has(InjectedBug::DiesOfNobody) {
                self.monitor_gave_up = true;
            }
            if self.has(InjectedBug::NobodyIsSent) {
                return SignalOutcome::Sent;
            }
        }
        let Some(process) = self.os.find(unit, run).copied() else { return SignalOutcome::Sent };
        // The notice of its end may be late or lost.
        if let Some(exit) = self.end_seen(&process, &entry)
            && !entry.end_reported
            && !matches!(
                self.injected_bug,
                Some(InjectedBug::TrustsNotices | InjectedBug::NobodyIsSent)
            )
            && process.ended().is_some()
        {
            if let Some(entry) = self.target(unit, run) {
                entry.end_reported = true;
            }
            if process.script.notice == ExitNotice::Lost {
                self.record_effect(FaultEffect::NoticeLost);
            }
            return SignalOutcome::Gone(exit);
        }
        if process.script.signals == SignalDelivery::Refused && !faults_stopped {
            self.record_effect(FaultEffect::SignalRefused);
            return SignalOutcome::Refused;
        }
        if scope == Scope::Process && process.state != ProcessState::Alive {
            // A zombie takes any signal and does nothing.
            return SignalOutcome::Sent;
        }
        if signal != Signal::HUP {
            if self.has(InjectedBug::KeepsFirstNumber) {
                self.deliver_to(at, entry.pid, (unit, run), signal);
            } else {
                self.deliver(at, unit, run, signal, scope);
            }
        }
        SignalOutcome::Sent
    }

    fn release(
        &mut self,
        at: Moment,
        unit: UnitId,
        run: RunId,
        signal: Option<Signal>,
        scope: Scope,
    ) -> Option<Remains> {
        let unit = number(unit);
        if !self.operate() {
            return None;
        }
        let process = self.os.find(unit, run).copied();
        let refused = process.is_some_and(|p| p.script.signals == SignalDelivery::Refused)
            && !self.faults_stopped;
        if let Some(signal) = signal
            && let Some(BackendRun { pid, .. }) = self.target(unit, run).copied()
            && !refused
        {
            if self.has(InjectedBug::ReapsBeforeSignal) {
                self.reap(unit, run);
            }
            if self.has(InjectedBug::ReapsBeforeSignal) || self.has(InjectedBug::ReapsAtNotice) {
                self.deliver_to(at, pid, (unit, run), signal);
            } else {
                self.deliver(at, unit, run, signal, scope);
            }
        }
        if self.target(unit, run).is_none() {
            return Some(Remains::Nothing);
        }
        let Some(process) = process else { return Some(Remains::Nothing) };
        if process.state == ProcessState::Alive {
            self.violate(Property::ReleasedOnce);
            return None;
        }
        let keeps = self.has(InjectedBug::NeverReaps)
            || self.has(InjectedBug::KeepsFailedStarts) && process.failed;
        if !keeps {
            self.reap(unit, run);
        }
        let forgets =
            self.has(InjectedBug::ForgetsTheGroup) || self.has(InjectedBug::KillsASnapshot);
        let entry = self.target(unit, run)?;
        match (process.members, scope) {
            (true, Scope::Group) if !forgets => {
                entry.releasing = true;
                None
            }
            (left, _) => {
                entry.released = true;
                let leaked = left && !forgets;
                self.require(!left || leaked, Property::StoppedMeansGone);
                Some(if leaked { Remains::Leaked } else { Remains::Nothing })
            }
        }
    }

    fn save(&mut self, at: Moment, unit: UnitId, state: State, ticket: Ticket) -> SaveStatus {
        let unit = number(unit);
        if self.is_dead() {
            return SaveStatus::Saved;
        }
        let fails = at < Moment::ORIGIN.after(self.case.saves_fail_until);
        if fails && self.has(InjectedBug::HidesSaveErrors) {
            self.units[unit].saved = state;
            return SaveStatus::Saved;
        }
        let takes = self.case.saves_take > Millis::ZERO && !self.faults_stopped;
        if takes || !self.units[unit].pending_saves.is_empty() {
            let result = if fails { Err(SaveFailed) } else { Ok(()) };
            self.save_later(at, unit, state, ticket, result);
            return if self.has(InjectedBug::AnswersSavesEarly) {
                SaveStatus::Saved
            } else {
                SaveStatus::Pending
            };
        }
        if fails {
            self.units[unit].unsaved = true;
            return SaveStatus::Failed;
        }
        if self.has(InjectedBug::SavesLate) {
            self.units[unit].saving = Some(state);
            self.saved(unit, state);
        } else {
            self.store(unit, state);
        }
        SaveStatus::Saved
    }

    fn watchdog(&mut self, unit: UnitId, run: RunId) -> Option<Millis> {
        let unit = number(unit);
        if self.has(InjectedBug::WatchesTheUntold) {
            let watchdog = self.units[unit].policy.rules().watchdog;
            return watchdog.map(|watchdog| watchdog.period);
        }
        self.os.find(unit, run)?.watchdog
    }

    fn draw(&mut self, jitter: Millis) -> Millis {
        // The driver delivers what is due before it waits again: this ends a loop without time.
        if self.violated.is_some() {
            return Millis::new(u32::MAX);
        }
        if jitter == Millis::ZERO {
            // Whether a driver asks for it makes no difference to the other draws.
            return Millis::ZERO;
        }
        Millis::new(self.rng.random_range(0..=jitter.as_u32()))
    }

    fn observe(&mut self, report: &Report<'_>) {
        let unit = number(report.unit);
        if self.violated.is_some() {
            return;
        }
        match self.monitor {
            MonitorStatus::Running | MonitorStatus::Dying(..) => {}
            MonitorStatus::Restarting | MonitorStatus::Dead(_, false) => return,
            MonitorStatus::Dead(outage, true) => {
                self.monitor = MonitorStatus::Dead(outage, false);
                self.lose_power(outage);
                // A step has taken place as soon as it is saved.
                let known = &self.units[unit];
                let read = known.disk.read();
                let kept = read == Content::Whole(report.step.state)
                    || read == Content::Missing && report.step.state == State::INITIAL;
                if !kept || known.state != report.before {
                    return;
                }
                self.units[unit].saved = report.step.state;
                self.record_effect(FaultEffect::DeathInAStep);
            }
        }
        self.observe(report);
        if self.has(InjectedBug::SavesLate)
            && !self.is_dead()
            && let Some(state) = self.units[unit].saving.take()
        {
            self.write(unit, state);
        }
    }

    fn wait(&mut self, deadline: Option<Moment>) -> ObservedInput {
        self.now = self.now.after(self.case.handling_takes);
        let over = self.violated.is_some() || self.monitor_gave_up || self.now > HORIZON;
        if over || self.trace.len() >= self.steps_max {
            return self.occur(self.now, DriverInput::Quit);
        }
        if let MonitorStatus::Dead(outage, fresh) = self.monitor {
            if fresh {
                self.lose_power(outage);
            }
            self.restart_monitor();
        }
        let undelivered = self.undelivered.pop_front();
        if self.monitor == MonitorStatus::Restarting
            && !matches!(undelivered, Some(DriverInput::UnitAdded(..)))
        {
            self.monitor = MonitorStatus::Running;
        }
        if let Some(undelivered) = undelivered {
            return self.occur(self.now, undelivered);
        }
        if self.has(InjectedBug::EndsWhenIdle)
            && self.os.all().next().is_some()
            && self.os.all().all(|process| process.state != ProcessState::Alive)
        {
            return self.occur(self.now, DriverInput::Quit);
        }
        let late = self.case.timers_late;
        loop {
            let deadline = deadline.map(|at| self.clocks.when(at, self.injected_bug));
            let due = deadline.map(|at| at.after(late).max(self.now));
            let planned = self.event_queue.next();
            let input = self.case.inputs.get(self.next_input);
            let asked = input.map(|input| Moment::ORIGIN.after(input.at).max(self.now));
            let Some(next) = earlier(earlier(due, planned), earlier(asked, self.faults_stop_at))
            else {
                return self.occur(self.now, DriverInput::Quit);
            };
            // What is readable comes before a deadline.
            let readable = [planned, asked, self.faults_stop_at].contains(&Some(next));
            if due == Some(next) && (!readable || self.has(InjectedBug::DeadlinesFirst)) {
                return self.occur(next, DriverInput::DeadlineReached);
            }
            if asked == Some(next) {
                match self.deliver_input(next) {
                    Some(input) => {
                        let ticket = self.ticket.take();
                        return ObservedInput { ticket, ..self.occur(self.now.max(next), input) };
                    }
                    None => {
                        self.ticket = None;
                        continue;
                    }
                }
            }
            if self.faults_stop_at == Some(next) {
                self.stop_faults(next);
                if let Some(undelivered) = self.undelivered.pop_front() {
                    return self.occur(next, undelivered);
                }
                continue;
            }
            if let Some((at, planned)) = self.event_queue.pop()
                && let Some(input) = self.deliver_planned(at.max(self.now), planned)
            {
                return self.occur(at.max(self.now), input);
            }
        }
    }
}

/// A time by which every lawful stop is over and every loop has shown itself.
const HORIZON: Moment = Moment::from_millis(100 * 24 * 3_600_000);
