//! The commands that ask a running monitor.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use monitor_os::remembered;
use serde::Serialize;

use crate::args::{EventsArgs, StatusArgs};
use crate::control::client::{AskError, Asked, Patience};
use crate::control::protocol::{Ask, Heard, Reply, Stopped, line};
use crate::lines;
use crate::run::{put, say};
use crate::screen::Screen;
use crate::state::MemoryError;

/// `monitor status`.
pub(crate) fn status(args: &StatusArgs) -> ExitCode {
    with_place(args.target.place(), |place| {
        let Reply::Status(report) = one(place, Ask::Status)? else {
            return Err(odd());
        };
        if args.json {
            put(io::stdout(), json(&report))?;
        } else {
            put(io::stdout(), Screen(&report).to_string())?;
        }
        Ok(if report.down { NOT_RUNNING } else { DONE })
    })
}

/// `monitor events`.
pub(crate) fn events(args: &EventsArgs) -> ExitCode {
    with_place(args.target.place(), |place| {
        let patience = if args.follow { Patience::Endless } else { Patience::Short };
        let mut asked = ask(place, Ask::Events { follow: args.follow }, patience)?;
        loop {
            match asked.next()? {
                Reply::Told(told) if args.json => put(io::stdout(), json(&told))?,
                Reply::Told(told) => {
                    if let Some(line) = lines::line(&told) {
                        put(io::stdout(), format!("{line}\n"))?;
                    }
                }
                Reply::Missed(count) => {
                    say(&format_args!("monitor: {count} earlier entries are not kept any more"))
                }
                Reply::End => return Ok(DONE),
                Reply::Status(_) | Reply::Heard(_) | Reply::Stopped(_) | Reply::Refused(_) => {
                    return Err(odd());
                }
            }
        }
    })
}

/// `monitor stop`, with or without waiting for its end.
pub(crate) fn stop(place: Result<PathBuf, MemoryError>, patience: Patience) -> ExitCode {
    with_place(place, |place| match patience {
        Patience::Short => {
            let heard = wish(place, Ask::Stop { wait: false })?;
            put(io::stdout(), format!("{}\n", heard.explain))?;
            Ok(if heard.was_down { NOT_RUNNING } else { DONE })
        }
        Patience::Endless => {
            let mut asked = ask(place, Ask::Stop { wait: true }, patience)?;
            let Reply::Stopped(stopped) = asked.next()? else {
                return Err(odd());
            };
            let (text, code) = match stopped {
                Stopped::Graceful => ("stopped: it ended when it was asked to", DONE),
                Stopped::Killed => ("stopped: it was killed", KILLED),
                Stopped::Leaked => {
                    ("stopped, and something that it had started runs on: see by `ps`", LEAKED)
                }
                Stopped::NotRunning => ("stopped: there was no process", NOT_RUNNING),
            };
            put(io::stdout(), format!("{text}\n"))?;
            Ok(code)
        }
    })
}

/// `monitor start`, `restart`, `reset`: a wish that is heard at once.
pub(crate) fn tell(place: Result<PathBuf, MemoryError>, ask: Ask) -> ExitCode {
    with_place(place, |place| {
        let heard = wish(place, ask)?;
        let nothing = if heard.counted { "" } else { "nothing to do: " };
        put(io::stdout(), format!("{nothing}{}\n", heard.explain))?;
        Ok(DONE)
    })
}

/// `monitor signal`.
pub(crate) fn signal(place: Result<PathBuf, MemoryError>, signal: String) -> ExitCode {
    with_place(place, |place| {
        let heard = wish(place, Ask::Signal { signal: signal.clone() })?;
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
pub(crate) fn set(place: Result<PathBuf, MemoryError>, rules: Vec<String>) -> ExitCode {
    with_place(place, |place| {
        let heard = wish(place, Ask::Set { rules })?;
        put(io::stdout(), format!("{}\n", heard.policy))?;
        Ok(DONE)
    })
}

fn wish(place: &Path, ask: Ask) -> Result<Heard, Trouble> {
    match one(place, ask)? {
        Reply::Heard(heard) => Ok(heard),
        Reply::Status(_)
        | Reply::Stopped(_)
        | Reply::Told(_)
        | Reply::Missed(_)
        | Reply::End
        | Reply::Refused(_) => Err(odd()),
    }
}

fn one(place: &Path, question: Ask) -> Result<Reply, Trouble> {
    Ok(ask(place, question, Patience::Short)?.next()?)
}

fn ask(place: &Path, ask: Ask, patience: Patience) -> Result<Asked, AskError> {
    Asked::ask(place, ask, patience)
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

fn with_place(
    place: Result<PathBuf, MemoryError>,
    command: impl FnOnce(&Path) -> Result<u8, Trouble>,
) -> ExitCode {
    let place = match place {
        Ok(place) => place,
        Err(error) => {
            say(&format_args!("monitor: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let code = match command(&place) {
        Ok(code) => code,
        Err(Trouble::Ask(AskError::NoMonitor)) => {
            say(&NoMonitor(&place));
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
        match remembered(directory) {
            Ok(units) if units.is_empty() => {
                f.write_str("\nmonitor: nothing is remembered there; start one by `monitor run`")
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
