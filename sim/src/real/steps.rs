//! Kills of the monitor before each system call of a start and a stop: what is at stake at random moments, at all of
//! them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use monitor_core::{Millis, Reason, State};

use super::saga::{Ending, Saga, until};
use super::scan::{Bearer, is_populated};
use super::traced::{Step, Traced};
use crate::case::{OnStop, Script};

/// Which protocol a step belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// From the beginning of the monitor until it says that its process was started.
    Start,
    /// From then on, while somebody asks for a stop by `monitor stop`, until the monitor has ended.
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

/// What the next monitor began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Anew, Self::Adopted, Self::Over, Self::GoesOn];
}

/// Prints `begins anew` and so on.
impl fmt::Display for Resumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anew => "begins anew",
            Self::Adopted => "adopts",
            Self::Over => "tells the end",
            Self::GoesOn => "goes on",
        })
    }
}

/// What came of a monitor that was killed at a step.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What it was about.
    pub protocol: Protocol,
    /// The state that was remembered then, if one was.
    pub remembered: Option<State>,
    /// How the next monitor went on.
    pub resumed: Resumed,
    /// What was wrong.
    pub faults: Vec<String>,
    /// The monitor that was killed, and the next one.
    monitors: [Bearer; 2],
}

/// The programs that a kill at a step takes.
#[derive(Clone, Copy, Debug)]
pub struct Cast<'a> {
    /// The program `monitor`.
    pub monitor: &'a Path,
    /// A program that calls [`enter`](super::enter).
    pub program: &'a Path,
}

