//! The exhaustive engine: every reachable state of the machine in an adversarial environment.
//!
//! The environment may do anything a driver could pass on: every request at any time, every fact
//! about the current run early, late or twice, news of other runs, any armed timer (and, to be
//! refused, any other), another policy, and a crash of the monitor followed by its recovery.
//! Durations are abstracted: an armed timer may fire at any time, which covers every real order. A
//! save that fails is an input as well: where the policy requires it, a driver turns it into a
//! start that fails transiently, and elsewhere it changes nothing that the machine sees.
//!
//! Breadth first, so the first violation found is a shortest one. What holds only in the long run
//! is asked of the finished graph: every stop and every restart ends, and no run follows the other
//! without any time having passed.

mod candidates;
pub(crate) mod exploration;
pub(crate) mod family;
pub(crate) mod finding;
pub(crate) mod input;
mod inputs;
mod interner;
mod liveness;
mod outline;
mod packed;
mod product;
mod search;
mod search_state;
mod search_states;
mod settings;

pub use exploration::{explore, walk};
pub use family::{FamilyMember, family};
pub use finding::{Counterexample, Exploration};
pub use input::{Input, event_name, input_name};
pub use inputs::Model;
pub use search_state::SearchState;
