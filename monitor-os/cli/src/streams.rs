//! Where the standard streams of the command lead, as it was said, and opened.

use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::str::FromStr;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use monitor_core::whole_number;
use monitor_os::{
    Capture, Command, Input, InputSource, LinePattern, LogFormat, LogRing, LogSink, Output,
    PathError, Rotation, Slow, SpawnError, Terminal,
};

use crate::options::{ReadyOption, UnitOptions};
use crate::terminal;
use crate::units::UnitMode;

/// What of the streams of a unit leads to the monitor, and is opened when the unit is made. The rest is part of the
/// command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamSetup {
    /// `None` if nothing does. Boxed, since there are many units of which nothing does.
    to_monitor: Option<Box<ToMonitor>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ToMonitor {
    /// Whether the monitor's own input is copied.
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
    log: Option<PathBuf>,
    rotation: Option<Rotation>,
    prefix: bool,
    echo: bool,
    ring_bytes: usize,
    ready: Option<LinePattern>,
    slow: Slow,
}

/// Where the streams of a unit lead, said or not. Prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    stdin: StdinOption,
    stdout: OutputOption,
    stderr: OutputOption,
}

impl Ends {
    pub(crate) fn of(options: &UnitOptions, mode: UnitMode) -> Self {
        let wanted = options.tty == Some(true)
            || matches!(options.ready, Some(ReadyOption::Line(_)))
            || options.log.is_some()
            || options.log_ring.is_some()
            || options.log_prefix == Some(true)
            || options.log_echo.is_some();
        let default = if wanted { OutputOption::Log } else { OutputOption::Inherit };
        let input = if mode == UnitMode::Many { StdinOption::Null } else { StdinOption::Inherit };
        Self {
            stdin: options.stdin.clone().unwrap_or(input),
            stdout: options.stdout.clone().unwrap_or_else(|| default.clone()),
            stderr: options.stderr.clone().unwrap_or(default),
        }
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stdin {}, stdout {}, stderr {}", self.stdin, self.stdout, self.stderr)
    }
}

/// What belongs to the streams that were opened.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// The last lines, if anything is captured.
    pub(crate) ring: Option<LogRing>,
    /// Whether they are on the screen already.
    pub(crate) echoed: bool,
    /// The terminal of the command, if it has one.
    pub(crate) terminal: Option<Terminal>,
}

impl StreamSetup {
    /// Puts together what was said of the one unit of a monitor, or of one of many, and lets the command have what
    /// does not lead to the monitor.
    ///
    /// # Errors
    /// The option that does not go with the others, and why.
    pub(crate) fn build(
        command: Command,
        options: &UnitOptions,
        mode: UnitMode,
    ) -> Result<(Command, Self), (&'static str, &'static str)> {
        let tty = options.tty.unwrap_or(false);
        let many = mode == UnitMode::Many;
        if tty && many {
            return Err((
                "tty",
                "the terminal of the monitor can be used by one command only; run it by `monitor run`",
            ));
        }
        if many && options.stdin == Some(StdinOption::Pipe) {
            return Err((
                "stdin",
                "the input of the monitor can feed one command only; write null or file:PATH",
            ));
        }
        let ready = match &options.ready {
            Some(ReadyOption::Line(pattern)) => Some(pattern.clone()),
            Some(ReadyOption::Start | ReadyOption::By(_)) | None => None,
        };
        let Ends { stdin, stdout, stderr } = Ends::of(options, mode);
        if stdout == OutputOption::Stdout {
            return Err((
                "stdout",
                "it cannot lead to itself; write inherit, null, log or file:PATH",
            ));
        }
        let separate =
            options.stdin.is_some() || options.stdout.is_some() || options.stderr.is_some();
        if tty && separate {
            return Err((
                "tty",
                "a terminal takes the place of stdin, stdout and stderr; leave them out",
            ));
        }
        if options.log_rotate.is_some() && options.log.is_none() {
            return Err(("log-rotate", "there is no file to rotate; name it by log"));
        }
        let captured = stdout == OutputOption::Log || stderr == OutputOption::Log;
        if (options.log.is_some() || options.log_slow.is_some()) && !captured {
            return Err((
                "log",
                "neither stdout nor stderr leads to the log; write log for one of them",
            ));
        }
        if ready.is_some() && !captured {
            return Err((
                "ready",
                "no line can be seen, since neither stdout nor stderr leads to the log; write log for one of them",
            ));
        }
        let to_monitor = (captured || stdin == StdinOption::Pipe).then(|| {
            Box::new(ToMonitor {
                stdin: tty || stdin == StdinOption::Pipe,
                stdout: stdout == OutputOption::Log,
                stderr: stderr == OutputOption::Log,
                tty,
                log: options.log.clone(),
                rotation: options.log_rotate,
                prefix: options.log_prefix.unwrap_or(false),
                echo: options.log_echo.unwrap_or_else(|| options.log.is_none()),
                ring_bytes: options.log_ring.map_or(RING_BYTES, |size| size.0),
                ready,
                slow: options.log_slow.map_or(Slow::Block, Into::into),
            })
        });
        let command = match stdin {
            StdinOption::Inherit | StdinOption::Pipe => command,
            StdinOption::Null => command.with_input(Input::Null),
            StdinOption::File(path) => command.with_input(Input::File(path)),
        };
        let command = match stdout {
            OutputOption::Inherit | OutputOption::Log | OutputOption::Stdout => command,
            OutputOption::Null => command.with_output(Output::Null),
            OutputOption::File(path) => command.with_output(Output::File(path)),
        };
        let command = match stderr {
            OutputOption::Inherit | OutputOption::Log => command,
            OutputOption::Stdout => command.with_joined_error(),
            OutputOption::Null => command.with_error(Output::Null),
            OutputOption::File(path) => command.with_error(Output::File(path)),
        };
        Ok((command, Self { to_monitor }))
    }

