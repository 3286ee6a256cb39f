//! A campaign that GNU parallel runs in shards.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() -> ExitCode {
    let trial = Trial::ignorable_test("gnu_parallel_adds_up_to_one_run", add_up_to_one_run);
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}

fn add_up_to_one_run() -> Result<Completion, Failed> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parallel.sh");
    let output =
        Command::new("sh").args([script, env!("CARGO_BIN_EXE_monitor-sim")]).output().unwrap();
    match output.status.code() {
        Some(0) => Ok(Completion::Completed),
        Some(77) => {
            Ok(Completion::ignored_with("GNU parallel is not installed (Debian: parallel)"))
        }
        _ => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
    }
}
