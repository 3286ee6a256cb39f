//! The result of a case on real processes.

use std::fmt;

use monitor_core::{Exit, Millis};

use crate::case::definition::Case;
use crate::conform::record::ContractViolation;

/// The result of a case on real processes.
#[derive(Debug)]
#[non_exhaustive]
pub struct RealResult {
    /// The case.
    pub case: Case,
    /// Steps that were recorded and checked.
    pub steps: usize,
    /// Runs whose process existed.
    pub runs: usize,
    /// The exit of each run whose end was reported.
    pub exits: Vec<Exit>,
    /// Runs that left something behind, as it was reported.
    pub leaked: usize,
    /// The comparison of the observed runs with those of the simulator.
    pub simulator_match: SimulatorMatch,
    /// The first fault.
    pub fault: Option<RealFault>,
    /// The records of its units, in the order of their numbers.
    pub records: Vec<String>,
}

/// A comparison of the runs of a case with those of the simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SimulatorMatch {
    /// The runs are those of the case.
    Same,
    /// The simulator shows these runs if starts and timers are a little late.
    Late,
    /// The simulator does not show these runs. This may happen if inputs meet within milliseconds.
    Other,
}

/// A fault of a case on real processes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RealFault {
    /// The record violates the contract.
    Violates(Box<ContractViolation>),
    /// The record cannot be read.
    Unreadable(String),
    /// The case was not down within a minute of its kill.
    NotDown,
    /// The reported status of a run is one that it cannot have ended with.
    WrongStatus {
        /// The run.
        run: u32,
        /// The reported status.
        reported: Exit,
    },
    /// The exit of a run is not known.
    Lost {
        /// The run.
        run: u32,
    },
    /// A scripted child complains: it was the second at a time, or could not follow its script.
    Complaint(String),
    /// More runs began than were reported.
    Unrecorded {
        /// Runs that have begun.
        begun: u32,
        /// Runs that were reported.
        reported: u32,
    },
}

impl fmt::Display for RealFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violates(violation) => violation.fmt(f),
            Self::Unreadable(error) => write!(f, "the record cannot be read: {error}"),
            Self::NotDown => {
                write!(f, "not down {} s after its kill", CASE_TIMEOUT.as_u32() / 1_000)
            }
            Self::WrongStatus { run, reported } => {
                write!(f, "run #{run} cannot have ended with {reported}")
            }
            Self::Lost { run } => write!(f, "the status of run #{run} was lost"),
            Self::Complaint(complaint) => write!(f, "a scripted child complains: {complaint}"),
            Self::Unrecorded { begun, reported } => {
                write!(f, "{begun} runs have begun, and {reported} were reported")
            }
        }
    }
}

impl std::error::Error for RealFault {}

/// How long a case may take for what it has to do within milliseconds.
pub(super) const CASE_TIMEOUT: Millis = Millis::from_secs(60);
