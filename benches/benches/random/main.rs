//! The random engines against their peers, each on an equal schedule in the same run.
//!
//! - `core`: schedules of 32 inputs against proptest-state-machine.
//! - `driver`: the lifecycle of a supervised process against madsim and turmoil. The simulator of
//!   madsim exists only with `RUSTFLAGS="--cfg madsim"`. Without it, that contestant is missing.

#[path = "../contest/mod.rs"]
mod contest;
mod core;
mod driver;

fn main() {
    core::compare();
    driver::compare();
}
