//! A monitor under a tracer, which stops it before each of its system calls, so that it can be
//! killed at any of them.

use std::collections::BTreeMap;
use std::env::ArgsOs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{fmt, fs, io};

use nix::errno::Errno;
use nix::libc::PTRACE_EVENT_EXEC;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use syscalls::Sysno;

/// Becomes the program that the words name, traced by the parent; returns only if that cannot be.
pub(super) fn enter(mut words: ArgsOs) -> io::Error {
    let Some(program) = words.next() else {
        return io::ErrorKind::InvalidInput.into();
    };
    match ptrace::traceme() {
        Ok(()) => Command::new(program).args(words).exec(),
        Err(errno) => errno.into(),
    }
}

/// The word under which this program is a monitor that waits for its tracer.
pub(super) const NAME: &str = "monitor-sim-traced";

/// A step that a monitor takes: one of its threads, or the helper that it has made, is about to
/// make a system call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct SyscallStep {
    /// The name of the thread, or `helper`.
    pub of: String,
    /// The number of the call, counted from 1.
    pub nth: u32,
    /// The name of the call.
    pub call: &'static str,
}

/// Prints `monitor-reactor 17 clone3`.
impl fmt::Display for SyscallStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.of, self.nth, self.call)
    }
}

/// A monitor that goes on step by step. While there is one, the thread that has it has no other
/// child.
#[derive(Debug)]
pub(super) struct Traced {
    monitor: Pid,
    /// The threads and helpers that were met.
    tasks: BTreeMap<Pid, Task>,
    /// How many calls were made under each name.
    counted: BTreeMap<String, u32>,
    /// The task that is stopped before a call.
    held: Option<Pid>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Thread,
    /// A process that the monitor has made, and how many programs it has been.
    Helper(u32),
}

impl Traced {
    /// Starts a monitor that [`enter`]s, and stops it before its first call.
    ///
    /// # Errors
    /// It cannot be started, or may not be traced (`ptrace(2)`).
    pub(super) fn begin(command: &mut Command) -> io::Result<Self> {
        let child = command.spawn()?;
        let number = i32::try_from(child.id()).map_err(io::Error::other)?;
        let monitor = Pid::from_raw(number);
        // Its first stop is that of its exec.
        let first = waitpid(monitor, None)?;
        if first != WaitStatus::Stopped(monitor, Signal::SIGTRAP) {
            return Err(io::Error::other(format!("the monitor may not be traced: {first:?}")));
        }
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        ptrace::setoptions(monitor, options)?;
        Ok(Self {
            monitor,
            tasks: BTreeMap::from([(monitor, Task::Thread)]),
            counted: BTreeMap::new(),
            held: Some(monitor),
        })
    }

    /// The number of the monitor.
    pub(super) const fn id(&self) -> u32 {
        self.monitor.as_raw().unsigned_abs()
    }

    /// Goes on to the next step of any task; `None` if the monitor has ended.
    ///
    /// # Errors
    /// `/proc` cannot be read, or the tracing failed.
    pub(super) fn next(&mut self) -> io::Result<Option<SyscallStep>> {
        if let Some(task) = self.held.take() {
            go_on(task, None)?;
        }
        loop {
            match waitpid(None, Some(OF_THIS_THREAD))? {
                WaitStatus::PtraceSyscall(task) => {
                    if let Some(step) = self.step(task)? {
                        self.held = Some(task);
                        return Ok(Some(step));
                    }
                    go_on(task, None)?;
                }
                WaitStatus::PtraceEvent(task, _, event) => {
                    if event == PTRACE_EVENT_EXEC && self.is_program(task) {
                        self.tasks.remove(&task);
                        resume(task, None)?;
                    } else {
                        go_on(task, None)?;
                    }
                }
                WaitStatus::Stopped(task, signal) => {
                    // A new task begins with a stop that is the tracer's own.
                    let known = self.tasks.contains_key(&task);
                    self.meet(task);
                    go_on(task, known.then_some(signal))?;
                }
                WaitStatus::Exited(task, _) | WaitStatus::Signaled(task, ..) => {
                    self.tasks.remove(&task);
                    if task == self.monitor {
                        return Ok(None);
                    }
                }
                WaitStatus::Continued(_) | WaitStatus::StillAlive => {}
            }
        }
    }

