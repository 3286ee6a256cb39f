//! Cases on the real kernel: the record of each is accepted, and its life is one that the simulator knows.

use std::fs;
use std::path::{Path, PathBuf};

use monitor_core::Millis;
use monitor_os::Launcher;
use monitor_sim::case::Case;
use monitor_sim::choices::Seeded;
use monitor_sim::real::{self, Leftovers, Likeness, Performance, Stage, fit};

/// Goal: the files that the simulator keeps to, real processes keep to as well; and in drawn cases, in which
/// requests meet starts and ends within milliseconds, every step is accepted, every status is true, no two live at a
/// time, and nothing is left.
///
/// One test, because what is left is asked of the whole process.
#[test]
fn real_processes_live_as_in_the_simulator() {
    let program = env!("CARGO_BIN_EXE_monitor-sim");
    let mut stage = Stage::new(Launcher::at(program), program).unwrap();
    let before = Leftovers::look(stage.folder()).unwrap();

    let mut cases = kept_cases();
    assert!(cases.len() >= 10, "only {} of the kept cases can be played", cases.len());
    // On a machine that does other things a process may start too late for its story: it gets another try.
    for _ in 0..TRIES {
        let mut kept = std::mem::take(&mut cases).into_iter();
        let done = |performance: Performance| {
            assert_no_fault(&performance);
            if performance.likeness == Likeness::Other {
                cases.push(performance.case);
            }
        };
        stage.perform(8, || kept.next(), done).unwrap();
    }
    assert!(cases.is_empty(), "other lives than in the simulator: {cases:?}");

    let drawn = |seed| real::case(&mut Seeded::new(seed));
    let limit = Millis::from_secs(2);
    let mut drawn = (0..).map(drawn).filter(|case| fit(case, limit).is_ok()).take(60);
    let mut leaked = 0;
    let next = || drawn.next();
    let done = |performance: Performance| {
        assert_no_fault(&performance);
        leaked += performance.leaked;
    };
    stage.perform(8, next, done).unwrap();

    let after = Leftovers::look(stage.folder()).unwrap();
    after.end(stage.folder());
    assert_eq!(after.zombies, 0);
    assert_eq!(after.descriptors, before.descriptors);
    assert!(after.actors.len() <= leaked, "{:?} are left, and {leaked} were told", after.actors);
}

const TRIES: u32 = 10;

fn assert_no_fault(performance: &Performance) {
    let Performance { case, fault, records, .. } = performance;
    let told = fault.as_ref().map(ToString::to_string);
    assert_eq!(told, None, "{case}\n{records:?}");
}

/// The cases in the folder that can be played within some seconds. What is in the way of the others is printed.
#[expect(clippy::unwrap_used, reason = "a test ends where its files are not there")]
#[expect(clippy::print_stdout, reason = "what is skipped is said, and why")]
fn kept_cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let case = |path: PathBuf| {
        let case: Case = fs::read_to_string(&path).unwrap().parse().unwrap();
        match fit(&case, Millis::from_secs(5)) {
            Ok(()) => Some(case),
            Err(unfit) => {
                println!("skipped {}: {unfit}", path.display());
                None
            }
        }
    };
    paths.into_iter().filter_map(case).collect()
}
