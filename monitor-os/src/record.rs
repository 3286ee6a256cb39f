//! The format of a recorded supervision: one JSON object in each line.
//!
//! People, `jq` and the simulator, which replays a record, can read it.
//!
//! ```json
//! {"record":1,"unit":0,"name":"web","policy":"restart=on-failure retries=3"}
//! {"at_us":0,"unit":0,"event":"start","phase":"starting","actions":["save","spawn #1","emit starting"]}
//! {"at_us":812,"unit":0,"event":"started #1","phase":"running","actions":["save","arm healthy #1 10s","emit started"]}
//! {"at_us":9120,"unit":0,"policy":"restart=no"}
//! ```
//!
//! - The first line about a unit is its head: the version of the format, the name, the policy.
//! - A line with a policy and a time changes the policy from that time on.
//! - Every other line is an event, in the text form of [`Event`], with the phase after it. It has
//!   the machine's commands, in the text form of [`Action`](monitor_core::Action). If the phase's
//!   timer was armed, it has the drawn delay as `delay_ms`.
//! - `at_us` counts microseconds of the monotonic clock from the first event in the record.
//!
//! # Examples
//! ```
//! use monitor_os::record::{RecordLine, Record};
//! let text = r#"{"record":1,"unit":0,"name":"web","policy":"restart=always"}
//! {"at_us":0,"unit":0,"event":"start","phase":"starting","actions":["save","spawn #1"]}"#;
//! let record = Record::parse(text.lines())?;
//! assert!(matches!(&record.lines[1], RecordLine::Step(step) if step.actions[1] == "spawn #1"));
//! # Ok::<(), monitor_os::record::RecordError>(())
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use monitor_core::{Event, Millis, Phase, Policy};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::driver::kernel::{Moment, Report, UnitId};

/// The version of the format, in every head.
pub const VERSION: u64 = 1;

/// Writes a record.
///
/// A failed write must not disturb the supervision. After the first error the recorder writes
/// nothing any more, and reports no further error.
#[derive(Debug)]
pub struct Recorder<W> {
    out: W,
    origin: Option<Moment>,
    policies: BTreeMap<UnitId, Arc<Policy>>,
    writer_state: WriterState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriterState {
    Good,
    Failed,
}

impl<W: Write> Recorder<W> {
    /// Makes a recorder that writes whole lines to `out`.
    pub const fn new(out: W) -> Self {
        Self { out, origin: None, policies: BTreeMap::new(), writer_state: WriterState::Good }
    }

    /// Writes a driver's report about the unit called `name`.
    ///
    /// # Errors
    /// The first failure to write; the record ends with the lines before. Every later call succeeds
    /// and does nothing.
    pub fn record(&mut self, name: &str, report: &Report<'_>) -> io::Result<()> {
        if self.writer_state == WriterState::Failed {
            return Ok(());
        }
        let written = self.write(name, report);
        if written.is_err() {
            self.writer_state = WriterState::Failed;
        }
        written
    }

    fn write(&mut self, name: &str, report: &Report<'_>) -> io::Result<()> {
        let unit = report.unit.as_u32();
        let origin = *self.origin.get_or_insert(report.at);
        let at_us = report.at.nanos_since(origin) / NANOS_PER_MICRO;
        let mut text = Vec::new();
        let policy = || report.policy.to_string();
        match self.policies.get(&report.unit) {
            Some(known) if known == report.policy => {}
            Some(_) => line(&mut text, &PolicyChange { at_us, unit, policy: policy() })?,
            None => line(&mut text, &Head { record: VERSION, unit, name, policy: policy() })?,
        }
        self.policies.insert(report.unit, Arc::clone(report.policy));
        let mut actions = Vec::new();
        report.step.for_each(|action| actions.push(action.to_string()));
        line(
            &mut text,
            &Entry {
                at_us,
                unit,
                event: report.event.to_string(),
                phase: report.step.state.phase().name(),
                delay_ms: report.delay.map(Millis::as_u32),
                actions,
            },
        )?;
        // One write, so that a killed monitor leaves whole lines.
        self.out.write_all(&text)?;
        self.out.flush()
    }
}

#[derive(Serialize)]
struct Head<'a> {
    record: u64,
    unit: u32,
    name: &'a str,
    policy: String,
}

#[derive(Serialize)]
struct PolicyChange {
    at_us: u64,
    unit: u32,
    policy: String,
}

#[derive(Serialize)]
struct Entry {
    at_us: u64,
    unit: u32,
    event: String,
    phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u32>,
    actions: Vec<String>,
}

fn line(text: &mut Vec<u8>, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *text, value)?;
    text.push(b'\n');
    Ok(())
}

/// A record that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The lines, in order. The head of each unit precedes its other lines.
    pub lines: Vec<RecordLine>,
}

