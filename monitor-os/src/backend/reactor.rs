//! The reactor: the Linux kernel behind the driver, as one thread that waits for all descriptors at
//! once.

mod checks;
pub(crate) mod inbox;
mod notifications;
mod step_log;
pub(crate) mod unit;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::BuildHasher;
use std::io;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

use monitor_core::{
    Event, Exit, Millis, Remains, RunId, Scope, ServiceCommand, Signal, StartFailure, State,
    StopMode,
};
use rustix::io::Errno;
use rustix::process::Pid;
use tokio::sync::oneshot;

use crate::backend::health::Check;
use crate::backend::output::thread::LogEvent;
use crate::backend::reactor::inbox::{Message, Request};
use crate::backend::reactor::unit::ReactorUnit;
use crate::backend::readiness::notifications::Notifications;
use crate::backend::run::adopted::AdoptedStatus;
use crate::backend::run::supervised_run::{self, Progress, Run};
use crate::backend::start::launch::{self, Launch, LaunchContext, LaunchState};
use crate::backend::start::launcher::Launcher;
use crate::backend::start::spawn::spawn;
use crate::backend::start::stdio::{Logs, Stdio};
use crate::backend::status::events::Subscriber;
use crate::backend::status::unit_status::{Status, StopResult, no_notify_status};
use crate::backend::store::state_dir::StateError;
use crate::backend::store::unit_store::UnitStore;
use crate::command::Command;
use crate::command::setup::Notified;
use crate::command::setup_stage::SetupStage;
use crate::command::spawn_error::{SpawnError, failed};
use crate::command::streams::Streams;
use crate::driver::kernel::{
    DriverInput, Kernel, Moment, ObservedInput, Report, SaveStatus, SignalOutcome, SpawnOutcome,
    Ticket, UnitId,
};
use crate::linux::cgroup::{Cgroups, RunCgroup};
use crate::linux::clock::now;
use crate::linux::containment::{Containment, ContainmentMode};
use crate::linux::epoll::{Epoll, Trigger};
use crate::linux::identity::Identity;
use crate::linux::kernel_features::KernelFeatures;
use crate::linux::oom::OomKills;
use crate::linux::orphans::{self, Origin, Orphan, Orphans};
use crate::linux::process::WaitStatus;
use crate::linux::procfs::ticks_now;
use crate::linux::run_name::RunName;
use crate::linux::signal::SignalError;
use crate::linux::timer::Timer;
use crate::linux::wake::{Notifier, Wake};
use crate::telemetry;

/// Implements [`Kernel`] by pidfds, a timerfd and an eventfd in one epoll.
#[derive(Debug)]
pub(crate) struct LinuxKernel {
    launcher: Option<Launcher>,
    features: KernelFeatures,
    /// `None` where a run cannot have one.
    cgroups: Option<Arc<Cgroups>>,
    /// `None` if this process is not their parent.
    orphans: Option<Orphans>,
    epoll: Epoll,
    timer: Timer,
    wake: Wake,
    notifier: Notifier,
    inbox: Receiver<Message>,
    /// Boxed, since a tree that grows at its end has room for twice as many as are in it.
    units: BTreeMap<UnitId, Box<ReactorUnit>>,
    /// The subscribers to all units.
    subscribers: Vec<Subscriber>,
    /// The runs that are not released, boxed as the units are, by their keys in the epoll. A key is never used again.
    runs: BTreeMap<u64, Box<Run>>,
    /// The health checks, by the keys of their runs.
    checks: BTreeMap<u64, Check>,
    next_key: u64,
    /// The counter of kills for want of memory that was read last.
    last_counter: Option<Arc<Path>>,
    /// When to poll what has no descriptor, with the keys.
    polls: BTreeSet<(Moment, u64)>,
    logs: Logs,
    queue: VecDeque<Queued>,
    /// The request that the driver is handling, with its ticket.
    pending_request: Option<(Ticket, PendingRequest)>,
    /// The tickets given to requests.
    tickets: u64,
    /// The keys of the last wait; its allocation is reused.
    ready: Vec<u64>,
    observed: Moment,
    /// What was readable at this moment is read; `None` after a deadline was reported.
    read_by: Option<Moment>,
    random: fastrand::Rng,
    state: ReactorState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReactorState {
    Serving,
    /// All units are being stopped; requests to start are ignored.
    ShuttingDown,
}

#[derive(Debug)]
enum Queued {
    Input(DriverInput),
    Request(PendingRequest),
}

#[derive(Debug)]
struct PendingRequest {
    unit: UnitId,
    request: Request,
    reply: Option<oneshot::Sender<StopResult>>,
}

/// How far [`LinuxKernel::tear_down`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TearDown {
    Down,
    NotYet,
    /// It is down, and what it printed is read to its end.
    Draining,
}

