//! Events as text.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use monitor_core::{
    Exit, Found, Lifecycle, Millis, ProcessCommand, Reason, Remains, RunId, StartLimit,
    StartsCounted,
};
use monitor_os::{LeftoverProcess, Moment, UnitEvent, UnitId, WaitStatus};

/// Makes the text of events. It keeps the begin of the run of each unit, which is the start of its
/// program, or before that the moment when the start was due.
#[derive(Debug, Default)]
pub(crate) struct EventText {
    started: BTreeMap<UnitId, Moment>,
}

impl EventText {
    /// The text for a step in the life of the process; `None` if another entry has it.
    pub(crate) fn happened(&mut self, notice: &UnitEvent, lifecycle: Lifecycle) -> Option<String> {
        match lifecycle {
            // The next entry reports the start, with the process id.
            Lifecycle::Starting => {
                self.started.insert(notice.unit, notice.at);
                return None;
            }
            Lifecycle::Started => {
                self.started.insert(notice.unit, notice.at);
            }
            // The entry about the failed start has reported it.
            Lifecycle::GaveUp { remains: Remains::Nothing }
                if notice.step.state.reason() == Reason::StartFailed =>
            {
                return None;
            }
            Lifecycle::Ready
            | Lifecycle::Healthy
            | Lifecycle::Stopping
            | Lifecycle::Killing
            | Lifecycle::Unkillable
            | Lifecycle::Exited
            | Lifecycle::StartFailed
            | Lifecycle::BackingOff
            | Lifecycle::Throttled
            | Lifecycle::Stopped { .. }
            | Lifecycle::GaveUp { .. } => {}
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        self.say(&mut text, notice, lifecycle).is_ok().then_some(text)
    }

    /// The text for the recovery of an earlier monitor's run.
    pub(crate) fn found(run: RunId, found: Found, notice: &UnitEvent) -> String {
        let mut text = Self::what_was_found(run, found, notice);
        if notice.status.notify_status().is_unreachable {
            text += "; it cannot be heard: another process has taken its notify address";
        }
        let doubtful = notice.status.leftover_processes();
        if !doubtful.is_empty() {
            text += &format!("; {}, not proved to be of it, so left alone", RunsOn(doubtful));
        }
        text
    }

    fn what_was_found(run: RunId, found: Found, notice: &UnitEvent) -> String {
        let before = notice.before;
        if !before.phase().is_live() && found != Found::Alive {
            return format!("going on after an earlier monitor: {before}");
        }
        match (found, notice.status.pid()) {
            (Found::Alive, Some(pid)) => {
                format!("adopted {run} pid {pid}, which was {}", before.phase())
            }
            (Found::Alive, None) => format!("adopted {run}, which was {}", before.phase()),
            (Found::Exited(exit), _) => format!("{run} ended without a monitor: {exit}"),
            (Found::Gone, _) => format!("{run} ended without a monitor, nobody knows how"),
            (Found::Rebooted, _) => format!("{run} ended with the machine, which was booted since"),
        }
    }

    fn say(&self, line: &mut String, notice: &UnitEvent, lifecycle: Lifecycle) -> fmt::Result {
        let state = notice.step.state;
        let status = &notice.status;
        let run = state.run();
        match lifecycle {
            Lifecycle::Starting => Ok(()),
            Lifecycle::Started => {
                write!(line, "started {run}")?;
                status.pid().map_or(Ok(()), |pid| write!(line, " pid {pid}"))
            }
            Lifecycle::Ready => write!(line, "ready {run}"),
            Lifecycle::Healthy => {
                write!(line, "healthy {run}: earlier failures are forgiven")
            }
            Lifecycle::Stopping => {
                write!(line, "stopping {run}: {}", notice.status.explain().why())?;
                if let ProcessCommand::Signal { signal, .. } = notice.step.actions.process {
                    write!(line, ", sent {signal}")?;
                }
                match notice.delay {
                    Some(grace) => write!(line, ", kill after {grace}"),
                    None => Ok(()),
                }
            }
            Lifecycle::Killing => write!(line, "killing {run}"),
            Lifecycle::Unkillable => write!(line, "{run} survived the kill, which is repeated"),
            Lifecycle::Exited => self.say_exit(line, notice),
            Lifecycle::StartFailed => match status.start_error() {
                Some(error) => write!(line, "cannot start: {error}"),
                None => write!(line, "cannot start"),
            },
            Lifecycle::BackingOff => {
                let delay = notice.delay.unwrap_or(Millis::ZERO);
                write!(line, "backing off {delay}, then attempt {}", run.next())?;
                left(line, notice)
            }
            Lifecycle::Throttled => {
                let next = run.next();
                match status.policy().rules().limit {
                    Some(StartLimit { burst, window, counts, .. }) => {
                        let starts = match (counts, burst) {
                            (StartsCounted::Automatic, 1) => "automatic start",
                            (StartsCounted::Automatic, _) => "automatic starts",
                            (StartsCounted::All, 1) => "start",
                            (StartsCounted::All, _) => "starts",
                        };
                        write!(
                            line,
                            "waiting: the limit of {burst} {starts} within {window} is reached, \
                             attempt {next} follows when that time is over"
                        )
                    }
                    None => write!(line, "waiting, then attempt {next}"),
                }
            }
            Lifecycle::Stopped { remains } => {
                write!(line, "stopped: {}", notice.status.explain().why())?;
                leak(line, remains, status.leftover_processes())
            }
            Lifecycle::GaveUp { remains } => {
                write!(line, "gave up: {}", notice.status.explain().why())?;
                leak(line, remains, status.leftover_processes())
            }
        }
    }

    fn say_exit(&self, line: &mut String, notice: &UnitEvent) -> fmt::Result {
        let (state, status) = (notice.step.state, &notice.status);
        let run = state.run();
        let (what, core) = match (state.exit(), status.ended()) {
            (Some(exit), Some(WaitStatus::Signaled { core_dumped: true, .. })) => {
                (exit, " (core dumped)")
            }
            (Some(exit), _) if status.oom_killed() == Some(true) => (exit, " (out of memory)"),
            (exit, _) => (exit.unwrap_or(Exit::Unknown), ""),
        };
        match what {
            Exit::Code(code) => write!(line, "exited {run} code {code}")?,
            Exit::Signal(signal) => write!(line, "exited {run} by signal {signal}{core}")?,
            Exit::Unknown => write!(line, "exited {run}, nobody knows how")?,
        }
        match self.started.get(&notice.unit) {
            Some(started) => write!(line, " after {}", lasted(*started, notice.at)),
            None => Ok(()),
        }
    }
}

fn left(line: &mut String, notice: &UnitEvent) -> fmt::Result {
    match notice.status.explain().retries_left {
        Some(1) => write!(line, " (1 retry left)"),
        Some(left) => write!(line, " ({left} retries left)"),
        None => Ok(()),
    }
}

fn leak(line: &mut String, remains: Remains, leftover: &[LeftoverProcess]) -> fmt::Result {
    match remains {
        Remains::Nothing => Ok(()),
        Remains::Leaked => write!(line, "; {}", RunsOn(leftover)),
    }
}

/// Names the processes that outlived their run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunsOn<'a, T>(pub(crate) &'a [T]);

impl<T: fmt::Display> fmt::Display for RunsOn<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, rest)) = self.0.split_first() else {
            return f.write_str("something that it had started runs on");
        };
        write!(f, "{first}")?;
        rest.iter().take(NAMED - 1).try_for_each(|process| write!(f, ", {process}"))?;
        match rest.len().saturating_sub(NAMED - 1) {
            0 if rest.is_empty() => f.write_str(" runs on"),
            0 => f.write_str(" run on"),
            more => write!(f, " and {more} more run on"),
        }
    }
}

fn lasted(from: Moment, to: Moment) -> String {
    let hundredths = to.nanos_since(from) / 10_000_000;
    format!("{}.{:02}s", hundredths / 100, hundredths % 100)
}

/// How many processes a line names.
const NAMED: usize = 8;
