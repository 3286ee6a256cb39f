//! The standard streams of a unit, as its options say.

use std::fmt;

use monitor_os::{Command, Input, LinePattern, LogRing, Output, SlowSink};

use super::opened_streams::{Opened, StreamsError, ToMonitor};
use super::options::UnitOptions;
use super::stream_values::{OutputOption, RING_BYTES, StdinOption};
use super::values::ReadyOption;
use crate::report::unit_mode::UnitMode;

/// The streams of a unit that lead to the monitor, which are opened when the unit is made. The
/// others are part of the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamSetup {
    /// `None` if no stream leads there. Boxed, because most units of many have none.
    to_monitor: Option<Box<ToMonitor>>,
}

/// The sources and targets of the streams of a unit, with their defaults.
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

    /// Whether the monitor reads what the command prints.
    fn is_captured(&self) -> bool {
        self.stdout == OutputOption::Log || self.stderr == OutputOption::Log
    }

    /// Checks that the options agree.
    ///
    /// # Errors
    /// The option that conflicts with the others, and why.
    fn check(
        &self,
        options: &UnitOptions,
        mode: UnitMode,
    ) -> Result<(), (&'static str, &'static str)> {
        let many = mode == UnitMode::Many;
        let tty = options.tty == Some(true);
        if tty && many {
            return Err((
                "tty",
                "the terminal of the monitor can be used by one command only; run it by `monitor \
                 run`",
            ));
        }
        if many && options.stdin == Some(StdinOption::Pipe) {
            return Err((
                "stdin",
                "the input of the monitor can feed one command only; write null or file:PATH",
            ));
        }
        if self.stdout == OutputOption::Stdout {
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
        let captured = self.is_captured();
        if (options.log.is_some() || options.log_slow.is_some()) && !captured {
            return Err((
                "log",
                "neither stdout nor stderr leads to the log; write log for one of them",
            ));
        }
        if ready_line(options).is_some() && !captured {
            return Err((
                "ready",
                "no line can be seen, since neither stdout nor stderr leads to the log; write log \
                 for one of them",
            ));
        }
        Ok(())
    }

    /// Gives the command the streams that do not lead to the monitor.
    fn lead(self, command: Command) -> Command {
        let command = match self.stdin {
            StdinOption::Inherit | StdinOption::Pipe => command,
            StdinOption::Null => command.with_input(Input::Null),
            StdinOption::File(path) => command.with_input(Input::File(path)),
        };
        let command = match self.stdout {
            OutputOption::Inherit | OutputOption::Log | OutputOption::Stdout => command,
            OutputOption::Null => command.with_output(Output::Null),
            OutputOption::File(path) => command.with_output(Output::File(path)),
        };
        match self.stderr {
            OutputOption::Inherit | OutputOption::Log => command,
            OutputOption::Stdout => command.with_joined_error(),
            OutputOption::Null => command.with_error(Output::Null),
            OutputOption::File(path) => command.with_error(Output::File(path)),
        }
    }
}

/// The line by which the command is ready, if it is one.
const fn ready_line(options: &UnitOptions) -> Option<&LinePattern> {
    match &options.ready {
        Some(ReadyOption::Line(pattern)) => Some(pattern),
        Some(ReadyOption::Start | ReadyOption::By(_)) | None => None,
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stdin {}, stdout {}, stderr {}", self.stdin, self.stdout, self.stderr)
    }
}

impl StreamSetup {
    /// Makes the setup of a unit, and gives the command the streams that do not lead to the
    /// monitor.
    ///
    /// # Errors
    /// The option that conflicts with the others, and why.
    pub(crate) fn build(
        command: Command,
        options: &UnitOptions,
        mode: UnitMode,
    ) -> Result<(Command, Self), (&'static str, &'static str)> {
        let ends = Ends::of(options, mode);
        ends.check(options, mode)?;
        let Ends { stdin, stdout, stderr } = &ends;
        let tty = options.tty.unwrap_or(false);
        let captured = ends.is_captured();
        let to_monitor = (captured || *stdin == StdinOption::Pipe).then(|| {
            Box::new(ToMonitor {
                stdin: tty || *stdin == StdinOption::Pipe,
                stdout: *stdout == OutputOption::Log,
                stderr: *stderr == OutputOption::Log,
                tty,
                log: options.log.clone(),
                rotation: options.log_rotate,
                prefix: options.log_prefix.unwrap_or(false),
                echo: options.log_echo.unwrap_or_else(|| options.log.is_none()),
                ring_bytes: options.log_ring.map_or(RING_BYTES, |size| size.0),
                ready: ready_line(options).cloned(),
                slow: options.log_slow.map_or(SlowSink::Block, Into::into),
            })
        });
        Ok((ends.lead(command), Self { to_monitor }))
    }

    /// Opens the streams that lead to the monitor. `ring` has the lines that the unit printed
    /// before its streams were changed. `name` is written before echoed lines, where there are many
    /// units.
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

    /// The most descriptors that the streams take, beside those of a start.
    pub(crate) fn descriptors(&self) -> u64 {
        self.to_monitor.as_ref().map_or(0, |to_monitor| {
            let captured = u64::from(to_monitor.stdout) + u64::from(to_monitor.stderr);
            // Both ends of a pipe, and where it is echoed.
            3 * captured + u64::from(to_monitor.log.is_some())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::stream_values::{WhenSlow, rotation};

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
