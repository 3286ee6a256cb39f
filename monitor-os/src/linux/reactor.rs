//! The Linux kernel behind the driver: one thread that waits for everything at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::BuildHasher;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

use monitor_core::{Event, Exit, Millis, Remains, RunId, Scope, Signal, StartFailure, State};
use tokio::sync::oneshot;

use super::clock::monotonic_nanos;
use super::epoll::{Epoll, Trigger};
use super::inbox::{Message, Wish};
use super::process::{Ended, SignalError};
use super::run::{self, Progress, Run};
use super::spawn::spawn;
use super::status::StopResult;
use super::timer::Timer;
use super::unit::{Unit, is_going_on};
use super::wake::{Notifier, Wake};
use crate::kernel::{
    Happening, Kernel, Moment, Occurrence, Report, SaveFailed, Signalled, Spawned, UnitId,
};
use crate::telemetry;

/// Implements [`Kernel`] by pidfds, a timerfd and an eventfd in one epoll.
#[derive(Debug)]
pub(super) struct LinuxKernel {
    epoll: Epoll,
    timer: Timer,
    wake: Wake,
    notifier: Notifier,
    inbox: Receiver<Message>,
    units: BTreeMap<UnitId, Unit>,
    /// The runs that are not released, by their keys in the epoll. A key is never used again.
    runs: BTreeMap<u64, Run>,
    next_key: u64,
    /// When to look again at runs of which no descriptor tells, with their keys.
    polls: BTreeSet<(Moment, u64)>,
    queue: VecDeque<Queued>,
    /// The wish that the driver is handling.
    wished: Option<Wished>,
    /// The keys of the last wait; kept for its memory.
    ready: Vec<u64>,
    observed: Moment,
    random: fastrand::Rng,
    mood: Mood,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Serving,
    /// All units were told to come down; no wish to bring one up is heard any more.
    ShuttingDown,
}

#[derive(Debug)]
enum Queued {
    Happening(Happening),
    Wished(Wished),
}

#[derive(Debug)]
struct Wished {
    unit: UnitId,
    wish: Wish,
    reply: Option<oneshot::Sender<StopResult>>,
}

/// How far [`LinuxKernel::bring_down`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Brought {
    Down,
    NotYet,
}

