//! Reads the cases and records that the command line names.

use std::path::Path;
use std::{fs, io};

use monitor_core::Policy;
use monitor_os::Core;
use monitor_os::record::Record;
use monitor_sim::case::Case;
use monitor_sim::oracle::{self, TraceLine};
use monitor_sim::world::{self, STEPS_MAX};

use crate::exit_status::{INTERNAL, USAGE};

/// Reads a file, or the standard input for `-`.
fn read(path: &Path) -> io::Result<String> {
    if path == Path::new("-") { io::read_to_string(io::stdin()) } else { fs::read_to_string(path) }
}

/// The content of a file.
pub(crate) enum Artifact {
    /// The record of a real supervision.
    Record(Record),
    /// A case, as text or JSON.
    Case(Box<Case>),
}

/// Reads a file that holds a record or a case. On failure it prints the error and returns the exit
/// status.
pub(crate) fn artifact(path: &Path) -> Result<Artifact, u8> {
    let name = path.display();
    let text = read(path).map_err(|error| {
        anstream::eprintln!("monitor-sim: {name}: {error}: give a file that can be read as text");
        INTERNAL
    })?;
    parse(&text).map_err(|message| {
        anstream::eprintln!("monitor-sim: {name}: {message}");
        USAGE
    })
}

/// Reads a file that holds a record or a case. Returns its steps, and the policy in force at each.
pub(crate) fn steps(path: &Path) -> Result<(Vec<TraceLine>, Vec<Policy>), u8> {
    Ok(match artifact(path)? {
        Artifact::Record(record) => monitor_sim::replay::trace(&record),
        Artifact::Case(case) => {
            let trace = world::run(&case, Core, STEPS_MAX).trace;
            let policies = oracle::policies(&case, &trace);
            (trace, policies)
        }
    })
}

fn parse(text: &str) -> Result<Artifact, String> {
    let first: Option<serde_json::Value> =
        text.trim_start().lines().next().and_then(|line| serde_json::from_str(line).ok());
    if first.is_some_and(|first| first.get("record").is_some()) {
        let record = Record::parse(text.lines()).map_err(|error| error.to_string())?;
        return Ok(Artifact::Record(record));
    }
    let case = if text.trim_start().starts_with('{') {
        Case::from_json(text).map_err(|error| error.to_string())?
    } else {
        text.parse().map_err(|error: monitor_sim::case::CaseError| error.to_string())?
    };
    Ok(Artifact::Case(Box::new(case)))
}
