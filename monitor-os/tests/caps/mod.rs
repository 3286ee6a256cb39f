//! What the tests let a supervisor have of the kernel, and a name for each part of it.

use super::Caps;

/// All that the kernel at hand has, less what the variable `MONITOR_TEST_MASK` names: `tests/masked/run.sh` runs the tests
/// once for each name. The program does not know the variable.
pub(crate) fn caps() -> Caps {
    let names = std::env::var("MONITOR_TEST_MASK").unwrap_or_default();
    without(Caps::probe(), &names.split_ascii_whitespace().collect::<Vec<_>>())
}

/// Masks what is named.
pub(crate) fn without(mut caps: Caps, names: &[&str]) -> Caps {
    for name in names {
        assert!(NAMED.iter().any(|(known, _)| known == name), "no capability is called {name:?}");
    }
    for (_, of) in NAMED.iter().filter(|(known, _)| names.contains(known)) {
        *of(&mut caps) = false;
    }
    caps
}

/// Where a capability is.
pub(crate) type Place = fn(&mut Caps) -> &mut bool;

/// A name for each capability, and the place where it is.
pub(crate) const NAMED: [(&str, Place); 6] = [
    ("pidfs_inode", |caps| &mut caps.pidfs_inode),
    ("pidfd_info", |caps| &mut caps.pidfd_info),
    ("cgroup", |caps| &mut caps.cgroup),
    ("cgroup_kill", |caps| &mut caps.cgroup_kill),
    ("cgroup_freeze", |caps| &mut caps.cgroup_freeze),
    ("subreaper", |caps| &mut caps.subreaper),
];
