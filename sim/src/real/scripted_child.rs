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
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{env, thread};

use monitor_core::{Exit, Millis};
use monitor_os::{Command, CommandError, Moment, now};
use nix::sys::signal::{SigSet, Signal, raise};
use rustix::fs::{FlockOperation, flock};

use super::child_journal::{self, ChildJournal, ChildMark};
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
            let runs = words.last().map(PathBuf::as_path);
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
        Ok(Self { case: path, unit, runs })
    }

    /// Makes a journal, in which the children write down what they do and receive if the variable
    /// [`JOURNAL`] has its path.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(crate) fn make_journal(&self) -> io::Result<PathBuf> {
        let journal = self.runs.with_added_extension("journal");
        fs::write(&journal, "")?;
        Ok(journal)
    }

    /// Makes the command that runs the child. `program` must call [`enter`].
    ///
    /// # Errors
    /// A path with a NUL byte.
    pub fn command(&self, program: &Path) -> Result<Command, CommandError> {
        Command::new(program, self.arguments())
    }

    /// The words after the name of a scripted child.
    pub(super) fn words(&self) -> [PathBuf; 3] {
        [self.case.clone(), self.unit.to_string().into(), self.runs.clone()]
    }

    /// All words after the path of the program.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = PathBuf> {
        std::iter::once(PathBuf::from(NAME)).chain(self.words())
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

/// The variable with the path of the journal, for children that write one.
pub(crate) const JOURNAL: &str = "MONITOR_SIM_JOURNAL";

/// The first word on the command line of every child.
pub(super) const NAME: &str = "monitor-sim-child";

/// The word that stands for the case on the command line of a group member.
const MEMBER: &str = "member";

/// The exit code of a scripted child that cannot follow its script. No script asks for it.
const CONFUSED: i32 = 99;

/// Returns the path of the complaint.
fn complaint_path(runs: &Path) -> PathBuf {
    runs.with_added_extension("complaint")
}

fn run_child(words: &[PathBuf]) -> io::Result<i32> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let [first, second, runs] = words else { return Err(invalid()) };
    let journal =
        env::var_os(JOURNAL).map(|path| ChildJournal::open(Path::new(&path))).transpose()?;
    if first == Path::new(MEMBER) {
        let on_stop = second.to_str().and_then(read_on_stop).ok_or_else(invalid)?;
        let signals = receive_signals(on_stop, journal.as_ref())?;
        note(journal.as_ref(), &ChildMark::Member)?;
        // Its parent waits for this: signals are received from now on. It may have been killed
        // meanwhile.
        let mut out = io::stdout();
        out.write_all(b".").and_then(|()| out.flush()).ok();
        return Ok(wait_for_end(&signals, on_stop, None, journal.as_ref()));
    }
    if journal.is_some() {
        note(journal.as_ref(), &ChildMark::Began(child_journal::inherited_descriptors()?))?;
    }
    let unit = second.to_str().and_then(|unit| unit.parse().ok()).ok_or_else(invalid)?;
    let text = fs::read_to_string(first)?;
    let case: Case = text.parse().map_err(|_| invalid())?;
    let mut held = OpenOptions::new().read(true).write(true).open(runs)?;
    let nth = lock_and_count(&mut held)?;
    let script = *case.script(unit, nth);
    follow(&script, runs, journal.as_ref())
}

/// Appends to the journal, if there is one.
fn note(journal: Option<&ChildJournal>, mark: &ChildMark) -> io::Result<()> {
    journal.map_or(Ok(()), |journal| journal.append(mark))
}

/// Locks the file, counts the run, and returns its number, from 0.
fn lock_and_count(held: &mut File) -> io::Result<usize> {
    if flock(&*held, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(io::Error::other("two at a time"));
    }
    let mut text = String::new();
    held.read_to_string(&mut text)?;
    let nth: usize = text.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?;
    held.rewind()?;
    held.write_all((nth + 1).to_string().as_bytes())?;
    Ok(nth)
}

