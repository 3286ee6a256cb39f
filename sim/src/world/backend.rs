//! The backend: the kernel that the driver is given, over the virtual operating system.

use monitor_core::{Event, Exit, Found, Millis, Outcome, Remains, RunId, Scope, Signal, State};
use monitor_os::{
    DriverInput, Kernel, Moment, ObservedInput, Report, SaveFailed, Signalled, Spawned, UnitId,
};
use rand::RngExt;

use super::disk::{Content, File};
use super::event_queue::WorldEvent;
use super::os::{PidOwner, ProcessState, VirtualProcess};
use super::{FaultEffect, HORIZON, InjectedBug, MonitorStatus, Outage, World, id, number};
use crate::case::{ExitNotice, InputKind, OnStop, SignalDelivery, Start};
use crate::oracle::Property;

/// The run that the backend keeps of a unit, until another begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct BackendRun {
    pub(super) run: RunId,
    pub(super) pid: u32,
    /// Whether its start was acknowledged.
    acknowledged: bool,
    /// Whether its end was reported.
    pub(super) end_reported: bool,
    /// Whether the driver waits for the rest of its group to be gone.
    releasing: bool,
    pub(super) released: bool,
}

impl World<'_> {
    /// The run that a command means, if it is there to be meant.
    fn target(&mut self, unit: usize, run: RunId) -> Option<&mut BackendRun> {
        self.units[unit].entry.as_mut().filter(|entry| entry.run == run && !entry.released)
    }

    // Events of the operating system.

    /// Asks for every child whether it has ended, and queues what is to be reported.
    pub(super) fn notified(&mut self) {
        if self.is_dead() {
            return;
        }
        let mut reported = 0;
        for unit in 0..self.units.len() {
            let Some(entry) =
                self.units[unit].entry.filter(|entry| !entry.end_reported && !entry.released)
            else {
                continue;
            };
            let Some(process) = self.os.find(unit, entry.run).copied() else { continue };
            let Some(exit) = self.end_seen(&process, &entry) else { continue };
            let dropped = (self.has(InjectedBug::KeepsOneEnd) && reported > 0)
                || (self.has(InjectedBug::MissesEarlyEnds) && !entry.acknowledged);
            let whose = if self.has(InjectedBug::AnyChildEndsTheRun) {
                self.first_untold().unwrap_or(unit)
            } else {
                unit
            };
            if let Some(entry) = &mut self.units[whose].entry {
                entry.end_reported = true;
                let run = entry.run;
                if !dropped && self.passes_stamps(self.now, whose, Event::Exited { run, exit }) {
                    let event = Event::Exited { run, exit };
                    self.undelivered.push_back(DriverInput::Event(id(whose), event));
                }
            }
            if process.script.notice == ExitNotice::Lost {
                self.record_effect(FaultEffect::NoticeLost);
            }
            if process.output {
                self.record_effect(FaultEffect::OutputHeld);
            }
            if self.has(InjectedBug::ReapsAtNotice) || self.has(InjectedBug::TwoReapers) {
                self.reap(unit, entry.run);
            }
            reported += 1;
            if self.has(InjectedBug::OneWaitPerNotice) {
                break;
            }
        }
    }

    fn first_untold(&self) -> Option<usize> {
        self.units
            .iter()
            .position(|unit| unit.entry.is_some_and(|entry| !entry.end_reported && !entry.released))
    }

    /// How a process has ended, as the backend sees it.
    fn end_seen(&self, process: &VirtualProcess<'_>, entry: &BackendRun) -> Option<Exit> {
        if self.has(InjectedBug::EndIsEndOfOutput) && process.output || process.failed {
            return None;
        }
        match (process.ended(), self.injected_bug) {
            (None, Some(InjectedBug::NobodyIsAnEnd)) if entry.acknowledged => Some(Exit::Code(0)),
            (Some(_), Some(InjectedBug::EmptyGroupIsTheEnd)) if !process.members => {
                Some(Exit::Code(0))
            }
            (Some(_), Some(InjectedBug::TwoReapers)) => Some(Exit::Unknown),
            (ended, _) => ended,
        }
    }

    /// The event of a group whose last member has gone.
    pub(super) fn members_gone(&mut self, unit: usize, run: RunId) -> Option<DriverInput> {
        let entry = self.target(unit, run).filter(|entry| entry.releasing)?;
        entry.releasing = false;
        entry.released = true;
        let remains = Remains::Nothing;
        Some(DriverInput::Event(id(unit), Event::Released { run, remains }))
    }

    pub(super) fn acknowledge(&mut self, unit: usize, run: RunId) {
        if let Some(entry) = self.target(unit, run) {
            entry.acknowledged = true;
        }
    }

    pub(super) fn fail_start(&mut self, process: &VirtualProcess<'_>) -> Option<Event> {
        let Start::Fails(_, failure) = process.script.start else { return None };
        self.record_effect(FaultEffect::FailedChild);
        let run = process.run;
        Some(if self.has(InjectedBug::StartsAtFork) {
            Event::Exited { run, exit: Exit::Code(127) }
        } else {
            Event::StartFailed { run, failure }
        })
    }

    // What the backend does.

    /// Takes the end of a process from the kernel, which frees its number.
    fn reap(&mut self, unit: usize, run: RunId) {
        if let Some(process) = self.os.find_mut(unit, run)
            && let ProcessState::Zombie(exit) = process.state
        {
            process.state = ProcessState::Reaped(exit);
        }
    }

    /// What a signal to the process or the group does.
    fn deliver(&mut self, at: Moment, unit: usize, run: RunId, signal: Signal, scope: Scope) {
        let Some(process) = self.os.find(unit, run) else { return };
        let VirtualProcess { script, state, members, .. } = *process;
        let kill = signal == Signal::KILL;
        let dies = |on_stop| match on_stop {
            _ if kill => Some(Millis::ZERO),
            OnStop::Dies(delay) => Some(delay),
            OnStop::Ignores => None,
        };
        if state == ProcessState::Alive
            && let Some(delay) = dies(script.on_stop)
        {
            self.plan(at.after(delay), unit, run, WorldEvent::Die(Exit::Signal(signal)));
        }
        let snapshot = self.has(InjectedBug::KillsASnapshot);
        if members
            && scope == Scope::Group
            && !snapshot
            && let Some(delay) = script.leaves.and_then(dies)
        {
            self.plan(at.after(delay), unit, run, WorldEvent::LeftoverDies);
        }
    }

    /// Sends a signal to the owner of a number, meaning this run.
    fn deliver_to(&mut self, at: Moment, pid: u32, meant: (usize, RunId), signal: Signal) {
        match self.os.owner(pid) {
            PidOwner::Run(unit, run) => {
                self.require((unit, run) == meant, Property::SignalsHitTheRun);
                self.deliver(at, unit, run, signal, Scope::Group);
            }
            PidOwner::Foreign => self.violate(Property::SignalsHitTheRun),
            PidOwner::None => {}
        }
    }

    /// Passes a signal on by the number that is remembered.
    pub(super) fn forward(&mut self, unit: usize) {
        if let Some(entry) = self.units[unit].entry {
            self.deliver_to(self.now, entry.pid, (unit, entry.run), Signal::HUP);
        }
    }

    /// Whether this injected bug takes events for old by their stamps.
    pub(super) fn passes_stamps(&self, now: Moment, unit: usize, event: Event) -> bool {
        let set_back = || {
            let start =
                self.trace.iter().rev().find(|line| {
                    line.unit == id(unit) && matches!(line.event, Event::Started { .. })
                });
            start.is_some_and(|line| self.clocks.wall(now) < line.at)
        };
        match (self.injected_bug, event) {
            (Some(InjectedBug::EndsByStamp), Event::Exited { .. })
            | (Some(InjectedBug::PingsByStamp), Event::Ping { .. })
            | (Some(InjectedBug::EventsByStamp), _) => !set_back(),
            _ => true,
        }
    }

    // Saving and recovering.

    /// Whether a save takes place at once, whole: nothing can come between its operations.
    const fn saves_plainly(&self) -> bool {
        self.injected_bug.is_none()
            && matches!(self.monitor, MonitorStatus::Running)
            && self.case.disk.is_none()
    }

    /// Writes a state by a temporary file, synced before it is renamed, and renamed for good.
    fn write(&mut self, unit: usize, state: State) {
        let state =
            if self.has(InjectedBug::SavesWithoutOutcome) { without_outcome(state) } else { state };
        let in_place = self.has(InjectedBug::SavesInPlace);
        let file = if in_place { File::Main } else { File::Temporary };
        for step in 0..5 {
            if !self.operate() {
                return;
            }
            let unsynced = self.has(InjectedBug::SavesWithoutSync);
            let disk = &mut self.units[unit].disk;
            match step {
                0 => disk.truncate(file),
                1 => disk.write(file, state),
                2 if !unsynced => disk.sync(file),
                3 if !in_place => disk.rename(),
                4 if !in_place => disk.sync_folder(),
                _ => {}
            }
            if self.is_dead() && step < 4 {
                self.record_effect(FaultEffect::DeathInASave);
            }
        }
        if self.has(InjectedBug::SharesTemporary) {
            let now = self.now;
            let shared = self.units.iter().enumerate().any(|(other, known)| {
                other != unit && known.at_once.0 == now && known.state != State::INITIAL
            });
            if shared {
                self.units[unit].disk.tear();
            }
        }
    }

    /// What a monitor that is started again reads, and whether that is a state that was saved.
    pub(super) fn read_saved(&mut self, unit: usize) -> State {
        let known = &self.units[unit];
        let (saved, saving) = (known.saved, known.saving);
        let read = match known.disk.read() {
            Content::Whole(state) => Some(state),
            Content::Missing => Some(State::INITIAL),
            Content::Empty | Content::Torn => None,
        };
        let safe = read.is_some_and(|read| read == saved || Some(read) == saving);
        self.require(safe, Property::CrashSafe);
        // The monitor before may have died before the folder was synced: what is gone on from must survive.
        if let Some(state) = read {
            self.units[unit].disk.settle(state);
        }
        if self.has(InjectedBug::ServesUnread) { State::INITIAL } else { read.unwrap_or_default() }
    }

    /// What has become of the run that the saved state names.
    pub(super) fn recover_run(&mut self, unit: usize, outage: Outage) -> Found {
        let state = self.units[unit].state;
        let run = state.run();
        let kept = state.outcome();
        let alone = matches!(outage, Outage::Crash { down } if down > Millis::ZERO);
        for process in self.os.all_mut().filter(|process| process.unit == unit) {
            let exit = match (process.state, kept) {
                (ProcessState::Alive, _) if outage == Outage::Reboot => Exit::Unknown,
                (ProcessState::Zombie(_) | ProcessState::Reaped(_), Outcome::Exited(exit))
                    if process.run == run =>
                {
                    exit
                }
                // Others have reaped it, and its status is unknown.
                (ProcessState::Zombie(_), _) if alone || outage == Outage::Reboot => Exit::Unknown,
                _ => continue,
            };
            let frees = alone || outage == Outage::Reboot;
            process.state = match process.state {
                ProcessState::Zombie(_) if !frees => ProcessState::Zombie(exit),
                ProcessState::Alive | ProcessState::Zombie(_) | ProcessState::Reaped(_) => {
                    ProcessState::Reaped(exit)
                }
            };
        }
        if outage == Outage::Reboot {
            for process in self.os.all_mut().filter(|process| process.unit == unit) {
                process.members = false;
            }
        }
        let process = self.os.find(unit, run).copied();
        let truth = match process {
            _ if outage == Outage::Reboot => Found::Rebooted,
            None => Found::Gone,
            Some(process) if process.failed => Found::Gone,
            Some(process) => match process.ended() {
                None => Found::Alive,
                Some(_) if alone => Found::Gone,
                Some(exit) => Found::Exited(exit),
            },
        };
        let pid = self.units[unit].entry.map(|entry| entry.pid);
        let lives = state.phase().is_live();
        let zombie =
            process.is_some_and(|process| matches!(process.state, ProcessState::Zombie(_)));
        let found = match (self.injected_bug, truth) {
            (Some(InjectedBug::AdoptsByNumber), Found::Gone | Found::Rebooted)
                if lives && pid.is_some_and(|pid| self.os.owner(pid) != PidOwner::None) =>
            {
                Found::Alive
            }
            (Some(InjectedBug::AdoptsBlindly), _) if lives => Found::Alive,
            (Some(InjectedBug::AdoptsZombies), _) if lives && zombie => Found::Alive,
            (Some(InjectedBug::UnknownIsZero), Found::Gone) if lives => {
                Found::Exited(Exit::Code(0))
            }
            _ => truth,
        };
        self.require(found != Found::Alive || truth == Found::Alive, Property::AdoptsItsOwn);
        let reported = truth != Found::Alive;
        if let Some(entry) = &mut self.units[unit].entry {
            if entry.run == run {
                entry.end_reported = reported;
                entry.acknowledged = true;
                entry.releasing = false;
            } else {
                self.units[unit].entry = None;
            }
        }
        found
    }
}