impl LinuxKernel {
    /// Opens the descriptors.
    ///
    /// # Errors
    /// No descriptor left, or no memory; nothing changed.
    pub(super) fn new(
        inbox: Receiver<Message>,
        wake: Wake,
        notifier: Notifier,
    ) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let timer = Timer::new()?;
        epoll.add(&wake, WAKE_KEY, Trigger::Level)?;
        epoll.add(&timer, TIMER_KEY, Trigger::Level)?;
        Ok(Self {
            epoll,
            timer,
            wake,
            notifier,
            inbox,
            units: BTreeMap::new(),
            runs: BTreeMap::new(),
            next_key: TIMER_KEY + 1,
            polls: BTreeSet::new(),
            queue: VecDeque::new(),
            wished: None,
            ready: Vec::new(),
            observed: now(),
            random: fastrand::Rng::with_seed(seed()),
            mood: Mood::Serving,
        })
    }

    /// Waits once, and queues what came: ends of processes in the order of their starts, then wishes in
    /// the order in which they were made.
    fn look(&mut self, deadline: Option<Moment>) -> io::Result<()> {
        let next = self.polls.first().map(|&(at, _)| at);
        let next = [deadline, next].into_iter().flatten().min();
        self.timer.set(next.map(Moment::as_nanos))?;
        let mut ready = std::mem::take(&mut self.ready);
        self.epoll.wait(&mut ready)?;
        self.observed = self.observed.max(now());
        ready.sort_unstable();
        let mut woken = false;
        for &key in &ready {
            match key {
                WAKE_KEY => woken = true,
                TIMER_KEY => {
                    self.timer.drain()?;
                }
                run => self.advance(run),
            }
        }
        self.ready = ready;
        while let Some(&(at, key)) = self.polls.first()
            && at <= self.observed
        {
            self.polls.remove(&(at, key));
            self.advance(key);
        }
        if woken {
            self.wake.drain();
            self.receive();
        }
        Ok(())
    }

    /// Takes messages, a bounded number at a time so that exits and deadlines are not kept waiting.
    fn receive(&mut self) {
        for _ in 0..MESSAGES_PER_TURN {
            match self.inbox.try_recv() {
                Ok(message) => self.take(message),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
        self.notifier.notify();
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Join { unit, name, command, policy, status } => {
                let joined = Unit::new(name, command, status);
                self.units.insert(unit, joined);
                self.enqueue(Happening::Joined(unit, policy, State::INITIAL));
            }
            Message::Wish { unit, wish, reply } => {
                if self.mood == Mood::ShuttingDown && wish.brings_up() {
                    if let Some(unit) = self.units.get(&unit) {
                        unit.count_wish();
                    }
                    return;
                }
                self.queue.push_back(Queued::Wished(Wished { unit, wish, reply }));
            }
            Message::Listen { unit, listener } => {
                if let Some(unit) = self.units.get_mut(&unit) {
                    unit.listeners.push(listener);
                }
            }
            Message::ShutDown => {
                self.mood = Mood::ShuttingDown;
                let units: Vec<_> = self.units.keys().copied().collect();
                for unit in units {
                    self.enqueue(Happening::Told(unit, Event::shutdown()));
                }
            }
        }
    }

    fn enqueue(&mut self, happening: Happening) {
        self.queue.push_back(Queued::Happening(happening));
    }

    /// Looks at a run whose descriptor or whose timer says that there is news.
    fn advance(&mut self, key: u64) {
        let Some(mut run) = self.take_run(key) else {
            return;
        };
        match run.progress {
            Progress::Live(process) => match process.peek() {
                Some(ended) => {
                    run.progress = Progress::Ended(process);
                    let (unit, id) = (run.unit, run.id);
                    self.runs.insert(key, run);
                    self.note_end(unit, id, ended);
                    let exit = ended.into();
                    self.enqueue(Happening::Told(unit, Event::Exited { run: id, exit }));
                }
                // Readable, but a tracer holds the zombie: the descriptor stays readable, so a timer asks.
                None => {
                    run.progress = Progress::Live(process);
                    self.keep(key, run);
                }
            },
            Progress::Ended(_) => {
                self.runs.insert(key, run);
            }
            Progress::Reaping(_) | Progress::Unseen(_) | Progress::Leftover(_) => {
                let (unit, id) = (run.unit, run.id);
                let awaited = self.units.get(&unit).is_some_and(|u| u.run == Some(key));
                if self.bring_down(key, run) == Brought::Down && awaited {
                    let remains = Remains::Nothing;
                    self.enqueue(Happening::Told(unit, Event::Released { run: id, remains }));
                }
            }
        }
    }

    /// Takes a released run as far as it goes, and keeps watching it if that is not far enough.
    fn bring_down(&mut self, key: u64, run: Run) -> Brought {
        let (unit, id) = (run.unit, run.id);
        let (left, ended) = run.bring_down();
        if let Some(ended) = ended {
            self.note_end(unit, id, ended);
        }
        let Some(run) = left else {
            if let Some(unit) = self.units.get_mut(&unit)
                && unit.run == Some(key)
            {
                unit.run = None;
            }
            return Brought::Down;
        };
        if let Progress::Leftover(remainder) = &run.progress {
            for pidfd in remainder.pidfds() {
                if let Err(error) = self.epoll.add(pidfd, key, Trigger::Once)
                    && error.kind() != io::ErrorKind::AlreadyExists
                {
                    telemetry::unwatched(&error);
                }
            }
        }
        self.keep(key, run);
        Brought::NotYet
    }

    fn note_end(&mut self, unit: UnitId, run: RunId, ended: Ended) {
        if let Some(unit) = self.units.get_mut(&unit) {
            unit.facts.ended = Some((run, ended));
        }
    }

    /// Puts a run back and looks at it again after a pause.
    fn keep(&mut self, key: u64, mut run: Run) {
        let at = self.observed.max(now()).after(run.next_pause());
        run.poll = Some(at);
        self.polls.insert((at, key));
        self.runs.insert(key, run);
    }

    /// Takes a run out, with its timer.
    fn take_run(&mut self, key: u64) -> Option<Run> {
        let mut run = self.runs.remove(&key)?;
        if let Some(at) = run.poll.take() {
            self.polls.remove(&(at, key));
        }
        Some(run)
    }

    /// The key of a run, if it is the one that the unit has and that is not released.
    fn current(&self, unit: UnitId, run: RunId) -> Option<u64> {
        let key = self.units.get(&unit)?.run?;
        (self.runs.get(&key)?.id == run).then_some(key)
    }

    /// Stops watching what the machine has given up. A zombie is still reaped when it can be.
    fn abandon(&mut self, unit: UnitId) {
        let Some(key) = self.units.get_mut(&unit).and_then(|unit| unit.run.take()) else {
            return;
        };
        if let Some(run) = self.take_run(key) {
            match run.progress {
                Progress::Reaping(_) => self.keep(key, run),
                Progress::Live(_)
                | Progress::Ended(_)
                | Progress::Unseen(_)
                | Progress::Leftover(_) => {}
            }
        }
    }

    /// Counts the wish that a report is about, and takes note of who waits for its answer.
    fn hear_wish(&mut self, report: &Report<'_>) {
        let wished = self
            .wished
            .take_if(|wished| wished.unit == report.unit && wished.wish.event() == report.event);
        let Some((wished, unit)) = wished.zip(self.units.get_mut(&report.unit)) else {
            return;
        };
        unit.count_wish();
        if let Some(reply) = wished.reply {
            unit.take_stopper(report.before, reply);
        }
    }

    fn is_down(&self) -> bool {
        self.units.values().all(Unit::is_down)
    }

    const fn occurrence(&self, happening: Happening) -> Occurrence {
        Occurrence { at: self.observed, happening }
    }
}

