//! The commands that ask a running monitor.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use monitor_os::stored_units;
use serde::Serialize;

use crate::cli::args::{EventsArgs, LogsArgs, StatusArgs};
use crate::cli::target::Target;
use crate::control::client::{AskError, Connection, ReplyTimeout};
use crate::control::protocol::json_line;
use crate::control::protocol::{Ask, HandledRequest, Reply};
use crate::logs::stored_logs;
use crate::logs::stored_logs::ShowResult;
use crate::names::{StateDirError, all_targets};
use crate::report::event_text::RunsOn;
use crate::report::log_line::{StreamName, Text};
use crate::report::stop_outcome::Stopped;
use crate::report::unit_mode::UnitMode;
use crate::view::diagnostics::{put, say};
use crate::view::event_line::event_line;
use crate::view::status_view::StatusView;
use crate::view::table::table;

/// `monitor status`.
pub(crate) fn status(args: &StatusArgs) -> ExitCode {
    with_target(args.target.resolve(), |target| match one(target, Ask::Status)? {
        Reply::Status(report) => {
            let text = if args.json { json(&report) } else { StatusView(&report).to_string() };
            put(io::stdout(), text)?;
            Ok(if report.down { NOT_RUNNING } else { DONE })
        }
        Reply::Overview(overview) => {
            let text = if args.json { json(&overview) } else { table(&overview.units).to_string() };
            put(io::stdout(), text)?;
            let down = overview.units.iter().all(|unit| unit.down);
            Ok(if down { NOT_RUNNING } else { DONE })
        }
        Reply::Handled(_)
        | Reply::Stopped(_)
        | Reply::StoppedUnit { .. }
        | Reply::Event(_)
        | Reply::LogLine(_)
        | Reply::Missed(_)
        | Reply::End
        | Reply::Refused(_) => Err(odd()),
    })
}

/// `monitor events`.
pub(crate) fn events(args: &EventsArgs) -> ExitCode {
    with_target(args.target.resolve(), |target| {
        let mode = match (&target.unit, one(target, Ask::Status)?) {
            (None, Reply::Overview(_)) => UnitMode::Many,
            _ => UnitMode::One,
        };
        let timeout = if args.follow { ReplyTimeout::Endless } else { ReplyTimeout::Short };
        let mut asked = ask(target, Ask::Events { follow: args.follow }, timeout)?;
        loop {
            match asked.next()? {
                Reply::Event(entry) if args.json => put(io::stdout(), json(&entry))?,
                Reply::Event(entry) => {
                    if let Some(line) = event_line(&entry, mode) {
                        put(io::stdout(), format!("{line}\n"))?;
                    }
                }
                Reply::Missed(count) => {
                    say(&format_args!("monitor: {count} earlier entries are not kept any more"))
                }
                Reply::End => return Ok(DONE),
                Reply::Status(_)
                | Reply::Overview(_)
                | Reply::Handled(_)
                | Reply::Stopped(_)
                | Reply::StoppedUnit { .. }
                | Reply::LogLine(_)
                | Reply::Refused(_) => return Err(odd()),
            }
        }
    })
}

