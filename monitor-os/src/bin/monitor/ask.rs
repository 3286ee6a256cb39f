//! The commands that ask a running monitor.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use monitor_os::stored_units;
use serde::Serialize;

use crate::args::{EventsArgs, LogsArgs, StatusArgs};
use crate::control::client::{AskError, Asked, Patience};
use crate::control::protocol::{Ask, Heard, Reply, Stopped, Text, Which, line};
use crate::diagnostics::{put, say};
use crate::kept::{self, Shown};
use crate::lines::{self, RunsOn};
use crate::roster::Extent;
use crate::screen::Screen;
use crate::state::{MemoryError, Whom, all_targets};
use crate::table::table;

/// `monitor status`.
pub(crate) fn status(args: &StatusArgs) -> ExitCode {
    with_whom(args.target.whom(), |whom| match one(whom, Ask::Status)? {
        Reply::Status(report) => {
            let text = if args.json { json(&report) } else { Screen(&report).to_string() };
            put(io::stdout(), text)?;
            Ok(if report.down { NOT_RUNNING } else { DONE })
        }
        Reply::Overview(overview) => {
            let text = if args.json { json(&overview) } else { table(&overview.units).to_string() };
            put(io::stdout(), text)?;
            let down = overview.units.iter().all(|unit| unit.down);
            Ok(if down { NOT_RUNNING } else { DONE })
        }
        Reply::Heard(_)
        | Reply::Stopped(_)
        | Reply::StoppedUnit { .. }
        | Reply::Told(_)
        | Reply::Printed(_)
        | Reply::Missed(_)
        | Reply::End
        | Reply::Refused(_) => Err(odd()),
    })
}

/// `monitor events`.
pub(crate) fn events(args: &EventsArgs) -> ExitCode {
    with_whom(args.target.whom(), |whom| {
        let extent = match (&whom.unit, one(whom, Ask::Status)?) {
            (None, Reply::Overview(_)) => Extent::Many,
            _ => Extent::One,
        };
        let patience = if args.follow { Patience::Endless } else { Patience::Short };
        let mut asked = ask(whom, Ask::Events { follow: args.follow }, patience)?;
        loop {
            match asked.next()? {
                Reply::Told(told) if args.json => put(io::stdout(), json(&told))?,
                Reply::Told(told) => {
                    if let Some(line) = lines::line(&told, extent) {
                        put(io::stdout(), format!("{line}\n"))?;
                    }
                }
                Reply::Missed(count) => {
                    say(&format_args!("monitor: {count} earlier entries are not kept any more"))
                }
                Reply::End => return Ok(DONE),
                Reply::Status(_)
                | Reply::Overview(_)
                | Reply::Heard(_)
                | Reply::Stopped(_)
                | Reply::StoppedUnit { .. }
                | Reply::Printed(_)
                | Reply::Refused(_) => return Err(odd()),
            }
        }
    })
}

/// `monitor logs`.
pub(crate) fn logs(args: &LogsArgs) -> ExitCode {
    with_whom(args.target.whom(), |whom| {
        let patience = if args.follow { Patience::Endless } else { Patience::Short };
        let stream = match (args.stdout, args.stderr) {
            (true, _) => Some(Which::Stdout),
            (_, true) => Some(Which::Stderr),
            (false, false) => None,
        };
        let question = Ask::Logs { follow: args.follow, last: args.lines, stream };
        let mut asked = match ask(whom, question, patience) {
            Err(AskError::NoMonitor) => {
                return match kept::show(whom, args)? {
                    Shown::Lines => Ok(DONE),
                    Shown::Refused => Ok(FAILED),
                    Shown::Nothing => Err(Trouble::Ask(AskError::NoMonitor)),
                };
            }
            asked => asked?,
        };
        // Its bytes are the command's: nothing is done to its colours.
        let mut shown = io::stdout().lock();
        loop {
            match asked.next()? {
                Reply::Printed(printed) => {
                    if args.timestamps {
                        write!(shown, "{} {} ", printed.at, printed.stream.name())?;
                    }
                    shown.write_all(match &printed.text {
                        Text::Utf8(text) => text.as_bytes(),
                        Text::Bytes(bytes) => bytes,
                    })?;
                    if printed.ends || args.timestamps {
                        shown.write_all(b"\n")?;
                    }
                    shown.flush()?;
                }
                Reply::Missed(count) => {
                    say(&format_args!("monitor: {count} lines are not kept any more"));
                }
                Reply::End => return Ok(DONE),
                Reply::Status(_)
                | Reply::Overview(_)
                | Reply::Heard(_)
                | Reply::Stopped(_)
                | Reply::StoppedUnit { .. }
                | Reply::Told(_)
                | Reply::Refused(_) => return Err(odd()),
            }
        }
    })
}

