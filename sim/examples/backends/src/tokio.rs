//! A backend of `tokio::process`: a blocking task waits for each process.
//!
//! `Child::wait` reaps the process, so that its number is free before its group is empty. Therefore
//! this backend waits without reaping, and reaps at the release.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt as _;
use std::time::{Duration, Instant};

use monitor_core::{Event, Exit, Millis, Remains, RunId, Scope, Signal, State};
use monitor_os::{
    DriverInput, Kernel, Moment, ObservedInput, Report, SaveStatus, SignalOutcome, SpawnOutcome,
    Ticket, UnitId,
};
use monitor_sim::conform::backend::{BackendSetup, UnitProgram};
use tokio::process::{Child, Command};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use crate::group::{Leader, start_failure};

/// A backend whose tasks pass events to the thread of the driver.
pub struct Tokio {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    programs: Vec<UnitProgram>,
    runs: BTreeMap<UnitId, Run>,
    sender: UnboundedSender<(UnitId, Event)>,
    receiver: UnboundedReceiver<(UnitId, Event)>,
    /// Events that were read at the last wake.
    queue: VecDeque<(UnitId, Event)>,
    began: Instant,
    woken: Moment,
    /// Whether something was read since the last deadline was reported.
    has_read: bool,
}

struct Run {
    run: RunId,
    child: Child,
    leader: Leader,
    exit: Option<Exit>,
    /// Whether its release waits for the group.
    is_releasing: bool,
}

impl Tokio {
    /// A backend for these programs.
    ///
    /// # Panics
    /// The runtime cannot be made.
    pub fn new(setup: &BackendSetup) -> Self {
        let (sender, receiver) = unbounded_channel();
        let runtime = Builder::new_current_thread().enable_all().build();
        Self {
            runtime: Some(runtime.expect("a runtime")),
            programs: setup.units().to_vec(),
            runs: BTreeMap::new(),
            sender,
            receiver,
            queue: VecDeque::new(),
            began: Instant::now(),
            woken: Moment::ORIGIN,
            has_read: false,
        }
    }

    fn now(&self) -> Moment {
        Moment::from_nanos(self.began.elapsed().as_nanos() as u64)
    }

    fn start(&mut self, unit: UnitId, run: RunId) -> io::Result<()> {
        let program = self.programs.iter().find(|program| program.unit() == unit);
        let mut command = program.ok_or(ErrorKind::NotFound)?.to_command();
        command.process_group(0);
        let runtime = self.runtime.as_ref().ok_or(ErrorKind::NotFound)?;
        let _entered = runtime.enter();
        let child = Command::from(command).spawn()?;
        let leader = child.id().and_then(Leader::new).ok_or(ErrorKind::InvalidData)?;
        self.runs.insert(unit, Run { run, child, leader, exit: None, is_releasing: false });
        let sender = self.sender.clone();
        runtime.spawn_blocking(move || {
            let exit = leader.wait();
            sender.send((unit, Event::Exited { run, exit })).ok();
        });
        Ok(())
    }

    fn run(&mut self, unit: UnitId, run: RunId) -> Option<&mut Run> {
        self.runs.get_mut(&unit).filter(|found| found.run == run)
    }

    /// Queues an event that is read at this wake.
    fn read(&mut self, (unit, event): (UnitId, Event)) {
        if let Event::Exited { run, exit } = event
            && let Some(found) = self.run(unit, run)
        {
            found.exit = Some(exit);
        }
        self.queue.push_back((unit, event));
    }

    /// Reaps the runs whose release has waited for their groups.
    fn read_groups(&mut self) {
        let is_empty = |run: &Run| run.is_releasing && !run.leader.has_members();
        let empty: Vec<_> =
            self.runs.iter().filter(|(_, run)| is_empty(run)).map(|(&unit, _)| unit).collect();
        for unit in empty {
            if let Some(found) = self.runs.remove(&unit) {
                let run = found.run;
                found.reap();
                self.queue.push_back((unit, Event::Released { run, remains: Remains::Nothing }));
            }
        }
    }

