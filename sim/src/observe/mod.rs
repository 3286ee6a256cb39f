//! Judges supervisors as they are, by the processes that they run.
//!
//! A file describes a supervisor: its configuration, its commands and what it claims. The program
//! that it runs is a scripted child, which writes down its own starts, signals and ends. Each
//! [`Scenario`] of the suite has one rule, and judges it from these facts.
//!
//! Order, counts and least durations are judged. A longest duration never is.

mod child_lines;
mod descendants;
mod feature;
mod file;
mod matrix;
mod player;
mod recording;
mod rules;
mod scenario;
mod scene;
mod steps;
mod suite;
mod supervisor;
mod table;
mod template;

pub use feature::{Feature, Unfit};
pub use file::{FileMistake, parse};
pub use matrix::{Cell, Column, Matrix, Plan, Tally, observe};
pub use player::enter;
pub use recording::{Asking, Fact, Process, Recording, TimedFact};
pub use rules::{Finding, Judge, Verdict};
pub use scenario::{Class, Scenario, Step};
pub use suite::{SUITE, scenario};
pub use supervisor::{
    CommandLine, Crash, CrashRuns, DelayFrom, Deviation, FileTemplate, Limit, PolicyName, Remains,
    RemainsRules, Request, Requests, Restarts, Shutdown, ShutdownRuns, SignalName, Span, Status,
    Stop, StopGrace, Supervisor,
};
pub use template::{Placeholder, Template, TemplateError};
