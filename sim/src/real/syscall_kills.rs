//! Kills the monitor before each system call of a start and a stop.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::{fmt, io};

use monitor_core::{Millis, Reason, State};

use super::crash_session::{CrashSession, SessionEnd, until};
use super::process_identity::ProcessIdentity;
use super::scan::is_populated;
use super::traced::{SyscallStep, Traced};
use crate::case::script::{OnStop, Script};

/// The protocol that a step belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Protocol {
    /// From the beginning of the monitor until it says that its process was started.
    Start,
    /// From then on, while a stop is requested by `monitor stop`, until the monitor has ended.
    Stop,
}

/// Prints `start` or `stop`.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Stop => "stop",
        })
    }
}

/// The first action of the next monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Resumed {
    /// Nothing was remembered, or nothing was going on: it started the first run.
    Anew,
    /// The process runs, and is the next monitor's.
    Adopted,
    /// The run is over or never was, which the next monitor says.
    Over,
    /// Nothing ran, and it goes on from there: with a wait, or with a stop that is finished.
    GoesOn,
}

impl Resumed {
    /// All first actions.
    pub const ALL: [Self; 4] = [Self::Anew, Self::Adopted, Self::Over, Self::GoesOn];
}

/// Prints `begins anew` and so on.
impl fmt::Display for Resumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anew => "begins anew",
            Self::Adopted => "adopts",
            Self::Over => "reports the end",
            Self::GoesOn => "goes on",
        })
    }
}

/// The result of a kill of a monitor at a step.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KillResult {
    /// The protocol of the step.
    pub protocol: Protocol,
    /// The state that was remembered then, if one was.
    pub remembered: Option<State>,
    /// The first action of the next monitor.
    pub resumed: Resumed,
    /// The faults.
    pub faults: Vec<String>,
    /// The monitor that was killed, and the next one.
    monitors: [ProcessIdentity; 2],
}

/// The programs that a kill at a step needs.
#[derive(Clone, Copy, Debug)]
pub struct Programs<'a> {
    /// The program `monitor`.
    pub monitor: &'a Path,
    /// A program that calls [`enter`](super::enter).
    pub program: &'a Path,
}

