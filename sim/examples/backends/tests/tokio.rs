//! The backend of `tokio` under the kit: a test for each scenario and each mutant.

monitor_sim::backend_tests!(backends::tokio::Tokio::new);