impl LinuxKernel {
    /// Opens the descriptors.
    ///
    /// # Errors
    /// No descriptor left, or no memory; nothing changed.
    pub(crate) fn new(
        launcher: Option<Launcher>,
        features: KernelFeatures,
        orphans: Option<Orphans>,
        inbox: Receiver<Message>,
        wake: Wake,
        notifier: Notifier,
    ) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let timer = Timer::new()?;
        epoll.add(&wake, WAKE_KEY, Trigger::Level)?;
        epoll.add(&timer, TIMER_KEY, Trigger::Level)?;
        if let Some(orphans) = &orphans {
            epoll.add(orphans, ORPHANS_KEY, Trigger::Level)?;
        }
        // Nobody else can be told to enter one before its program runs.
        let cgroups = launcher.as_ref().filter(|_| features.cgroup).and_then(|_| Cgroups::find());
        cgroups.iter().for_each(|cgroups| cgroups.sweep());
        Ok(Self {
            launcher,
            features,
            cgroups,
            orphans,
            epoll,
            timer,
            wake,
            logs: Logs::new(notifier.clone()),
            notifier,
            inbox,
            units: BTreeMap::new(),
            subscribers: Vec::new(),
            runs: BTreeMap::new(),
            checks: BTreeMap::new(),
            next_key: ORPHANS_KEY + 1,
            last_counter: None,
            polls: BTreeSet::new(),
            queue: VecDeque::new(),
            pending_request: None,
            tickets: 0,
            ready: Vec::new(),
            observed: now(),
            read_by: None,
            random: fastrand::Rng::with_seed(seed()),
            state: ReactorState::Serving,
        })
    }

    /// Waits once, and queues the inputs: ends of processes in the order of their starts, then requests in
    /// the order in which they were made.
    fn poll(&mut self, deadline: Option<Moment>) -> io::Result<()> {
        let next = self.polls.first().map(|&(at, _)| at);
        let next = [deadline, next].into_iter().flatten().min();
        self.timer.set(next.map(Moment::as_nanos))?;
        let mut ready = std::mem::take(&mut self.ready);
        // The monitor may be suspended anywhere, so the moment is taken before the sources are asked.
        let asked = now();
        self.epoll.wait(&mut ready)?;
        self.observed = self.observed.max(now());
        self.read_by = Some(asked);
        // Pending notifications are processed before the exit.
        ready.sort_unstable_by_key(|&key| (key & (NOTIFY | READINESS) == 0, key));
        let mut woken = false;
        for &key in &ready {
            match key {
                WAKE_KEY => woken = true,
                TIMER_KEY => {
                    self.timer.drain()?;
                }
                ORPHANS_KEY => self.on_child_exit(),
                key => self.dispatch(key),
            }
        }
        self.ready = ready;
        while let Some(&(at, key)) = self.polls.first()
            && at <= self.observed
        {
            self.polls.remove(&(at, key));
            if self.is_draining(key) {
                telemetry::not_drained();
                self.drained(key);
            } else {
                self.dispatch(key);
            }
        }
        if woken {
            self.wake.drain();
            for event in self.logs.take_events() {
                match event {
                    LogEvent::Drained(run) if self.is_draining(run) => self.drained(run),
                    LogEvent::Drained(_) => {}
                    LogEvent::Ready(unit, run) => {
                        self.enqueue(DriverInput::Event(unit, Event::Ready { run }));
                    }
                }
            }
            self.receive_messages();
        }
        Ok(())
    }

    /// Dispatches a ready key.
    fn dispatch(&mut self, key: u64) {
        let run = key & !(NOTIFY | READINESS | CHECK);
        match key ^ run {
            NOTIFY => self.read_notifications(run),
            READINESS => self.poll_readiness(run),
            CHECK => self.run_checks(run),
            _ => self.advance(run),
        }
    }

    /// Receives messages, a bounded number at a time, so that exits and deadlines are not kept waiting.
    fn receive_messages(&mut self) {
        for _ in 0..MESSAGES_PER_TURN {
            match self.inbox.try_recv() {
                Ok(message) => self.handle_message(message),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
        self.notifier.notify();
    }

    fn handle_message(&mut self, message: Message) {
        match message {
            Message::AddUnit(new_unit) => {
                let (unit, policy) = (new_unit.unit, Arc::clone(&new_unit.policy));
                let state = new_unit.status.read(Status::state);
                self.units.insert(unit, Box::new(ReactorUnit::new(new_unit)));
                self.enqueue(DriverInput::UnitAdded(unit, policy, state));
            }
            Message::Request { unit, mut request, reply } => {
                if let Some(event) = self.adopt_recovered(unit) {
                    if matches!(request, Request::Resume) {
                        request = Request::Event(event);
                    } else {
                        self.enqueue(DriverInput::Event(unit, event));
                    }
                }
                if self.state == ReactorState::ShuttingDown && request.starts_unit() {
                    if let Some(unit) = self.units.get(&unit) {
                        unit.count_request();
                    }
                    return;
                }
                // A kill ends the wait for a slow reader, too.
                if let Request::Event(Event::StopRequested { mode: StopMode::Kill, .. }) = request {
                    self.end_drain(unit);
                }
                self.queue.push_back(Queued::Request(PendingRequest { unit, request, reply }));
            }
            Message::Subscribe { unit, subscriber } => {
                if let Some(unit) = self.units.get_mut(&unit) {
                    unit.add_subscriber(subscriber);
                }
            }
            Message::SubscribeToAll { subscriber } => self.subscribers.push(subscriber),
            Message::Command { unit, command } => {
                if let Some(unit) = self.units.get_mut(&unit) {
                    unit.command = *command;
                }
            }
            Message::ShutDown => {
                self.state = ReactorState::ShuttingDown;
                let units: Vec<_> = self.units.keys().copied().collect();
                for unit in units {
                    if let Some(event) = self.adopt_recovered(unit) {
                        self.enqueue(DriverInput::Event(unit, event));
                    }
                    self.enqueue(DriverInput::Event(unit, Event::shutdown()));
                }
            }
        }
    }

    /// Adopts what an earlier monitor left of a unit; returns the event for the machine.
    fn adopt_recovered(&mut self, unit: UnitId) -> Option<Event> {
        let found = self.units.get_mut(&unit)?;
        let mut recovered = found.recovered.take()?;
        if !recovered.doubtful.is_empty() {
            found.facts().leftover = std::mem::take(&mut recovered.doubtful).into();
        }
        let (run, event) =
            (recovered.run, Event::Recovered { run: recovered.run, found: recovered.found });
        if let Some(left) = recovered.remaining {
            let key = self.next_key;
            self.next_key += 1;
            found.run = Some(key);
            found.facts().pid = left.pid;
            // Its orphans went to another, and are known by their mark.
            let marked = found.store.as_ref().is_some_and(|store| store.record().mark.is_some());
            found.facts().containment = Some(match (&left.cgroup, marked) {
                (Some(_), _) => Containment::Cgroup,
                (None, true) => Containment::GroupAndOrphans,
                (None, false) => Containment::Group,
            });
            if let Err(error) = self.logs.adopt(unit, found.streams(), run) {
                telemetry::not_captured(&error);
            }
            let mut run = Box::new(Run::new(unit, run, left.progress, left.cgroup));
            let main = run.main();
            if let Some(main) = main {
                let mut status = found.notify_status();
                let (notifications, watchdog) =
                    Notifications::adopt(&found.command, main, &mut status);
                found.facts().notify_status = status;
                run.notifications = notifications.into_some();
                run.watchdog = watchdog.and_then(|period| NonZeroU32::new(period.as_u32()));
            }
            self.watch(key, run);
        }
        Some(event)
    }

    /// Begins to watch a run.
    fn watch(&mut self, key: u64, mut run: Box<Run>) {
        let watched = match &run.progress {
            Progress::Launching(launch) => self
                .epoll
                .add(launch.report(), key, Trigger::Level)
                .and_then(|()| self.epoll.add(launch.process(), key, Trigger::Once)),
            Progress::Live(process) => self.epoll.add(process, key, Trigger::Once),
            Progress::Adopted(adopted) => self.epoll.add(adopted, key, Trigger::Once),
            // Nothing is awaited of it before it is released.
            Progress::Ended(_)
            | Progress::Reaping(_)
            | Progress::Unseen(_)
            | Progress::Leftover(_)
            | Progress::Contained
            | Progress::Draining
            | Progress::Departed(_) => Ok(()),
        };
        self.watch_notify(key, &run);
        // No room for another watch: a timer asks instead, so that the end is not missed.
        if let Err(error) = watched {
            telemetry::unwatched(&error);
            run.watched = false;
        }
        self.put_back(key, run);
    }

    /// Puts a run back until one of its descriptors is ready.
    fn put_back(&mut self, key: u64, run: Box<Run>) {
        if run.watched {
            self.runs.insert(key, run);
        } else {
            self.poll_later(key, run);
        }
    }

    fn enqueue(&mut self, input: DriverInput) {
        self.queue.push_back(Queued::Input(input));
    }

    /// Advances a run whose descriptor is ready or whose timer has expired.
    fn advance(&mut self, key: u64) {
        if self.is_draining(key) {
            return;
        }
        let Some(mut run) = self.take_run(key) else {
            return;
        };
        let (unit, id) = (run.unit, run.id);
        match run.progress {
            Progress::Launching(launch) => match launch.poll() {
                LaunchState::Program(process) => {
                    let store = self.units.get_mut(&unit).and_then(|unit| unit.store.as_mut());
                    if let Some(store) = store {
                        store.save_owner(process.pid().to_pid());
                    }
                    self.enqueue(DriverInput::Event(unit, Event::Started { run: id }));
                    let ended = process.peek().is_some();
                    run.progress = Progress::Live(process);
                    self.put_back(key, run);
                    // The descriptor may have told of this end already, while it was a helper's.
                    if ended {
                        self.advance(key);
                    }
                }
                LaunchState::Failed(process, error) => {
                    run.progress = Progress::Ended(process);
                    run.started = false;
                    self.runs.insert(key, run);
                    let failure = error.failure();
                    if let Some(unit) = self.units.get_mut(&unit) {
                        unit.facts().pid = None;
                        unit.facts().start_error = Some(Arc::new(error));
                    }
                    self.enqueue(DriverInput::Event(unit, Event::StartFailed { run: id, failure }));
                }
                LaunchState::NotYet(launch) => {
                    run.progress = Progress::Launching(Box::new(launch));
                    self.put_back(key, run);
                }
            },
            Progress::Live(process) => match process.peek() {
                Some(ended) => {
                    run.progress = Progress::Ended(process);
                    self.process_ended(key, run, ended);
                }
                // Readable, but a tracer holds the zombie: the descriptor stays readable, so a timer asks.
                None => {
                    run.progress = Progress::Live(process);
                    self.poll_later(key, run);
                }
            },
            Progress::Adopted(mut adopted) => match adopted.poll() {
                AdoptedStatus::Ended(ended) => {
                    run.progress = Progress::Departed(adopted.into_group());
                    self.process_ended(key, run, ended);
                }
                // Nobody tells when its parent has reaped it.
                AdoptedStatus::Alive | AdoptedStatus::Unreaped => {
                    run.progress = Progress::Adopted(adopted);
                    self.poll_later(key, run);
                }
            },
            Progress::Ended(_) | Progress::Departed(_) | Progress::Draining => {
                self.runs.insert(key, run);
            }
            Progress::Reaping(_)
            | Progress::Unseen(_)
            | Progress::Leftover(_)
            | Progress::Contained => {
                let awaited = self.units.get(&unit).is_some_and(|u| u.run == Some(key));
                if self.tear_down(key, run) == TearDown::Down && awaited {
                    let remains = Remains::Nothing;
                    self.enqueue(DriverInput::Event(unit, Event::Released { run: id, remains }));
                }
            }
        }
    }

    /// Reaps orphans, and advances the runs that wait for the end of some.
    fn on_child_exit(&mut self) {
        if let Some(orphans) = &self.orphans {
            orphans.drain();
        }
        self.reap_orphans();
        let waits = |run: &Run| run.cgroup.is_none() && matches!(run.progress, Progress::Contained);
        let waiting: Vec<_> =
            self.runs.iter().filter(|(_, run)| waits(run)).map(|(&key, _)| key).collect();
        waiting.into_iter().for_each(|key| self.advance(key));
    }

    /// Reaps the orphans that have ended, and gives those that live to the runs that they are of. Strangers are
    /// left alone until they end.
    fn reap_orphans(&mut self) {
        if self.orphans.is_none() {
            return;
        }
        let children = match orphans::children() {
            Ok(children) => children,
            Err(error) => return telemetry::orphans_unreadable(&error),
        };
        let number = |pid: Pid| pid.as_raw_nonzero().get();
        let runs = self.runs.values().filter_map(|run| run.process());
        let mains = runs.map(|process| process.pid().to_pid());
        let own: BTreeSet<_> =
            mains.chain(self.checks.values().filter_map(Check::process)).map(number).collect();
        for pid in children {
            if own.contains(&number(pid)) || orphans::reap(pid) {
                continue;
            }
            if self.runs.values().any(|run| run.orphans.iter().any(|orphan| orphan.pid() == pid)) {
                continue;
            }
            let origin = Origin::of(pid);
            // The newest first, since an older one may have had a session of the same number.
            let mut runs = self.runs.values_mut().rev();
            if let Some(run) = runs.find(|run| run.owns_orphan(pid, &origin)) {
                match Orphan::hold(pid) {
                    Ok(orphan) => run.orphans.push(orphan),
                    Err(errno) => telemetry::orphans_unreadable(&errno.into()),
                }
            }
        }
    }

    /// Takes a released run as far as it goes, and keeps watching it if that is not far enough.
    fn tear_down(&mut self, key: u64, run: Box<Run>) -> TearDown {
        let (unit, id) = (run.unit, run.id);
        let (left, ended) = run.tear_down();
        if let Some(ended) = ended {
            self.record_end(unit, id, ended);
        }
        let Some(run) = left else {
            return self.drain(key, unit, id);
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
        if let (Progress::Contained, Some(cgroup)) = (&run.progress, &run.cgroup)
            && let Err(error) = self.epoll.add(cgroup.events(), key, Trigger::Change)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            telemetry::unwatched(&error);
        }
        if run.given_up {
            // Whenever it ends: nobody waits for it, and its events tell.
            self.runs.insert(key, run);
        } else {
            self.poll_later(key, run);
        }
        TearDown::NotYet
    }

    /// Lets the output of a run that is down be read to its end. That is waited for as long as the sinks take
    /// it, up to a limit.
    fn drain(&mut self, key: u64, unit: UnitId, id: RunId) -> TearDown {
        let Some(found) = self.units.get_mut(&unit).filter(|unit| unit.run == Some(key)) else {
            return TearDown::Down;
        };
        if !self.logs.drain(found.streams(), key) {
            found.run = None;
            return TearDown::Down;
        }
        let at = self.observed.max(now()).after(DRAIN_LIMIT);
        let mut run = Box::new(Run::new(unit, id, Progress::Draining, None));
        run.poll = Some(at);
        self.polls.insert((at, key));
        self.runs.insert(key, run);
        TearDown::Draining
    }

    /// Reports what was held back until the output of a run was drained, or until the limit.
    fn drained(&mut self, key: u64) {
        let Some(mut run) = self.take_run(key) else {
            return;
        };
        let (unit, id) = (run.unit, run.id);
        if let Some(ended) = run.pending_exit.take() {
            self.runs.insert(key, run);
            self.enqueue(DriverInput::Event(unit, Event::Exited { run: id, exit: ended.into() }));
        } else if let Some(found) = self.units.get_mut(&unit).filter(|unit| unit.run == Some(key)) {
            found.run = None;
            let remains = Remains::Nothing;
            self.enqueue(DriverInput::Event(unit, Event::Released { run: id, remains }));
        }
    }

    /// Ends the wait for the output of a unit's run.
    fn end_drain(&mut self, unit: UnitId) {
        if let Some(found) = self.units.get(&unit)
            && let Some(key) = found.run
            && self.is_draining(key)
        {
            self.logs.hurry(found.channels.as_deref());
            self.drained(key);
        }
    }

    fn is_draining(&self, key: u64) -> bool {
        let drains =
            |run: &Run| run.pending_exit.is_some() || matches!(run.progress, Progress::Draining);
        self.runs.get(&key).is_some_and(|run| drains(run))
    }

    /// Reports the end of a run's main process to the machine, after its pending notifications.
    fn process_ended(&mut self, key: u64, run: Box<Run>, ended: WaitStatus) {
        let (unit, id) = (run.unit, run.id);
        self.record_end(unit, id, ended);
        if let Some(unit) = self.units.get_mut(&unit) {
            unit.facts().oom_killed = run.was_oom_killed(ended);
        }
        self.runs.insert(key, run);
        self.read_notifications(key);
        self.poll_readiness(key);
        if self.drains_before_exit(key, ended) {
            return;
        }
        self.enqueue(DriverInput::Event(unit, Event::Exited { run: id, exit: ended.into() }));
    }

    /// Drains the output of a run before its exit is reported, if a line of it may show readiness.
    fn drains_before_exit(&mut self, key: u64, ended: WaitStatus) -> bool {
        let Some(run) = self.runs.get_mut(&key) else {
            return false;
        };
        let Some(unit) = self.units.get(&run.unit).filter(|unit| unit.run == Some(key)) else {
            return false;
        };
        let awaited =
            run.awaits_ready && unit.command.streams().is_some_and(Streams::have_ready_pattern);
        if !awaited || !self.logs.read_out(unit.channels.as_deref(), key) {
            return false;
        }
        let at = self.observed.max(now()).after(DRAIN_LIMIT);
        run.pending_exit = Some(ended);
        run.poll = Some(at);
        self.polls.insert((at, key));
        true
    }

    fn record_end(&mut self, unit: UnitId, run: RunId, ended: WaitStatus) {
        if let Some(unit) = self.units.get_mut(&unit) {
            unit.facts().ended = Some((run, ended));
        }
    }

    /// Puts a run back and polls it again after a pause.
    fn poll_later(&mut self, key: u64, mut run: Box<Run>) {
        let at = self.observed.max(now()).after(run.next_pause());
        run.poll = Some(at);
        self.polls.insert((at, key));
        self.runs.insert(key, run);
    }

    /// Takes a run out, with its timer.
    fn take_run(&mut self, key: u64) -> Option<Box<Run>> {
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
    fn abandon_run(&mut self, unit: UnitId) {
        let Some(key) = self.units.get_mut(&unit).and_then(|unit| unit.run.take()) else {
            return;
        };
        if let Some(mut run) = self.take_run(key) {
            let leftover = run.give_up();
            if let Some(unit) = self.units.get_mut(&unit) {
                unit.facts().leftover = leftover.into();
            }
            match run.progress {
                Progress::Reaping(_) => self.poll_later(key, run),
                // Its directory is removed when it is empty.
                Progress::Contained => {
                    self.runs.insert(key, run);
                }
                Progress::Launching(_)
                | Progress::Live(_)
                | Progress::Ended(_)
                | Progress::Unseen(_)
                | Progress::Leftover(_)
                | Progress::Draining
                | Progress::Adopted(_)
                | Progress::Departed(_) => {}
            }
        }
    }

    /// Counts the request that a report is about, and adds its reply to the waiters.
    fn complete_request(&mut self, report: &Report<'_>) {
        let pending = self.pending_request.take_if(|(ticket, _)| report.ticket == Some(*ticket));
        let Some(((_, pending), unit)) = pending.zip(self.units.get_mut(&report.unit)) else {
            return;
        };
        unit.count_request();
        if let Some(reply) = pending.reply {
            unit.add_stop_waiter(report.before, reply);
        }
    }

    fn is_down(&self) -> bool {
        self.units.values().all(|unit| unit.is_down())
    }

    const fn observed_input(&self, input: DriverInput) -> ObservedInput {
        ObservedInput::new(self.observed, input)
    }
}

impl Kernel for LinuxKernel {
    fn spawn(&mut self, _: Moment, unit: UnitId, run: RunId) -> SpawnOutcome {
        // What an earlier run left and the machine gave up is not watched any more.
        self.abandon_run(unit);
        let Some(found) = self.units.get_mut(&unit) else {
            return SpawnOutcome::Failed(StartFailure::Permanent);
        };
        found.killed = false;
        let facts = found.facts();
        facts.leftover = Arc::default();
        facts.notify_status = no_notify_status();
        facts.health = None;
        let launcher = self.launcher.as_ref();
        let watchdog = found.watchdog();
        let began = self.logs.prepare(unit, found.streams(), run).and_then(|mut stdio| {
            let cgroup =
                make_cgroup(self.cgroups.as_ref(), found.command.contain(), self.features)?;
            // Without one, orphans are known by their session.
            let name = cgroup.as_ref().map(RunCgroup::run).or_else(|| RunName::next().ok());
            // Only a helper can give a program what it is told by; else a holder of the unit pings for it.
            let told = watchdog.filter(|_| launcher.is_some());
            let notifications = Notifications::begin(&found.command, told.is_some(), &mut stdio)?;
            let notified = notifications
                .socket
                .as_ref()
                .map(|socket| Notified { address: socket.address(), watchdog: told });
            let dies_with_monitor = found.store.is_none();
            let context =
                LaunchContext { cgroup: cgroup.as_ref(), mark: name, notified, dies_with_monitor };
            let progress = begin(launcher, run, found, &stdio, &context, self.features)?;
            Ok((progress, cgroup, name, notifications))
        });
        match began {
            Ok((progress, cgroup, name, notifications)) => {
                let key = self.next_key;
                self.next_key += 1;
                found.run = Some(key);
                found.facts().start_error = None;
                found.facts().containment = Some(match (&cgroup, &self.orphans) {
                    (Some(_), _) => Containment::Cgroup,
                    (None, Some(_)) => Containment::GroupAndOrphans,
                    (None, None) => Containment::Group,
                });
                let mut run = Box::new(Run::new(unit, run, progress, cgroup));
                run.mark = name.filter(|_| run.cgroup.is_none()).map(Box::new);
                run.notifications = notifications.into_some();
                run.watchdog = watchdog.and_then(|period| NonZeroU32::new(period.as_u32()));
                let last = &mut self.last_counter;
                run.oom = run.process().and_then(|process| {
                    OomKills::begin(process.pid().to_pid(), run.cgroup.as_ref(), last)
                });
                found.facts().pid =
                    run.process().and_then(|p| u32::try_from(p.pid().as_raw()).ok());
                let pending = matches!(run.progress, Progress::Launching(_));
                self.watch(key, run);
                if pending { SpawnOutcome::Pending } else { SpawnOutcome::Started }
            }
            Err(error) => {
                let failure = error.failure();
                found.facts().start_error = Some(Arc::new(error));
                SpawnOutcome::Failed(failure)
            }
        }
    }

    /// Ends a helper that has not become its program yet, so that a stop does not wait for a program
    /// that cannot be loaded: it may lie on a server that does not answer.
    ///
    /// If the helper is the program after all, it has the signal by which it is to stop.
    fn cancel_spawn(&mut self, _: Moment, unit: UnitId, run: RunId, signal: Signal) {
        let run = self.current(unit, run);
        if let Some(run) = run.and_then(|key| self.runs.get_mut(&key))
            && let Progress::Launching(launch) = &run.progress
            && launch.is_launching()
        {
            supervised_run::log(run.signal(signal, Scope::Process));
        }
    }

    fn signal(
        &mut self,
        _: Moment,
        unit: UnitId,
        run: RunId,
        signal: Signal,
        scope: Scope,
    ) -> SignalOutcome {
        self.reap_orphans();
        let Some(found) = self.current(unit, run).and_then(|key| self.runs.get_mut(&key)) else {
            return SignalOutcome::Gone(Exit::Unknown);
        };
        let sent = found.signal(signal, scope);
        let killed = found.killed.is_some();
        if let Some(unit) = self.units.get_mut(&unit) {
            unit.killed = killed;
        }
        match sent {
            Ok(()) => SignalOutcome::Sent,
            Err(SignalError::Gone) => {
                match found.process().map(crate::linux::process::Process::peek) {
                    // Only others of its group are left, and they have ended meanwhile.
                    None => SignalOutcome::Sent,
                    Some(None) => SignalOutcome::Gone(Exit::Unknown),
                    Some(Some(ended)) => {
                        let oom_killed = found.was_oom_killed(ended);
                        // It is told by the answer.
                        found.pending_exit = None;
                        self.record_end(unit, run, ended);
                        if let Some(unit) = self.units.get_mut(&unit) {
                            unit.facts().oom_killed = oom_killed;
                        }
                        SignalOutcome::Gone(ended.into())
                    }
                }
            }
            Err(error) => {
                telemetry::not_signalled(signal, &error);
                SignalOutcome::Refused
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
        self.reap_orphans();
        let Some(key) = self.current(unit, run) else {
            return Some(Remains::Nothing);
        };
        // Nobody is left to be signalled, and what is waited for comes in time.
        if self.is_draining(key) {
            return None;
        }
        self.end_checks(key);
        let Some(mut entry) = self.take_run(key) else {
            return Some(Remains::Nothing);
        };
        entry.reset_pause();
        // The zombie leader pins the number of the group, unless somebody else has reaped it.
        let sent = signal.map(|signal| entry.signal(signal, Scope::Group));
        if let Some(unit) = self.units.get_mut(&unit) {
            unit.facts().pid = None;
            unit.killed = entry.killed.is_some();
        }
        if let Some(channels) = self.units.get(&unit).and_then(|unit| unit.channels.as_ref()) {
            channels.close_input();
        }
        let torn_down = self.tear_down(key, entry);
        match (sent, signal, self.runs.get_mut(&key)) {
            // Whoever is left is known by now, one by one.
            (Some(Err(SignalError::Gone)), Some(signal), Some(left)) => {
                supervised_run::log(left.signal(signal, Scope::Group));
            }
            (Some(sent), ..) => supervised_run::log(sent),
            (None, ..) => {}
        }
        match (torn_down, scope) {
            (TearDown::Down, _) => Some(Remains::Nothing),
            (TearDown::NotYet, Scope::Group) | (TearDown::Draining, _) => None,
            (TearDown::NotYet, Scope::Process) => {
                // Read all the same, and waited for by nobody.
                if let Some(found) = self.units.get_mut(&unit) {
                    self.logs.drain(found.streams(), key);
                }
                self.abandon_run(unit);
                Some(Remains::Leaked)
            }
        }
    }

    fn abandon(&mut self, _: Moment, unit: UnitId, run: RunId) {
        if self.current(unit, run).is_some() {
            self.abandon_run(unit);
        }
    }

    fn service(&mut self, _: Moment, unit: UnitId, run: RunId, command: ServiceCommand) {
        let Some(key) = self.current(unit, run) else {
            return;
        };
        if let Some(run) = self.runs.get_mut(&key) {
            run.awaits_ready = command == ServiceCommand::AwaitReady;
        }
        match command {
            ServiceCommand::Keep | ServiceCommand::AwaitReady => {}
            ServiceCommand::Begin => self.begin_checks(key),
            ServiceCommand::End => self.end_checks(key),
        }
    }

    fn save(&mut self, _: Moment, unit: UnitId, state: State, _: Ticket) -> SaveStatus {
        let run = self.current(unit, state.run()).and_then(|key| self.runs.get(&key));
        // A unit without a store begins afresh when the monitor is started again.
        let Some(store) = self.units.get_mut(&unit).and_then(|unit| unit.store.as_mut()) else {
            return SaveStatus::Saved;
        };
        // Read before it is asked, so that it was not reaped then.
        let before = ticks_now();
        let held = run.is_some_and(|run| run.has_its_number()).then_some(before);
        match store.save(state, held) {
            Ok(()) => SaveStatus::Saved,
            Err(error) => {
                telemetry::not_saved(&error);
                SaveStatus::Failed
            }
        }
    }

    fn watchdog(&mut self, unit: UnitId, run: RunId) -> Option<Millis> {
        let key = self.current(unit, run)?;
        self.runs.get(&key)?.watchdog.map(|period| Millis::new(period.get()))
    }

    fn draw(&mut self, jitter: Millis) -> Millis {
        Millis::new(self.random.u32(0..=jitter.as_u32()))
    }

    fn observe(&mut self, report: &Report<'_>) {
        if let Some(unit) = self.units.get_mut(&report.unit) {
            unit.publish(report, &mut self.subscribers);
        }
        // After the status, so that whoever is answered finds what the answer is about.
        self.complete_request(report);
        if let Some(unit) = self.units.get_mut(&report.unit) {
            unit.answer_stop_waiters(report);
        }
    }

    fn observe_save(&mut self, _: Moment, unit: UnitId, status: SaveStatus) {
        if let Some(unit) = self.units.get_mut(&unit) {
            unit.publish_save(status);
        }
    }

    fn wait(&mut self, deadline: Option<Moment>) -> ObservedInput {
        loop {
            match self.queue.pop_front() {
                Some(Queued::Input(input)) => return self.observed_input(input),
                Some(Queued::Request(pending)) => {
                    let input = pending.request.input(pending.unit);
                    self.tickets += 1;
                    let ticket = Ticket::new(self.tickets);
                    self.pending_request = Some((ticket, pending));
                    return ObservedInput { ticket: Some(ticket), ..self.observed_input(input) };
                }
                None => {}
            }
            if self.state == ReactorState::ShuttingDown && self.is_down() {
                return self.observed_input(DriverInput::Quit);
            }
            // What was readable at the deadline is handled. Deadlines do not crowd it out: each is
            // reported after a read.
            if self.read_by.zip(deadline).is_some_and(|(read_by, deadline)| deadline <= read_by) {
                self.read_by = None;
                return self.observed_input(DriverInput::DeadlineReached);
            }
            if let Err(error) = self.poll(deadline) {
                telemetry::cannot_go_on(&error);
                return self.observed_input(DriverInput::Quit);
            }
        }
    }
}

/// Makes the process of a run, and writes down which it is before the program runs.
fn begin(
    launcher: Option<&Launcher>,
    run: RunId,
    unit: &mut ReactorUnit,
    stdio: &Stdio,
    context: &LaunchContext<'_>,
    features: KernelFeatures,
) -> Result<Progress, SpawnError> {
    let Some(launcher) = launcher else {
        return spawn(&unit.command, stdio).map(Progress::Live);
    };
    let must_save = unit.must_save();
    let mut launch = Launch::new(launcher, &unit.command, stdio, context)?;
    if let Some(store) = &mut unit.store
        && let Err(errno) = record(store, run, &launch, context, &unit.command, features)
        && must_save
    {
        launch.abort();
        return Err(launch::unrecorded(&unit.command, errno));
    }
    launch.go();
    Ok(Progress::Launching(Box::new(launch)))
}

/// Makes the control group of a run; `None` where it does without.
fn make_cgroup(
    cgroups: Option<&Arc<Cgroups>>,
    contain: ContainmentMode,
    features: KernelFeatures,
) -> Result<Option<RunCgroup>, SpawnError> {
    let made = match (contain, cgroups) {
        (ContainmentMode::Group, _) | (ContainmentMode::Auto, None) => return Ok(None),
        (ContainmentMode::Cgroup, None) => Err(Errno::OPNOTSUPP.into()),
        (ContainmentMode::Auto | ContainmentMode::Cgroup, Some(cgroups)) => cgroups.make(features),
    };
    match made {
        Ok(cgroup) => Ok(Some(cgroup)),
        Err(error) if contain == ContainmentMode::Auto => {
            telemetry::no_cgroup(&error);
            Ok(None)
        }
        Err(error) => {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            Err(failed(SetupStage::Cgroup, "of the run", errno))
        }
    }
}

fn record(
    store: &mut UnitStore,
    run: RunId,
    launch: &Launch,
    context: &LaunchContext<'_>,
    command: &Command,
    features: KernelFeatures,
) -> Result<(), i32> {
    let process = launch.process();
    let unreadable = |source| StateError::Unusable { path: "/proc".into(), source };
    let identity = Identity::of(process.pid(), process, features).map_err(unreadable);
    let cgroup = context.cgroup.map(RunCgroup::location);
    let saved =
        identity.and_then(|identity| store.save_run(run, identity, cgroup, context.mark, command));
    saved.map_err(|error| {
        telemetry::not_saved(&error);
        error.errno()
    })
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
const ORPHANS_KEY: u64 = 2;
const MESSAGES_PER_TURN: usize = 64;
/// Added to the key of a run: its notify socket.
const NOTIFY: u64 = 1 << 63;
/// Its readiness probe.
const READINESS: u64 = 1 << 62;
/// Its health checks.
const CHECK: u64 = 1 << 61;
/// How long a run that is down waits for a sink that takes bytes slowly, or for a disk that hangs. What is left is
/// written later. The thread that reads the output ends the wait for a sink that takes none.
const DRAIN_LIMIT: Millis = Millis::from_secs(5);
