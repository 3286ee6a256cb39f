//! What was seen in a scene: the facts in the order of time, and the runs in them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::supervisor::Request;

/// A fact, with the time since the begin of the scene in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedFact {
    /// The time.
    pub at: u64,
    /// The fact.
    pub fact: Fact,
}

/// A fact about a process or a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    /// A run was made, as the kernel knows. The time is exact to a clock tick.
    Made {
        /// Its process.
        pid: u32,
    },
    /// A run began, as it says itself.
    Began {
        /// Its process.
        pid: u32,
        /// The parent.
        parent: u32,
        /// Whether an earlier run was alive.
        overlaps: bool,
    },
    /// A member of a run began.
    MemberBegan {
        /// Its process.
        pid: u32,
        /// The run that left it.
        parent: u32,
    },
    /// A process received a signal.
    Signalled {
        /// The process.
        pid: u32,
        /// The number of the signal.
        signal: u8,
    },
    /// A process was about to end by its script.
    Ending {
        /// The process.
        pid: u32,
        /// How it was about to end.
        exit: String,
    },
    /// A process was seen to be gone. It may have been gone a little earlier.
    Gone {
        /// The process.
        pid: u32,
    },
    /// A command was started.
    Asked {
        /// Its request.
        request: Request,
        /// The number of the command.
        command: usize,
    },
    /// A command ended.
    Answered {
        /// Its request.
        request: Request,
        /// The number of the command.
        command: usize,
        /// Its exit code; `None` if a signal ended it.
        code: Option<i32>,
        /// What it printed.
        output: String,
    },
    /// The supervisor was told to end.
    ToldToEnd,
    /// The parent of the run was killed.
    Crashed {
        /// The parent.
        pid: u32,
    },
    /// The supervisor ended.
    SupervisorGone,
    /// Something did not happen within the deadline.
    Waited {
        /// What did not happen.
        vain: String,
    },
}

/// The facts of a scene.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// The facts, in the order of time.
    pub facts: Vec<TimedFact>,
}

/// A process of a scene.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it was made, or began, if that is all that is known.
    pub made: u64,
    /// When it began.
    pub began: u64,
    /// Its parent.
    pub parent: u32,
    /// Whether an earlier run was alive when it began.
    pub overlaps: bool,
    /// The signals that it received.
    pub signals: Vec<(u64, u8)>,
    /// When it was about to end, and how.
    pub ending: Option<(u64, String)>,
    /// When it was seen to be gone.
    pub gone: Option<u64>,
}

/// A command that asked the supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Asking {
    /// Its request.
    pub request: Request,
    /// When it was started.
    pub asked: u64,
    /// When it ended.
    pub answered: Option<u64>,
    /// Whether it ended with an exit code other than 0, or by a signal.
    pub refused: bool,
    /// What it printed.
    pub output: String,
}

impl Recording {
    /// Returns the runs, in the order of their begin.
    #[must_use]
    pub fn runs(&self) -> Vec<Process> {
        self.processes(false)
    }

    /// Returns the members that runs left.
    #[must_use]
    pub fn members(&self) -> Vec<Process> {
        self.processes(true)
    }

    fn processes(&self, members: bool) -> Vec<Process> {
        let mut all: Vec<Process> = Vec::new();
        let mut made = Vec::new();
        for TimedFact { at, fact } in &self.facts {
            let mut begin = |pid: u32, parent: u32, overlaps: bool| {
                let was_made = made.iter().rev().find(|&&(known, _)| known == pid);
                all.push(Process {
                    pid,
                    made: was_made.map_or(*at, |&(_, at)| at),
                    began: *at,
                    parent,
                    overlaps,
                    signals: Vec::new(),
                    ending: None,
                    gone: None,
                });
            };
            match fact {
                Fact::Made { pid } => made.push((*pid, *at)),
                Fact::Began { pid, parent, overlaps } if !members => {
                    begin(*pid, *parent, *overlaps)
                }
                Fact::MemberBegan { pid, parent } if members => begin(*pid, *parent, false),
                Fact::Signalled { pid, signal } => {
                    if let Some(process) = latest(&mut all, *pid) {
                        process.signals.push((*at, *signal));
                    }
                }
                Fact::Ending { pid, exit } => {
                    if let Some(process) = latest(&mut all, *pid) {
                        process.ending = Some((*at, exit.clone()));
                    }
                }
                Fact::Gone { pid } => {
                    if let Some(process) = latest(&mut all, *pid) {
                        process.gone = process.gone.or(Some(*at));
                    }
                }
                Fact::Began { .. }
                | Fact::MemberBegan { .. }
                | Fact::Asked { .. }
                | Fact::Answered { .. }
                | Fact::ToldToEnd
                | Fact::Crashed { .. }
                | Fact::SupervisorGone
                | Fact::Waited { .. } => {}
            }
        }
        all
    }

