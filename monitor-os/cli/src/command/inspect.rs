//! `monitor status`, `monitor events` and `monitor logs`.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::client::{ClientError, DONE, FAILED, NOT_RUNNING, reply, send, with_target};
use crate::cli::args::{EventsArgs, LogsArgs, StatusArgs};
use crate::control::client::{ReplyTimeout, RequestError};
use crate::control::protocol::json_line;
use crate::control::reply::{EventsReply, LogsReply, StatusReply};
use crate::control::request::{EventsRequest, LogsRequest, StatusRequest};
use crate::logs::stored_logs::{self, ShowResult};
use crate::report::log_line::{LogLine, StreamName, Text};
use crate::report::unit_mode::UnitMode;
use crate::view::diagnostics::{put, say};
use crate::view::event_line::event_line;
use crate::view::status_view::StatusView;
use crate::view::table::table;

/// `monitor status`.
pub(crate) fn status(args: &StatusArgs) -> ExitCode {
    with_target(args.target.resolve(), |target| {
        let (text, down) = match reply(target, StatusRequest)? {
            StatusReply::Status(report) => {
                let text = if args.json { json(&report) } else { StatusView(&report).to_string() };
                (text, report.down)
            }
            StatusReply::Overview(overview) => {
                let units = &overview.units;
                let text = if args.json { json(&overview) } else { table(units).to_string() };
                (text, units.iter().all(|unit| unit.down))
            }
        };
        put(io::stdout(), text)?;
        Ok(if down { NOT_RUNNING } else { DONE })
    })
}

/// `monitor events`.
pub(crate) fn events(args: &EventsArgs) -> ExitCode {
    with_target(args.target.resolve(), |target| {
        let mode = match (&target.unit, reply(target, StatusRequest)?) {
            (None, StatusReply::Overview(_)) => UnitMode::Many,
            (Some(_), StatusReply::Overview(_)) | (_, StatusReply::Status(_)) => UnitMode::One,
        };
        let request = EventsRequest { follow: args.follow };
        let mut replies = send(target, request, ReplyTimeout::of_stream(args.follow))?;
        loop {
            match replies.next()? {
                EventsReply::Event(entry) if args.json => put(io::stdout(), json(&entry))?,
                EventsReply::Event(entry) => {
                    if let Some(line) = event_line(&entry, mode) {
                        put(io::stdout(), format!("{line}\n"))?;
                    }
                }
                EventsReply::Missed(count) => {
                    say(&format_args!("monitor: {count} earlier entries are not kept any more"))
                }
                EventsReply::End => return Ok(DONE),
            }
        }
    })
}

/// `monitor logs`.
pub(crate) fn logs(args: &LogsArgs) -> ExitCode {
    with_target(args.target.resolve(), |target| {
        let stream = match (args.stdout, args.stderr) {
            (true, _) => Some(StreamName::Stdout),
            (_, true) => Some(StreamName::Stderr),
            (false, false) => None,
        };
        let request = LogsRequest { follow: args.follow, last: args.lines, stream };
        let mut replies = match send(target, request, ReplyTimeout::of_stream(args.follow)) {
            Err(RequestError::NoMonitor) => {
                return match stored_logs::show(target, args)? {
                    ShowResult::Lines => Ok(DONE),
                    ShowResult::Refused => Ok(FAILED),
                    ShowResult::Nothing => Err(ClientError::Request(RequestError::NoMonitor)),
                };
            }
            replies => replies?,
        };
        // The bytes are the command's, and so are the colours in them.
        let mut shown = io::stdout().lock();
        loop {
            match replies.next()? {
                LogsReply::LogLine(line) => show(&mut shown, &line, args.timestamps)?,
                LogsReply::Missed(count) => {
                    say(&format_args!("monitor: {count} lines are not kept any more"));
                }
                LogsReply::End => return Ok(DONE),
            }
        }
    })
}

/// Writes a line as the command printed it.
fn show(to: &mut impl Write, line: &LogLine, timestamps: bool) -> io::Result<()> {
    if timestamps {
        write!(to, "{} {} ", line.at, line.stream.name())?;
    }
    to.write_all(match &line.text {
        Text::Utf8(text) => text.as_bytes(),
        Text::Bytes(bytes) => bytes,
    })?;
    if line.ends || timestamps {
        to.write_all(b"\n")?;
    }
    to.flush()
}

fn json(value: &impl Serialize) -> String {
    String::from_utf8_lossy(&json_line(value)).into_owned()
}
