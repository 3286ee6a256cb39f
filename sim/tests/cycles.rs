//! Many starts and ends on the real kernel, while descriptors and processes run out and the disk hangs.

use std::path::Path;

use monitor_os::Launcher;
use monitor_sim::real::{Cycles, Leftovers, cycle};

/// Goal: every end is reported once and with its status, what is missing is reported as such, shortages pass, and
/// nothing is left. One test, because the limit is that of the whole process.
#[test]
fn nothing_is_lost_or_left_while_descriptors_run_out() {
    let before = Leftovers::find(Path::new("/")).unwrap();
    let program = env!("CARGO_BIN_EXE_monitor-sim");
    // Until every shortage was met, which it is several times a second.
    let mut seen = Cycles::default();
    while !seen.all_met() {
        seen = cycle(&Launcher::at(program), Path::new(program), 500, |_| {}).unwrap();
        assert!(seen.is_clean() && seen.started >= 500, "{seen:?}");
    }
    seen.absent.iter().for_each(|what| println!("passed over in part: {what}"));
    let after = Leftovers::find(Path::new("/")).unwrap();
    assert_eq!((after.zombies, after.descriptors), (0, before.descriptors));
}
