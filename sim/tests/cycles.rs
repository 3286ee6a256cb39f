//! Many starts and ends on the real kernel, while descriptors and processes run out and the disk
//! hangs.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;

use libtest_mimic::{Arguments, Completion, Trial};
use monitor_os::Launcher;
use monitor_sim::real::{self, Cycles, Leftovers, Shortage, cycle};

fn main() -> ExitCode {
    // Before anything else: this may be the helper that starts programs, or a scripted child.
    drop(Launcher::enter());
    real::enter();
    let trials = vec![
        Trial::test("nothing_is_lost_or_left_while_descriptors_run_out", || {
            nothing_is_lost_or_left_while_descriptors_run_out();
            Ok(())
        }),
        Trial::ignorable_test("nothing_is_lost_while_a_user_may_have_no_process", || {
            Ok(nothing_is_lost_while_a_user_may_have_no_process())
        }),
        Trial::ignorable_test("nothing_is_lost_while_the_disk_hangs", || {
            Ok(nothing_is_lost_while_the_disk_hangs())
        }),
    ];
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn nothing_is_lost_or_left_while_descriptors_run_out() {
    assert!(cycles().no_descriptors > 0, "{:?}", cycles());
}

fn nothing_is_lost_while_a_user_may_have_no_process() -> Completion {
    met(Shortage::Processes, cycles().no_processes)
}

fn nothing_is_lost_while_the_disk_hangs() -> Completion {
    met(Shortage::Disk, cycles().disk_hung)
}

/// The one run that each test asks, because the limit of descriptors is that of the whole process.
fn cycles() -> &'static Cycles {
    static CYCLES: OnceLock<Cycles> = OnceLock::new();
    CYCLES.get_or_init(run_cycles)
}

/// Goal: every end is reported once and with its status, what is missing is reported as such,
/// shortages pass, and nothing is left.
fn run_cycles() -> Cycles {
    let before = Leftovers::find(Path::new("/")).unwrap();
    let program = env::current_exe().unwrap();
    let launcher = Launcher::at(&program);
    // Cycles go on until every shortage was met. Each one is met several times a second.
    let mut seen = Cycles::default();
    while !seen.all_met() {
        seen = cycle(&launcher, &program, 500, |_| {}).unwrap();
        assert!(seen.is_clean() && seen.started >= 500, "{seen:?}");
    }
    let after = Leftovers::find(Path::new("/")).unwrap();
    assert_eq!((after.zombies, after.descriptors), (0, before.descriptors));
    seen
}

/// Demands that a shortage was met, if it can be caused here.
fn met(shortage: Shortage, times: u64) -> Completion {
    let seen = cycles();
    if let Some(absent) = seen.absent.iter().find(|absent| absent.shortage == shortage) {
        return Completion::ignored_with(absent);
    }
    assert!(times > 0, "{seen:?}");
    Completion::Completed
}
