//! The targets of the events of `monitor run` and `monitor up`.

use std::io::{self, Write};
use std::sync::Arc;

use monitor_core::{Event, Origin, Reason};
use monitor_os::record::Recorder;
use monitor_os::{Events, PathTrust, UnitEvent};
use rustix::io::Errno;

use crate::cli::args::OutputArgs;
use crate::control::protocol::json_line;
use crate::report::event_formatter::EventFormatter;
use crate::report::unit_mode::UnitMode;
use crate::units::Units;
use crate::view::diagnostics::say;
use crate::view::event_line::{EventsFormat, event_line, last_lines_of_failure};
use crate::view::line_queue::{LineQueue, Loss};

/// The targets of events: standard error and the record.
#[derive(Debug)]
pub(crate) struct Sinks {
    mode: UnitMode,
    /// The form of lifecycle lines; `None` for errors only.
    form: Option<EventsFormat>,
    formatter: EventFormatter,
    recorder: Option<Recorder<RecordFile>>,
    /// The queue of the record.
    record: Option<Arc<LineQueue>>,
}

impl Sinks {
    /// Opens the targets that the options name.
    ///
    /// # Errors
    /// The record cannot be written.
    pub(crate) fn open(output: OutputArgs, mode: UnitMode) -> Result<Self, String> {
        let record = output.record.map(|path| {
            let queue = PathTrust::MONITOR
                .create(&path)
                .map_err(io::Error::from)
                .and_then(|file| LineQueue::begin("monitor-record", file.into(), Loss::End));
            queue.map(Arc::new).map_err(|error| {
                let fix = match Errno::from_io_error(&error) {
                    Some(Errno::NXIO) => "; start the reader of this named pipe first",
                    _ => "",
                };
                format!("--record: cannot write {}: {error}{fix}", path.display())
            })
        });
        let record = record.transpose()?;
        Ok(Self {
            mode,
            form: if output.quiet { None } else { Some(output.events) },
            formatter: EventFormatter::default(),
            recorder: record.clone().map(|queue| Recorder::new(RecordFile(queue))),
            record,
        })
    }

    /// Writes an event of one of the units.
    pub(crate) fn write(&mut self, notice: &UnitEvent, units: &Units) {
        if notice.missed > 0 {
            say(&format_args!(
                "monitor: {} events are missing here: the monitor had no time to read them",
                notice.missed
            ));
            // A record with a gap cannot be replayed.
            self.recorder = None;
        }
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.record(&notice.name, &notice.report())
        {
            self.recorder = None;
            say(&format_args!(
                "monitor: --record: {error}; the record ends here, the supervision goes on"
            ));
        }
        if self.form == Some(EventsFormat::Text)
            && let Some(ring) = units.not_echoed(&notice.name)
        {
            last_lines_of_failure(notice, &ring, self.mode).iter().for_each(|line| say(line));
        }
        for entry in self.formatter.format(notice) {
            match self.form {
                None => {}
                Some(EventsFormat::Text) => {
                    event_line(&entry, self.mode).iter().for_each(|line| say(line));
                }
                Some(EventsFormat::Json) => {
                    say(&String::from_utf8_lossy(&json_line(&entry)).trim_end())
                }
            }
        }
    }

    /// Waits until the record is written, as far as its file accepts it.
    pub(crate) fn finish(&self) {
        if let Some(Err(error)) = self.record.as_ref().map(|record| record.flush())
            && self.recorder.is_some()
        {
            say(&format_args!("monitor: --record: {error}"));
        }
    }

    /// Writes events until the unit is down. With [`WhenDown::Stay`] a stop of the monitor must be
    /// requested too.
    pub(super) fn follow(&mut self, events: &mut Events, units: &Units, when_down: WhenDown) {
        let mut ends = when_down == WhenDown::End;
        while let Some(notice) = events.blocking_next() {
            self.write(&notice, units);
            ends |= matches!(notice.event, Event::StopRequested { origin: Origin::Shutdown, .. })
                || notice.status.state().reason() == Reason::ShutdownRequested;
            if notice.status.is_down() && ends {
                if self.form.is_none()
                    && let Some(error) = notice.status.start_error()
                {
                    say(&format_args!("monitor: cannot start: {error}"));
                }
                return;
            }
        }
    }
}

/// The file of a record, behind its queue.
#[derive(Debug)]
struct RecordFile(Arc<LineQueue>);

impl Write for RecordFile {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.0.offer(lines.to_vec())?;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the monitor does when its command is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenDown {
    End,
    /// The monitor waits until somebody starts the command.
    Stay,
}