/// `monitor logs`.
pub(crate) fn logs(args: &LogsArgs) -> ExitCode {
    with_target(args.target.resolve(), |target| {
        let timeout = if args.follow { ReplyTimeout::Endless } else { ReplyTimeout::Short };
        let stream = match (args.stdout, args.stderr) {
            (true, _) => Some(StreamName::Stdout),
            (_, true) => Some(StreamName::Stderr),
            (false, false) => None,
        };
        let question = Ask::Logs { follow: args.follow, last: args.lines, stream };
        let mut asked = match ask(target, question, timeout) {
            Err(AskError::NoMonitor) => {
                return match stored_logs::show(target, args)? {
                    ShowResult::Lines => Ok(DONE),
                    ShowResult::Refused => Ok(FAILED),
                    ShowResult::Nothing => Err(ClientError::Ask(AskError::NoMonitor)),
                };
            }
            asked => asked?,
        };
        // Its bytes are the command's: nothing is done to its colours.
        let mut shown = io::stdout().lock();
        loop {
            match asked.next()? {
                Reply::LogLine(printed) => {
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
                | Reply::Handled(_)
                | Reply::Stopped(_)
                | Reply::StoppedUnit { .. }
                | Reply::Event(_)
                | Reply::Refused(_) => return Err(odd()),
            }
        }
    })
}

/// `monitor stop`, with or without waiting for its end.
pub(crate) fn stop(target: Result<Target, StateDirError>, timeout: ReplyTimeout) -> ExitCode {
    with_target(target, |target| {
        if timeout == ReplyTimeout::Short {
            return each(target, Ask::Stop { wait: false }, |handled| {
                (handled.explain.clone(), if handled.was_down { NOT_RUNNING } else { DONE })
            });
        }
        let mut asked = ask(target, Ask::Stop { wait: true }, timeout)?;
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
                | Reply::Handled(_)
                | Reply::Event(_)
                | Reply::LogLine(_)
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

/// `monitor start`, `restart`, `reset`: a request that is handled at once.
pub(crate) fn request(target: Result<Target, StateDirError>, ask: Ask) -> ExitCode {
    with_target(target, |target| {
        each(target, ask, |handled| {
            let nothing = if handled.counted { "" } else { "nothing to do: " };
            (format!("{nothing}{}", handled.explain), DONE)
        })
    })
}

/// Sends a request to one unit or to all, and prints each answer.
fn each(
    target: &Target,
    question: Ask,
    show: impl Fn(&HandledRequest) -> (String, u8),
) -> Result<u8, ClientError> {
    let mut asked = ask(target, question, ReplyTimeout::Short)?;
    let mut codes = Vec::new();
    loop {
        match asked.next()? {
            Reply::Handled(handled) => {
                let (text, code) = show(&handled);
                match &handled.unit {
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
            | Reply::Event(_)
            | Reply::LogLine(_)
            | Reply::Missed(_)
            | Reply::Refused(_) => return Err(odd()),
        }
    }
}

/// `monitor signal`.
pub(crate) fn signal(target: Result<Target, StateDirError>, signal: String) -> ExitCode {
    with_target(target, |target| {
        let handled = single_reply(target, Ask::Signal { signal: signal.clone() })?;
        match (handled.counted, handled.pid) {
            (true, Some(pid)) => put(io::stdout(), format!("{signal} sent to pid {pid}\n"))?,
            (true, None) => put(io::stdout(), format!("{signal} sent\n"))?,
            (false, _) => {
                say(&format_args!("monitor: there is no process to signal: {}", handled.explain));
                return Ok(NOT_RUNNING);
            }
        }
        Ok(DONE)
    })
}

/// `monitor set`.
pub(crate) fn set(target: Result<Target, StateDirError>, rules: Vec<String>) -> ExitCode {
    with_target(target, |target| {
        let handled = single_reply(target, Ask::Set { rules })?;
        put(io::stdout(), format!("{}\n", handled.policy))?;
        Ok(DONE)
    })
}

fn single_reply(target: &Target, ask: Ask) -> Result<HandledRequest, ClientError> {
    match one(target, ask)? {
        Reply::Handled(handled) => Ok(handled),
        Reply::Status(_)
        | Reply::Overview(_)
        | Reply::Stopped(_)
        | Reply::StoppedUnit { .. }
        | Reply::Event(_)
        | Reply::LogLine(_)
        | Reply::Missed(_)
        | Reply::End
        | Reply::Refused(_) => Err(odd()),
    }
}

fn one(target: &Target, question: Ask) -> Result<Reply, ClientError> {
    Ok(ask(target, question, ReplyTimeout::Short)?.next()?)
}

fn ask(target: &Target, ask: Ask, timeout: ReplyTimeout) -> Result<Connection, AskError> {
    Connection::ask(&target.state_dir, target.unit.as_deref(), ask, timeout)
}

/// Why a command has no result to show.
#[derive(Debug)]
enum ClientError {
    Ask(AskError),
    /// The standard output took nothing more.
    Output(io::Error),
}

impl From<AskError> for ClientError {
    fn from(error: AskError) -> Self {
        Self::Ask(error)
    }
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn json(value: &impl Serialize) -> String {
    String::from_utf8_lossy(&json_line(value)).into_owned()
}

fn odd() -> ClientError {
    ClientError::Ask(AskError::Foreign("an answer to another question".into()))
}

fn with_target(
    target: Result<Target, StateDirError>,
    command: impl FnOnce(&Target) -> Result<u8, ClientError>,
) -> ExitCode {
    let target = match target {
        Ok(target) => target,
        Err(error) => {
            say(&format_args!("monitor: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let code = match command(&target) {
        Ok(code) => code,
        Err(ClientError::Ask(AskError::NoMonitor)) => {
            say(&NoMonitor(&target.state_dir));
            NO_MONITOR
        }
        Err(ClientError::Ask(error)) => {
            say(&format_args!("monitor: {error}"));
            FAILED
        }
        // Whoever reads has seen enough.
        Err(ClientError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => DONE,
        Err(ClientError::Output(error)) => {
            say(&format_args!("monitor: cannot write to the standard output: {error}"));
            FAILED
        }
    };
    ExitCode::from(code)
}

/// Where no monitor was found, and what is stored there.
#[derive(Clone, Copy, Debug)]
struct NoMonitor<'a>(&'a Path);

impl fmt::Display for NoMonitor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(directory) = self;
        write!(f, "monitor: no monitor runs in {}", directory.display())?;
        match stored_units(directory) {
            Ok(units) if units.is_empty() => {
                f.write_str("\nmonitor: nothing is stored there; ")?;
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