/// One line of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordLine {
    /// The head of a unit.
    Head {
        /// The unit.
        unit: UnitId,
        /// The name of the unit.
        name: String,
        /// The initial policy of the unit.
        policy: Policy,
    },
    /// The unit has another policy from here on; its `policy-changed` event follows.
    PolicyChanged {
        /// The time of the change, in microseconds since the first event.
        at_us: u64,
        /// The unit.
        unit: UnitId,
        /// The policy.
        policy: Policy,
    },
    /// An event and its effects.
    Step(RecordedStep),
}

/// An event and its effects, as they were recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedStep {
    /// The time at which the event was observed, in microseconds since the first event.
    pub at_us: u64,
    /// The unit.
    pub unit: UnitId,
    /// The event.
    pub event: Event,
    /// The phase after the event.
    pub phase: Phase,
    /// The delay that was drawn, if the phase's timer was armed.
    pub delay: Option<Millis>,
    /// The commands, in their text form and order.
    pub actions: Vec<String>,
}

impl Record {
    /// Reads a record, line by line; skips empty lines.
    ///
    /// # Errors
    /// [`RecordError`] about the first malformed line.
    pub fn parse<I>(lines: I) -> Result<Self, RecordError>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let mut record = Self::default();
        for (number, text) in (1..).zip(lines) {
            let text = text.as_ref();
            if text.trim().is_empty() {
                continue;
            }
            let line = Fields::read(number, text)?.line(&record)?;
            record.lines.push(line);
        }
        Ok(record)
    }

    fn knows(&self, unit: UnitId) -> bool {
        self.lines
            .iter()
            .any(|line| matches!(line, RecordLine::Head { unit: known, .. } if *known == unit))
    }
}

/// Error of a malformed line of a record: its place, its value and the correction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    line: usize,
    field: &'static str,
    value: String,
    fix: String,
}

impl RecordError {
    /// The number of the line, counted from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.line
    }

    /// The field of the line, or `line` if the line is no JSON object.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// The malformed value; empty if the field is missing.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The correction.
    #[must_use]
    pub fn fix(&self) -> &str {
        &self.fix
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, field, value, fix } = self;
        if value.is_empty() {
            write!(f, "line {line}: {field} is missing: {fix}")
        } else {
            write!(f, "line {line}: {field}: {value} is not understood: {fix}")
        }
    }
}

impl std::error::Error for RecordError {}

struct Fields {
    line: usize,
    fields: Map<String, Value>,
}

impl Fields {
    fn read(line: usize, text: &str) -> Result<Self, RecordError> {
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(Self { line, fields }),
            Ok(_) | Err(_) => Err(RecordError {
                line,
                field: "line",
                value: excerpt(text),
                fix: "write one JSON object a line, and remove a last line that was cut".into(),
            }),
        }
    }

    fn line(&self, record: &Record) -> Result<RecordLine, RecordError> {
        let unit = u32::try_from(self.number("unit")?)
            .map_err(|_| self.error("unit", "write a number below 2^32"))?;
        let unit = UnitId::new(unit);
        if self.fields.contains_key("record") {
            if self.number("record")? != VERSION {
                return Err(self.error("record", "read it by the version that wrote it; this is 1"));
            }
            return Ok(RecordLine::Head {
                unit,
                name: self.text("name")?.into(),
                policy: self.parsed("policy")?,
            });
        }
        if !record.knows(unit) {
            return Err(self.error("unit", "write the head of the unit before its events"));
        }
        let at_us = self.number("at_us")?;
        if self.fields.contains_key("policy") {
            let policy = self.parsed("policy")?;
            return Ok(RecordLine::PolicyChanged { at_us, unit, policy });
        }
        let phase = self.text("phase")?;
        let phase = Phase::ALL
            .into_iter()
            .find(|known| known.name() == phase)
            .ok_or_else(|| self.error("phase", "write a phase, such as running"))?;
        Ok(RecordLine::Step(RecordedStep {
            at_us,
            unit,
            event: self.parsed("event")?,
            phase,
            delay: self.delay()?,
            actions: self.actions()?,
        }))
    }

    fn delay(&self) -> Result<Option<Millis>, RecordError> {
        if !self.fields.contains_key("delay_ms") {
            return Ok(None);
        }
        u32::try_from(self.number("delay_ms")?)
            .map(|delay| Some(Millis::new(delay)))
            .map_err(|_| self.error("delay_ms", "write a number below 2^32"))
    }

    fn actions(&self) -> Result<Vec<String>, RecordError> {
        let error = || self.error("actions", "write a list of commands in quotes");
        match self.fields.get("actions") {
            Some(Value::Array(actions)) => actions
                .iter()
                .map(|action| action.as_str().map(str::to_owned).ok_or_else(error))
                .collect(),
            Some(_) | None => Err(error()),
        }
    }

    fn parsed<T: std::str::FromStr<Err: fmt::Display>>(
        &self,
        field: &'static str,
    ) -> Result<T, RecordError> {
        self.text(field)?.parse().map_err(|error: T::Err| self.error(field, &error.to_string()))
    }

    fn text(&self, field: &'static str) -> Result<&str, RecordError> {
        self.fields
            .get(field)
            .and_then(Value::as_str)
            .ok_or_else(|| self.error(field, "write a text in quotes"))
    }

    fn number(&self, field: &'static str) -> Result<u64, RecordError> {
        self.fields
            .get(field)
            .and_then(Value::as_u64)
            .ok_or_else(|| self.error(field, "write a whole number"))
    }

    fn error(&self, field: &'static str, fix: &str) -> RecordError {
        let value = self.fields.get(field).map(Value::to_string);
        RecordError {
            line: self.line,
            field,
            value: value.map_or_else(String::new, |value| excerpt(&value)),
            fix: fix.into(),
        }
    }
}

