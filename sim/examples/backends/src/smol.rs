//! A backend of `smol::process`: a task makes each process, and waits for it by a pidfd.
//!
//! A start is answered later, so that a slow file system does not stop the monitor.

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
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use smol::channel::{Receiver, Sender, unbounded};
use smol::future::or;
use smol::process::{Child, Command};
use smol::{Async, Timer};

use crate::group::{Leader, start_failure};

/// A backend whose tasks pass messages to the thread of the driver.
pub struct Smol {
    programs: Vec<UnitProgram>,
    runs: BTreeMap<UnitId, Run>,
    sender: Sender<Message>,
    receiver: Receiver<Message>,
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

enum Message {
    Made(UnitId, RunId, io::Result<(Child, Leader)>),
    Ended(UnitId, RunId, Exit),
}

impl Smol {
    /// A backend for these programs.
    pub fn new(setup: &BackendSetup) -> Self {
        let (sender, receiver) = unbounded();
        Self {
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

    fn run(&mut self, unit: UnitId, run: RunId) -> Option<&mut Run> {
        self.runs.get_mut(&unit).filter(|found| found.run == run)
    }

    /// Queues the event of a message that is read at this wake.
    fn read(&mut self, message: Message) {
        let (unit, event) = match message {
            Message::Made(unit, run, Ok((child, leader))) => {
                let made = Run { run, child, leader, exit: None, is_releasing: false };
                self.runs.insert(unit, made);
                (unit, Event::Started { run })
            }
            Message::Made(unit, run, Err(error)) => {
                (unit, Event::StartFailed { run, failure: start_failure(&error) })
            }
            Message::Ended(unit, run, exit) => {
                if let Some(found) = self.run(unit, run) {
                    found.exit = Some(exit);
                }
                (unit, Event::Exited { run, exit })
            }
        };
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

    /// Waits for a message, at most this long.
    fn receive(&self, left: Duration) -> Option<Message> {
        smol::block_on(or(async { self.receiver.recv().await.ok() }, async {
            Timer::after(left).await;
            None
        }))
    }
}

impl Run {
    /// Reaps the process, which has ended.
    fn reap(mut self) {
        self.child.try_status().ok();
    }
}

/// Makes a process that leads a group of its own.
fn make(program: &UnitProgram) -> io::Result<(Child, Leader)> {
    let mut command = program.to_command();
    command.process_group(0);
    let child = Command::from(command).spawn()?;
    let leader = Leader::new(child.id()).ok_or(ErrorKind::InvalidData)?;
    Ok((child, leader))
}

/// Waits until a process has ended, and leaves its zombie.
async fn wait_for_end(number: u32, leader: Leader) -> io::Result<Exit> {
    let pid = i32::try_from(number).ok().and_then(Pid::from_raw).ok_or(ErrorKind::InvalidData)?;
    let pidfd = Async::new(pidfd_open(pid, PidfdFlags::NONBLOCK)?)?;
    pidfd.readable().await?;
    Ok(leader.wait())
}

impl Kernel for Smol {
    fn spawn(&mut self, _: Moment, unit: UnitId, run: RunId) -> SpawnOutcome {
        // The library reaps an earlier child whenever it ends.
        self.runs.remove(&unit);
        let Some(program) = self.programs.iter().find(|program| program.unit() == unit) else {
            return SpawnOutcome::Failed(start_failure(&ErrorKind::NotFound.into()));
        };
        let (program, sender) = (program.clone(), self.sender.clone());
        smol::spawn(async move {
            let made = smol::unblock(move || make(&program)).await;
            let process = made.as_ref().map(|(child, leader)| (child.id(), *leader)).ok();
            // The start comes before the end.
            sender.send(Message::Made(unit, run, made)).await.ok();
            if let Some((number, leader)) = process {
                let exit = wait_for_end(number, leader).await.unwrap_or(Exit::Unknown);
                sender.send(Message::Ended(unit, run, exit)).await.ok();
            }
        })
        .detach();
        SpawnOutcome::Pending
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
            if let Some(message) = self.receive(left) {
                self.read(message);
            }
            for _ in 0..READ_MAX {
                let Ok(message) = self.receiver.try_recv() else { break };
                self.read(message);
            }
            self.read_groups();
            self.woken = self.now();
            self.has_read = true;
        }
    }
}

const GROUP_POLL: Millis = Millis::new(5);
const FOR_EVER: Duration = Duration::from_secs(3_600);

/// How many messages are read at a wake.
const READ_MAX: usize = 64;
