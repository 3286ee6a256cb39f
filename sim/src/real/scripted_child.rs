//! A scripted child: a process that follows the script of its run.
//!
//! It is this program once more, under a name of its own. It reads the number of its run from a
//! file, and holds the lock of this file while it lives. So a second child of one unit notices the
//! first.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::{CommandExt as _, parent_id};
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{env, thread};

use monitor_core::{Exit, Millis};
use monitor_os::{Command, CommandError, Moment, now};
use nix::sys::signal::{SigSet, Signal, raise};
use rustix::fs::{FlockOperation, flock};

use super::child_record::{ChildFact, ChildRecord, inherited_descriptors};
use super::process_identity::ProcessIdentity;
use super::traced;
use crate::case::definition::Case;
use crate::case::script::{OnStop, Script};

/// Runs the process as a scripted child or as a traced monitor, if it was started as one. Then it
/// does not return.
///
/// Call it before anything else in `main`.
pub fn enter() {
    let mut args = env::args_os();
    let name = args.nth(1);
    if name.as_deref() == Some(OsStr::new(traced::NAME)) {
        drop(traced::enter(args));
        process::exit(CONFUSED);
    }
    if name.as_deref() == Some(OsStr::new(NAME)) {
        let words: Vec<PathBuf> = args.map(PathBuf::from).collect();
        let code = run_child(&words).unwrap_or_else(|error| {
            // If the file cannot be written, the code shows that no script asked for this end.
            let runs = words.get(2).map(PathBuf::as_path);
            runs.map(|runs| fs::write(complaint_path(runs), error.to_string()).ok());
            CONFUSED
        });
        process::exit(code);
    }
}

/// The files that hold the scripts of one unit of a case.
#[derive(Clone, Debug)]
pub struct ScriptedChild {
    case: PathBuf,
    unit: usize,
    runs: PathBuf,
    record: Option<PathBuf>,
}

impl ScriptedChild {
    /// Writes the scripts of a unit into files of a folder that nothing else uses.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn write(folder: &Path, name: &str, case: &Case, unit: usize) -> io::Result<Self> {
        let path = folder.join(format!("{name}.case"));
        fs::write(&path, case.to_string())?;
        let runs = folder.join(format!("{name}.{unit}"));
        fs::write(&runs, "0")?;
        Ok(Self { case: path, unit, runs, record: None })
    }

    /// Lets the child write down what it sees. Then a second child at a time follows its script
    /// too, and writes that it is the second.
    #[must_use]
    pub fn with_record(self, path: PathBuf) -> Self {
        Self { record: Some(path), ..self }
    }

    /// Makes the command that runs the child. `program` must call [`enter`].
    ///
    /// # Errors
    /// A path with a NUL byte.
    pub fn command(&self, program: &Path) -> Result<Command, CommandError> {
        Command::new(program, self.arguments())
    }

    /// All words after the path of the program.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = PathBuf> {
        std::iter::once(PathBuf::from(NAME)).chain(self.words())
    }

    /// The words after the name of a scripted child.
    pub(crate) fn words(&self) -> impl Iterator<Item = PathBuf> {
        let words = [self.case.clone(), self.unit.to_string().into(), self.runs.clone()];
        words.into_iter().chain(self.record.clone())
    }

    /// Returns the number of runs that have begun.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn begun(&self) -> io::Result<u32> {
        let text = fs::read_to_string(&self.runs)?;
        text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// Returns the complaint of a scripted child: it was the second at a time, or could not follow
    /// its script.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        fs::read_to_string(complaint_path(&self.runs)).ok()
    }
}

/// The first word on the command line of every child.
pub(crate) const NAME: &str = "monitor-sim-child";

/// The word that stands for the case on the command line of a group member.
const MEMBER: &str = "member";

/// The exit code of a scripted child that cannot follow its script. No script asks for it.
const CONFUSED: i32 = 99;

/// Returns the path of the complaint.
fn complaint_path(runs: &Path) -> PathBuf {
    let mut name = runs.as_os_str().to_owned();
    name.push(".complaint");
    name.into()
}