/// The first 60 characters.
fn excerpt(text: &str) -> String {
    text.chars().take(60).collect()
}

const NANOS_PER_MICRO: u64 = 1_000;

#[cfg(test)]
mod tests {
    use monitor_core::{Exit, Monitor, RunId};

    use super::*;
    use crate::driver::kernel::SaveStatus;

    const HEAD: &str = r#"{"record":1,"unit":0,"name":"web","policy":"restart=always"}"#;

    /// Records the machine's answers to `events`, one millisecond apart; the policy changes before
    /// the last.
    fn recorded(out: &mut Recorder<impl Write>) -> io::Result<()> {
        let run = RunId::new(1);
        let exit = Exit::Code(7);
        let mut monitor = Monitor::new(Policy::DEFAULT);
        let mut report = |at, monitor: &mut Monitor, event| {
            let before = monitor.state();
            let step = monitor.handle(event);
            out.record(
                "web",
                &Report {
                    at: Moment::from_millis(at),
                    unit: UnitId::new(0),
                    policy: &Arc::new(*monitor.policy()),
                    before,
                    event,
                    step,
                    delay: None,
                    save: SaveStatus::Saved,
                    ticket: None,
                },
            )
        };
        report(5, &mut monitor, Event::StartRequested)?;
        report(6, &mut monitor, Event::Started { run })?;
        report(7, &mut monitor, Event::Exited { run, exit })?;
        let state = monitor.state();
        let mut monitor = Monitor::restore("restart=no".parse().unwrap(), state);
        report(8, &mut monitor, Event::PolicyChanged)
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        recorded(&mut Recorder::new(&mut out)).unwrap();
        let text = String::from_utf8(out).unwrap();
        let record = Record::parse(text.lines()).unwrap();
        let unit = UnitId::new(0);
        assert_eq!(record.lines.len(), 6, "{text}");
        assert_eq!(
            record.lines[0],
            RecordLine::Head { unit, name: "web".into(), policy: Policy::DEFAULT }
        );
        let RecordLine::Step(exited) = &record.lines[3] else {
            panic!("{text}");
        };
        assert_eq!(exited.at_us, 2_000);
        assert_eq!(exited.phase, Phase::Releasing);
        assert_eq!(exited.event.to_string(), "exited #1 code=7");
        assert_eq!(exited.actions[1], "release #1 TERM group");
        assert!(matches!(record.lines[4], RecordLine::PolicyChanged { at_us: 3_000, .. }));
    }

    #[test]
    fn full_disk_is_reported_once() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut recorder = Recorder::new(Full);
        let error = recorded(&mut recorder).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        recorded(&mut recorder).unwrap();
    }

    #[test]
    fn errors_name_line_field_value_and_fix() {
        let step =
            r#"{"at_us":0,"unit":0,"event":"exited #1 code=900","phase":"releasing","actions":[]}"#;
        let error = Record::parse([HEAD, step]).unwrap_err();
        assert_eq!((error.line(), error.field()), (2, "event"));
        assert_eq!(
            error.to_string(),
            "line 2: event: \"exited #1 code=900\" is not understood: \
             code: \"900\" is not understood: write an exit status from 0 to 255"
        );
        for (line, field) in [
            ("[]", "line"),
            ("{\"at_us\":", "line"),
            ("{}", "unit"),
            (r#"{"record":2,"unit":0,"name":"web","policy":"restart=no"}"#, "record"),
            (r#"{"record":1,"unit":0,"policy":"restart=no"}"#, "name"),
            (r#"{"record":1,"unit":0,"name":"web","policy":"restart=so"}"#, "policy"),
            (r#"{"at_us":0,"unit":1,"event":"start","phase":"starting","actions":[]}"#, "unit"),
            (r#"{"unit":0,"event":"start","phase":"starting","actions":[]}"#, "at_us"),
            (r#"{"at_us":0,"unit":0,"event":"start","phase":"up","actions":[]}"#, "phase"),
            (r#"{"at_us":0,"unit":0,"event":"start","phase":"starting","actions":[1]}"#, "actions"),
        ] {
            let error = Record::parse([HEAD, line]).unwrap_err();
            assert_eq!((error.line(), error.field()), (2, field), "{error}");
        }
    }
}
