//! A scripted child: a process that follows the script of its run.
//!
//! It is this program once more, under a name of its own. It reads the number of its run from a
//! file, and holds the lock of this file while it lives. So a second child of one unit notices the
//! first.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
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

    /// Makes the command that runs the child. `program` must call [`enter`].
    ///
    /// # Errors
    /// A path with a NUL byte.
    pub fn command(&self, program: &Path) -> Result<Command, CommandError> {
        Command::new(program, std::iter::once(PathBuf::from(NAME)).chain(self.words()))
    }

    /// The words after the name of a scripted child.
    pub(super) fn words(&self) -> [PathBuf; 3] {
        [self.case.clone(), self.unit.to_string().into(), self.runs.clone()]
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
pub(super) const NAME: &str = "monitor-sim-child";

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
    if let [member, on_stop, _runs] = words
        && member == Path::new(MEMBER)
    {
        let on_stop = on_stop.to_str().and_then(read_on_stop).ok_or_else(invalid)?;
        let signals = receive_signals(on_stop)?;
        // Its parent waits for this: signals are received from now on. It may have been killed
        // meanwhile.
        let mut out = io::stdout();
        out.write_all(b".").and_then(|()| out.flush()).ok();
        return Ok(wait_for_end(&signals, on_stop, None));
    }
    let [case, unit, runs] = words else { return Err(invalid()) };
    let unit = unit.to_str().and_then(|unit| unit.parse().ok()).ok_or_else(invalid)?;
    let text = fs::read_to_string(case)?;
    let case: Case = text.parse().map_err(|_| invalid())?;
    let mut held = OpenOptions::new().read(true).write(true).open(runs)?;
    let nth = lock_and_count(&mut held)?;
    let script = *case.script(unit, nth);
    follow(&script, runs)
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

fn follow(script: &Script, runs: &Path) -> io::Result<i32> {
    let signals = receive_signals(script.on_stop)?;
    if let Some(on_stop) = script.leaves {
        leave_member(on_stop, runs)?;
    }
    let end = script.lives.map(|lives| (now().after(lives), script.exits));
    Ok(wait_for_end(&signals, script.on_stop, end))
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
fn receive_signals(on_stop: OnStop) -> io::Result<mpsc::Receiver<Signal>> {
    let stops = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGABRT];
    let caught: &[Signal] = if on_stop == OnStop::Dies(Millis::ZERO) { &[] } else { &stops };
    let signals: SigSet = [&[Signal::SIGHUP], caught].concat().into_iter().collect();
    // Each thread of this process inherits the mask, so that the waiting thread alone receives
    // them.
    signals.thread_block()?;
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().name("signals".into()).spawn(move || {
        while let Ok(signal) = signals.wait() {
            if signal != Signal::SIGHUP && sender.send(signal).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

/// Waits for the end of the script or of a stop. Returns the exit code.
fn wait_for_end(
    signals: &mpsc::Receiver<Signal>,
    on_stop: OnStop,
    end: Option<(Moment, Exit)>,
) -> i32 {
    let mut death: Option<(Moment, u8)> = None;
    loop {
        let next = [end.map(|(at, _)| at), death.map(|(at, _)| at)].into_iter().flatten().min();
        let left = next.map_or(FOR_EVER, |at| Duration::from_nanos(at.nanos_since(now())));
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
            return die(signal);
        }
        if let Some((at, exit)) = end
            && at <= now()
        {
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

const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3_600);