    /// Opens what the command is to have. `ring` has the lines that it printed before its streams were changed; `name`
    /// stands before those that are echoed, where several units are.
    ///
    /// # Errors
    /// The log file or a stream of the monitor cannot be opened.
    pub(crate) fn open(
        &self,
        command: Command,
        ring: Option<LogRing>,
        name: Option<&str>,
    ) -> Result<(Command, Opened), StreamsError> {
        let opened = Opened { ring, ..Opened::default() };
        match &self.to_monitor {
            Some(to_monitor) => to_monitor.open(command, opened, name),
            None => Ok((command, opened)),
        }
    }

    /// How many descriptors they take at most, beside those of a start.
    pub(crate) fn descriptors(&self) -> u64 {
        self.to_monitor.as_ref().map_or(0, |to_monitor| {
            let captured = u64::from(to_monitor.stdout) + u64::from(to_monitor.stderr);
            // Both ends of a pipe, and where it is echoed.
            3 * captured + u64::from(to_monitor.log.is_some())
        })
    }
}

impl ToMonitor {
    fn open(
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

/// What stands before each line of a unit: its name, in a colour of its own as far as there are enough.
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
    /// The user of the command is not known.
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

/// Where an input comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StdinOption {
    Inherit,
    Null,
    Pipe,
    File(PathBuf),
}

impl fmt::Display for StdinOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inherit => f.write_str("inherit"),
            Self::Null => f.write_str("null"),
            Self::Pipe => f.write_str("pipe"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl FromStr for StdinOption {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "inherit" => Ok(Self::Inherit),
            "null" => Ok(Self::Null),
            "pipe" => Ok(Self::Pipe),
            text => path(text).map(Self::File).ok_or("write inherit, null, pipe or file:PATH"),
        }
    }
}

/// Where an output leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OutputOption {
    Inherit,
    Null,
    Log,
    Stdout,
    File(PathBuf),
}

impl fmt::Display for OutputOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inherit => f.write_str("inherit"),
            Self::Null => f.write_str("null"),
            Self::Log => f.write_str("log"),
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl FromStr for OutputOption {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "inherit" => Ok(Self::Inherit),
            "null" => Ok(Self::Null),
            "log" => Ok(Self::Log),
            "stdout" => Ok(Self::Stdout),
            text => path(text)
                .map(Self::File)
                .ok_or("write inherit, null, log, file:PATH, or for stderr stdout"),
        }
    }
}

fn path(text: &str) -> Option<PathBuf> {
    text.strip_prefix("file:").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// What happens while a log takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhenSlow {
    /// The command waits when its pipe is full
    Block,
    /// New lines are dropped; a line says how many
    Drop,
}

impl From<WhenSlow> for Slow {
    fn from(slow: WhenSlow) -> Self {
        match slow {
            WhenSlow::Block => Self::Block,
            WhenSlow::Drop => Self::DropNewest,
        }
    }
}

/// A number of bytes: `4096`, `64K`, `10M`, `1G`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RingSize(pub(crate) usize);

