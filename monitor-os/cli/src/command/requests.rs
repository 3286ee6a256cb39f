//! The commands that change what a running monitor does: stop, start, restart, reset, signal, set.

use std::io;
use std::process::ExitCode;

use super::client::{ClientError, DONE, KILLED, LEAKED, NOT_RUNNING, reply, send, with_target};
use crate::cli::target::Target;
use crate::control::client::ReplyTimeout;
use crate::control::reply::{ChangeReply, HandledRequest, StopReply, UnitReply};
use crate::control::request::{ChangeRequest, StopRequest, UnitRequest};
use crate::names::StateDirError;
use crate::report::event_text::RunsOn;
use crate::report::stop_outcome::StopOutcome;
use crate::view::diagnostics::{put, say};

/// `monitor stop` without `--wait`.
pub(crate) fn stop(target: Result<Target, StateDirError>) -> ExitCode {
    with_target(target, |target| {
        change(target, ChangeRequest::Stop, |handled| {
            (handled.explain.clone(), if handled.was_down { NOT_RUNNING } else { DONE })
        })
    })
}

/// `monitor stop --wait`.
pub(crate) fn stop_and_wait(target: Result<Target, StateDirError>) -> ExitCode {
    with_target(target, |target| {
        let mut replies = send(target, StopRequest, ReplyTimeout::Endless)?;
        let mut codes = Vec::new();
        loop {
            match replies.next()? {
                StopReply::Stopped(how) => {
                    let (text, code) = stopped(how);
                    put(io::stdout(), format!("{text}\n"))?;
                    return Ok(code);
                }
                StopReply::StoppedUnit { unit, how } => {
                    let (text, code) = stopped(how);
                    put(io::stdout(), format!("{unit}: {text}\n"))?;
                    codes.push(code);
                }
                StopReply::End => return Ok(worst(&codes)),
            }
        }
    })
}

fn stopped(how: StopOutcome) -> (String, u8) {
    let (text, code) = match how {
        StopOutcome::Graceful => ("it ended when it was asked to".into(), DONE),
        StopOutcome::Killed => ("it was killed".into(), KILLED),
        StopOutcome::Leaked(leftover) => (RunsOn(&leftover).to_string(), LEAKED),
        StopOutcome::NotRunning => ("there was no process".into(), NOT_RUNNING),
    };
    (format!("stopped: {text}"), code)
}

/// The exit status for all units: the worst of those that had a process, if one had.
fn worst(codes: &[u8]) -> u8 {
    let had = codes.iter().filter(|&&code| code != NOT_RUNNING);
    had.max().copied().unwrap_or(NOT_RUNNING)
}

/// `monitor start`, `restart`, `reset`.
pub(crate) fn request(target: Result<Target, StateDirError>, request: ChangeRequest) -> ExitCode {
    with_target(target, |target| {
        change(target, request, |handled| {
            let nothing = if handled.counted { "" } else { "nothing to do: " };
            (format!("{nothing}{}", handled.explain), DONE)
        })
    })
}

/// Sends a request to one unit or to all, and prints each reply.
fn change(
    target: &Target,
    request: ChangeRequest,
    show: impl Fn(&HandledRequest) -> (String, u8),
) -> Result<u8, ClientError> {
    let mut replies = send(target, request, ReplyTimeout::Short)?;
    let mut codes = Vec::new();
    loop {
        match replies.next()? {
            ChangeReply::Handled(handled) => {
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
            ChangeReply::End if codes.is_empty() => {
                say(&"monitor: it has no units");
                return Ok(DONE);
            }
            ChangeReply::End => return Ok(worst(&codes)),
        }
    }
}

/// `monitor signal`.
pub(crate) fn signal(target: Result<Target, StateDirError>, signal: String) -> ExitCode {
    with_target(target, |target| {
        let UnitReply::Handled(handled) = reply(target, UnitRequest::Signal(signal.clone()))?;
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
        let UnitReply::Handled(handled) = reply(target, UnitRequest::Set(rules))?;
        put(io::stdout(), format!("{}\n", handled.policy))?;
        Ok(DONE)
    })
}
