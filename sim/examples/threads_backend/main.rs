//! A backend of threads, under the kit for backends: a test for each scenario and each mutant.
//!
//! `cargo test -p monitor-sim --example threads_backend -- stop` runs those with `stop` in the name.

#![expect(clippy::disallowed_methods, reason = "a backend brings a clock of its own")]

mod group;
mod threads;

monitor_sim::backend_tests!(threads::Threads::new);