impl FromStr for RingSize {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shift = match text.as_bytes().last() {
            Some(b'K') => 10,
            Some(b'M') => 20,
            Some(b'G') => 30,
            Some(_) | None => 0,
        };
        let digits = if shift == 0 { text } else { text.get(..text.len() - 1).unwrap_or_default() };
        let size = whole_number::<usize>(digits).and_then(|number| number.checked_mul(1 << shift));
        size.map(Self).ok_or("write bytes such as 4096, 64K, 10M or 1G")
    }
}

/// Reads `SIZE:COUNT`.
pub(crate) fn rotation(text: &str) -> Result<Rotation, &'static str> {
    let parts = text.split_once(':').and_then(|(size, kept)| {
        let size = size.parse::<RingSize>().ok()?;
        let size_bytes = NonZeroU64::new(u64::try_from(size.0).ok()?)?;
        Some(Rotation { size_bytes, kept: whole_number(kept)? })
    });
    parts.ok_or("write SIZE:COUNT, such as 10M:5, for 5 old files of at most 10 MiB")
}

/// How much is kept of what is captured, unless it is said otherwise.
pub(crate) const RING_BYTES: usize = 64 * 1024;
/// None that says something of a state, as green and red do.
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
    AnsiColor::BrightMagenta,
    AnsiColor::BrightBlue,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_rotations_are_read() {
        for (text, size) in
            [("0", 0), ("4096", 4096), ("64K", 65536), ("2M", 2 << 20), ("1G", 1 << 30)]
        {
            assert_eq!(text.parse(), Ok(RingSize(size)));
        }
        for text in ["", "K", "1T", "-1", "+1", "64 K", "99999999999G"] {
            assert!(text.parse::<RingSize>().is_err(), "{text}");
        }
        assert_eq!(
            rotation("10M:5").map(|r| (r.size_bytes.get(), r.kept.get())),
            Ok((10 << 20, 5))
        );
        for text in ["10M", "10M:0", "0:5", "10M:x", "10M:+5", ":"] {
            assert!(rotation(text).is_err(), "{text}");
        }
    }

    #[test]
    fn places_are_read() {
        assert_eq!("file:/x y".parse(), Ok(OutputOption::File("/x y".into())));
        assert_eq!("pipe".parse(), Ok(StdinOption::Pipe));
        for text in ["", "file:", "/x", "pipe"] {
            assert!(text.parse::<OutputOption>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        let options = UnitOptions::default;
        let null = || Some(OutputOption::Null);
        let line = || Some(ReadyOption::Line("x".parse().unwrap()));
        let lead = |options: &UnitOptions, mode| {
            let command = Command::new("x", [""; 0]).unwrap();
            StreamSetup::build(command, options, mode)
        };
        for (options, option) in [
            (UnitOptions { stdout: Some(OutputOption::Stdout), ..options() }, "stdout"),
            (UnitOptions { tty: Some(true), stdout: Some(OutputOption::Log), ..options() }, "tty"),
            (UnitOptions { log_rotate: rotation("1M:1").ok(), ..options() }, "log-rotate"),
            (UnitOptions { log_slow: Some(WhenSlow::Drop), ..options() }, "log"),
            (
                UnitOptions {
                    stdout: null(),
                    stderr: Some(OutputOption::Stdout),
                    ready: line(),
                    ..options()
                },
                "ready",
            ),
        ] {
            assert_eq!(lead(&options, UnitMode::One).unwrap_err().0, option);
        }
        for (options, option) in [
            (UnitOptions { tty: Some(true), ..options() }, "tty"),
            (UnitOptions { stdin: Some(StdinOption::Pipe), ..options() }, "stdin"),
        ] {
            assert!(lead(&options, UnitMode::One).is_ok());
            assert_eq!(lead(&options, UnitMode::Many).unwrap_err().0, option);
        }
        let plain = Command::new("x", [""; 0]).unwrap();
        let nothing = StreamSetup { to_monitor: None };
        assert_eq!(lead(&options(), UnitMode::One), Ok((plain.clone(), nothing.clone())));
        let of_many = (plain.with_input(Input::Null), nothing);
        assert_eq!(lead(&options(), UnitMode::Many), Ok(of_many));
        let readable = UnitOptions { stdout: null(), ready: line(), ..options() };
        let readable = lead(&readable, UnitMode::One).unwrap().1.to_monitor.unwrap();
        assert!(readable.stderr && !readable.stdout);
        let options = UnitOptions { log: Some("/x".into()), ..options() };
        let captured = lead(&options, UnitMode::One).unwrap().1.to_monitor.unwrap();
        assert!(captured.stdout && captured.stderr && !captured.echo);
    }
}
