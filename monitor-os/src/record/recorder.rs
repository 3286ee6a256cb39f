//! Writes the record of a supervision.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use monitor_core::{Event, Millis, Policy, State};
use serde::Serialize;

use super::line::{VERSION, save_name};
use crate::driver::kernel::{Moment, Report, SaveStatus, UnitId};
use crate::hex;

/// Writes a record.
///
/// A failed write must not disturb the supervision. After the first error the recorder writes
/// nothing any more, and reports no further error.
#[derive(Debug)]
pub struct Recorder<W> {
    out: W,
    origin: Option<Moment>,
    units: BTreeMap<UnitId, (Arc<Policy>, State)>,
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
        Self { out, origin: None, units: BTreeMap::new(), writer_state: WriterState::Good }
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
        // A unit that was added again begins anew, with a saved state or with the initial one.
        let recovered = matches!(report.event, Event::Recovered { .. });
        match self.units.get(&report.unit) {
            Some((known, state)) if *state == report.before && !recovered => {
                if known != report.policy {
                    line(&mut text, &PolicyChange { at_us, unit, policy: policy() })?;
                }
            }
            Some(_) | None => {
                let saved = report.before != State::INITIAL;
                let state = saved.then(|| hex::encode(&report.before.to_bytes()));
                line(&mut text, &Head { record: VERSION, unit, name, policy: policy(), state })?;
            }
        }
        self.units.insert(report.unit, (Arc::clone(report.policy), report.step.state));
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
                save: (report.save != SaveStatus::Saved).then(|| save_name(report.save)),
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
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    save: Option<&'static str>,
    actions: Vec<String>,
}

fn line(text: &mut Vec<u8>, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *text, value)?;
    text.push(b'\n');
    Ok(())
}

const NANOS_PER_MICRO: u64 = 1_000;

#[cfg(test)]
mod tests {
    use monitor_core::{Exit, Found, Monitor, Phase, RunId};

    use super::super::line::RecordLine;
    use super::super::reader::RecordReader;
    use super::*;

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
                    save: if at == 6 { SaveStatus::Pending } else { SaveStatus::Saved },
                    ticket: None,
                },
            )
        };
        report(5, &mut monitor, Event::StartRequested)?;
        report(6, &mut monitor, Event::Started { run })?;
        report(7, &mut monitor, Event::Exited { run, exit })?;
        let state = monitor.state();
        let mut monitor = Monitor::restore("restart=no".parse().unwrap(), state);
        report(8, &mut monitor, Event::PolicyChanged)?;
        report(9, &mut monitor, Event::Recovered { run, found: Found::Gone })
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        recorded(&mut Recorder::new(&mut out)).unwrap();
        let text = String::from_utf8(out).unwrap();
        let mut reader = RecordReader::new(text.as_bytes());
        let mut steps = Vec::new();
        let mut heads = Vec::new();
        let mut changes = Vec::new();
        let mut last = 0;
        while let Some((number, line)) = reader.read().unwrap() {
            last = number;
            match line {
                RecordLine::Head { unit, name, policy, state } => {
                    assert_eq!((unit, &*name), (UnitId::new(0), "web"));
                    heads.push((policy, state.phase()));
                }
                RecordLine::PolicyChanged { at_us, .. } => changes.push(at_us),
                RecordLine::Step(step) => {
                    let actions: Vec<_> = step.actions.iter().map(ToString::to_string).collect();
                    steps.push((step.at_us, step.event.to_string(), step.save, actions));
                }
            }
        }
        assert_eq!(last, 8, "{text}");
        let changed = "restart=no".parse().unwrap();
        assert_eq!(heads, [(Policy::DEFAULT, Phase::Idle), (changed, Phase::Releasing)], "{text}");
        assert_eq!(changes, [3_000]);
        assert_eq!(steps[1].2, SaveStatus::Pending);
        let (at_us, event, save, actions) = &steps[2];
        assert_eq!((*at_us, &**event, *save), (2_000, "exited #1 code=7", SaveStatus::Saved));
        assert_eq!(actions[1], "release #1 TERM group");
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
}