/// `monitor stop`, with or without waiting for its end.
pub(crate) fn stop(whom: Result<Whom, MemoryError>, patience: Patience) -> ExitCode {
    with_whom(whom, |whom| {
        if patience == Patience::Short {
            return each(whom, Ask::Stop { wait: false }, |heard| {
                (heard.explain.clone(), if heard.was_down { NOT_RUNNING } else { DONE })
            });
        }
        let mut asked = ask(whom, Ask::Stop { wait: true }, patience)?;
        let mut codes = Vec::new();
        loop {
            match asked.next()? {
                Reply::Stopped(how) => {
                    let (text, code) = stopped(how);
                    put(io::stdout(), format!("{text}\n"))?;
                    return Ok(code);
                }
                Reply::StoppedUnit { unit, how } => {
                    let (text, code) = stopped(how);
                    put(io::stdout(), format!("{unit}: {text}\n"))?;
                    codes.push(code);
                }
                Reply::End => return Ok(worst(&codes)),
                Reply::Status(_)
                | Reply::Overview(_)
                | Reply::Heard(_)
                | Reply::Told(_)
                | Reply::Printed(_)
                | Reply::Missed(_)
                | Reply::Refused(_) => return Err(odd()),
            }
        }
    })
}

fn stopped(how: Stopped) -> (String, u8) {
    let (text, code) = match how {
        Stopped::Graceful => ("it ended when it was asked to".into(), DONE),
        Stopped::Killed => ("it was killed".into(), KILLED),
        Stopped::Leaked(survivors) => (RunsOn(&survivors).to_string(), LEAKED),
        Stopped::NotRunning => ("there was no process".into(), NOT_RUNNING),
    };
    (format!("stopped: {text}"), code)
}

/// The exit status for all units: the worst of those that had a process, if one had.
fn worst(codes: &[u8]) -> u8 {
    let had = codes.iter().filter(|&&code| code != NOT_RUNNING);
    had.max().copied().unwrap_or(NOT_RUNNING)
}

/// `monitor start`, `restart`, `reset`: a wish that is heard at once.
pub(crate) fn tell(whom: Result<Whom, MemoryError>, ask: Ask) -> ExitCode {
    with_whom(whom, |whom| {
        each(whom, ask, |heard| {
            let nothing = if heard.counted { "" } else { "nothing to do: " };
            (format!("{nothing}{}", heard.explain), DONE)
        })
    })
}

/// Wishes something of one unit or of all, and shows each answer.
fn each(whom: &Whom, question: Ask, show: impl Fn(&Heard) -> (String, u8)) -> Result<u8, Trouble> {
    let mut asked = ask(whom, question, Patience::Short)?;
    let mut codes = Vec::new();
    loop {
        match asked.next()? {
            Reply::Heard(heard) => {
                let (text, code) = show(&heard);
                match &heard.unit {
                    None => {
                        put(io::stdout(), format!("{text}\n"))?;
                        return Ok(code);
                    }
                    Some(unit) => put(io::stdout(), format!("{unit}: {text}\n"))?,
                }
                codes.push(code);
            }
            Reply::End if codes.is_empty() => {
                say(&"monitor: it has no units");
                return Ok(DONE);
            }
            Reply::End => return Ok(worst(&codes)),
            Reply::Status(_)
            | Reply::Overview(_)
            | Reply::Stopped(_)
            | Reply::StoppedUnit { .. }
            | Reply::Told(_)
            | Reply::Printed(_)
            | Reply::Missed(_)
            | Reply::Refused(_) => return Err(odd()),
        }
    }
}

/// `monitor signal`.
pub(crate) fn signal(whom: Result<Whom, MemoryError>, signal: String) -> ExitCode {
    with_whom(whom, |whom| {
        let heard = wish(whom, Ask::Signal { signal: signal.clone() })?;
        match (heard.counted, heard.pid) {
            (true, Some(pid)) => put(io::stdout(), format!("{signal} sent to pid {pid}\n"))?,
            (true, None) => put(io::stdout(), format!("{signal} sent\n"))?,
            (false, _) => {
                say(&format_args!("monitor: there is no process to signal: {}", heard.explain));
                return Ok(NOT_RUNNING);
            }
        }
        Ok(DONE)
    })
}

