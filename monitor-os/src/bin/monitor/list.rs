//! `monitor list`: all monitors and their units, also those that no monitor has at present.

use std::io;
use std::process::ExitCode;

use monitor_os::stored_units;

use crate::control::client::{AskError, Asked, Patience};
use crate::control::protocol::{Ask, Reply};
use crate::control::report::Row;
use crate::diagnostics::{put, say};
use crate::state::{MemoryError, Whom, all_names, default_directory};
use crate::table::table;

/// A unit, and whom to ask about it.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) whom: Whom,
    /// Under the name by which it can be asked, `NAME` or `NAME/UNIT`.
    pub(crate) row: Row,
}

/// Prints the units of these monitors, or of all.
pub(crate) fn list(names: &[String]) -> ExitCode {
    let (units, troubles) = match look(names, Patience::Short) {
        Ok(found) => found,
        Err(error) => {
            say(&format_args!("monitor: {error}"));
            return ExitCode::FAILURE;
        }
    };
    for trouble in &troubles {
        say(&format_args!("monitor: {trouble}"));
    }
    let rows: Vec<_> = units.into_iter().map(|unit| unit.row).collect();
    if rows.is_empty() && troubles.is_empty() {
        say(&"monitor: there is none; start one by `monitor run --name NAME` or `monitor up`");
    } else if !rows.is_empty() {
        // Whoever reads has seen enough.
        put(io::stdout(), table(&rows).to_string()).ok();
    }
    if troubles.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Units, and why some monitors could not be asked.
pub(crate) type Found = (Vec<Listed>, Vec<String>);

/// The units of these monitors, or of all.
///
/// # Errors
/// No default directory for this user, or a name is none.
pub(crate) fn look(names: &[String], patience: Patience) -> Result<Found, MemoryError> {
    let all = if names.is_empty() { all_names()? } else { names.to_vec() };
    let (mut units, mut troubles) = (Vec::new(), Vec::new());
    for name in all {
        let place = default_directory(&name)?;
        let whom = |unit| Whom { place: place.clone(), unit };
        let asked = Asked::ask(&place, None, Ask::Status, patience);
        match asked.and_then(|mut asked| asked.next()) {
            Ok(Reply::Status(report)) => {
                let row = Row { name, ..Row::from(*report) };
                units.push(Listed { whom: whom(None), row });
            }
            Ok(Reply::Overview(overview)) => units.extend(overview.units.into_iter().map(|row| {
                let unit = Some(row.name.clone());
                Listed {
                    whom: whom(unit),
                    row: Row { name: format!("{name}/{}", row.name), ..row },
                }
            })),
            Err(AskError::NoMonitor) => match stored_units(&place) {
                Ok(left) => units.extend(left.into_iter().map(|left| {
                    let row = Row {
                        name: if left.unit == name {
                            name.clone()
                        } else {
                            format!("{name}/{}", left.unit)
                        },
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
                    Listed { whom: whom(Some(left.unit)), row }
                })),
                Err(error) => troubles.push(format!("{name}: {error}")),
            },
            Ok(_) => troubles.push(format!("{name}: the answer is not understood")),
            Err(error) => troubles.push(format!("{name}: {error}")),
        }
    }
    Ok((units, troubles))
}
