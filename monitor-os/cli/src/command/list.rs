//! `monitor list`: all monitors and their units, also units without a running monitor.

use std::io;
use std::process::ExitCode;

use monitor_os::stored_units;

use crate::cli::target::Target;
use crate::control::client::{Connection, ReplyTimeout, RequestError};
use crate::control::reply::StatusReply;
use crate::control::request::StatusRequest;
use crate::names::{StateDirError, all_names, default_directory, target_name};
use crate::report::status_report::UnitSummary;
use crate::view::diagnostics::{failed, put, say};
use crate::view::table::table;

/// A unit in the list, and its target.
#[derive(Clone, Debug)]
pub(crate) struct UnitListing {
    pub(crate) target: Target,
    /// The summary of the unit, whose name is `NAME` or `NAME/UNIT`.
    pub(crate) row: UnitSummary,
}

/// Prints the units of these monitors, or of all.
pub(crate) fn list(names: &[String]) -> ExitCode {
    let (units, errors) = match poll(names, ReplyTimeout::Short) {
        Ok(found) => found,
        Err(error) => return failed(&error),
    };
    for trouble in &errors {
        say(&format_args!("monitor: {trouble}"));
    }
    let rows: Vec<_> = units.into_iter().map(|unit| unit.row).collect();
    if rows.is_empty() && errors.is_empty() {
        say(
            &"monitor: there is no monitor; start one by `monitor run --name NAME` or `monitor up`",
        );
    } else if !rows.is_empty() {
        // The reader has seen enough.
        put(io::stdout(), table(&rows).to_string()).ok();
    }
    if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Units, and the errors of monitors that did not answer.
pub(crate) type Listing = (Vec<UnitListing>, Vec<String>);

/// The units of these monitors, or of all.
///
/// # Errors
/// No default directory for this user, or a name is none.
pub(crate) fn poll(names: &[String], timeout: ReplyTimeout) -> Result<Listing, StateDirError> {
    let all = if names.is_empty() { all_names()? } else { names.to_vec() };
    let (mut units, mut errors) = (Vec::new(), Vec::new());
    for name in all {
        let place = default_directory(&name)?;
        let target = |unit| Target { state_dir: place.clone(), unit };
        let connection = Connection::open(&place, None, StatusRequest, timeout);
        match connection.and_then(|mut connection| connection.next()) {
            Ok(StatusReply::Status(report)) => {
                let row = UnitSummary { name, ..UnitSummary::from(*report) };
                units.push(UnitListing { target: target(None), row });
            }
            Ok(StatusReply::Overview(overview)) => {
                units.extend(overview.units.into_iter().map(|row| {
                    let unit = Some(row.name.clone());
                    UnitListing {
                        target: target(unit),
                        row: UnitSummary { name: format!("{name}/{}", row.name), ..row },
                    }
                }))
            }
            Err(RequestError::NoMonitor) => match stored_units(&place) {
                Ok(left) => units.extend(left.into_iter().map(|left| {
                    let row = UnitSummary {
                        name: target_name(&name, &left.unit),
                        phase: left.state.phase().name().into(),
                        run: left.state.run().as_u32(),
                        pid: left.pid,
                        since_ms: None,
                        down: true,
                        restarts: left.state.restarts(),
                        last: left.state.exit().map(|exit| exit.to_string()),
                        next: "no monitor has it: start one to go on".into(),
                        left_ms: None,
                        tree: None,
                    };
                    UnitListing { target: target(Some(left.unit)), row }
                })),
                Err(error) => errors.push(format!("{name}: {error}")),
            },
            Err(error) => errors.push(format!("{name}: {error}")),
        }
    }
    Ok((units, errors))
}
