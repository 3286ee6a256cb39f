//! The journal of a unit's scripted children: what each one did and received, one line each.
//!
//! A child appends each line in one write, so that a reader sees whole lines in their order.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::{fmt, process};

use monitor_core::{Exit, Signal};

use super::process_identity::ProcessIdentity;

/// The journal that a child writes.
#[derive(Clone, Debug)]
pub(super) struct ChildJournal {
    path: PathBuf,
    process: ProcessIdentity,
}

impl ChildJournal {
    /// Opens the journal for the process that calls this.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.into(), process: ProcessIdentity::of(process::id())? })
    }

    /// Whether the journal is there: its folder goes when nobody reads it any more.
    pub(super) fn is_there(&self) -> bool {
        self.path.exists()
    }

    /// Appends what happened.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn append(&self, mark: &ChildMark) -> io::Result<()> {
        let line = format!("{} {} {mark}\n", self.process.pid, self.process.start);
        OpenOptions::new().append(true).open(&self.path)?.write_all(line.as_bytes())
    }
}

/// A line of the journal: a process, and what happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChildLine {
    pub(crate) process: ProcessIdentity,
    pub(crate) mark: ChildMark,
}

/// What happened to a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChildMark {
    /// The program began, with these descriptors above those of the standard streams.
    Began(BTreeSet<String>),
    /// The child receives signals from now on, and its member does.
    Armed,
    /// The child reported its readiness to the notify socket that it was given.
    Ready,
    /// The process is a member that a child started. It receives signals from now on.
    Member,
    /// It received a signal.
    Received(Signal),
    /// It is about to end.
    Ends(Exit),
}

impl fmt::Display for ChildMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Began(descriptors) => {
                f.write_str("began ")?;
                descriptors.iter().try_for_each(|descriptor| write!(f, "{descriptor};"))
            }
            Self::Armed => f.write_str("armed"),
            Self::Ready => f.write_str("ready"),
            Self::Member => f.write_str("member"),
            Self::Received(signal) => write!(f, "received {signal}"),
            Self::Ends(exit) => write!(f, "ends {exit}"),
        }
    }
}

/// Reads a journal; a line that is not written to its end is left out.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn read(path: &Path) -> io::Result<Vec<ChildLine>> {
    let text = fs::read_to_string(path)?;
    Ok(text.split_inclusive('\n').filter_map(read_line).collect())
}

fn read_line(line: &str) -> Option<ChildLine> {
    let mut words = line.strip_suffix('\n')?.splitn(4, ' ');
    let process =
        ProcessIdentity { pid: words.next()?.parse().ok()?, start: words.next()?.parse().ok()? };
    let mark = match (words.next()?, words.next()) {
        ("began", rest) => {
            let all = rest.unwrap_or_default().split_terminator(';');
            ChildMark::Began(all.map(str::to_owned).collect())
        }
        ("armed", None) => ChildMark::Armed,
        ("ready", None) => ChildMark::Ready,
        ("member", None) => ChildMark::Member,
        ("received", Some(signal)) => ChildMark::Received(signal.parse().ok()?),
        ("ends", Some(exit)) => ChildMark::Ends(exit.parse().ok()?),
        _ => return None,
    };
    Some(ChildLine { process, mark })
}

/// The targets of the descriptors of this process that a program inherits, above those of the
/// standard streams.
///
/// # Errors
/// `/proc` cannot be read.
pub(crate) fn inherited_descriptors() -> io::Result<BTreeSet<String>> {
    let mut targets = BTreeSet::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        // One that cannot be read has been closed meanwhile.
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
        if number > 2 && flags.is_some_and(|flags| flags & CLOSE_ON_EXEC == 0) {
            let target = fs::read_link(entry.path()).unwrap_or_default();
            targets.insert(target.to_string_lossy().replace([';', '\n'], "_"));
        }
    }
    Ok(targets)
}

/// `O_CLOEXEC` in the flags of `/proc/PID/fdinfo`.
const CLOSE_ON_EXEC: u32 = 0o200_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let process = ProcessIdentity { pid: 7, start: 8 };
        for mark in [
            ChildMark::Began(BTreeSet::from(["pipe:[1]".into(), "/a b".into()])),
            ChildMark::Began(BTreeSet::new()),
            ChildMark::Armed,
            ChildMark::Ready,
            ChildMark::Member,
            ChildMark::Received(Signal::TERM),
            ChildMark::Ends(Exit::Code(3)),
        ] {
            let line = format!("7 8 {mark}\n");
            assert_eq!(read_line(&line), Some(ChildLine { process, mark }));
            assert_eq!(read_line(line.trim_end()), None, "the line may go on");
        }
    }
}
