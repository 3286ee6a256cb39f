//! Opens the streams of a unit that lead to the monitor.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use monitor_os::{
    Capture, Command, Input, InputSource, LinePattern, LogFormat, LogRing, LogSink, Output,
    PathError, Rotation, SlowSink, SpawnError, Terminal,
};

use crate::view::terminal;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ToMonitor {
    /// Whether the monitor's own input is copied.
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    pub(super) tty: bool,
    pub(super) log: Option<PathBuf>,
    pub(super) rotation: Option<Rotation>,
    pub(super) prefix: bool,
    pub(super) echo: bool,
    pub(super) ring_bytes: usize,
    pub(super) ready: Option<LinePattern>,
    pub(super) slow: SlowSink,
}

/// The parts of opened streams that the monitor keeps.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// The last lines, if anything is captured.
    pub(crate) ring: Option<LogRing>,
    /// Whether the monitor prints the lines as they come.
    pub(crate) echoed: bool,
    /// The terminal of the command, if it has one.
    pub(crate) terminal: Option<Terminal>,
}

impl ToMonitor {
    pub(super) fn open(
        &self,
        mut command: Command,
        mut opened: Opened,
        name: Option<&str>,
    ) -> Result<(Command, Opened), StreamsError> {
        let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map_err(StreamsError::Own);
        if self.stdin {
            let source = InputSource::new(own(io::stdin().as_fd())?);
            command = command.with_input(Input::Piped(source));
        }
        if !self.stdout && !self.stderr {
            return Ok((command, opened));
        }
        let capture = self.capture(&command, &mut opened)?;
        if self.tty {
            let echo = LogSink::descriptor(own(io::stdout().as_fd())?, LogFormat::Raw)
                .map_err(StreamsError::Own)?;
            let terminal = Terminal::new(terminal::size());
            opened.terminal = Some(terminal.clone());
            return Ok((command.on_terminal(terminal, capture.to_sink(echo)), opened));
        }
        let lead = |own_stream: BorrowedFd<'_>, colours| {
            let mut capture = capture.clone();
            if self.echo {
                let form = match (self.prefix, name) {
                    (true, _) => LogFormat::Prefixed,
                    (false, Some(_)) => LogFormat::Lines,
                    (false, None) => LogFormat::Raw,
                };
                let label = name.map(|name| label(name, colours)).unwrap_or_default();
                let echo = LogSink::labelled(own(own_stream)?, form, label);
                capture = capture.to_sink(echo.map_err(StreamsError::Own)?);
            }
            Ok(Output::Captured(capture))
        };
        if self.stdout {
            let (own, colours) = (io::stdout(), AutoStream::choice(&io::stdout()));
            command = command.with_output(lead(own.as_fd(), colours)?);
        }
        if self.stderr {
            let (own, colours) = (io::stderr(), AutoStream::choice(&io::stderr()));
            command = command.with_error(lead(own.as_fd(), colours)?);
        }
        Ok((command, opened))
    }

    /// What both streams have in common.
    fn capture(&self, command: &Command, opened: &mut Opened) -> Result<Capture, StreamsError> {
        let ring = opened.ring.get_or_insert_with(|| LogRing::new(self.ring_bytes)).clone();
        ring.resize(self.ring_bytes);
        opened.echoed = self.echo || self.tty;
        let mut capture = Capture::new().to_ring(ring).when_slow(self.slow);
        if let Some(pattern) = &self.ready {
            capture = capture.ready_at(pattern.clone());
        }
        if let Some(path) = &self.log {
            let form = if self.prefix { LogFormat::Prefixed } else { LogFormat::Lines };
            let trust = command.path_trust().map_err(StreamsError::Account)?;
            let file = LogSink::file(path.clone(), trust, self.rotation, form);
            capture = capture.to_sink(file.map_err(StreamsError::Log)?);
        }
        Ok(capture)
    }
}

/// The label before each line of a unit: its name, in a colour that depends on the name.
fn label(name: &str, colours: ColorChoice) -> String {
    let style = match colours {
        ColorChoice::Never => Style::new(),
        ColorChoice::Auto | ColorChoice::AlwaysAnsi | ColorChoice::Always => {
            let sum: usize = name.bytes().map(usize::from).sum();
            COLOURS[sum % COLOURS.len()].on_default()
        }
    };
    format!("{style}{name} |{style:#} ")
}

/// Why streams could not be opened.
#[derive(Debug)]
pub(crate) enum StreamsError {
    /// The log file.
    Log(PathError),
    /// The user of the command cannot be looked up.
    Account(SpawnError),
    /// A stream of the monitor.
    Own(io::Error),
}

impl fmt::Display for StreamsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(error) => write!(f, "--log: {error}"),
            Self::Account(error) => error.fmt(f),
            Self::Own(source) => {
                write!(f, "a standard stream of the monitor is not usable: {source}")
            }
        }
    }
}

impl std::error::Error for StreamsError {}

/// Green, yellow and red are missing, because they stand for states.
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
    AnsiColor::BrightMagenta,
    AnsiColor::BrightBlue,
];
