//! `monitor logs` without a running monitor: the last lines, from the log files.

use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use monitor_os::{LogFile, LogFormat, StoredUnit, stored_units};

use super::tail;
use super::tail::{Last, NotRead};
use crate::cli::args::LogsArgs;
use crate::cli::target::Target;
use crate::config::stream_values::RING_BYTES;
use crate::report::log_line::StreamName;
use crate::units::choice;
use crate::view::diagnostics::say;

/// The result of [`show`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShowResult {
    /// The lines of a file were shown.
    Lines,
    /// The lines cannot be shown; the reason was printed.
    Refused,
    /// No file is known.
    Nothing,
}

/// Shows the last lines of a unit.
///
/// # Errors
/// The standard output accepts nothing more.
pub(crate) fn show(target: &Target, args: &LogsArgs) -> io::Result<ShowResult> {
    // The message that no monitor runs there has the reason for which nothing can be read.
    let units = stored_units(&target.state_dir).unwrap_or_default();
    let meant = |unit: &&StoredUnit| target.unit.as_ref().is_none_or(|name| unit.unit == *name);
    let unit = match units.iter().filter(meant).collect::<Vec<_>>().as_slice() {
        [] => return Ok(ShowResult::Nothing),
        [unit] => *unit,
        units => {
            let units: Vec<_> = units.iter().map(|unit| unit.unit.as_str()).collect();
            say(&format_args!("monitor: no monitor runs there; {}", choice(&units)));
            return Ok(ShowResult::Refused);
        }
    };
    let mut logs: Vec<Log> = Vec::new();
    for stream in [StreamName::Stdout, StreamName::Stderr] {
        let file = file(unit, stream);
        match (logs.iter_mut().find(|log| Some(&log.file) == file.as_ref()), file) {
            (Some(log), _) => log.streams.push(stream),
            (None, Some(file)) => logs.push(Log { file, streams: vec![stream] }),
            (None, None) if args.wants(stream) => say(&format_args!(
                "monitor: {} of {} is in no known file: the last lines were lost with the monitor \
                 that kept them",
                stream.name(),
                unit.unit
            )),
            (None, None) => {}
        }
    }
    let mut shown = ShowResult::Nothing;
    for log in logs.iter().filter(|log| log.streams.iter().any(|&stream| args.wants(stream))) {
        if log.file.form != LogFormat::Prefixed && log.streams.iter().any(|&s| !args.wants(s)) {
            say(&format_args!(
                "monitor: both streams of {} are in {}, whose lines do not name their stream; ask \
                 for both",
                unit.unit,
                log.file.path.display()
            ));
            return Ok(ShowResult::Refused);
        }
        say(&Heading { target, log, args });
        match log.put(args)? {
            Ok(()) => shown = ShowResult::Lines,
            Err(error) => say(&format_args!("monitor: {error}")),
        }
    }
    if shown == ShowResult::Lines && args.follow {
        say(&"monitor: -f ends here; start the monitor again, or use `tail -F FILE`");
    }
    Ok(shown)
}

impl LogsArgs {
    const fn wants(&self, stream: StreamName) -> bool {
        match stream {
            StreamName::Stdout => !self.stderr,
            StreamName::Stderr => !self.stdout,
        }
    }
}

/// The log file of a stream: the one in the journal, or else the file that the process has open.
fn file(unit: &StoredUnit, stream: StreamName) -> Option<LogFile> {
    let (written, number) = match stream {
        StreamName::Stdout => (&unit.stdout, 1),
        StreamName::Stderr => (&unit.stderr, 2),
    };
    written.clone().or_else(|| {
        let link = format!("/proc/{}/fd/{number}", unit.pid?);
        let is_file = fs::metadata(&link).is_ok_and(|to| to.is_file());
        let path = fs::read_link(&link).ok().filter(|_| is_file)?;
        Some(LogFile { path, kept: 0, form: LogFormat::Raw })
    })
}

/// A log of a unit, and the streams in it.
#[derive(Debug)]
struct Log {
    file: LogFile,
    streams: Vec<StreamName>,
}

