//! The driver of this crate under `monitor-sim`: right as it is, and wrong with each bug.

use monitor_sim::conform;
use outside::Bug;

monitor_sim::driver_tests!(|kernel| outside::run(kernel, None));

/// Each bug is found, as it would be if somebody wrote it by mistake.
#[test]
fn each_bug_is_found() {
    let folder = std::env::temp_dir().join(format!("outside-{}", std::process::id()));
    let missed: Vec<Bug> = Bug::ALL
        .into_iter()
        .filter(|&bug| {
            let kit = conform::driver(|kernel| outside::run(kernel, Some(bug)));
            kit.with_regressions(&folder).check().is_ok()
        })
        .collect();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(missed, []);
}
