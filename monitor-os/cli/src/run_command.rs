//! `monitor run`.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use monitor_core::{Event, Exit, Grace, Origin, Reason, StopMode};
use monitor_os::record::Recorder;
use monitor_os::{Events, Launcher, Notice, PathTrust, Status, StopSignals, Supervisor, Unit};
use rustix::io::Errno;

use crate::args::{EventsFormat, OutputArgs, RunArgs};
use crate::control::protocol::line;
use crate::diagnostics::{Diagnostics, MONITOR_FAILED, say};
use crate::event_entry::EventFormatter;
use crate::event_text;
use crate::line_queue::{LineQueue, Loss};
use crate::signal_actions::{Forwarding, SignalAction, SignalFollower};
use crate::spec::Spec;
use crate::state_dir::CommandStore;
use crate::streams::Opened;
use crate::terminal::RawTerminal;
use crate::units::{UnitEntry, UnitMode, Units};

/// Supervises the command until it is down, and gives its exit status on.
pub(crate) fn run(args: RunArgs, spec: Spec, name: String, launcher: &Launcher) -> ExitCode {
    let _diagnostics = match Diagnostics::begin(args.output.events) {
        Ok(diagnostics) => diagnostics,
        Err(error) => return failed(&error),
    };
    match supervise(args, spec, name, launcher) {
        Ok(status) => ExitCode::from(exit_status(&status)),
        Err(error) => failed(&error),
    }
}

/// Ends as a monitor that failed.
pub(crate) fn failed(error: &dyn Display) -> ExitCode {
    say(&format_args!("monitor: {error}"));
    ExitCode::from(MONITOR_FAILED)
}

fn supervise(
    args: RunArgs,
    spec: Spec,
    name: String,
    launcher: &Launcher,
) -> Result<Status, Box<dyn std::error::Error>> {
    let when_down = if args.stay { WhenDown::Stay } else { WhenDown::End };
    // Before any other thread is started, so that all of them block these signals.
    let forwards = args.forward_signals.unwrap_or_else(|| std::process::id() == 1);
    let (signals, forwarding) = if forwards {
        (StopSignals::and_others()?, Forwarding::On)
    } else {
        (StopSignals::new()?, Forwarding::Off)
    };
    let follower = SignalFollower::begin(signals, forwarding)?;
    let memory = CommandStore::open(&args)?;
    let mut sinks = Sinks::open(args.output, UnitMode::One)?;
    let Spec { command, policy, on_crash, streams } = spec;
    let (opened, Opened { ring, echoed, terminal }) = streams.open(command.clone(), None, None)?;
    // This program has no other children, so orphans are its to reap.
    let supervisor = Supervisor::builder().launcher(launcher).with_orphans().start()?;
    let unit = match &memory {
        Some(memory) => memory.restore(&supervisor, opened, policy, on_crash)?,
        None => supervisor.add(name, opened, policy),
    };
    let (entry, policy) = (unit.clone(), Arc::new(policy));
    let units = Units::one(UnitEntry {
        unit: entry,
        command,
        policy,
        streams,
        ring,
        echoed,
        configured: true,
    });
    let mut events = unit.events();
    let control = memory.as_ref().map(|memory| memory.control(units.clone(), &unit)).transpose()?;
    // After all that may block, since a stop may end the program there. It is put back on each way out of here.
    let _raw_terminal = terminal.map(RawTerminal::enter);
    unit.resume();
    let stopped = unit.clone();
    follower.serve(move |action| apply(action, &stopped));
    sinks.follow(&mut events, &units, when_down);
    sinks.finish();
    let status = unit.state();
    if !status.is_down() {
        return Err("the supervisor ended before the command; MONITOR_LOG=error tells why".into());
    }
    if let Some(memory) = memory {
        // Nothing must be saved after this.
        drop(supervisor);
        if let Some(control) = control {
            control.finish();
        }
        memory.forget()?;
    }
    Ok(status)
}

/// Applies the action of a signal to the monitor.
fn apply(action: SignalAction, unit: &Unit) {
    let mode = match action {
        SignalAction::Forward(signal) => return unit.signal(signal),
        // There are no files to read again.
        SignalAction::Stop | SignalAction::Reload => StopMode::Graceful(Grace::Policy),
        SignalAction::Kill => StopMode::Kill,
    };
    // The answer comes with the events.
    drop(unit.stop_with(mode, Origin::Shutdown));
}

/// Where events are written to.
#[derive(Debug)]
pub(crate) struct Sinks {
    mode: UnitMode,
    /// `None` for nothing but errors.
    form: Option<EventsFormat>,
    formatter: EventFormatter,
    recorder: Option<Recorder<RecordFile>>,
    /// The lines of the record that are not written yet.
    record: Option<Arc<LineQueue>>,
}

impl Sinks {
    /// Opens what the options name.
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
    pub(crate) fn write(&mut self, notice: &Notice, units: &Units) {
        if notice.missed > 0 {
            say(&format_args!(
                "monitor: {} events are missing here: the monitor had no time to read them",
                notice.missed
            ));
            // What follows a gap cannot be replayed.
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
            event_text::last_lines_of_failure(notice, &ring, self.mode)
                .iter()
                .for_each(|line| say(line));
        }
        for entry in self.formatter.format(notice) {
            match self.form {
                None => {}
                Some(EventsFormat::Text) => {
                    event_text::line(&entry, self.mode).iter().for_each(|line| say(line));
                }
                Some(EventsFormat::Json) => say(&String::from_utf8_lossy(&line(&entry)).trim_end()),
            }
        }
    }

    /// Waits until the record is written, as far as its file takes it.
    pub(crate) fn finish(&self) {
        if let Some(Err(error)) = self.record.as_ref().map(|record| record.flush())
            && self.recorder.is_some()
        {
            say(&format_args!("monitor: --record: {error}"));
        }
    }

    /// Writes events until the unit is down; with [`WhenDown::Stay`] until the monitor is asked to end
    /// as well.
    fn follow(&mut self, events: &mut Events, units: &Units, when_down: WhenDown) {
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

/// What becomes of the monitor when its command is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WhenDown {
    End,
    /// It waits for somebody to start the command.
    Stay,
}

/// The status by the shell's convention.
fn exit_status(status: &Status) -> u8 {
    match (status.exit(), status.start_error()) {
        (_, Some(error)) => error.exit_code(),
        (Some(exit), None) => exit.shell_status(),
        (None, None) => status
            .ended()
            .map_or(Exit::Unknown.shell_status(), |ended| Exit::from(ended).shell_status()),
    }
}