impl Log {
    /// Writes the last lines in the form in which a running monitor gives them.
    ///
    /// # Errors
    /// The standard output accepts nothing more; inside, the file that cannot be read.
    fn put(&self, args: &LogsArgs) -> io::Result<Result<(), NotRead>> {
        let last = args.lines.map_or(Last::Bytes(RING_BYTES as u64), Last::Lines);
        let shows = |head: &[u8]| Prefixed::read(head).is_some_and(|line| args.wants(line.stream));
        let some = self.streams.iter().any(|&stream| !args.wants(stream));
        let parts = match tail::last(self.file.files(), last, some.then_some(&shows)) {
            Ok(parts) => parts,
            Err(error) => return Ok(Err(error)),
        };
        // The bytes are the command's, and so are the colours in them.
        let mut shown = BufWriter::new(io::stdout().lock());
        for part in parts {
            let mut reader = BufReader::new(part);
            let mut bytes = Vec::new();
            loop {
                bytes.clear();
                // A raw line may be as long as the file.
                let read = match self.file.form {
                    LogFormat::Raw => reader.by_ref().take(CHUNK).read_to_end(&mut bytes),
                    LogFormat::Lines | LogFormat::Prefixed => reader.read_until(b'\n', &mut bytes),
                };
                match read {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) => return Ok(Err(NotRead { path: self.file.path.clone(), error })),
                }
                match Prefixed::read(&bytes).filter(|_| self.file.form == LogFormat::Prefixed) {
                    Some(line) if !args.wants(line.stream) => {}
                    Some(line) => line.put(&mut shown, args.timestamps)?,
                    None if some => {}
                    None => shown.write_all(&bytes)?,
                }
            }
        }
        shown.flush()?;
        Ok(Ok(()))
    }
}

/// A line in the prefixed form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Prefixed<'a> {
    /// The time and the stream.
    prefix: &'a [u8],
    stream: StreamName,
    /// The text, with its newline if the line ends here.
    text: &'a [u8],
}

impl<'a> Prefixed<'a> {
    /// Reads a line or the begin of one; `None` if it has another form.
    fn read(line: &'a [u8]) -> Option<Self> {
        let mut words = line.splitn(4, |&byte| byte == b' ');
        let (at, stream, ends, text) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let prefix = line.get(..=at.len() + stream.len())?;
        let stream = match stream {
            b"stdout" => StreamName::Stdout,
            b"stderr" => StreamName::Stderr,
            _ => return None,
        };
        let text = match ends {
            b"F" => text,
            b"P" => text.strip_suffix(b"\n").unwrap_or(text),
            _ => return None,
        };
        Some(Self { prefix, stream, text })
    }

    fn put(&self, to: &mut impl Write, timestamps: bool) -> io::Result<()> {
        if timestamps {
            to.write_all(self.prefix)?;
            to.write_all(b" ")?;
        }
        to.write_all(self.text)?;
        if timestamps && !self.text.ends_with(b"\n") { to.write_all(b"\n") } else { Ok(()) }
    }
}

/// The message before the lines of a log.
struct Heading<'a> {
    target: &'a Target,
    log: &'a Log,
    args: &'a LogsArgs,
}

impl fmt::Display for Heading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, log, args } = self;
        let streams = log.streams.iter().filter(|&&stream| args.wants(stream));
        let streams = streams.map(|stream| stream.name()).collect::<Vec<_>>().join(" and ");
        let (directory, file) = (target.state_dir.display(), log.file.path.display());
        write!(f, "monitor: no monitor runs in {directory}; {streams} from {file}")?;
        let without = args.timestamps && log.file.form != LogFormat::Prefixed;
        f.write_str(if without { ", which has no times:" } else { ":" })
    }
}

const CHUNK: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixed_lines_are_read_and_others_are_not() {
        let put = |line: &str, timestamps| {
            let mut bytes = Vec::new();
            Prefixed::read(line.as_bytes()).unwrap().put(&mut bytes, timestamps).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        for (line, plain, stamped) in [
            ("T stdout F a b\n", "a b\n", "T stdout a b\n"),
            ("T stderr F \n", "\n", "T stderr \n"),
            ("T stdout P lo\n", "lo", "T stdout lo\n"),
            ("T stdout F cut", "cut", "T stdout cut\n"),
        ] {
            assert_eq!((put(line, false), put(line, true)), (plain.into(), stamped.into()));
        }
        for line in ["", "\n", "T stdout F", "T stdin F x\n", "T stdout X x\n", "some other text\n"]
        {
            assert_eq!(Prefixed::read(line.as_bytes()), None, "{line}");
        }
    }
}
