//! The common part of the commands that send requests to a running monitor.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use monitor_os::stored_units;

use crate::cli::target::Target;
use crate::control::client::{Connection, ReplyTimeout, RequestError};
use crate::control::request::Request;
use crate::names::{StateDirError, all_targets};
use crate::view::diagnostics::say;

/// Sends a request to the monitor of a target.
///
/// # Errors
/// See [`RequestError`].
pub(super) fn send<R: Request>(
    target: &Target,
    request: R,
    timeout: ReplyTimeout,
) -> Result<Connection<R>, RequestError> {
    Connection::open(&target.state_dir, target.unit.as_deref(), request, timeout)
}

/// Sends a request to which there is one reply.
///
/// # Errors
/// See [`RequestError`].
pub(super) fn reply<R: Request>(target: &Target, request: R) -> Result<R::Reply, RequestError> {
    send(target, request, ReplyTimeout::Short)?.next()
}

/// The reason for which a command has no result.
#[derive(Debug)]
pub(super) enum ClientError {
    Request(RequestError),
    /// The standard output accepted nothing more.
    Output(io::Error),
}

impl From<RequestError> for ClientError {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Runs a command that sends requests to the monitor of a target, and prints its error.
pub(super) fn with_target(
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
        Err(ClientError::Request(RequestError::NoMonitor)) => {
            say(&NoMonitor(&target.state_dir));
            NO_MONITOR
        }
        Err(ClientError::Request(error)) => {
            say(&format_args!("monitor: {error}"));
            FAILED
        }
        // The reader has seen enough.
        Err(ClientError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => DONE,
        Err(ClientError::Output(error)) => {
            say(&format_args!("monitor: cannot write to the standard output: {error}"));
            FAILED
        }
    };
    ExitCode::from(code)
}

/// The message that no monitor runs in a directory, with the units that are stored there.
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
                    // A directory may be left of a monitor that has ended.
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

pub(super) const DONE: u8 = 0;
pub(super) const FAILED: u8 = 1;
pub(super) const NO_MONITOR: u8 = 3;
pub(super) const NOT_RUNNING: u8 = 4;
pub(super) const KILLED: u8 = 5;
pub(super) const LEAKED: u8 = 6;