    /// Kills the monitor where it stands, and returns when it is dead. A helper goes on by itself.
    ///
    /// # Errors
    /// The tracing failed.
    pub(super) fn kill(self) -> io::Result<()> {
        kill(self.monitor, Signal::SIGKILL)?;
        if let Some(task) = self.held {
            resume(task, None)?;
        }
        loop {
            match waitpid(None, Some(OF_THIS_THREAD)) {
                Ok(WaitStatus::PtraceSyscall(task) | WaitStatus::PtraceEvent(task, ..)) => {
                    resume(task, None)?;
                }
                Ok(WaitStatus::Stopped(task, signal)) => {
                    resume(task, (signal != Signal::SIGSTOP).then_some(signal))?;
                }
                Ok(
                    WaitStatus::Exited(..)
                    | WaitStatus::Signaled(..)
                    | WaitStatus::Continued(_)
                    | WaitStatus::StillAlive,
                ) => {}
                Err(Errno::ECHILD) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// What a task is about to do; `None` if it has done it, or if its thread is not known yet.
    fn step(&mut self, task: Pid) -> io::Result<Option<SyscallStep>> {
        if ptrace::getevent(task)? != ENTRY {
            return Ok(None);
        }
        let of = match self.meet(task) {
            Task::Helper(_) => "helper".to_owned(),
            Task::Thread => {
                let name = fs::read_to_string(format!("/proc/{task}/comm"))?.trim_end().to_owned();
                // A thread has the name of its maker until it gives itself its own.
                if task != self.monitor && name == self.name()? {
                    return Ok(None);
                }
                name
            }
        };
        let text = fs::read_to_string(format!("/proc/{task}/syscall"))?;
        let number = text.split(' ').next().and_then(|number| number.parse().ok());
        let call = number.and_then(Sysno::new).map_or("unknown", |call| call.name());
        let nth = self.counted.entry(of.clone()).or_default();
        *nth += 1;
        Ok(Some(SyscallStep { of, nth: *nth, call }))
    }

    fn name(&self) -> io::Result<String> {
        Ok(fs::read_to_string(format!("/proc/{}/comm", self.monitor))?.trim_end().to_owned())
    }

    fn meet(&mut self, task: Pid) -> Task {
        let monitor = self.monitor;
        *self.tasks.entry(task).or_insert_with(|| {
            let thread = fs::exists(format!("/proc/{monitor}/task/{task}")).unwrap_or(false);
            if thread { Task::Thread } else { Task::Helper(0) }
        })
    }

    /// Whether a helper has become the program: it is the helper's own file first.
    fn is_program(&mut self, task: Pid) -> bool {
        self.meet(task);
        match self.tasks.get_mut(&task) {
            Some(Task::Helper(programs)) => {
                *programs += 1;
                *programs == 2
            }
            Some(Task::Thread) | None => false,
        }
    }
}

/// Lets a task go on to its next stop. It may be dead by now.
fn go_on(task: Pid, signal: Option<Signal>) -> Result<(), Errno> {
    dead_or(ptrace::syscall(task, signal))
}

/// Lets a task go for good.
fn resume(task: Pid, signal: Option<Signal>) -> Result<(), Errno> {
    dead_or(ptrace::detach(task, signal))
}

const fn dead_or(outcome: Result<(), Errno>) -> Result<(), Errno> {
    match outcome {
        Err(Errno::ESRCH) => Ok(()),
        outcome => outcome,
    }
}

/// What the message of a stop says that is before a call and not after it
/// (`PTRACE_EVENTMSG_SYSCALL_ENTRY`, Linux 5.3).
const ENTRY: std::ffi::c_long = 1;

/// All tasks that this thread traces or has made, and none of other threads.
const OF_THIS_THREAD: WaitPidFlag = WaitPidFlag::__WALL.union(WaitPidFlag::__WNOTHREAD);