impl Programs<'_> {
    /// All steps of a start and a stop, in the order in which they were taken by a monitor that is
    /// not killed. The calling thread must have no other child.
    ///
    /// # Errors
    /// A program cannot be started, or tracing is not allowed here.
    pub fn steps(self) -> io::Result<Vec<SyscallStep>> {
        let mut steps = Vec::new();
        let session = self.session()?;
        self.run_traced(&session, |step| {
            steps.push(step.clone());
            false
        })?;
        Ok(steps)
    }

    /// Kills a monitor before it takes a step, and lets another one go on. `None` if the step was
    /// not taken: threads wake each other more or less often.
    ///
    /// # Errors
    /// See [`Programs::steps`].
    fn kill_at(self, step: &SyscallStep) -> io::Result<Option<KillResult>> {
        let session = self.session()?;
        let is_meant = |taken: &SyscallStep| taken.of == step.of && taken.nth == step.nth;
        let Some((monitor, protocol)) = self.run_traced(&session, is_meant)? else {
            return Ok(None);
        };
        let before = session.log();
        let mut faults = Vec::new();
        let living = session.living()?;
        let remembered = session.remembered()?;
        let known = remembered.as_ref().and_then(|unit| unit.pid);
        // A process that has ended meanwhile is passed over: a record names it as gone.
        let living =
            session.living()?.children.intersection(&living.children).copied().collect::<Vec<_>>();
        for pid in living.into_iter().filter(|&pid| Some(pid) != known) {
            faults.push(format!("process {pid} runs and is not recorded"));
        }
        let state = remembered.map(|unit| unit.state);
        let stops = state.is_some_and(|state| state.reason() == Reason::StopRequested);
        let finish =
            session.finish(if stops { SessionEnd::Remembered } else { SessionEnd::Asked })?;
        faults.extend(finish.faults);
        if stops && finish.said.contains("started #") {
            faults.push(session.fault("a stop was forgotten: another run was started"));
        }
        let reported = if state.is_some() {
            last_run(&session.log())
        } else {
            // A monitor that remembers nothing counts from 1 again.
            last_run(&before) + last_run(&finish.said)
        };
        if session.begun()? > reported {
            faults.push(
                session
                    .fault(&format!("{} runs began, {reported} were reported", session.begun()?)),
            );
        }
        let resumed = resumed(&finish.said).unwrap_or_else(|| {
            faults.push(session.fault("the next monitor does not say how it goes on"));
            Resumed::GoesOn
        });
        Ok(Some(KillResult {
            monitors: [monitor, finish.monitor],
            protocol,
            remembered: state,
            resumed,
            faults,
        }))
    }

    /// Kills a monitor at each of the steps, several at once, and gives the result in their order.
    ///
    /// # Errors
    /// See [`Programs::steps`].
    pub fn kill_at_each(
        self,
        steps: &[SyscallStep],
        width: usize,
        progress: impl Fn() + Sync,
    ) -> io::Result<Vec<Option<KillResult>>> {
        let next = AtomicUsize::new(0);
        // Each thread traces the monitors that it has started, and no others.
        let worker = || {
            let mut done = Vec::new();
            while let number = next.fetch_add(1, Ordering::Relaxed)
                && let Some(step) = steps.get(number)
            {
                done.push((number, self.kill_at(step)?));
                progress();
            }
            Ok::<_, io::Error>(done)
        };
        let mut results = thread::scope(|scope| {
            let workers: Vec<_> = (0..width.max(1)).map(|_| scope.spawn(worker)).collect();
            let mut results = Vec::new();
            for worker in workers {
                let ended = worker.join().map_err(|_| io::Error::other("a thread panicked"))?;
                results.extend(ended?);
            }
            Ok::<_, io::Error>(results)
        })?;
        results.sort_by_key(|&(number, _)| number);
        let mut results: Vec<_> = results.into_iter().map(|(_, result)| result).collect();
        // A helper ends by itself when its monitor is dead, and nothing sweeps its group before. A
        // group that is never empty is left, which is seen below.
        let monitors = || results.iter().flatten().flat_map(|result| result.monitors);
        until(|| !monitors().flat_map(ProcessIdentity::groups).any(|group| is_populated(&group)));
        // Each monitor sweeps as it begins, so one more does it after the last.
        self.session()?.finish(SessionEnd::Asked)?;
        for result in results.iter_mut().flatten() {
            let left = result.monitors.into_iter().flat_map(ProcessIdentity::groups).count();
            if left > 0 {
                result.faults.push(format!("{left} control groups are left"));
            }
        }
        Ok(results)
    }

    fn session(self) -> io::Result<CrashSession> {
        CrashSession::new(
            self.monitor,
            self.program,
            Script { lives: None, on_stop: OnStop::Dies(Millis::ZERO), ..Script::OBEDIENT },
        )
    }

    /// Lets a monitor take its steps, and asks it to stop when its process was started; kills it at
    /// the step that is meant. Returns which process it was, and what it was about, if it was
    /// killed.
    fn run_traced(
        self,
        session: &CrashSession,
        mut is_meant: impl FnMut(&SyscallStep) -> bool,
    ) -> io::Result<Option<(ProcessIdentity, Protocol)>> {
        let mut traced = Traced::begin(&mut session.traced_command()?)?;
        let monitor = ProcessIdentity::of(traced.id())?;
        let mut stop: Option<JoinHandle<io::Result<ExitStatus>>> = None;
        let mut killed = None;
        while let Some(step) = traced.next()? {
            if stop.is_none() && session.log().contains("started #1") {
                stop = Some(request_stop(self.monitor.into(), session.state()));
            }
            let protocol = if stop.is_some() { Protocol::Stop } else { Protocol::Start };
            if is_meant(&step) {
                traced.kill()?;
                killed = Some((monitor, protocol));
                break;
            }
        }
        // The request ends with the connection.
        stop.map(JoinHandle::join);
        Ok(killed)
    }
}

/// Asks from another thread, whose child the tracer does not hear of.
fn request_stop(monitor: PathBuf, state: PathBuf) -> JoinHandle<io::Result<ExitStatus>> {
    thread::spawn(move || {
        let mut command = Command::new(monitor);
        command.arg("stop").arg("--state").arg(state);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
    })
}

/// The last reported run, 0 if there is none.
fn last_run(said: &str) -> u32 {
    let run = |line: &str| -> Option<u32> {
        let rest = line.split_once('#')?.1;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    said.lines().filter_map(run).max().unwrap_or(0)
}

/// Reads from what a monitor said first how it went on.
fn resumed(said: &str) -> Option<Resumed> {
    let first = said.lines().next().unwrap_or_default();
    let words = [
        ("adopted", Resumed::Adopted),
        ("ended without a monitor", Resumed::Over),
        ("going on after", Resumed::GoesOn),
        ("started", Resumed::Anew),
    ];
    words.into_iter().find(|(words, _)| first.contains(words)).map(|(_, resumed)| resumed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_monitor_says_is_read() {
        let adopts = "monitor:    0.000s  adopted #3 pid 7, which was running\n";
        let over = "monitor:    0.000s  #12 ended without a monitor: signal=TERM\nstarted #13\n";
        assert_eq!((resumed(adopts), last_run(adopts)), (Some(Resumed::Adopted), 3));
        assert_eq!((resumed(over), last_run(over)), (Some(Resumed::Over), 13));
        assert_eq!((resumed(""), last_run("")), (None, 0));
    }
}