/// A form of the state that cannot say how a run ended, as far as there is one.
fn without_outcome(state: State) -> State {
    let mut bytes = state.to_bytes();
    (bytes[5], bytes[6]) = (bytes[5].min(1), 0);
    State::from_bytes(&bytes).unwrap_or(State::INITIAL)
}

/// The earlier of two moments, as far as there are any.
fn earlier(one: Option<Moment>, other: Option<Moment>) -> Option<Moment> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Kernel for World<'_> {
    fn spawn(&mut self, at: Moment, unit: UnitId, run: RunId) -> Spawned {
        let unit = number(unit);
        if !self.operate() {
            return Spawned::Pending;
        }
        if self.os.latest(unit).is_some_and(|old| old.state == ProcessState::Alive) {
            self.violate(Property::OneIncarnation);
        }
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
            return Spawned::Failed(monitor_core::StartFailure::Transient);
        };
        if pid <= last {
            self.record_effect(FaultEffect::PidReused);
        }
        // What is planned at one moment comes to pass in this order.
        match script.start {
            Start::Fails(Millis::ZERO, failure) => return Spawned::Failed(failure),
            Start::Fails(delay, _) => {
                self.plan(at.after(delay), unit, run, WorldEvent::FailStart);
                return if self.has(InjectedBug::StartsAtFork) {
                    Spawned::Started
                } else {
                    Spawned::Pending
                };
            }
            Start::After(_) => {}
        }
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
        match script.start {
            Start::After(delay) if delay > Millis::ZERO => {
                self.plan(at.after(delay), unit, run, WorldEvent::Acknowledge);
                Spawned::Pending
            }
            Start::After(_) | Start::Fails(..) => {
                self.acknowledge(unit, run);
                if self.has(InjectedBug::ForgetsAnswers) {
                    Spawned::Pending
                } else {
                    Spawned::Started
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
    ) -> Signalled {
        let unit = number(unit);
        if !self.operate() {
            return Signalled::Sent;
        }
        if self.units.len() > 1
            && self.os.all().filter(|p| p.state == ProcessState::Alive).count() > 1
        {
            self.record_effect(FaultEffect::Neighbours);
        }
        // Released, and not reported to the driver yet: there is no process to reach.
        let Some(entry) = self.target(unit, run).copied() else {
            return Signalled::Gone(Exit::Unknown);
        };
        let faults_stopped = self.faults_stopped;
        let Some(process) = self.os.find_mut(unit, run) else { return Signalled::Sent };
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
                return Signalled::Sent;
            }
        }
        let Some(process) = self.os.find(unit, run).copied() else { return Signalled::Sent };
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
            return Signalled::Gone(exit);
        }
        if process.script.signals == SignalDelivery::Refused && !faults_stopped {
            self.record_effect(FaultEffect::SignalRefused);
            return Signalled::Refused;
        }
        if scope == Scope::Process && process.state != ProcessState::Alive {
            // A zombie takes any signal and does nothing.
            return Signalled::Sent;
        }
        if signal != Signal::HUP {
            if self.has(InjectedBug::KeepsFirstNumber) {
                self.deliver_to(at, entry.pid, (unit, run), signal);
            } else {
                self.deliver(at, unit, run, signal, scope);
            }
        }
        Signalled::Sent
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

    fn save(&mut self, at: Moment, unit: UnitId, state: State) -> Result<(), SaveFailed> {
        let unit = number(unit);
        if self.is_dead() {
            return Ok(());
        }
        if at < Moment::ORIGIN.after(self.case.saves_fail_until) {
            if self.has(InjectedBug::HidesSaveErrors) {
                self.units[unit].saved = state;
                return Ok(());
            }
            self.units[unit].unsaved = true;
            return Err(SaveFailed);
        }
        if self.saves_plainly() {
            self.units[unit].settle(state);
            return Ok(());
        }
        self.units[unit].saving = Some(state);
        if !self.has(InjectedBug::SavesLate) {
            self.write(unit, state);
        }
        if !self.is_dead() {
            self.units[unit].saved = state;
            self.units[unit].unsaved = false;
        }
        Ok(())
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
            if due == Some(next) {
                return self.occur(next, DriverInput::DeadlineReached);
            }
            if asked == Some(next) {
                let dies = input.is_some_and(|input| {
                    matches!(input.kind, InputKind::Crash { .. } | InputKind::Reboot { .. })
                });
                if dies && deadline.is_some_and(|at| at <= next) {
                    // What is due comes before a crash, as it comes before any event.
                    return self.occur(next, DriverInput::DeadlineReached);
                }
                match self.deliver_input(next) {
                    Some(input) => return self.occur(self.now.max(next), input),
                    None => continue,
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
