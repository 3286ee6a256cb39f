//! The machine under test: the decisions, and the backend below them that may have an injected bug.

pub(crate) mod guard;
pub(crate) mod injected_bug;

pub use injected_bug::{InjectedBug, MachineUnderTest, WithInjectedBug};
