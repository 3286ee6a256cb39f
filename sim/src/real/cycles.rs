//! Many starts and ends, with descriptors, processes and the disk taken away now and then: nothing may be lost or left.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use monitor_core::{Event, Exit, Millis, Note, Policy, StartFailure};
use monitor_os::{
    Command, Events, Launcher, Moment, Notice, OnCrash, StateDir, Supervisor, Unit, now,
};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};

use super::actor::Actor;
use super::disk::Disk;
use super::saga::in_memory;
use super::scan::Bearer;
use crate::case::{Case, Script};

/// What came of many starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cycles {
    /// Programs that were started.
    pub started: u64,
    /// Ends that were told, each with the status that the program has.
    pub ended: u64,
    /// Ends that were told with another status.
    pub lied: u64,
    /// Starts that failed because there is no such program, as they must.
    pub missing: u64,
    /// Starts that failed for want of descriptors (EMFILE), and were tried again.
    pub no_descriptors: u64,
    /// Starts that failed because their user had too many processes (EAGAIN), and were tried again.
    pub no_processes: u64,
    /// Times at which the disk hung and a save with it, for 20 ms.
    pub disk_hung: u64,
    /// Units that are not down at the end.
    pub up: u64,
    /// Programs that ran without having been told of as started.
    pub untold: u64,
    /// What programs have to complain of: one was the second of its unit at a time.
    pub complaints: Vec<String>,
    /// Control groups that are left.
    pub groups: usize,
    /// What could not be taken away here, and why.
    pub absent: Vec<String>,
}

/// Starts programs until so many have run, in many units at once; in every tenth the program is missing. Each unit has a
/// memory, so that each step of it is saved. `program` is one that calls [`enter`](super::enter).
///
/// From time to time, one after the other and for some milliseconds each: the process may open no further descriptor, so
/// that starts fail with EMFILE; and the disk hangs on which the units are remembered. A few units share a user who may
/// have one process at a time, so that starts of theirs fail with EAGAIN. All of that passes. The limit on descriptors is
/// that of the whole process, so nothing else should go on in it; the last two take root.
///
/// # Errors
/// The supervisor cannot be started, or no temporary folder be made.
pub fn cycle(
    launcher: &Launcher,
    program: &Path,
    cycles: u64,
    mut progress: impl FnMut(u64),
) -> io::Result<Cycles> {
    let folder = in_memory()?;
    let mut seen = Cycles::default();
    let disk = Disk::mount(folder.path());
    let disk = disk.map_err(|why| seen.absent.push(format!("a disk that hangs: {why}"))).ok();
    if !geteuid().is_root() {
        seen.absent.push("a user without processes: it takes root to become one".into());
    }
    let place = disk.as_ref().map_or_else(|| folder.path(), Disk::place).join("state");
    let state = StateDir::open(place).map_err(io::Error::other)?;
    let mut faults = Faults::new(disk);
    let supervisor = Supervisor::with_launcher(launcher).map_err(io::Error::other)?;
    let mut units = Vec::new();
    for number in 0..UNITS {
        units.push(Cycling::begin(number, &supervisor, &state, folder.path(), program)?);
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut stopping = false;
    loop {
        for cycling in &mut units {
            while let Poll::Ready(Some(notice)) = pin!(cycling.events.next()).poll(&mut context) {
                faults.told = now();
                cycling.started += u64::from(seen.take(&notice, stopping));
            }
        }
        progress(seen.started.min(cycles));
        if !stopping && seen.started >= cycles {
            stopping = true;
            faults.end()?;
            units.iter().for_each(|cycling| drop(cycling.unit.stop()));
        }
        seen.up = units.iter().filter(|cycling| !cycling.unit.state().is_down()).count() as u64;
        if stopping && seen.up == 0 && seen.started == seen.ended + seen.lied {
            break;
        }
        if !stopping {
            faults.go_on()?;
        }
        thread::park_timeout(Duration::from_millis(5));
    }
    for Cycling { actor, started, .. } in &units {
        if let Some(actor) = actor {
            seen.untold += u64::from(actor.begun()?).saturating_sub(*started);
            seen.complaints.extend(actor.complaint());
        }
    }
    seen.disk_hung = faults.disk_hung;
    // Before the disk goes.
    drop((units, supervisor, state));
    seen.groups = Bearer::of(std::process::id())?.groups().count();
    Ok(seen)
}

impl Cycles {
    /// Whether everything that can be taken away here was missed at least once: what never struck has shown nothing.
    #[must_use]
    pub const fn all_met(&self) -> bool {
        let rest = self.no_processes > 0 && self.disk_hung > 0;
        self.missing > 0 && self.no_descriptors > 0 && (rest || !self.absent.is_empty())
    }

    /// Whether nothing was lost, told wrong, doubled or left.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.lied + self.untold + self.up == 0
            && self.started == self.ended
            && self.complaints.is_empty()
            && self.groups == 0
    }

    /// Counts what a notice tells; says whether a program was started.
    fn take(&mut self, notice: &Notice, stopping: bool) -> bool {
        if notice.step.note != Note::Applied {
            return false;
        }
        if let Event::Started { .. } = notice.event {
            self.started += 1;
            return true;
        }
        if let Event::Exited { exit, .. } = notice.event {
            let told = exit == Exit::Code(0) || stopping && matches!(exit, Exit::Signal(_));
            *(if told { &mut self.ended } else { &mut self.lied }) += 1;
        } else if let Event::StartFailed { failure, .. } = notice.event {
            let errno = notice.status.start_error().map(monitor_os::SpawnError::errno);
            let no_processes = errno == Some(Errno::AGAIN.raw_os_error());
            match failure {
                StartFailure::Permanent => self.missing += 1,
                StartFailure::Transient if no_processes => self.no_processes += 1,
                StartFailure::Transient => self.no_descriptors += 1,
            }
        }
        false
    }
}

