//! Judges a recorded supervision against its contract: commands, times, timers and answers.
//!
//! The record shows the events and the commands, so it shows these rules of the contract: C1, C2,
//! C4 to C11, C13, C15, C17, C18, C26 and C30. Whether a command had its effect on a process is not
//! in it.
//!
//! # Examples
//! ```
//! use monitor_os::record::RecordReader;
//! use monitor_sim::conform::record::{RecordFault, Tolerance, record};
//!
//! let text = r#"{"record":1,"unit":0,"name":"web","policy":"restart=always healthy-after=10s"}
//! {"at_us":0,"unit":0,"event":"start","phase":"starting","actions":["save","spawn #1","emit starting"]}
//! {"at_us":812,"unit":0,"event":"started #1","phase":"running","delay_ms":10000,"actions":["save","begin-service #1","arm healthy #1 10s","emit started"]}
//! {"at_us":9000812,"unit":0,"event":"fired healthy #1","phase":"running","actions":["emit healthy"]}"#;
//! let fault = record(&mut RecordReader::new(text.as_bytes()), Tolerance::default()).unwrap_err();
//! let RecordFault::Violation(violation) = fault else { panic!("{fault}") };
//! assert_eq!((violation.line, violation.rule.id()), (4, "C11"));
//! ```

mod judge;
mod mutants;
mod record_text;
mod rule;
mod timers;
mod tolerance;
mod trace;
mod unit;
mod violation;

pub use judge::{RecordFault, RecordSummary, Unanswered, record};
pub use mutants::{RecordMutant, mutants};
pub use rule::Rule;
pub use timers::WatchdogDelay;
pub use tolerance::Tolerance;
pub use trace::trace;
pub use unit::Awaited;
pub use violation::ContractViolation;
