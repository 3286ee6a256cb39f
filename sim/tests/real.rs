//! Cases on the real kernel: the record of each is accepted, and its runs are ones that the
//! simulator shows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use libtest_mimic::{Arguments, Completion, Trial};
use monitor_core::Millis;
use monitor_os::Launcher;
use monitor_sim::case::Case;
use monitor_sim::generate::Seeded;
use monitor_sim::real::{self, Leftovers, RealEngine, RealResult, SimulatorMatch, playable};

/// The cases that real processes can play are one test; each other stored case is ignored with its
/// reason.
fn main() -> ExitCode {
    // Before anything else: this may be the helper that starts programs, or a scripted child.
    let launcher = Launcher::enter();
    real::enter();
    let (mut played, mut trials) = (Vec::new(), Vec::new());
    for (path, case) in stored_cases() {
        match playable(&case, Millis::from_secs(5)) {
            Ok(()) => played.push(case),
            Err(why) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let ignored = move || Ok(Completion::ignored_with(why));
                trials.push(Trial::ignorable_test(format!("stored_case::{name}"), ignored));
            }
        }
    }
    trials.push(Trial::test("real_processes_run_as_in_the_simulator", move || {
        real_processes_run_as_in_the_simulator(launcher, played);
        Ok(())
    }));
    // The search for leftovers covers the whole process, so no other test may run beside.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Goal: real processes behave as the stored cases say. In drawn cases, requests meet starts and
/// ends within milliseconds: every step is accepted, every status is true, no two processes of a
/// unit live at a time, and nothing is left.
///
/// It is one test, because the search for leftovers covers the whole process.
fn real_processes_run_as_in_the_simulator(launcher: Launcher, mut cases: Vec<Case>) {
    let program = env::current_exe().unwrap();
    let mut engine = RealEngine::new(launcher, program).unwrap();
    let before = Leftovers::find(engine.folder()).unwrap();

    assert!(cases.len() >= 10, "only {} of the stored cases can be played", cases.len());
    // On a busy machine a process may start too late for its script. Its case then runs again.
    for _ in 0..TRIES {
        let mut stored = std::mem::take(&mut cases).into_iter();
        let done = |result: RealResult| {
            assert_no_fault(&result);
            if result.simulator_match == SimulatorMatch::Other {
                cases.push(result.case);
            }
        };
        engine.run(8, || stored.next(), done).unwrap();
    }
    assert!(cases.is_empty(), "other runs than in the simulator: {cases:?}");

    let drawn = |seed| real::case(&mut Seeded::new(seed));
    let limit = Millis::from_secs(2);
    let mut drawn = (0..).map(drawn).filter(|case| playable(case, limit).is_ok()).take(60);
    let mut leaked = 0;
    let next = || drawn.next();
    let done = |result: RealResult| {
        assert_no_fault(&result);
        leaked += result.leaked;
    };
    engine.run(8, next, done).unwrap();

    let after = Leftovers::find(engine.folder()).unwrap();
    after.end(engine.folder());
    assert_eq!(after.zombies, 0);
    assert_eq!(after.descriptors, before.descriptors);
    assert!(
        after.children.len() <= leaked,
        "{:?} are left, and {leaked} were reported",
        after.children
    );
}

const TRIES: u32 = 10;

fn assert_no_fault(result: &RealResult) {
    let RealResult { case, fault, records, .. } = result;
    let reported = fault.as_ref().map(ToString::to_string);
    assert_eq!(reported, None, "{case}\n{records:?}");
}

/// The cases in the folder, by their files.
fn stored_cases() -> Vec<(PathBuf, Case)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let case = fs::read_to_string(&path).unwrap().parse().unwrap();
        (path, case)
    };
    paths.into_iter().map(read).collect()
}
