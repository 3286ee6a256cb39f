//! What the tests let a supervisor have of the kernel, and a name for each part of it.

use super::KernelFeatures;

/// All that the kernel at hand has, less what the variable `MONITOR_TEST_MASK` names:
/// `tests/masked/run.sh` runs the tests once for each name. The program does not know the variable.
pub(crate) fn available() -> KernelFeatures {
    let names = std::env::var("MONITOR_TEST_MASK").unwrap_or_default();
    without(KernelFeatures::probe(), &names.split_ascii_whitespace().collect::<Vec<_>>())
}

/// Masks what is named.
pub(crate) fn without(mut features: KernelFeatures, names: &[&str]) -> KernelFeatures {
    for name in names {
        assert!(NAMED.iter().any(|(known, _)| known == name), "no capability is called {name:?}");
    }
    for (_, of) in NAMED.iter().filter(|(known, _)| names.contains(known)) {
        *of(&mut features) = false;
    }
    features
}

/// Where a capability is.
pub(crate) type Place = fn(&mut KernelFeatures) -> &mut bool;

/// A name for each capability, and the place where it is.
pub(crate) const NAMED: [(&str, Place); 6] = [
    ("pidfs_inode", |features| &mut features.pidfs_inode),
    ("pidfd_info", |features| &mut features.pidfd_info),
    ("cgroup", |features| &mut features.cgroup),
    ("cgroup_kill", |features| &mut features.cgroup_kill),
    ("cgroup_freeze", |features| &mut features.cgroup_freeze),
    ("subreaper", |features| &mut features.subreaper),
];
