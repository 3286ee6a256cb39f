//! The real engine: the same cases on Linux, with processes that follow their scripts.
//!
//! A [`Stage`] runs any number of cases at once under one supervisor of `monitor-os`. What it recorded must
//! be accepted by the machine and the oracles, step by step; the lives that observers were told of must be
//! among those that the simulator knows; and what is told must be true. Time is real here, so a case whose
//! inputs meet within milliseconds may go either way: the simulator is asked for all ways that it finds when
//! starts and timers are a little late ([`lives()`]).
//!
//! What only a virtual world can do, a case for this engine must not ask for: [`Unfit`].

mod actor;
mod cycles;
mod disk;
mod draw;
mod fit;
mod kills;
mod lives;
mod saga;
mod scan;
mod stage;
mod steps;
mod traced;

pub use actor::{Actor, enter};
pub use cycles::{Cycles, cycle};
pub use draw::case;
pub use fit::{Unfit, fit};
pub use kills::{Kills, kill_monitors};
pub use lives::{Life, lives};
pub use scan::Leftovers;
pub use stage::{Fault, Likeness, Performance, Stage};
pub use steps::{Cast, Protocol, Resumed, Trial};
pub use traced::Step;