/// `monitor set`.
pub(crate) fn set(whom: Result<Whom, MemoryError>, rules: Vec<String>) -> ExitCode {
    with_whom(whom, |whom| {
        let heard = wish(whom, Ask::Set { rules })?;
        put(io::stdout(), format!("{}\n", heard.policy))?;
        Ok(DONE)
    })
}

fn wish(whom: &Whom, ask: Ask) -> Result<Heard, Trouble> {
    match one(whom, ask)? {
        Reply::Heard(heard) => Ok(heard),
        Reply::Status(_)
        | Reply::Overview(_)
        | Reply::Stopped(_)
        | Reply::StoppedUnit { .. }
        | Reply::Told(_)
        | Reply::Printed(_)
        | Reply::Missed(_)
        | Reply::End
        | Reply::Refused(_) => Err(odd()),
    }
}

fn one(whom: &Whom, question: Ask) -> Result<Reply, Trouble> {
    Ok(ask(whom, question, Patience::Short)?.next()?)
}

fn ask(whom: &Whom, ask: Ask, patience: Patience) -> Result<Asked, AskError> {
    Asked::ask(&whom.place, whom.unit.as_deref(), ask, patience)
}

/// Why a command has no result to show.
#[derive(Debug)]
enum Trouble {
    Ask(AskError),
    /// The standard output took nothing more.
    Output(io::Error),
}

impl From<AskError> for Trouble {
    fn from(error: AskError) -> Self {
        Self::Ask(error)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn json(value: &impl Serialize) -> String {
    String::from_utf8_lossy(&line(value)).into_owned()
}

fn odd() -> Trouble {
    Trouble::Ask(AskError::Foreign("an answer to another question".into()))
}

fn with_whom(
    whom: Result<Whom, MemoryError>,
    command: impl FnOnce(&Whom) -> Result<u8, Trouble>,
) -> ExitCode {
    let whom = match whom {
        Ok(whom) => whom,
        Err(error) => {
            say(&format_args!("monitor: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let code = match command(&whom) {
        Ok(code) => code,
        Err(Trouble::Ask(AskError::NoMonitor)) => {
            say(&NoMonitor(&whom.place));
            NO_MONITOR
        }
        Err(Trouble::Ask(error)) => {
            say(&format_args!("monitor: {error}"));
            FAILED
        }
        // Whoever reads has seen enough.
        Err(Trouble::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => DONE,
        Err(Trouble::Output(error)) => {
            say(&format_args!("monitor: cannot write to the standard output: {error}"));
            FAILED
        }
    };
    ExitCode::from(code)
}

/// Where no monitor was found, and what is remembered there.
#[derive(Clone, Copy, Debug)]
struct NoMonitor<'a>(&'a Path);

impl fmt::Display for NoMonitor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(directory) = self;
        write!(f, "monitor: no monitor runs in {}", directory.display())?;
        match stored_units(directory) {
            Ok(units) if units.is_empty() => {
                f.write_str("\nmonitor: nothing is remembered there; ")?;
                let name = directory.file_name().unwrap_or_default().to_string_lossy();
                let targets = all_targets();
                let unit_of =
                    |target: &&String| target.split_once('/').is_some_and(|(_, unit)| unit == name);
                match targets.iter().find(unit_of) {
                    Some(target) => write!(f, "did you mean {target}?"),
                    // A place may be left of a monitor that has ended.
                    None if targets.iter().all(|target| *target == name) => {
                        f.write_str("start one by `monitor run --name NAME` or `monitor up`")
                    }
                    None => f.write_str("`monitor list` shows what there is"),
                }
            }
            Ok(units) => units.iter().try_for_each(|unit| {
                write!(f, "\nmonitor: its journal says of {}: {}, ", unit.unit, unit.state)?;
                match unit.pid {
                    Some(pid) => write!(f, "and pid {pid} runs on")?,
                    None => f.write_str("and its process is gone")?,
                }
                f.write_str("; start the monitor again to go on")
            }),
            Err(error) => write!(f, "\nmonitor: {error}"),
        }
    }
}

const DONE: u8 = 0;
const FAILED: u8 = 1;
const NO_MONITOR: u8 = 3;
const NOT_RUNNING: u8 = 4;
const KILLED: u8 = 5;
const LEAKED: u8 = 6;
