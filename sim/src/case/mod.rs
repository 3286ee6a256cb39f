//! The case: a policy, what each process does, and what is asked when. The artifact of the search.
//!
//! The text form is made to be read, edited and kept:
//!
//! ```text
//! policy restart=always jitter=0%
//! process #1 starts=5ms lives=1s exits=code=1 term=ignored
//! process rest lives=forever
//! saves fail-until=500ms
//! timers late=3ms
//! 0ms start
//! 1s50ms stop grace=5s
//! 2s policy restart=no
//! ```
//!
//! What goes wrong in the world is said in the same way: by words of a process, by lines about the
//! whole, and by inputs at their time. More units on the same driver follow their lines `unit`, and
//! inputs name them by their number:
//!
//! ```text
//! policy restart=always
//! process rest notice=lost signals=refused output=3s
//! unit
//! policy restart=on-failure
//! process rest lives=1s notice=late:5s
//! pids 3
//! disk tears
//! 0ms start
//! 0ms @1 start
//! 1s wall +1h
//! 2s suspend 10m
//! 3s crash after=2 down=1s
//! 4s reboot
//! 5s stop-faults
//! ```
//!
//! Lines may also say what is expected to come of it: [`Expected`]. A `#` between spaces begins a
//! comment.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod definition;
pub(crate) mod error;
pub(crate) mod expected;
mod expected_error;
pub(crate) mod input;
mod input_text;
mod json;
pub(crate) mod script;
mod script_text;
mod text;

pub use answer::Answer;
pub use definition::{Case, DiskFault, Other};
pub use error::{CaseError, CaseErrorKind};
pub use expected::{Expected, ExpectedStep, Trigger};
pub use expected_error::ExpectedError;
pub use input::{InputKind, Jump, TimedInput};
#[cfg(feature = "schema")]
pub use json::schema;
pub use json::{CaseJson, CaseJsonError, ExpectedJson, InputJson, OtherJson, StepJson};
pub use script::{ExitNotice, OnStop, OutputHold, Script, SignalDelivery, Start};
