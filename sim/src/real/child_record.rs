//! What a scripted child writes down about itself, one line of JSON for each fact.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
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
    },
    /// A member of the group has begun, and receives signals.
    MemberStarted {
        /// The parent.
        parent: u32,
        /// When the process was made, in clock ticks from the boot.
        ticks: u64,
    },
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
}
