//! Draws cases: from seeds, from bytes, and as strategies of `proptest`.

pub(crate) mod choices;
pub(crate) mod chooser;
pub(crate) mod elements;
mod faults;
pub(crate) mod race;
mod race_cases;
pub(crate) mod seeds;
#[cfg(feature = "proptest")]
pub mod strategy;

pub use choices::{Choices, FromBytes, Seeded};
pub use chooser::Chooser;
pub use elements::{delay, echo, grace, policy, request, script, stop};
pub use race::Race;
pub use seeds::{Aim, case, draw, seeds};
