//! Reads the cases and records that the command line names.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use monitor_core::Policy;
use monitor_os::Core;
use monitor_os::record::RecordReader;
use monitor_sim::case::Case;
use monitor_sim::conform;
use monitor_sim::oracle::{self, TraceLine};
use monitor_sim::world::{self, STEPS_MAX};

use crate::exit_status::{INTERNAL, USAGE};

/// The content of a file.
pub(crate) enum Artifact {
    /// The record of a real supervision.
    Record(RecordSource),
    /// A case, as text or JSON.
    Case(Box<Case>),
}

/// A record that is read while it is judged.
pub(crate) struct RecordSource {
    /// The bytes from the first line on.
    pub(crate) bytes: Box<dyn Read>,
    /// The number of bytes, if it is known.
    pub(crate) length: Option<u64>,
}

/// Reads a file that holds a case, or opens one that holds a record; `-` is the standard input. On
/// failure it prints the error and returns the exit status.
pub(crate) fn artifact(path: &Path) -> Result<Artifact, u8> {
    let name = path.display();
    let refused = |message: &str, code| {
        anstream::eprintln!("monitor-sim: {name}: {message}");
        code
    };
    let (is_record, source) = open(path).map_err(|error| {
        refused(&format!("{error}: give a file that can be read as text"), INTERNAL)
    })?;
    if is_record {
        return Ok(Artifact::Record(source));
    }
    let text = io::read_to_string(source.bytes).map_err(|error| {
        refused(&format!("{error}: give a file that can be read as text"), INTERNAL)
    })?;
    parse(&text).map_err(|message| refused(&message, USAGE))
}

/// Reads a file that holds a record or a case. Returns its steps, and the policy in force at each.
pub(crate) fn steps(path: &Path) -> Result<(Vec<TraceLine>, Vec<Policy>), u8> {
    Ok(match artifact(path)? {
        Artifact::Record(source) => {
            let mut reader = RecordReader::new(BufReader::new(source.bytes));
            conform::record::trace(&mut reader).map_err(|error| {
                anstream::eprintln!("monitor-sim: {}: {error}", path.display());
                USAGE
            })?
        }
        Artifact::Case(case) => {
            let trace = world::run(&case, Core, STEPS_MAX).trace;
            let policies = oracle::policies(&case, &trace);
            (trace, policies)
        }
    })
}

/// Opens a file, and finds out from its first line whether it is a record.
fn open(path: &Path) -> io::Result<(bool, RecordSource)> {
    let (file, length): (Box<dyn Read>, _) = if path == Path::new("-") {
        (Box::new(io::stdin()), None)
    } else {
        let file = File::open(path)?;
        let length = file.metadata()?;
        (Box::new(file), length.is_file().then_some(length.len()))
    };
    let mut reader = BufReader::new(file);
    let mut begin = Vec::new();
    while begin.trim_ascii().is_empty()
        && reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut begin)? > 0
    {}
    let first: Option<serde_json::Value> = serde_json::from_slice(&begin).ok();
    let is_record = first.is_some_and(|first| first.get("record").is_some());
    Ok((is_record, RecordSource { bytes: Box::new(Cursor::new(begin).chain(reader)), length }))
}

fn parse(text: &str) -> Result<Artifact, String> {
    let case = if text.trim_start().starts_with('{') {
        Case::from_json(text).map_err(|error| error.to_string())?
    } else {
        text.parse().map_err(|error: monitor_sim::case::CaseError| error.to_string())?
    };
    Ok(Artifact::Case(Box::new(case)))
}

/// The most bytes of a first line that is looked at.
const LINE_MAX: u64 = 1 << 20;
