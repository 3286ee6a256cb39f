//! Two backends for the driver of `monitor-os`, each on the processes of another runtime.
//!
//! The tests put each of them under the kit of `monitor-sim`. A backend of plain threads is the
//! example `threads_backend` of that package.

#[path = "../../threads_backend/group.rs"]
mod group;
pub mod smol;
pub mod tokio;
