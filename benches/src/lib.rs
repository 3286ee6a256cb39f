//! The input of all benchmarks: a recorded log of events, and the loops that replay it.

mod mix;
mod replay;

pub use mix::{EVENTS, Mix, recorded_mix};
pub use replay::{Transition, deliver, empty, replay, stand_still};
