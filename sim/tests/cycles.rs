//! Many starts and ends on the real kernel, while the process has no descriptors now and then.

use std::path::Path;

use monitor_os::Launcher;
use monitor_sim::real::{Cycles, Leftovers, cycle};

/// Goal: every end is told once and with its status, what is missing is told as such, a want of descriptors passes,
/// and nothing is left. One test, because the limit is that of the whole process.
#[test]
fn nothing_is_lost_or_left_while_descriptors_run_out() {
    let before = Leftovers::look(Path::new("/")).unwrap();
    let launcher = Launcher::at(env!("CARGO_BIN_EXE_monitor-sim"));
    // Until a shortage has hit, which it does several times a second.
    let mut seen = Cycles::default();
    while seen.exhausted == 0 {
        seen = cycle(&launcher, 500, |_| {}).unwrap();
        assert_eq!((seen.lied, seen.started - seen.ended, seen.up), (0, 0, 0), "{seen:?}");
        assert!(seen.started >= 500 && seen.missing > 0, "{seen:?}");
    }
    let after = Leftovers::look(Path::new("/")).unwrap();
    assert_eq!((after.zombies, after.descriptors), (0, before.descriptors));
}
