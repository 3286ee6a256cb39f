//! A backend of `std::process` and threads: one thread waits for each process, and one reads what
//! the process reports.

use std::collections::{BTreeMap, VecDeque};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::CommandExt as _;
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use monitor_core::{Event, Exit, Millis, Remains, RunId, Scope, Signal, State};
use monitor_os::{
    DriverInput, Kernel, Moment, ObservedInput, Report, SaveStatus, SignalOutcome, SpawnOutcome,
    Ticket, UnitId,
};
use monitor_sim::conform::backend::{BackendSetup, UnitProgram};

use crate::group::{Leader, start_failure};

/// A backend whose threads pass events to the thread of the driver.
pub(crate) struct Threads {
    programs: Vec<UnitProgram>,
    runs: BTreeMap<UnitId, Run>,
    sender: Sender<(UnitId, Event)>,
    receiver: Receiver<(UnitId, Event)>,
    /// Events that were read at the last wake.
    queue: VecDeque<(UnitId, Event)>,
    began: Instant,
    woken: Moment,
    /// Whether something was read since the last deadline was reported.
    has_read: bool,
    drawn: u64,
}

struct Run {
    run: RunId,
    child: Child,
    leader: Leader,
    exit: Option<Exit>,
    /// Whether its release waits for the group.
    is_releasing: bool,
}

impl Threads {
    /// A backend for these programs.
    pub(crate) fn new(setup: &BackendSetup) -> Self {
        let (sender, receiver) = channel();
        Self {
            programs: setup.units().to_vec(),
            runs: BTreeMap::new(),
            sender,
            receiver,
            queue: VecDeque::new(),
            began: Instant::now(),
            woken: Moment::ORIGIN,
            has_read: false,
            drawn: 0,
        }
    }

    fn now(&self) -> Moment {
        Moment::from_nanos(self.began.elapsed().as_nanos() as u64)
    }

    fn start(&mut self, unit: UnitId, run: RunId) -> std::io::Result<()> {
        let program = self.programs.iter().find(|program| program.unit() == unit);
        let program = program.ok_or(std::io::ErrorKind::NotFound)?;
        // An abstract address goes with its socket. It has the numbers of this process and run.
        let name = format!("threads-{}-{unit}-{run}-{:p}", std::process::id(), self);
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        let mut command = program.to_command();
        command.env("NOTIFY_SOCKET", format!("@{name}")).process_group(0);
        let child = command.spawn()?;
        let leader = Leader::new(child.id()).ok_or(std::io::ErrorKind::InvalidData)?;
        self.runs.insert(unit, Run { run, child, leader, exit: None, is_releasing: false });
        let sender = self.sender.clone();
        let end = socket.try_clone()?;
        let reader = thread::spawn(move || read_reports(&socket, &sender, unit, run));
        let sender = self.sender.clone();
        thread::spawn(move || {
            let exit = leader.wait();
            // What the program reported before its end is an event before it.
            if let Ok(address) = end.local_addr()
                && end.send_to_addr(END.as_bytes(), &address).is_ok()
            {
                reader.join().ok();
            }
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
            if let Some(mut found) = self.runs.remove(&unit) {
                found.child.wait().ok();
                let released = Event::Released { run: found.run, remains: Remains::Nothing };
                self.queue.push_back((unit, released));
            }
        }
    }
}

/// Reports readiness and pings, until the end of the program is told.
fn read_reports(socket: &UnixDatagram, sender: &Sender<(UnitId, Event)>, unit: UnitId, run: RunId) {
    let mut bytes = [0; 4096];
    while let Ok(length) = socket.recv(&mut bytes) {
        let text = String::from_utf8_lossy(&bytes[..length]);
        for line in text.lines() {
            match line {
                END => return,
                "READY=1" => drop(sender.send((unit, Event::Ready { run }))),
                "WATCHDOG=1" => drop(sender.send((unit, Event::Ping { run }))),
                _ => {}
            }
        }
    }
}

impl Kernel for Threads {
    fn spawn(&mut self, at: Moment, unit: UnitId, run: RunId) -> SpawnOutcome {
        if let Some(earlier) = self.runs.get(&unit) {
            let earlier = earlier.run;
            self.abandon(at, unit, earlier);
        }
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
        if let Some(mut found) = self.runs.remove(&unit) {
            found.child.wait().ok();
        }
        Some(if has_members { Remains::Leaked } else { Remains::Nothing })
    }

    fn abandon(&mut self, _: Moment, unit: UnitId, run: RunId) {
        if self.run(unit, run).is_some()
            && let Some(mut found) = self.runs.remove(&unit)
        {
            // A process that survives its kill is reaped whenever it ends.
            thread::spawn(move || found.child.wait());
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
        // A sequence that is good enough for delays.
        self.drawn = self.drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        Millis::new(((self.drawn >> 33) % (u64::from(jitter.as_u32()) + 1)) as u32)
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
            match self.receiver.recv_timeout(left) {
                Ok(event) => self.read(event),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
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

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").finish_non_exhaustive()
    }
}

/// The message by which a thread ends the reader of a socket.
const END: &str = "END";

const GROUP_POLL: Millis = Millis::new(5);
const FOR_EVER: Duration = Duration::from_secs(3_600);

/// How many events are read at a wake.
const READ_MAX: usize = 64;