    /// Returns the commands, in the order of their start.
    #[must_use]
    pub fn askings(&self) -> Vec<Asking> {
        let asked = self.facts.iter().filter_map(|fact| {
            let Fact::Asked { request, command } = &fact.fact else { return None };
            Some((fact.at, *request, *command))
        });
        let asking = |(asked, request, number)| {
            let mut answers = self.facts.iter().filter_map(|fact| {
                let Fact::Answered { command, code, output, .. } = &fact.fact else { return None };
                (*command == number).then_some((fact.at, *code, output))
            });
            let answer = answers.next();
            Asking {
                request,
                asked,
                answered: answer.map(|(at, ..)| at),
                refused: answer.is_some_and(|(_, code, _)| code != Some(0)),
                output: answer.map(|(.., output)| output.clone()).unwrap_or_default(),
            }
        };
        asked.map(asking).collect()
    }

    /// Returns the first thing that did not happen within the deadline.
    #[must_use]
    pub fn waited_in_vain(&self) -> Option<&str> {
        self.facts.iter().find_map(|fact| {
            let Fact::Waited { vain } = &fact.fact else { return None };
            Some(vain.as_str())
        })
    }
}

fn latest(all: &mut [Process], pid: u32) -> Option<&mut Process> {
    all.iter_mut().rev().find(|process| process.pid == pid)
}

/// Prints the facts, one a line, with their times in seconds.
impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for TimedFact { at, fact } in &self.facts {
            writeln!(f, "{:>9}  {fact}", seconds(*at))?;
        }
        Ok(())
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Made { pid } => write!(f, "run {pid} made"),
            Self::Began { pid, parent, overlaps } => {
                let beside = if *overlaps { ", while another run lived" } else { "" };
                write!(f, "run {pid} began under {parent}{beside}")
            }
            Self::MemberBegan { pid, parent } => write!(f, "member {pid} of {parent} began"),
            Self::Signalled { pid, signal } => write!(f, "{pid} received {}", signal_name(*signal)),
            Self::Ending { pid, exit } => write!(f, "{pid} ends with {exit}"),
            Self::Gone { pid } => write!(f, "{pid} gone"),
            Self::Asked { request, command } => {
                write!(f, "command {command} asks for {}", request.name())
            }
            Self::Answered { command, code, output, .. } => {
                write!(f, "command {command} ended")?;
                match code {
                    Some(code) => write!(f, " with {code}")?,
                    None => f.write_str(" by a signal")?,
                }
                output.lines().next().map_or(Ok(()), |line| write!(f, ": {line}"))
            }
            Self::ToldToEnd => f.write_str("the supervisor is told to end"),
            Self::Crashed { pid } => write!(f, "parent {pid} killed"),
            Self::SupervisorGone => f.write_str("the supervisor is gone"),
            Self::Waited { vain } => write!(f, "waited in vain: {vain}"),
        }
    }
}

/// Returns a time in seconds, such as `1.25 s`.
#[must_use]
pub(super) fn seconds(nanos: u64) -> String {
    format!("{}.{:03} s", nanos / 1_000_000_000, nanos / 1_000_000 % 1_000)
}

/// Returns the name of a signal.
#[must_use]
pub(super) fn signal_name(number: u8) -> String {
    monitor_core::Signal::new(number)
        .map_or_else(|| number.to_string(), |signal| signal.to_string())
}
