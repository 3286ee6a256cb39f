//! Linux, one file for each facility: safe and typed primitives without any decision.
//!
//! Linux 5.4 is the oldest kernel with every required facility (`waitid(2)` on a pidfd). The
//! features of later kernels are a value, [`KernelFeatures`](kernel_features::KernelFeatures).

pub(crate) mod cgroup;
pub(crate) mod clock;
pub(crate) mod containment;
pub(crate) mod descriptors;
pub(crate) mod epoll;
pub(crate) mod group;
pub(crate) mod guarded;
pub(crate) mod identity;
pub(crate) mod kernel_features;
pub(crate) mod leader_pid;
pub(crate) mod limit;
pub(crate) mod mark;
pub(crate) mod notify;
pub(crate) mod oom;
pub(crate) mod orphans;
pub(crate) mod path_error;
pub(crate) mod path_trust;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod procfs;
pub(crate) mod pty;
pub(crate) mod run_name;
pub(crate) mod signal;
pub(crate) mod signals;
pub(crate) mod stop_signals;
pub(crate) mod sys;
pub(crate) mod timer;
pub(crate) mod wake;
