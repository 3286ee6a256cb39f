//! The backend of `smol` under the kit: a test for each scenario and each mutant.

monitor_sim::backend_tests!(backends::smol::Smol::new);