    /// Waits for an event, at most this long.
    fn receive(&mut self, left: Duration) -> Option<(UnitId, Event)> {
        let receiver = &mut self.receiver;
        let runtime = self.runtime.as_ref()?;
        runtime.block_on(async { timeout(left, receiver.recv()).await.ok().flatten() })
    }
}

impl Run {
    /// Reaps the process, which has ended.
    fn reap(mut self) {
        self.child.try_wait().ok();
    }
}

impl Kernel for Tokio {
    fn spawn(&mut self, _: Moment, unit: UnitId, run: RunId) -> SpawnOutcome {
        // The runtime reaps an earlier child whenever it ends.
        self.runs.remove(&unit);
        match self.start(unit, run) {
            Ok(()) => SpawnOutcome::Started,
            Err(error) => SpawnOutcome::Failed(start_failure(&error)),
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
        let Some(found) = self.run(unit, run) else { return SignalOutcome::Gone(Exit::Unknown) };
        match (found.exit, scope) {
            (Some(exit), Scope::Process) => SignalOutcome::Gone(exit),
            _ if found.leader.signal(signal, scope) => SignalOutcome::Sent,
            _ => SignalOutcome::Refused,
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
        let Some(found) = self.run(unit, run) else { return Some(Remains::Nothing) };
        if let Some(signal) = signal {
            found.leader.signal(signal, Scope::Group);
        }
        let has_members = found.leader.has_members();
        if has_members && scope == Scope::Group {
            found.is_releasing = true;
            return None;
        }
        if let Some(found) = self.runs.remove(&unit) {
            found.reap();
        }
        Some(if has_members { Remains::Leaked } else { Remains::Nothing })
    }

    fn abandon(&mut self, _: Moment, unit: UnitId, run: RunId) {
        if self.run(unit, run).is_some() {
            self.runs.remove(&unit);
        }
    }

    fn save(&mut self, _: Moment, _: UnitId, _: State, _: Ticket) -> SaveStatus {
        // This backend has no later monitor.
        SaveStatus::Saved
    }

    fn watchdog(&mut self, _: UnitId, _: RunId) -> Option<Millis> {
        None
    }

    fn draw(&mut self, jitter: Millis) -> Millis {
        // The time of the call is random enough for delays.
        let nanos = self.now().as_nanos();
        Millis::new((nanos % (u64::from(jitter.as_u32()) + 1)) as u32)
    }

    fn observe(&mut self, _: &Report<'_>) {}

    fn wait(&mut self, deadline: Option<Moment>) -> ObservedInput {
        loop {
            if let Some((unit, event)) = self.queue.pop_front() {
                return ObservedInput::new(self.woken, DriverInput::Event(unit, event));
            }
            if self.has_read && deadline.is_some_and(|deadline| deadline <= self.woken) {
                self.has_read = false;
                return ObservedInput::new(self.woken, DriverInput::DeadlineReached);
            }
            let releases = self.runs.values().any(|run| run.is_releasing);
            let until = releases.then(|| self.now().after(GROUP_POLL));
            let until = [deadline, until].into_iter().flatten().min();
            let left =
                until.map_or(FOR_EVER, |until| Duration::from_nanos(until.nanos_since(self.now())));
            if let Some(event) = self.receive(left) {
                self.read(event);
            }
            for _ in 0..READ_MAX {
                let Ok(event) = self.receiver.try_recv() else { break };
                self.read(event);
            }
            self.read_groups();
            self.woken = self.now();
            self.has_read = true;
        }
    }
}

/// A blocking task may still wait for a process.
impl Drop for Tokio {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

const GROUP_POLL: Millis = Millis::new(5);
const FOR_EVER: Duration = Duration::from_secs(3_600);

/// How many events are read at a wake.
const READ_MAX: usize = 64;