/// A unit that starts and ends all the time.
struct Cycling {
    unit: Unit,
    events: Events,
    /// Where the program is one that says of itself which run it is.
    actor: Option<Actor>,
    started: u64,
}

impl Cycling {
    fn begin(
        number: usize,
        supervisor: &Supervisor,
        state: &StateDir,
        folder: &Path,
        program: &Path,
    ) -> io::Result<Self> {
        let name = format!("cycle-{number}");
        let plain = |program| Command::new(program, [""; 0]).map_err(io::Error::other);
        let (command, actor) = match number % 10 {
            9 => (plain("/proc/nonexistent/program"), None),
            6..=8 if geteuid().is_root() => (plain("/bin/true").and_then(poor), None),
            _ => {
                let mut case = Case::new(Policy::DEFAULT);
                let lives = Some(Millis::ZERO);
                case.scripts = vec![Script { lives, exits: Exit::Code(0), ..Script::OBEDIENT }];
                let actor = Actor::write(folder, &name, &case, 0)?;
                (actor.command(program).map_err(io::Error::other), Some(actor))
            }
        };
        let policy: Policy = POLICY.parse().map_err(io::Error::other)?;
        let unit = supervisor.restore(state, OnCrash::Adopt, name, command?, policy);
        let unit = unit.map_err(io::Error::other)?;
        let events = unit.events();
        unit.start();
        Ok(Self { unit, events, actor, started: 0 })
    }
}

/// Runs a command as a user who may have no second process.
fn poor(command: Command) -> io::Result<Command> {
    let limit = LIMIT.parse().map_err(io::Error::other)?;
    let command = command.as_user(POOR).and_then(|command| command.with_group(POOR));
    let command = command.and_then(|command| command.with_groups([""; 0]));
    Ok(command.map_err(io::Error::other)?.with_limit(limit))
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Takes something away for [`LENGTH`] out of every [`PERIOD`], by turns.
struct Faults {
    plenty: Rlimit,
    disk: Option<Disk>,
    taken: Option<Taken>,
    turn: Taken,
    next: Moment,
    /// When something was told last.
    told: Moment,
    disk_hung: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Descriptors,
    Disk,
}

impl Faults {
    fn new(disk: Option<Disk>) -> Self {
        Self {
            plenty: getrlimit(Resource::Nofile),
            disk,
            taken: None,
            turn: Taken::Descriptors,
            next: now().after(PERIOD),
            told: now(),
            disk_hung: 0,
        }
    }

    fn go_on(&mut self) -> io::Result<()> {
        if now() < self.next {
            return Ok(());
        }
        if self.taken.is_some() {
            return self.end();
        }
        match (self.turn, &mut self.disk) {
            (Taken::Disk, Some(disk)) => disk.hang()?,
            (Taken::Descriptors, _) | (Taken::Disk, None) => self.limit(Some(FEW))?,
        }
        self.taken = Some(self.turn);
        self.next = now().after(LENGTH);
        Ok(())
    }

    /// Gives back what is taken.
    fn end(&mut self) -> io::Result<()> {
        self.turn = match self.taken.take() {
            None => return Ok(()),
            Some(Taken::Descriptors) => Taken::Disk,
            Some(Taken::Disk) => Taken::Descriptors,
        };
        self.next = now().after(PERIOD);
        if let Some(disk) = self.disk.as_mut().filter(|disk| disk.hangs()) {
            // With so many units at work, nothing is told for so long only if saves wait.
            let quiet = now().nanos_since(self.told) > u64::from(LENGTH.as_u32()) * 500_000;
            self.disk_hung += u64::from(quiet);
            return disk.go_on();
        }
        self.limit(self.plenty.current)
    }

    /// It may be lowered by everybody, and raised up to the hard limit.
    fn limit(&self, current: Option<u64>) -> io::Result<()> {
        Ok(setrlimit(Resource::Nofile, Rlimit { current, ..self.plenty })?)
    }
}

const UNITS: usize = 40;
const POLICY: &str =
    "restart=always backoff=constant:1ms jitter=0 first-start=always later-start=always";
const PERIOD: Millis = Millis::new(200);
const LENGTH: Millis = Millis::new(20);
/// Fewer descriptors than a process has open.
const FEW: u64 = 4;
/// A user who is nobody else.
const POOR: &str = "64123";
/// None beside the one that is to become the program.
const LIMIT: &str = "nproc=0";
