//! A second, naive machine: all rules once more, written from their documentation and not from the core.
//!
//! It has no phases. It keeps plain facts (a spawn is in flight, a process lives, it was asked to end) and
//! derives the phase from them; it may allocate and use floating point. It shares the vocabulary with the
//! core (events, rules, reasons) and no rule. [`Compared`](super::Compared) holds any machine against it, step by step:
//! two implementations with different structure rarely make the same mistake.

mod endings;
mod recovery;
mod requests;
pub(crate) mod rules;
pub(crate) mod scribe;
mod service;
pub(crate) mod state;

pub use rules::step;
pub use state::{RefAction, RefState, RefTimer};
