//! Lifecycle steps as lines that a person reads.

use std::fmt::{self, Write};

use anstyle::{AnsiColor, Style};
use monitor_core::{
    Event, Exit, Found, Lifecycle, Millis, ProcessCommand, Reason, Remains, RunId, StartLimit,
};
use monitor_os::{Ended, Moment, Notice};

/// Turns notices into lines; remembers when the run began.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    origin: Option<Moment>,
    started: Option<Moment>,
}

impl Lines {
    /// What there is to say of a step, a line or two; `None` if nothing.
    pub(crate) fn line(&mut self, notice: &Notice) -> Option<String> {
        let origin = *self.origin.get_or_insert(notice.at);
        let time = Moment::from_nanos(notice.at.nanos_since(origin)).to_string();
        let found = if let Event::Recovered { run, found } = notice.event {
            Some(stamped(&time, &say_found(run, found, notice)))
        } else {
            None
        };
        let happened = self.happened(notice, &time);
        match (found, happened) {
            (Some(found), Some(happened)) => Some(format!("{found}\n{happened}")),
            (found, happened) => found.or(happened),
        }
    }

    /// The line for a step in the life of the process.
    fn happened(&mut self, notice: &Notice, time: &str) -> Option<String> {
        let lifecycle = notice.lifecycle()?;
        match lifecycle {
            // Said with the process id, as soon as the process is there.
            Lifecycle::Starting => {
                self.started = Some(notice.at);
                return None;
            }
            // The line about the failed start has said it.
            Lifecycle::GaveUp { remains: Remains::Nothing }
                if notice.step.state.reason() == Reason::StartFailed =>
            {
                return None;
            }
            Lifecycle::Started
            | Lifecycle::Ready
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
        let mut line = String::new();
        let style = style(lifecycle);
        // Writing to a string cannot fail.
        let said = write!(line, "{style}")
            .and_then(|()| self.say(&mut line, notice, lifecycle))
            .and_then(|()| write!(line, "{style:#}"));
        said.is_ok().then(|| stamped(time, &line))
    }

    fn say(&self, line: &mut String, notice: &Notice, lifecycle: Lifecycle) -> fmt::Result {
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
                    Some(StartLimit { burst, window, .. }) => write!(
                        line,
                        "waiting: the limit of {burst} starts within {window} is reached, attempt {next} follows when that time is over"
                    ),
                    None => write!(line, "waiting, then attempt {next}"),
                }
            }
            Lifecycle::Stopped { remains } => {
                write!(line, "stopped: {}", notice.status.explain().why())?;
                leak(line, remains)
            }
            Lifecycle::GaveUp { remains } => {
                write!(line, "gave up: {}", notice.status.explain().why())?;
                leak(line, remains)
            }
        }
    }

    fn say_exit(&self, line: &mut String, notice: &Notice) -> fmt::Result {
        let (state, status) = (notice.step.state, &notice.status);
        let run = state.run();
        let (what, core) = match (state.exit(), status.ended()) {
            (Some(exit), Some(Ended::Signaled { core_dumped: true, .. })) => {
                (exit, " (core dumped)")
            }
            (exit, _) => (exit.unwrap_or(Exit::Unknown), ""),
        };
        match what {
            Exit::Code(code) => write!(line, "exited {run} code {code}")?,
            Exit::Signal(signal) => write!(line, "exited {run} by signal {signal}{core}")?,
            Exit::Unknown => write!(line, "exited {run}, nobody knows how")?,
        }
        match self.started {
            Some(started) => write!(line, " after {}", lasted(started, notice.at)),
            None => Ok(()),
        }
    }
}

fn stamped(time: &str, text: &str) -> String {
    let dim = Style::new().dimmed();
    format!("{dim}monitor: {time:>9}{dim:#}  {text}")
}

/// What an earlier monitor left.
fn say_found(run: RunId, found: Found, notice: &Notice) -> String {
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

fn left(line: &mut String, notice: &Notice) -> fmt::Result {
    match notice.status.explain().retries_left {
        Some(1) => write!(line, " (1 retry left)"),
        Some(left) => write!(line, " ({left} retries left)"),
        None => Ok(()),
    }
}

fn leak(line: &mut String, remains: Remains) -> fmt::Result {
    match remains {
        Remains::Nothing => Ok(()),
        Remains::Leaked => write!(line, "; something that it had started runs on"),
    }
}

fn lasted(from: Moment, to: Moment) -> String {
    let hundredths = to.nanos_since(from) / 10_000_000;
    format!("{}.{:02}s", hundredths / 100, hundredths % 100)
}

const fn style(lifecycle: Lifecycle) -> Style {
    match lifecycle {
        Lifecycle::Started | Lifecycle::Ready | Lifecycle::Healthy => AnsiColor::Green.on_default(),
        Lifecycle::Stopping | Lifecycle::BackingOff | Lifecycle::Throttled => {
            AnsiColor::Yellow.on_default()
        }
        Lifecycle::Killing
        | Lifecycle::Unkillable
        | Lifecycle::StartFailed
        | Lifecycle::GaveUp { .. } => AnsiColor::Red.on_default(),
        Lifecycle::Starting | Lifecycle::Exited | Lifecycle::Stopped { .. } => Style::new(),
    }
}
