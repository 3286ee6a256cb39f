//! The format of a recorded supervision: one JSON object in each line.
//!
//! People, `jq` and the simulator, which judges a record, can read it.
//!
//! ```json
//! {"record":1,"unit":0,"name":"web","policy":"restart=on-failure retries=3"}
//! {"at_us":0,"unit":0,"event":"start","phase":"starting","actions":["save","spawn #1","emit starting"]}
//! {"at_us":812,"unit":0,"event":"started #1","phase":"running","delay_ms":10000,"actions":["save","arm healthy #1 10s","emit started"]}
//! {"at_us":9120,"unit":0,"policy":"restart=no"}
//! ```
//!
//! - The first line about a unit is its head: the version of the format, the name, the policy. A
//!   unit that begins with a saved state has it as `state`: the bytes of
//!   [`State::to_bytes`](monitor_core::State::to_bytes), as hexadecimal digits.
//! - A later head of the unit begins it anew, as a monitor that was started again does. Its timers
//!   are gone, and none of its commands is awaited.
//! - A line with a policy and a time changes the policy from that time on.
//! - Every other line is an event, in the text form of [`Event`](monitor_core::Event), with the
//!   phase after it. It has the machine's commands, in the text form of
//!   [`Action`](monitor_core::Action). If the phase's timer was armed, it has the drawn delay as
//!   `delay_ms`. If the last state of the unit is not saved, it has `save`: `pending` or `failed`.
//! - `at_us` counts microseconds of the monotonic clock from the first event in the record.
//!
//! # Examples
//! ```
//! use monitor_os::record::{RecordLine, RecordReader};
//! let text = r#"{"record":1,"unit":0,"name":"web","policy":"restart=always"}
//! {"at_us":0,"unit":0,"event":"start","phase":"starting","actions":["save","spawn #1"]}"#;
//! let mut reader = RecordReader::new(text.as_bytes());
//! assert!(matches!(reader.read()?, Some((1, RecordLine::Head { .. }))));
//! let Some((2, RecordLine::Step(step))) = reader.read()? else { panic!("no step") };
//! assert_eq!(step.actions, ["save", "spawn #1"]);
//! assert_eq!(reader.read()?, None);
//! # Ok::<(), monitor_os::record::RecordError>(())
//! ```

mod fields;
mod line;
mod reader;
mod record_error;
mod recorder;

pub use line::{RecordLine, RecordedStep, VERSION};
pub use reader::RecordReader;
pub use record_error::RecordError;
pub use recorder::Recorder;