impl Kernel for LinuxKernel {
    fn spawn(&mut self, _: Moment, unit: UnitId, run: RunId) -> Spawned {
        // What an earlier run left and the machine gave up is not watched any more.
        self.abandon(unit);
        let Some(found) = self.units.get_mut(&unit) else {
            return Spawned::Failed(StartFailure::Permanent);
        };
        found.killed = false;
        match spawn(&found.command) {
            Ok(process) => {
                let key = self.next_key;
                self.next_key += 1;
                found.run = Some(key);
                found.facts.pid = u32::try_from(process.pid().as_raw()).ok();
                found.facts.start_error = None;
                let watched = self.epoll.add(&process, key, Trigger::Once);
                let run = Run::new(unit, run, process);
                match watched {
                    Ok(()) => drop(self.runs.insert(key, run)),
                    // No room for another watch: a timer asks instead, so that the end is not missed.
                    Err(error) => {
                        telemetry::unwatched(&error);
                        self.keep(key, run);
                    }
                }
                Spawned::Started
            }
            Err(error) => {
                let failure = if error.is_transient() {
                    StartFailure::Transient
                } else {
                    StartFailure::Permanent
                };
                found.facts.start_error = Some(Arc::new(error));
                Spawned::Failed(failure)
            }
        }
    }

    fn signal(
        &mut self,
        _: Moment,
        unit: UnitId,
        run: RunId,
        signal: Signal,
        scope: Scope,
    ) -> Signalled {
        let Some(found) = self.current(unit, run).and_then(|key| self.runs.get_mut(&key)) else {
            return Signalled::Gone(Exit::Unknown);
        };
        let sent = found.signal(signal, scope);
        let killed = found.killed.is_some();
        if let Some(unit) = self.units.get_mut(&unit) {
            unit.killed = killed;
        }
        match sent {
            Ok(()) => Signalled::Sent,
            Err(SignalError::Gone) => match found.process().map(super::process::Process::peek) {
                // Only others of its group are left, and they have ended meanwhile.
                None => Signalled::Sent,
                Some(None) => Signalled::Gone(Exit::Unknown),
                Some(Some(ended)) => {
                    self.note_end(unit, run, ended);
                    Signalled::Gone(ended.into())
                }
            },
            Err(error) => {
                telemetry::not_signalled(signal, &error);
                Signalled::Refused
            }
        }
    }