impl Cast<'_> {
    /// All steps of a start and a stop, in the order in which they were taken by a monitor that nobody kills. The
    /// calling thread must have no other child.
    ///
    /// # Errors
    /// A program cannot be started, or tracing is not allowed here.
    pub fn steps(self) -> io::Result<Vec<Step>> {
        let mut steps = Vec::new();
        let saga = self.saga()?;
        self.play(&saga, |step| {
            steps.push(step.clone());
            false
        })?;
        Ok(steps)
    }

    /// Kills a monitor before it takes a step, and lets another one go on. `None` if the step was not taken: threads
    /// wake each other more or less often.
    ///
    /// # Errors
    /// See [`Cast::steps`].
    fn kill_at(self, step: &Step) -> io::Result<Option<Trial>> {
        let saga = self.saga()?;
        let is_meant = |taken: &Step| taken.of == step.of && taken.nth == step.nth;
        let Some((monitor, protocol)) = self.play(&saga, is_meant)? else {
            return Ok(None);
        };
        let before = saga.log();
        let mut faults = Vec::new();
        let living = saga.living()?;
        let remembered = saga.remembered()?;
        let known = remembered.as_ref().and_then(|unit| unit.pid);
        // Who has ended meanwhile is not looked for: a record names him as one that is gone.
        let living =
            saga.living()?.actors.intersection(&living.actors).copied().collect::<Vec<_>>();
        for pid in living.into_iter().filter(|&pid| Some(pid) != known) {
            faults.push(format!("process {pid} runs and is not recorded"));
        }
        let state = remembered.map(|unit| unit.state);
        let stops = state.is_some_and(|state| state.reason() == Reason::StopRequested);
        let finish = saga.finish(if stops { Ending::Remembered } else { Ending::Asked })?;
        faults.extend(finish.faults);
        if stops && finish.said.contains("started #") {
            faults.push(saga.fault("a stop was forgotten: another run was started"));
        }
        let told = if state.is_some() {
            run_told(&saga.log())
        } else {
            // Who remembers nothing counts from 1 again.
            run_told(&before) + run_told(&finish.said)
        };
        if saga.begun()? > told {
            faults.push(saga.fault(&format!("{} runs began, {told} were told", saga.begun()?)));
        }
        let resumed = resumed(&finish.said).unwrap_or_else(|| {
            faults.push(saga.fault("the next monitor does not say how it goes on"));
            Resumed::GoesOn
        });
        Ok(Some(Trial {
            monitors: [monitor, finish.monitor],
            protocol,
            remembered: state,
            resumed,
            faults,
        }))
    }

    /// Kills a monitor at each of the steps, several at once, and gives what came of it in their order.
    ///
    /// # Errors
    /// See [`Cast::steps`].
    pub fn kill_at_each(
        self,
        steps: &[Step],
        width: usize,
        progress: impl Fn() + Sync,
    ) -> io::Result<Vec<Option<Trial>>> {
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
        let mut trials = thread::scope(|scope| {
            let workers: Vec<_> = (0..width.max(1)).map(|_| scope.spawn(worker)).collect();
            let mut trials = Vec::new();
            for worker in workers {
                let ended = worker.join().map_err(|_| io::Error::other("a thread panicked"))?;
                trials.extend(ended?);
            }
            Ok::<_, io::Error>(trials)
        })?;
        trials.sort_by_key(|&(number, _)| number);
        let mut trials: Vec<_> = trials.into_iter().map(|(_, trial)| trial).collect();
        // A helper ends by itself when its monitor is dead, and its group is swept by nobody before. A group that is never
        // empty is left, which is seen below.
        let monitors = || trials.iter().flatten().flat_map(|trial| trial.monitors);
        until(|| !monitors().flat_map(Bearer::groups).any(|group| is_populated(&group)));
        // Each monitor sweeps as it begins, so one more does it after the last.
        self.saga()?.finish(Ending::Asked)?;
        for trial in trials.iter_mut().flatten() {
            let left = trial.monitors.into_iter().flat_map(Bearer::groups).count();
            if left > 0 {
                trial.faults.push(format!("{left} control groups are left"));
            }
        }
        Ok(trials)
    }

    fn saga(self) -> io::Result<Saga> {
        Saga::new(
            self.monitor,
            self.program,
            Script { lives: None, on_stop: OnStop::Dies(Millis::ZERO), ..Script::OBEDIENT },
        )
    }

    /// Lets a monitor take its steps, and asks it to stop when its process was started; kills it at the step that is
    /// meant. Returns which process it was, and what it was about, if it was killed.
    fn play(
        self,
        saga: &Saga,
        mut is_meant: impl FnMut(&Step) -> bool,
    ) -> io::Result<Option<(Bearer, Protocol)>> {
        let mut traced = Traced::begin(&mut saga.traced_command()?)?;
        let monitor = Bearer::of(traced.id())?;
        let mut stop: Option<JoinHandle<io::Result<ExitStatus>>> = None;
        let mut killed = None;
        while let Some(step) = traced.next()? {
            if stop.is_none() && saga.log().contains("started #1") {
                stop = Some(ask_to_stop(self.monitor.into(), saga.state()));
            }
            let protocol = if stop.is_some() { Protocol::Stop } else { Protocol::Start };
            if is_meant(&step) {
                traced.kill()?;
                killed = Some((monitor, protocol));
                break;
            }
        }
        // Whoever asked ends with the connection.
        stop.map(JoinHandle::join);
        Ok(killed)
    }
}

/// Asks from another thread, whose child the tracer does not hear of.
fn ask_to_stop(monitor: PathBuf, state: PathBuf) -> JoinHandle<io::Result<ExitStatus>> {
    thread::spawn(move || {
        let mut command = Command::new(monitor);
        command.arg("stop").arg("--state").arg(state);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
    })
}

/// The last run that is told of, 0 if none is.
fn run_told(said: &str) -> u32 {
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
        assert_eq!((resumed(adopts), run_told(adopts)), (Some(Resumed::Adopted), 3));
        assert_eq!((resumed(over), run_told(over)), (Some(Resumed::Over), 13));
        assert_eq!((resumed(""), run_told("")), (None, 0));
    }
}
