//! The journal of a unit for a later monitor: one small text file, written whole or not at all.

use std::fmt::{self, Write};
use std::str::FromStr;
use std::sync::Arc;

use monitor_core::{DecodeError, RunId, State};

use crate::backend::store::log_files::LogFiles;
use crate::hex;
use crate::linux::cgroup::{CgroupLocation, InvalidCgroupLocation};
use crate::linux::identity::{BootId, Identity};
use crate::linux::mark::Mark;
use crate::linux::run_name::{InvalidRunName, RunName};
use crate::output::log_file::{LogFile, STREAMS};

/// The record of a unit, which a journal holds in this form:
///
/// ```text
/// monitor-journal 2
/// unit web
/// boot 7d1f7a3e-...
/// state 01050100...
/// process #3 pid=1234 start=5566 inode=78
/// cgroup 910 /system/monitor-55-66-8899aabbccddeeff0011223344556677-8
/// held 5570
/// mark monitor-55-66-00112233445566778899aabbccddeeff-8
/// owner 1000
/// stdout kept=5 form=lines /var/log/web.log
/// stderr kept=0 form=raw /var/log/web.err
/// crc32 1c2b3a49
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnitRecord {
    pub(crate) unit: Arc<str>,
    /// The boot in which the record was written.
    pub(crate) boot: BootId,
    pub(crate) state: State,
    /// The last process that was made, and its run; the process may be gone.
    pub(crate) process: Option<(RunId, Identity)>,
    /// The last tick at which the process was certainly not reaped; 0 if there is none.
    ///
    /// For ticks see [`ticks_now`](crate::linux::procfs::ticks_now).
    pub(crate) held: u64,
    /// The control group that was made for the run.
    pub(crate) cgroup: Option<CgroupLocation>,
    /// The mark of the run's processes, if the run has no control group; boxed, because most runs
    /// have one.
    pub(crate) mark: Option<Box<Mark>>,
    /// The log files of the run.
    pub(crate) log_files: LogFiles,
}

impl UnitRecord {
    /// The last tick at which the number of the process was certainly its own; 0 if that is
    /// unknown.
    ///
    /// A tick of a monitor in another namespace of process ids counts as unknown.
    pub(crate) fn known_until(&self) -> u64 {
        let name = self.mark.as_ref().map(|mark| mark.name);
        let name = name.or_else(|| self.cgroup.as_ref().map(CgroupLocation::run));
        if name.is_some_and(RunName::is_of_this_namespace) { self.held } else { 0 }
    }
}

/// Error in the contents of a journal; the file is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalError {
    /// The file is empty: the machine went down while a file system without write order was
    /// writing.
    Empty,
    /// The file is no journal.
    Foreign,
    /// Another release wrote the file, in another form.
    OtherForm {
        /// The version of its form; this release reads 2 alone.
        version: u32,
    },
    /// The end of the file is missing.
    Torn,
    /// The bytes differ from the written ones, by the checksum.
    Damaged,
    /// The file is whole, but this release does not know its state.
    State(DecodeError),
    /// The file is whole, but belongs to another unit: it was renamed or copied.
    OtherUnit,
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self {
            Self::Empty => "it is empty",
            Self::Foreign => "it is no journal of this program",
            Self::OtherForm { version } => {
                return write!(
                    f,
                    "it has the form {version} and this release reads {FORM}; use the release that wrote it"
                );
            }
            Self::Torn => "its end is missing",
            Self::Damaged => "its bytes are not those that were written",
            Self::State(error) => return write!(f, "{error}; {FIX}"),
            Self::OtherUnit => "it belongs to another unit",
        };
        write!(f, "{why}; {FIX}")
    }
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::State(error) => Some(error),
            Self::Empty
            | Self::Foreign
            | Self::OtherForm { .. }
            | Self::Torn
            | Self::Damaged
            | Self::OtherUnit => None,
        }
    }
}

impl fmt::Display for UnitRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unit, boot, state, process, held, cgroup, mark, log_files } = self;
        let state = hex::encode(&state.to_bytes());
        let mut text = format!("{MAGIC}{FORM}\nunit {unit}\nboot {boot}\nstate {state}\n");
        if let Some((run, identity)) = process {
            writeln!(text, "process #{} {identity}", run.as_u32())?;
        }
        if *held > 0 {
            writeln!(text, "held {held}")?;
        }
        if let Some(location) = cgroup {
            writeln!(text, "cgroup {location}")?;
        }
        if let Some(mark) = mark {
            writeln!(text, "mark {}", mark.name)?;
            if let Some(owner) = mark.owner {
                writeln!(text, "owner {owner}")?;
            }
        }
        for (stream, file) in STREAMS.iter().zip(log_files.files()) {
            if let Some(file) = file {
                writeln!(text, "{stream} {}", file.to_text())?;
            }
        }
        let sum = crc32(text.as_bytes());
        writeln!(f, "{text}{SUM}{sum:08x}")
    }
}