fn run_child(words: &[PathBuf]) -> io::Result<i32> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let [first, second, runs, record @ ..] = words else { return Err(invalid()) };
    let record = record.first().map(|path| ChildRecord::open(path)).transpose()?;
    if first == Path::new(MEMBER) {
        let on_stop = second.to_str().and_then(read_on_stop).ok_or_else(invalid)?;
        return run_member(on_stop, record);
    }
    let unit = second.to_str().and_then(|unit| unit.parse().ok()).ok_or_else(invalid)?;
    let text = fs::read_to_string(first)?;
    let case: Case = text.parse().map_err(|_| invalid())?;
    let mut held = OpenOptions::new().read(true).write(true).open(runs)?;
    let overlaps = !lock(&held);
    if overlaps && record.is_none() {
        return Err(io::Error::other("two at a time"));
    }
    let nth = count(&mut held)?;
    let script = *case.script(unit, nth);
    let signals = block_signals(script.on_stop, record.as_ref())?;
    if let Some(record) = &record {
        let run = u32::try_from(nth + 1).unwrap_or(u32::MAX);
        let ticks = ProcessIdentity::of(process::id())?.ticks();
        let descriptors = inherited_descriptors()?;
        let parent = parent_id();
        record.write(ChildFact::Started { run, parent, ticks, overlaps, descriptors })?;
    }
    let signals = receive_signals(signals, record.clone())?;
    if let Some(on_stop) = script.leaves {
        leave_member(on_stop, words)?;
    }
    if let Some(record) = &record {
        write_begin(&script, record)?;
    }
    let end = script.lives.map(|lives| (now().after(lives), script.exits));
    let exit = wait_for_end(&signals, script.on_stop, end, record.as_ref());
    Ok(end_with(exit, record.as_ref()))
}

/// Writes down that the member receives signals too, and reports readiness where the script does.
fn write_begin(script: &Script, record: &ChildRecord) -> io::Result<()> {
    record.write(ChildFact::Armed)?;
    if script.ready.is_some() && report_ready()? {
        record.write(ChildFact::Ready)?;
    }
    Ok(())
}

/// Reports readiness to the notify socket of the environment; false if there is none.
fn report_ready() -> io::Result<bool> {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return Ok(false) };
    let address = match path.as_encoded_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(&path)?,
    };
    UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address)?;
    Ok(true)
}

/// Follows the script of a member of the group.
fn run_member(on_stop: OnStop, record: Option<ChildRecord>) -> io::Result<i32> {
    let signals = block_signals(on_stop, record.as_ref())?;
    if let Some(record) = &record {
        let ticks = ProcessIdentity::of(process::id())?.ticks();
        record.write(ChildFact::MemberStarted { parent: parent_id(), ticks })?;
    }
    let signals = receive_signals(signals, record.clone())?;
    // Its parent waits for this: signals are received from now on. It may have been killed
    // meanwhile.
    let mut out = io::stdout();
    out.write_all(b".").and_then(|()| out.flush()).ok();
    let exit = wait_for_end(&signals, on_stop, None, record.as_ref());
    Ok(end_with(exit, record.as_ref()))
}

