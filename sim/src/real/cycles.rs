//! Many starts and ends, while descriptors, processes and the disk run short: nothing may be lost
//! or left.

use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io, thread};

use monitor_core::{Event, Exit, Millis, Note, Policy, StartFailure};
use monitor_os::{
    Command, Events, Launcher, Moment, OnCrash, StateDir, Supervisor, Unit, UnitEvent, now,
};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};

use super::crash_session::in_memory;
use super::hanging_disk::HangingDisk;
use super::process_identity::ProcessIdentity;
use super::scripted_child::ScriptedChild;
use super::waker::thread_waker;
use crate::case::definition::Case;
use crate::case::script::Script;

/// The result of many starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cycles {
    /// Programs that were started.
    pub started: u64,
    /// Ends that were reported, each with the status that the program has.
    pub ended: u64,
    /// Ends that were reported with another status.
    pub wrong_status: u64,
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
    /// Programs that ran without a reported start.
    pub unreported: u64,
    /// The complaints of the programs: one was the second of its unit at a time.
    pub complaints: Vec<String>,
    /// Control groups that are left.
    pub groups: usize,
    /// Shortages that could not be caused here.
    pub absent: Vec<AbsentShortage>,
}

/// Something that is taken away from programs now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// The process may open no further descriptor.
    Descriptors,
    /// A user may have no further process.
    Processes,
    /// The disk hangs on which the units are remembered.
    Disk,
}

/// A shortage that could not be caused, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AbsentShortage {
    /// The shortage.
    pub shortage: Shortage,
    /// The reason.
    pub reason: String,
}

impl fmt::Display for AbsentShortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.shortage {
            Shortage::Descriptors => "a process without descriptors",
            Shortage::Processes => "a user without processes",
            Shortage::Disk => "a disk that hangs",
        };
        write!(f, "{name}: {}", self.reason)
    }
}

/// Starts programs until so many have run, in many units at once; in every tenth the program is
/// missing. Each unit has a memory, so that each step of it is saved. `program` is one that calls
/// [`enter`](super::enter).
///
/// From time to time, one after the other and for some milliseconds each: the process may open no
/// further descriptor, so that starts fail with EMFILE; and the disk hangs on which the units are
/// remembered. A few units share a user who may have one process at a time, so that starts of
/// theirs fail with EAGAIN. All of that passes. The limit on descriptors is that of the whole
/// process, so nothing else should go on in it; the last two take root.
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
    let disk = HangingDisk::mount(folder.path());
    let mut absent = |shortage, reason| seen.absent.push(AbsentShortage { shortage, reason });
    let disk = disk.map_err(|why| absent(Shortage::Disk, why.to_string())).ok();
    if !geteuid().is_root() {
        absent(Shortage::Processes, "it takes root to become one".into());
    }
    let place = disk.as_ref().map_or_else(|| folder.path(), HangingDisk::place).join("state");
    let state = StateDir::open(place).map_err(io::Error::other)?;
    let mut shortages = Shortages::new(disk);
    let supervisor = Supervisor::with_launcher(launcher).map_err(io::Error::other)?;
    let mut units = Vec::new();
    for number in 0..UNITS {
        units.push(CycledUnit::begin(number, &supervisor, &state, folder.path(), program)?);
    }
    let waker = thread_waker();
    let mut context = Context::from_waker(&waker);
    let mut stopping = false;
    loop {
        for cycled in &mut units {
            while let Poll::Ready(Some(notice)) = pin!(cycled.events.next()).poll(&mut context) {
                shortages.last_event = now();
                cycled.started += u64::from(seen.count(&notice, stopping));
            }
        }
        progress(seen.started.min(cycles));
        if !stopping && seen.started >= cycles {
            stopping = true;
            shortages.end()?;
            units.iter().for_each(|cycled| drop(cycled.unit.stop()));
        }
        seen.up = units.iter().filter(|cycled| !cycled.unit.state().is_down()).count() as u64;
        if stopping && seen.up == 0 && seen.started == seen.ended + seen.wrong_status {
            break;
        }
        if !stopping {
            shortages.go_on()?;
        }
        thread::park_timeout(Duration::from_millis(5));
    }
    for CycledUnit { child, started, .. } in &units {
        if let Some(child) = child {
            seen.unreported += u64::from(child.begun()?).saturating_sub(*started);
            seen.complaints.extend(child.complaint());
        }
    }
    seen.disk_hung = shortages.disk_hung;
    // Before the disk goes.
    drop((units, supervisor, state));
    seen.groups = ProcessIdentity::of(std::process::id())?.groups().count();
    Ok(seen)
}

impl Cycles {
    /// Returns whether every shortage that can be caused here was met at least once.
    #[must_use]
    pub const fn all_met(&self) -> bool {
        let rest = self.no_processes > 0 && self.disk_hung > 0;
        self.missing > 0 && self.no_descriptors > 0 && (rest || !self.absent.is_empty())
    }