impl FromStr for UnitRecord {
    type Err = JournalError;

    fn from_str(text: &str) -> Result<Self, JournalError> {
        if text.is_empty() {
            return Err(JournalError::Empty);
        }
        let Some(rest) = text.strip_prefix(MAGIC) else {
            return Err(if MAGIC.starts_with(text) {
                JournalError::Torn
            } else {
                JournalError::Foreign
            });
        };
        let (form, _) = rest.split_once('\n').ok_or(JournalError::Torn)?;
        match form.parse() {
            Ok(FORM) => {}
            Ok(version) => return Err(JournalError::OtherForm { version }),
            Err(_) => return Err(JournalError::Damaged),
        }
        let (body, sum) = text
            .strip_suffix('\n')
            .and_then(|text| text.rsplit_once('\n'))
            .and_then(|(body, last)| Some((body, last.strip_prefix(SUM)?)))
            .ok_or(JournalError::Torn)?;
        let summed = text.get(..=body.len()).unwrap_or_default();
        if u32::from_str_radix(sum, 16) != Ok(crc32(summed.as_bytes())) {
            return Err(JournalError::Damaged);
        }
        fields(body)
    }
}

/// Reads the lines after the first, of a text whose checksum is right.
fn fields(body: &str) -> Result<UnitRecord, JournalError> {
    let mut lines = body.lines().skip(1).peekable();
    // An optional line may be missing; the current line is then the next field.
    let mut line = |name: &str| {
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
        let found = lines.peek().and_then(|line| value(line))?;
        lines.next();
        Some(found)
    };
    let unit = line("unit").ok_or(JournalError::Damaged)?.into();
    let boot = line("boot").and_then(|boot| boot.parse().ok()).ok_or(JournalError::Damaged)?;
    let state = line("state").as_deref().and_then(hex::decode).ok_or(JournalError::Damaged)?;
    let state = State::from_bytes(&state).map_err(JournalError::State)?;
    let process =
        line("process").map(|text| process(&text).ok_or(JournalError::Damaged)).transpose()?;
    let held = number(line("held"))?.unwrap_or(0);
    let cgroup = line("cgroup")
        .map(|text| text.parse().map_err(|InvalidCgroupLocation| JournalError::Damaged))
        .transpose()?;
    let name = line("mark")
        .map(|text| text.parse().map_err(|InvalidRunName| JournalError::Damaged))
        .transpose()?;
    let owner = number(line("owner"))?;
    let mark = name.map(|name| Box::new(Mark { name, owner }));
    // An unknown form of a log file must not prevent the recovery of the run.
    let files =
        STREAMS.map(|stream| line(stream.name()).and_then(|text| LogFile::from_text(&text)));
    let log_files = LogFiles::Recorded(Box::new(files));
    Ok(UnitRecord { unit, boot, state, process, held, cgroup, mark, log_files })
}

fn number<T: FromStr>(text: Option<String>) -> Result<Option<T>, JournalError> {
    text.map(|text| text.parse().map_err(|_| JournalError::Damaged)).transpose()
}

fn process(text: &str) -> Option<(RunId, Identity)> {
    let (run, identity) = text.strip_prefix('#')?.split_once(' ')?;
    Some((RunId::new(run.parse().ok()?), identity.parse().ok()?))
}

/// The CRC-32 of zip and Ethernet, which detects every burst of up to 32 damaged bits.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    })
}

const MAGIC: &str = "monitor-journal ";
const FORM: u32 = 2;
const SUM: &str = "crc32 ";
const FIX: &str = "check with `ps` that its process has ended, then remove the file";

#[cfg(test)]
mod tests {
    use monitor_core::{Event, Policy};

    use super::*;

    fn record(process: &str) -> UnitRecord {
        let state = Policy::DEFAULT.step(State::INITIAL, Event::StartRequested).state;
        let process = (!process.is_empty()).then(|| (state.run(), process.parse().unwrap()));
        let boot = BootId::current().unwrap();
        let log_files = LogFiles::default();
        UnitRecord {
            unit: "web".into(),
            boot,
            state,
            process,
            held: 0,
            cgroup: None,
            mark: None,
            log_files,
        }
    }

    fn read(text: &str) -> Result<UnitRecord, JournalError> {
        text.parse()
    }

