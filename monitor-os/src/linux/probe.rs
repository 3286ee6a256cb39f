//! The probe that finds the features of the kernel by trying them.

use rustix::process::{PidfdFlags, child_subreaper, getpid, pidfd_open};

use crate::linux::cgroup::Cgroups;
use crate::linux::kernel_features::KernelFeatures;
use crate::linux::procfs::inode;
use crate::linux::sys::exit_status;

impl KernelFeatures {
    /// Tries every feature once; an error of any kind means that the feature is absent.
    #[must_use]
    pub fn probe() -> Self {
        let own = pidfd_open(getpid(), PidfdFlags::empty());
        let mut features = Self {
            pidfs_inode: own.as_ref().is_ok_and(|own| matches!(inode(own), Ok(Some(_)))),
            pidfd_info: own.is_ok_and(|own| exit_status(own).is_ok()),
            subreaper: child_subreaper().is_ok(),
            ..Self::NONE
        };
        if let Some(groups) = Cgroups::find()
            && groups.may_move()
            && let Ok(cgroup) = groups.make(Self::NONE)
        {
            let writes = |file| std::fs::write(cgroup.directory().join(file), "1").is_ok();
            features.cgroup = true;
            features.cgroup_kill = writes("cgroup.kill");
            features.cgroup_freeze = writes("cgroup.freeze");
        }
        features
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probing_is_repeatable_and_leaves_nothing() {
        assert_eq!(KernelFeatures::probe(), KernelFeatures::probe());
        assert!(KernelFeatures::probe().subreaper, "every kernel since Linux 3.4 has it");
    }
}
