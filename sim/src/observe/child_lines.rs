//! Reads what scripted children write down, while they write it.

use std::io;
use std::path::PathBuf;

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, Timespec, clock_gettime};

use super::recording::{Fact, TimedFact};
use crate::real::child_record::read_lines;
use crate::real::{ChildFact, ChildLine};

/// The file of a scene's children, and how much of it was read.
#[derive(Debug)]
pub(super) struct ChildLines {
    path: PathBuf,
    read: u64,
}

/// A process that a line speaks of, with the moment at which it was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewProcess {
    pub(super) pid: u32,
    pub(super) ticks: u64,
}

impl ChildLines {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, read: 0 }
    }

    /// Reads new lines. Returns their facts, with times since `origin`, and the new processes.
    ///
    /// # Errors
    /// The file cannot be read, or has a line that no child writes.
    pub(super) fn read(&mut self, origin: u64) -> io::Result<(Vec<TimedFact>, Vec<NewProcess>)> {
        let (mut facts, mut processes) = (Vec::new(), Vec::new());
        for ChildLine { at, pid, fact } in read_lines(&self.path, &mut self.read)? {
            let mut add = |at: u64, fact| {
                facts.push(TimedFact { at: at.saturating_sub(origin), fact });
            };
            match fact {
                ChildFact::Started { parent, ticks, overlaps, .. } => {
                    processes.push(NewProcess { pid, ticks });
                    // A clock tick is coarse: a process does not begin before it is made.
                    add(moment_of(ticks).min(at), Fact::Made { pid });
                    add(at, Fact::Began { pid, parent, overlaps });
                }
                ChildFact::MemberStarted { parent, ticks } => {
                    processes.push(NewProcess { pid, ticks });
                    add(at, Fact::MemberBegan { pid, parent });
                }
                ChildFact::Armed | ChildFact::Ready => {}
                ChildFact::Signalled { signal } => add(at, Fact::Signalled { pid, signal }),
                ChildFact::Ending { exit } => add(at, Fact::Ending { pid, exit }),
            }
        }
        Ok((facts, processes))
    }
}

/// The moment of clock ticks from the boot, in nanoseconds of the monotonic clock.
fn moment_of(ticks: u64) -> u64 {
    let nanos = |time: Timespec| {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
    };
    // The clock of the boot counts the sleeps of the machine, the monotonic one does not.
    let slept = nanos(clock_gettime(ClockId::Boottime))
        .saturating_sub(nanos(clock_gettime(ClockId::Monotonic)));
    (ticks * (1_000_000_000 / clock_ticks_per_second())).saturating_sub(slept)
}