    #[test]
    fn sum_is_the_common_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn records_round_trip() {
        for process in ["", "pid=2 start=3", "pid=2 start=3 inode=4"] {
            let record = record(process);
            assert_eq!(read(&record.to_string()), Ok(record.clone()));
            if !process.is_empty() {
                let cgroup =
                    Some("7 /a b/monitor-1-2-00112233445566778899aabbccddeeff-4".parse().unwrap());
                let held = UnitRecord { cgroup, ..record.clone() };
                assert_eq!(read(&held.to_string()), Ok(held));
                let name = "monitor-1-2-00112233445566778899aabbccddeeff-4".parse().unwrap();
                for owner in [None, Some(1000)] {
                    let mark = Some(Box::new(Mark { name, owner }));
                    let marked = UnitRecord { mark, held: 5570, ..record.clone() };
                    assert_eq!(read(&marked.to_string()), Ok(marked));
                }
                // A fixed name, from another monitor.
                let name = "monitor-1-2-00112233445566778899aabbccddeeff-4".parse().unwrap();
                let mark = Some(Box::new(Mark { name, owner: None }));
                let marked = UnitRecord { mark, ..record };
                assert_eq!(read(&marked.to_string()), Ok(marked.clone()));
                let file = |path: &str| LogFile::from_text(&format!("kept=3 form=lines {path}"));
                for files in [[file("/a%0ab"), file("/c")], [None, file("/c")]] {
                    let log_files = LogFiles::Recorded(Box::new(files));
                    let record = UnitRecord { log_files, ..marked.clone() };
                    assert_eq!(read(&record.to_string()), Ok(record));
                }
            }
        }
    }

    /// Goal: for every cut and every damaged byte, the journal is refused and never misread (I22).
    #[test]
    fn every_cut_and_every_damage_is_seen() {
        let whole = record("pid=2 start=3 inode=4").to_string();
        assert_eq!(read(""), Err(JournalError::Empty));
        for end in 1..whole.len() {
            assert_eq!(read(&whole[..end]), Err(JournalError::Torn), "cut at {end}");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone().into_bytes();
            bytes[at] ^= 1;
            let text = String::from_utf8(bytes).unwrap();
            assert!(read(&text).is_err(), "damage at {at} is not seen: {text}");
        }
    }

    /// Goal: unknown or missing lines about log files do not prevent the reading of a journal.
    #[test]
    fn files_that_are_not_understood_are_none() {
        let record = record("pid=2 start=3");
        let whole = record.to_string();
        let body = &whole[..whole.find(SUM).unwrap()];
        for files in ["", "stdout kept=0 form=json /x\n", "stderr nowhere\nlater 1\n"] {
            let text = format!("{body}{files}");
            let sum = crc32(text.as_bytes());
            assert_eq!(read(&format!("{text}{SUM}{sum:08x}\n")), Ok(record.clone()), "{files}");
        }
    }

    /// Goal: a tick counts only in the namespace of the monitor that wrote it.
    #[test]
    fn last_tick_counts_in_its_namespace() {
        let own = RunName::next().unwrap();
        let record = UnitRecord { held: 7, ..record("pid=2 start=3") };
        assert_eq!(record.known_until(), 0);
        let marked = |name| Some(Box::new(Mark { name, owner: None }));
        assert_eq!(UnitRecord { mark: marked(own), ..record.clone() }.known_until(), 7);
        let foreign = "monitor-1-2-00112233445566778899aabbccddeeff-4".parse().unwrap();
        assert_eq!(UnitRecord { mark: marked(foreign), ..record.clone() }.known_until(), 0);
        let cgroup = format!("12 /x/{own}").parse().ok();
        assert_eq!(UnitRecord { cgroup, ..record }.known_until(), 7);
    }

    #[test]
    fn foreign_newer_and_unknown_are_told_apart() {
        assert_eq!(read("[section]\n"), Err(JournalError::Foreign));
        for version in [1, 3] {
            let error = read(&format!("monitor-journal {version}\nanything")).unwrap_err();
            assert_eq!(error, JournalError::OtherForm { version });
        }
        let error = read("monitor-journal 3\nanything").unwrap_err();
        assert!(error.to_string().contains("use the release that wrote it"), "{error}");

        let mut text = record("").to_string();
        let at = text.find("state ").unwrap() + "state ".len();
        text.replace_range(at..at + 2, "63");
        text.truncate(text.find(SUM).unwrap());
        let sum = crc32(text.as_bytes());
        let error = read(&format!("{text}{SUM}{sum:08x}\n")).unwrap_err();
        assert_eq!(error, JournalError::State(DecodeError::Version { found: 0x63 }));
    }
}
