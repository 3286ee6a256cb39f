//! What a scripted child writes down about itself, one line of JSON for each fact.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process;
use std::sync::Arc;

use monitor_os::now;
use serde::{Deserialize, Serialize};

/// A fact that a scripted child knows of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChildFact {
    /// A run has begun, and receives signals.
    Started {
        /// The number of the run, from 1.
        run: u32,
        /// The parent.
        parent: u32,
        /// When the process was made, in clock ticks from the boot.
        ticks: u64,
        /// Whether an earlier run was still alive.
        overlaps: bool,
        /// The targets of its descriptors above those of the standard streams.
        descriptors: BTreeSet<String>,
    },
    /// A member of the group has begun, and receives signals.
    MemberStarted {
        /// The parent.
        parent: u32,
        /// When the process was made, in clock ticks from the boot.
        ticks: u64,
    },
    /// The run and its member receive signals.
    Armed,
    /// The run reported its readiness to the notify socket that it was given.
    Ready,
    /// A signal was received.
    Signalled {
        /// Its number.
        signal: u8,
    },
    /// The process is about to end.
    Ending {
        /// How it will end, as cases write it.
        exit: String,
    },
}

/// A fact with its time and its process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildLine {
    /// The time, in nanoseconds of the monotonic clock.
    pub at: u64,
    /// The number of the process.
    pub pid: u32,
    /// The fact.
    #[serde(flatten)]
    pub fact: ChildFact,
}

/// The file that all children of a scene append to.
#[derive(Clone, Debug)]
pub struct ChildRecord(Arc<File>);

impl ChildRecord {
    /// Opens the file, and makes it if there is none.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self(Arc::new(file)))
    }

    /// Appends a fact about this process.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, fact: ChildFact) -> io::Result<()> {
        let line = ChildLine { at: now().as_nanos(), pid: process::id(), fact };
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        // One write, so that lines of several processes do not mix.
        (&*self.0).write_all(text.as_bytes())
    }
    /// Whether the file has a name: it has none when nobody reads it any more.
    pub(super) fn is_kept(&self) -> bool {
        self.0.metadata().is_ok_and(|file| file.nlink() > 0)
    }
}

/// Reads the lines from an offset on, and moves the offset behind them. A line that is not written
/// to its end is left for the next time.
///
/// # Errors
/// The file cannot be read, or has a line that no child writes.
pub(crate) fn read_lines(path: &Path, offset: &mut u64) -> io::Result<Vec<ChildLine>> {
    // There is none before the first child.
    let Ok(mut file) = File::open(path) else { return Ok(Vec::new()) };
    file.seek(SeekFrom::Start(*offset))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let (lines, _) = text.split_at(whole);
    *offset += whole as u64;
    lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
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
            targets.insert(target.to_string_lossy().into_owned());
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
    fn a_line_is_read_once_and_not_before_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        let descriptors = BTreeSet::from(["pipe:[1]".into(), "/a b".into()]);
        let facts = [
            ChildFact::Started { run: 1, parent: 2, ticks: 3, overlaps: false, descriptors },
            ChildFact::MemberStarted { parent: 2, ticks: 3 },
            ChildFact::Armed,
            ChildFact::Ready,
            ChildFact::Signalled { signal: 15 },
            ChildFact::Ending { exit: "code=3".into() },
        ];
        let mut offset = 0;
        assert_eq!(read_lines(&path, &mut offset).unwrap(), []);
        let record = ChildRecord::open(&path).unwrap();
        for fact in facts {
            record.write(fact.clone()).unwrap();
            let whole = record.0.metadata().unwrap().len();
            (&*record.0).write_all(b"{").unwrap();
            let lines = read_lines(&path, &mut offset).unwrap();
            assert_eq!(lines.iter().map(|line| &line.fact).collect::<Vec<_>>(), [&fact]);
            assert_eq!(read_lines(&path, &mut offset).unwrap(), [], "the line may go on");
            record.0.set_len(whole).unwrap();
        }
        assert!(record.is_kept());
        fs::remove_file(&path).unwrap();
        assert!(!record.is_kept());
    }
}
