//! `monitor run`.

use std::env;
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use anstream::adapter::strip_str;
use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use monitor_core::{Event, Exit, Grace, Origin, Signal, StopMode};
use monitor_os::record::Recorder;
use monitor_os::{Events, Launcher, Notice, Status, StopSignals, Supervisor, Unit};
use tracing_subscriber::EnvFilter;

use crate::args::{Form, OutputArgs, RunArgs};
use crate::control::protocol::line;
use crate::lines;
use crate::roster::{Extent, Member, Roster};
use crate::spec::Spec;
use crate::state::Memory;
use crate::streams::Opened;
use crate::terminal::Lent;
use crate::told::Teller;

/// Supervises the command until it is down, and gives its exit status on.
pub(crate) fn run(args: RunArgs, spec: Spec, name: String, launcher: &Launcher) -> ExitCode {
    init_log();
    match supervise(args, spec, name, launcher) {
        Ok(status) => ExitCode::from(exit_status(&status)),
        Err(error) => {
            say(&format_args!("monitor: {error}"));
            ExitCode::from(MONITOR_FAILED)
        }
    }
}

fn supervise(
    args: RunArgs,
    spec: Spec,
    name: String,
    launcher: &Launcher,
) -> Result<Status, Box<dyn std::error::Error>> {
    let memory = Memory::open(&args)?;
    let when_down = if args.stay { WhenDown::Stay } else { WhenDown::End };
    // Before any other thread is started, so that all of them block these signals.
    let forwards = args.forward_signals.unwrap_or_else(|| std::process::id() == 1);
    let signals = if forwards { StopSignals::and_others()? } else { StopSignals::new()? };
    let mut sinks = Sinks::open(args.output, Extent::One)?;
    let Spec { command, policy, on_crash, streams } = spec;
    let (opened, Opened { ring, echoed, terminal }) = streams.open(command.clone(), None, None)?;
    // Put back on each way out of here.
    let _lent = terminal.map(Lent::lend);
    // This program has no other children, so orphans are its to reap.
    let supervisor = Supervisor::builder().launcher(launcher).with_orphans().start()?;
    let unit = match &memory {
        Some(memory) => memory.restore(&supervisor, opened, policy, on_crash)?,
        None => supervisor.add(name, opened, policy),
    };
    let (member, policy) = (unit.clone(), Arc::new(policy));
    let roster =
        Roster::one(Member { unit: member, command, policy, streams, ring, echoed, wanted: true });
    let mut events = unit.events();
    let control =
        memory.as_ref().map(|memory| memory.control(roster.clone(), &unit)).transpose()?;
    unit.resume();
    let stopped = unit.clone();
    // Ends with the program: it has nothing to clean up.
    thread::Builder::new()
        .name("monitor-signals".into())
        .spawn(move || obey(&signals, forwards, &stopped))?;
    sinks.follow(&mut events, &roster, when_down);
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

/// Carries out what signals to the monitor ask for.
fn obey(signals: &StopSignals, forwards: bool, unit: &Unit) {
    let mut interrupts = 0_u32;
    while let Ok(arrived) = signals.wait() {
        for signal in arrived {
            if forwards && !matches!(signal, Signal::TERM | Signal::INT) {
                unit.signal(signal);
                continue;
            }
            interrupts += u32::from(signal == Signal::INT);
            let mode =
                if interrupts >= 2 { StopMode::Kill } else { StopMode::Graceful(Grace::Policy) };
            // The answer comes with the events.
            drop(unit.stop_with(mode, Origin::Shutdown));
        }
    }
}

/// Where what happens is written to.
#[derive(Debug)]
pub(crate) struct Sinks {
    extent: Extent,
    /// `None` for nothing but errors.
    form: Option<Form>,
    teller: Teller,
    recorder: Option<Recorder<File>>,
}

impl Sinks {
    /// Opens what the options name.
    ///
    /// # Errors
    /// The record cannot be written.
    pub(crate) fn open(output: OutputArgs, extent: Extent) -> Result<Self, String> {
        let recorder = output.record.map(|path| match File::create(&path) {
            Ok(file) => Ok(Recorder::new(file)),
            Err(error) => Err(format!("--record: cannot write {}: {error}", path.display())),
        });
        Ok(Self {
            extent,
            form: if output.quiet { None } else { Some(output.events) },
            teller: Teller::default(),
            recorder: recorder.transpose()?,
        })
    }

    /// Writes down what has happened to one of the units.
    pub(crate) fn take(&mut self, notice: &Notice, roster: &Roster) {
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.record(&notice.name, &notice.report())
        {
            say(&format_args!(
                "monitor: --record: {error}; the record ends here, the supervision goes on"
            ));
        }
        if self.form == Some(Form::Text)
            && let Some(ring) = roster.unseen(&notice.name)
        {
            lines::last_words(notice, &ring, self.extent).iter().for_each(|line| say(line));
        }
        for told in self.teller.tell(notice) {
            match self.form {
                None => {}
                Some(Form::Text) => {
                    lines::line(&told, self.extent).iter().for_each(|line| say(line));
                }
                Some(Form::Json) => say(&String::from_utf8_lossy(&line(&told)).trim_end()),
            }
        }
    }

    /// Writes down what happens until the unit is down; with [`WhenDown::Stay`] until the monitor is asked to end
    /// as well.
    fn follow(&mut self, events: &mut Events, roster: &Roster, when_down: WhenDown) {
        let mut ends = when_down == WhenDown::End;
        while let Some(notice) = events.blocking_next() {
            self.take(&notice, roster);
            ends |= matches!(notice.event, Event::StopRequested { origin: Origin::Shutdown, .. });
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

/// What becomes of the monitor when its command is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WhenDown {
    End,
    /// It waits for somebody to start the command.
    Stay,
}

/// Writes a line to standard error. If that is closed or full, nobody can be told, and nothing else may
/// suffer from it.
pub(crate) fn say(line: &dyn fmt::Display) {
    put(io::stderr(), format!("{line}\n")).ok();
}

/// Writes a text, with its colours if they are wanted, which they are on a terminal.
///
/// # Errors
/// What the stream says.
pub(crate) fn put(mut stream: impl RawStream, text: String) -> io::Result<()> {
    let text = match AutoStream::choice(&stream) {
        ColorChoice::Never => strip_str(&text).to_string(),
        ColorChoice::Auto | ColorChoice::AlwaysAnsi | ColorChoice::Always => text,
    };
    // One write, so that lines of others do not get in between.
    stream.write_all(text.as_bytes())?;
    stream.flush()
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

/// Shows diagnostics if `MONITOR_LOG` asks for them. A wrong filter is told, and stops nothing.
pub(crate) fn init_log() {
    let Ok(words) = env::var("MONITOR_LOG") else {
        return;
    };
    let filter = match EnvFilter::try_new(&words) {
        Ok(filter) => filter,
        Err(error) => {
            say(&format_args!(
                "monitor: MONITOR_LOG: {words:?} is not understood: {error}; write such as monitor_os=debug"
            ));
            return;
        }
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        // Its own complaint about a closed standard error would be a panic.
        .log_internal_errors(false)
        .finish();
    // It can be set once, and nobody has done it before.
    tracing::subscriber::set_global_default(subscriber).ok();
}

/// The exit status of a monitor that failed.
pub(crate) const MONITOR_FAILED: u8 = 125;