    fn release(
        &mut self,
        _: Moment,
        unit: UnitId,
        run: RunId,
        signal: Option<Signal>,
        scope: Scope,
    ) -> Option<Remains> {
        let Some((key, mut entry)) =
            self.current(unit, run).and_then(|key| Some((key, self.take_run(key)?)))
        else {
            return Some(Remains::Nothing);
        };
        entry.hurry();
        // The zombie leader pins the number of the group, unless somebody else has reaped it.
        let sent = signal.map(|signal| entry.signal(signal, Scope::Group));
        if let Some(unit) = self.units.get_mut(&unit) {
            unit.facts.pid = None;
            unit.killed = entry.killed.is_some();
        }
        let brought = self.bring_down(key, entry);
        match (sent, signal, self.runs.get_mut(&key)) {
            // Whoever is left is known by now, one by one.
            (Some(Err(SignalError::Gone)), Some(signal), Some(left)) => {
                run::log(left.signal(signal, Scope::Group));
            }
            (Some(sent), ..) => run::log(sent),
            (None, ..) => {}
        }
        match (brought, scope) {
            (Brought::Down, _) => Some(Remains::Nothing),
            (Brought::NotYet, Scope::Group) => None,
            (Brought::NotYet, Scope::Process) => {
                self.abandon(unit);
                Some(Remains::Leaked)
            }
        }
    }

    fn save(&mut self, _: Moment, _: UnitId, _: State) -> Result<(), SaveFailed> {
        // There is no store: a monitor that is started again begins from nothing.
        Ok(())
    }

    fn draw(&mut self, jitter: Millis) -> Millis {
        Millis::new(self.random.u32(0..=jitter.as_u32()))
    }

    fn tell(&mut self, report: &Report<'_>) {
        if !is_going_on(report.step.state) {
            self.abandon(report.unit);
        }
        if let Some(unit) = self.units.get_mut(&report.unit) {
            unit.show(report);
        }
        // After the status, so that whoever is answered finds what the answer is about.
        self.hear_wish(report);
        if let Some(unit) = self.units.get_mut(&report.unit) {
            unit.answer_stoppers(report);
        }
    }

    fn wait(&mut self, deadline: Option<Moment>) -> Occurrence {
        loop {
            match self.queue.pop_front() {
                Some(Queued::Happening(happening)) => return self.occurrence(happening),
                Some(Queued::Wished(wished)) => {
                    let happening = wished.wish.happening(wished.unit);
                    self.wished = Some(wished);
                    return self.occurrence(happening);
                }
                None => {}
            }
            if self.mood == Mood::ShuttingDown && self.is_down() {
                return self.occurrence(Happening::Quit);
            }
            // Also with a deadline that has passed, so that deadlines cannot crowd out the rest.
            if let Err(error) = self.look(deadline) {
                telemetry::cannot_go_on(&error);
                return self.occurrence(Happening::Quit);
            }
            if self.queue.is_empty() && deadline.is_some_and(|deadline| deadline <= self.observed) {
                return self.occurrence(Happening::Due);
            }
        }
    }
}

fn now() -> Moment {
    Moment::from_nanos(monotonic_nanos())
}

/// A seed from the operating system; where it has none to give, one that it gave this process before.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(8) => u64::from_ne_bytes(bytes),
        Ok(_) | Err(_) => std::hash::RandomState::new().hash_one(bytes),
    }
}

const WAKE_KEY: u64 = 0;
const TIMER_KEY: u64 = 1;
const MESSAGES_PER_TURN: usize = 64;
