//! Many starts and ends, with the resources of the process taken away now and then: nothing may be lost or left.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use monitor_core::{Event, Exit, Millis, Note, Policy, StartFailure};
use monitor_os::{Command, Events, Launcher, Supervisor, Unit, now};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What came of many starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cycles {
    /// Programs that were started.
    pub started: u64,
    /// Ends that were told, each with the status that the program has.
    pub ended: u64,
    /// Ends that were told with another status.
    pub lied: u64,
    /// Starts that failed because there is no such program, as they must.
    pub missing: u64,
    /// Starts that failed for want of descriptors or processes, and were tried again.
    pub exhausted: u64,
    /// Units that are not down at the end.
    pub up: u64,
}

/// Starts programs until so many have run, in many units at once; in every tenth the program is missing.
///
/// From time to time the process may open no further descriptor, for some milliseconds: a start in that time fails
/// with EMFILE, which passes. The limit is that of the whole process, so nothing else should go on in it.
///
/// # Errors
/// The supervisor cannot be started.
pub fn cycle(
    launcher: &Launcher,
    cycles: u64,
    mut progress: impl FnMut(u64),
) -> io::Result<Cycles> {
    let supervisor = Supervisor::with_launcher(launcher).map_err(io::Error::other)?;
    let policy: Policy = POLICY.parse().map_err(io::Error::other)?;
    let mut units: Vec<(Unit, Events)> = Vec::new();
    for number in 0..UNITS {
        let program = if number % 10 == 9 { "/nonexistent/program" } else { "/bin/true" };
        let command = Command::new(program, [""; 0]).map_err(io::Error::other)?;
        let unit = supervisor.add(format!("cycle-{number}"), command, policy);
        let events = unit.events();
        unit.start();
        units.push((unit, events));
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut seen = Cycles::default();
    let mut shortage = Shortage::new();
    let mut stopping = false;
    loop {
        for (_, events) in &mut units {
            while let Poll::Ready(Some(notice)) = pin!(events.next()).poll(&mut context) {
                if notice.step.note != Note::Applied {
                    continue;
                }
                if let Event::Started { .. } = notice.event {
                    seen.started += 1;
                } else if let Event::Exited { exit, .. } = notice.event {
                    let told = exit == Exit::Code(0) || stopping && matches!(exit, Exit::Signal(_));
                    *(if told { &mut seen.ended } else { &mut seen.lied }) += 1;
                } else if let Event::StartFailed { failure, .. } = notice.event {
                    match failure {
                        StartFailure::Permanent => seen.missing += 1,
                        StartFailure::Transient => seen.exhausted += 1,
                    }
                }
            }
        }
        progress(seen.started.min(cycles));
        if !stopping && seen.started >= cycles {
            stopping = true;
            shortage.end();
            units.iter().for_each(|(unit, _)| drop(unit.stop()));
        }
        seen.up = units.iter().filter(|(unit, _)| !unit.state().is_down()).count() as u64;
        if stopping && seen.up == 0 && seen.started == seen.ended + seen.lied {
            return Ok(seen);
        }
        if !stopping {
            shortage.go_on();
        }
        thread::park_timeout(Duration::from_millis(5));
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Takes the descriptors away for some milliseconds out of every [`PERIOD`].
struct Shortage {
    plenty: Rlimit,
    taken: bool,
    next: monitor_os::Moment,
}

impl Shortage {
    fn new() -> Self {
        Self { plenty: getrlimit(Resource::Nofile), taken: false, next: now().after(PERIOD) }
    }

    fn go_on(&mut self) {
        if now() < self.next {
            return;
        }
        self.taken = !self.taken;
        self.next = now().after(if self.taken { LENGTH } else { PERIOD });
        let current = if self.taken { Some(FEW) } else { self.plenty.current };
        // It may be lowered by everybody, and raised up to the hard limit.
        setrlimit(Resource::Nofile, Rlimit { current, ..self.plenty }).ok();
    }

    fn end(&mut self) {
        if self.taken {
            self.next = now();
            self.go_on();
        }
    }
}

const UNITS: usize = 40;
const POLICY: &str =
    "restart=always backoff=constant:1ms jitter=0 first-start=always later-start=always";
const PERIOD: Millis = Millis::new(200);
const LENGTH: Millis = Millis::new(20);
/// Fewer descriptors than a process has open.
const FEW: u64 = 4;