/// Takes the lock that a child holds while it lives; returns whether it was free.
fn lock(held: &File) -> bool {
    flock(held, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Counts the run, and returns its number, from 0.
fn count(held: &mut File) -> io::Result<usize> {
    let mut text = String::new();
    held.read_to_string(&mut text)?;
    let nth: usize = text.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?;
    held.rewind()?;
    held.write_all((nth + 1).to_string().as_bytes())?;
    Ok(nth)
}

/// Starts a member of the group, and waits until it receives signals. Its command line has the name
/// of the file, so that it can be found.
fn leave_member(on_stop: OnStop, words: &[PathBuf]) -> io::Result<()> {
    let mut member = process::Command::new(env::current_exe()?)
        .args([NAME, MEMBER, &write_on_stop(on_stop)])
        .args(words.iter().skip(2))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(out) = &mut member.stdout {
        // It may have been killed meanwhile, with the group.
        out.read_exact(&mut [0]).ok();
    }
    Ok(())
}

/// Blocks the signals that are to be received. SIGHUP has no effect, as in the virtual world.
///
/// A child with a record receives each signal that it can write down. Each thread of this process
/// inherits the mask, so that the waiting thread alone receives them.
fn block_signals(on_stop: OnStop, record: Option<&ChildRecord>) -> io::Result<SigSet> {
    let dies_at_once = on_stop == OnStop::Dies(Millis::ZERO) && record.is_none();
    let caught: &[Signal] = if dies_at_once { &[] } else { &STOPS };
    let harmless: &[Signal] = if record.is_some() { &HARMLESS } else { &HARMLESS[..1] };
    let signals: SigSet = [harmless, caught].concat().into_iter().collect();
    signals.thread_block()?;
    Ok(signals)
}

/// The signals by which a child is stopped.
const STOPS: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGABRT];

/// The signals that have no effect; those after the first only with a record.
const HARMLESS: [Signal; 3] = [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2];

/// Sends blocked signals to a channel.
fn receive_signals(
    signals: SigSet,
    record: Option<ChildRecord>,
) -> io::Result<mpsc::Receiver<Signal>> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().name("signals".into()).spawn(move || {
        while let Ok(signal) = signals.wait() {
            if let Some(record) = &record {
                // What cannot be written is missed by the reader, who then sees no signal.
                record.write(ChildFact::Signalled { signal: signal as u8 }).ok();
            }
            if !HARMLESS.contains(&signal) && sender.send(signal).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

/// Waits for the end of the script or of a stop.
fn wait_for_end(
    signals: &mpsc::Receiver<Signal>,
    on_stop: OnStop,
    end: Option<(Moment, Exit)>,
    record: Option<&ChildRecord>,
) -> Exit {
    let mut death: Option<(Moment, Exit)> = None;
    loop {
        let next = [end, death].into_iter().flatten().min_by_key(|&(at, _)| at);
        let left = next.map_or(FOR_EVER, |(at, _)| Duration::from_nanos(at.nanos_since(now())));
        let left = if record.is_some() { left.min(RECORD_POLL) } else { left };
        // A child that was made too late would outlive those who read its record.
        if record.is_some_and(|record| !record.is_kept()) {
            return Exit::Unknown;
        }
        match signals.recv_timeout(left) {
            Ok(signal) => {
                if let OnStop::Dies(delay) = on_stop {
                    let exit = monitor_core::Signal::new(signal as u8);
                    let exit = exit.map_or(Exit::Unknown, Exit::Signal);
                    death = death.or_else(|| Some((now().after(delay), exit)));
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        if let Some((_, exit)) = [death, end].into_iter().flatten().find(|&(at, _)| at <= now()) {
            return exit;
        }
    }
}

/// Writes the end down, then dies of a signal or returns the exit code.
fn end_with(exit: Exit, record: Option<&ChildRecord>) -> i32 {
    if let Some(record) = record {
        // The end itself is seen by others too.
        record.write(ChildFact::Ending { exit: exit.to_string() }).ok();
    }
    match exit {
        Exit::Code(code) => i32::from(code),
        Exit::Signal(signal) => die(signal.number()),
        Exit::Unknown => CONFUSED,
    }
}

/// Dies of a signal; returns only if the signal does not kill.
fn die(signal: u8) -> i32 {
    if let Ok(signal) = Signal::try_from(i32::from(signal)) {
        SigSet::from(signal).thread_unblock().ok();
        raise(signal).ok();
    }
    // The runtime ignores SIGPIPE and handles SIGSEGV and SIGBUS; an exec restores what they do.
    let kill = format!("kill -{signal} $$");
    drop(process::Command::new("/bin/sh").args(["-c", &kill]).exec());
    CONFUSED
}

fn write_on_stop(on_stop: OnStop) -> String {
    match on_stop {
        OnStop::Ignores => "ignores".into(),
        OnStop::Dies(delay) => delay.to_string(),
    }
}

fn read_on_stop(text: &str) -> Option<OnStop> {
    match text {
        "ignores" => Some(OnStop::Ignores),
        delay => delay.parse().ok().map(OnStop::Dies),
    }
}

/// How often a child looks for its record.
const RECORD_POLL: Duration = Duration::from_secs(1);

const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3_600);
