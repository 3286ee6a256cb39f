//! The reference machine: a second, naive implementation of all rules.
//!
//! It was written from the documentation of the rules, not from the core. It has no phases. It
//! keeps plain facts (a spawn is in flight, a process lives, it was asked to end) and derives the
//! phase from them. It may allocate and use floating point.
//!
//! It shares the vocabulary with the core (events, rules, reasons) and no rule, because two
//! implementations with different structure rarely make the same mistake.
//! [`Compared`](super::Compared) compares any machine with it, step by step.

mod endings;
mod recovery;
mod requests;
pub(crate) mod rules;
pub(crate) mod scribe;
mod service;
pub(crate) mod state;

pub use rules::step;
pub use state::{RefAction, RefService, RefState, RefTimer};