    /// Returns whether nothing was lost, reported wrong, doubled or left.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.wrong_status + self.unreported + self.up == 0
            && self.started == self.ended
            && self.complaints.is_empty()
            && self.groups == 0
    }

    /// Counts an event; returns whether a program was started.
    fn count(&mut self, notice: &UnitEvent, stopping: bool) -> bool {
        if notice.step.note != Note::Applied {
            return false;
        }
        if let Event::Started { .. } = notice.event {
            self.started += 1;
            return true;
        }
        if let Event::Exited { exit, .. } = notice.event {
            let reported = exit == Exit::Code(0) || stopping && matches!(exit, Exit::Signal(_));
            *(if reported { &mut self.ended } else { &mut self.wrong_status }) += 1;
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

/// A unit that starts and ends again and again.
struct CycledUnit {
    unit: Unit,
    events: Events,
    /// Where the program is one that says of itself which run it is.
    child: Option<ScriptedChild>,
    started: u64,
}

impl CycledUnit {
    fn begin(
        number: usize,
        supervisor: &Supervisor,
        state: &StateDir,
        folder: &Path,
        program: &Path,
    ) -> io::Result<Self> {
        let name = format!("cycle-{number}");
        let plain = |program| Command::new(program, [""; 0]).map_err(io::Error::other);
        let (command, child) = match number % 10 {
            9 => (plain("/proc/nonexistent/program"), None),
            6..=8 if geteuid().is_root() => (plain("/bin/true").and_then(as_limited_user), None),
            _ => {
                let mut case = Case::new(Policy::DEFAULT);
                let lives = Some(Millis::ZERO);
                case.scripts = vec![Script { lives, exits: Exit::Code(0), ..Script::OBEDIENT }];
                let child = ScriptedChild::write(folder, &name, &case, 0)?;
                (child.command(program).map_err(io::Error::other), Some(child))
            }
        };
        let policy: Policy = POLICY.parse().map_err(io::Error::other)?;
        let unit = supervisor.restore(state, OnCrash::Adopt, name, command?, policy);
        let unit = unit.map_err(io::Error::other)?;
        let events = unit.events();
        unit.start();
        Ok(Self { unit, events, child, started: 0 })
    }
}

/// Runs a command as a user who may have no second process.
fn as_limited_user(command: Command) -> io::Result<Command> {
    let limit = LIMIT.parse().map_err(io::Error::other)?;
    let command =
        command.as_user(LIMITED_USER).and_then(|command| command.with_group(LIMITED_USER));
    let command = command.and_then(|command| command.with_groups([""; 0]));
    Ok(command.map_err(io::Error::other)?.with_limit(limit))
}

/// Causes a shortage for [`LENGTH`] in every [`PERIOD`], one kind after the other.
struct Shortages {
    plenty: Rlimit,
    disk: Option<HangingDisk>,
    active: Option<Taken>,
    next_shortage: Taken,
    next: Moment,
    /// When an event came last.
    last_event: Moment,
    disk_hung: u64,
}

/// What the process itself takes away; that a user has no process is a limit of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Descriptors,
    Disk,
}

impl Shortages {
    fn new(disk: Option<HangingDisk>) -> Self {
        Self {
            plenty: getrlimit(Resource::Nofile),
            disk,
            active: None,
            next_shortage: Taken::Descriptors,
            next: now().after(PERIOD),
            last_event: now(),
            disk_hung: 0,
        }
    }

    fn go_on(&mut self) -> io::Result<()> {
        if now() < self.next {
            return Ok(());
        }
        if self.active.is_some() {
            return self.end();
        }
        match (self.next_shortage, &mut self.disk) {
            (Taken::Disk, Some(disk)) => disk.hang()?,
            (Taken::Descriptors, _) | (Taken::Disk, None) => self.limit(Some(FEW))?,
        }
        self.active = Some(self.next_shortage);
        self.next = now().after(LENGTH);
        Ok(())
    }

    /// Ends the shortage.
    fn end(&mut self) -> io::Result<()> {
        self.next_shortage = match self.active.take() {
            None => return Ok(()),
            Some(Taken::Descriptors) => Taken::Disk,
            Some(Taken::Disk) => Taken::Descriptors,
        };
        self.next = now().after(PERIOD);
        if let Some(disk) = self.disk.as_mut().filter(|disk| disk.hangs()) {
            // With so many units at work, no event comes for so long only if saves wait.
            let quiet = now().nanos_since(self.last_event) > u64::from(LENGTH.as_u32()) * 500_000;
            self.disk_hung += u64::from(quiet);
            return disk.go_on();
        }
        self.limit(self.plenty.current)
    }

    /// Any process may lower it, and raise it up to the hard limit.
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

/// A user without another use.
const LIMITED_USER: &str = "64123";

/// None beside the one that is to become the program.
const LIMIT: &str = "nproc=0";