fn follow(script: &Script, runs: &Path, journal: Option<&ChildJournal>) -> io::Result<i32> {
    let signals = receive_signals(script.on_stop, journal)?;
    if let Some(on_stop) = script.leaves {
        leave_member(on_stop, runs)?;
    }
    note(journal, &ChildMark::Armed)?;
    if journal.is_some() && script.ready.is_some() && report_ready()? {
        note(journal, &ChildMark::Ready)?;
    }
    let end = script.lives.map(|lives| (now().after(lives), script.exits));
    Ok(wait_for_end(&signals, script.on_stop, end, journal))
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

/// Starts a member of the group, and waits until it receives signals. Its command line has the name
/// of the file, so that it can be found.
fn leave_member(on_stop: OnStop, runs: &Path) -> io::Result<()> {
    let words = [NAME, MEMBER, &write_on_stop(on_stop)];
    let mut member = process::Command::new(env::current_exe()?)
        .args(words)
        .arg(runs)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(out) = &mut member.stdout {
        // It may have been killed meanwhile, with the group.
        out.read_exact(&mut [0]).ok();
    }
    Ok(())
}

/// Sends caught signals to a channel. SIGHUP has no effect, as in the virtual world.
///
/// A child with a journal catches each signal that it can write down.
fn receive_signals(
    on_stop: OnStop,
    journal: Option<&ChildJournal>,
) -> io::Result<mpsc::Receiver<Signal>> {
    let catches = on_stop != OnStop::Dies(Millis::ZERO) || journal.is_some();
    let caught: &[Signal] = if catches { &STOPS } else { &[] };
    let harmless: &[Signal] = if journal.is_some() { &HARMLESS } else { &HARMLESS[..1] };
    let signals: SigSet = [harmless, caught].concat().into_iter().collect();
    // Each thread of this process inherits the mask, so that the waiting thread alone receives
    // them.
    signals.thread_block()?;
    let (sender, receiver) = mpsc::channel();
    let journal = journal.cloned();
    thread::Builder::new().name("signals".into()).spawn(move || {
        while let Ok(signal) = signals.wait() {
            let named = monitor_core::Signal::new(signal as u8);
            if let (Some(journal), Some(signal)) = (&journal, named) {
                // Where the disk is full, the reader awaits the line in vain and reports it.
                journal.append(&ChildMark::Received(signal)).ok();
            }
            if !HARMLESS.contains(&signal) && sender.send(signal).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

/// The signals by which a child is stopped.
const STOPS: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGABRT];

/// The signals that have no effect; those after the first only with a journal.
const HARMLESS: [Signal; 3] = [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2];

/// Waits for the end of the script or of a stop. Returns the exit code.
fn wait_for_end(
    signals: &mpsc::Receiver<Signal>,
    on_stop: OnStop,
    end: Option<(Moment, Exit)>,
    journal: Option<&ChildJournal>,
) -> i32 {
    let ends = |exit| note(journal, &ChildMark::Ends(exit)).ok();
    let mut death: Option<(Moment, u8)> = None;
    loop {
        let next = [end.map(|(at, _)| at), death.map(|(at, _)| at)].into_iter().flatten().min();
        let left = next.map_or(FOR_EVER, |at| Duration::from_nanos(at.nanos_since(now())));
        let left = if journal.is_some() { left.min(JOURNAL_POLL) } else { left };
        // A child that was made too late would outlive its test.
        if journal.is_some_and(|journal| !journal.is_there()) {
            return CONFUSED;
        }
        match signals.recv_timeout(left) {
            Ok(signal) => {
                if let OnStop::Dies(delay) = on_stop {
                    death = death.or_else(|| Some((now().after(delay), signal as u8)));
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        if let Some((at, signal)) = death
            && at <= now()
        {
            monitor_core::Signal::new(signal).map(|signal| ends(Exit::Signal(signal)));
            return die(signal);
        }
        if let Some((at, exit)) = end
            && at <= now()
        {
            ends(exit);
            return match exit {
                Exit::Code(code) => i32::from(code),
                Exit::Signal(signal) => die(signal.number()),
                Exit::Unknown => CONFUSED,
            };
        }
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

/// How often a child looks for its journal.
const JOURNAL_POLL: Duration = Duration::from_secs(1);

const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3_600);
