//! The processes that this process has started, directly or not, and how they are ended.

use std::collections::{BTreeMap, BTreeSet};
use std::{fs, io, process};

use monitor_core::Millis;
use monitor_os::now;
use nix::poll::{PollTimeout, poll};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::real::process_identity::{ProcessIdentity, state_and_parent};

/// Makes orphans of descendants children of this process, so that none is lost.
///
/// # Errors
/// The kernel refuses it.
pub(super) fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Reaps children that ended, except those that are waited for elsewhere.
pub(super) fn reap_orphans(except: &BTreeSet<u32>) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
    while let Ok(status) = waitid(Id::All, flags | WaitPidFlag::WNOWAIT) {
        let Some(pid) = status.pid() else { return };
        let is_foreign = u32::try_from(pid.as_raw()).is_ok_and(|pid| except.contains(&pid));
        if is_foreign || waitid(Id::Pid(pid), flags).is_err() {
            return;
        }
    }
}

/// Kills all descendants and reaps them; returns those that outlive the deadline.
///
/// # Errors
/// `/proc` cannot be read.
pub(super) fn end_descendants() -> io::Result<BTreeSet<u32>> {
    let deadline = now().after(DEADLINE);
    loop {
        reap_orphans(&BTreeSet::new());
        let left = descendants()?;
        if left.is_empty() || now() > deadline {
            return Ok(left);
        }
        for &pid in &left {
            kill(pid, Signal::KILL);
        }
        pause();
    }
}

/// How long killed processes may take to end.
const DEADLINE: Millis = Millis::from_secs(30);

/// Waits for a moment, so that a loop does not take the whole machine.
fn pause() {
    // An interruption ends it earlier, as good.
    poll(&mut [], PollTimeout::from(10_u8)).ok();
}

/// Sends a signal to a descendant, if it still is one.
pub(super) fn kill(pid: u32, signal: Signal) {
    let identity = ProcessIdentity::of(pid).map(ProcessIdentity::ticks);
    let held = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let held = held.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    // Looked at again while it is held: the number cannot go to another any more.
    let Some(held) = held.filter(|_| {
        identity.is_ok_and(|ticks| ProcessIdentity::of(pid).is_ok_and(|it| it.ticks() == ticks))
            && descendants().is_ok_and(|all| all.contains(&pid))
    }) else {
        return;
    };
    // It has ended meanwhile: as good.
    pidfd_send_signal(held, signal).ok();
}

/// Finds all descendants of this process that live.
pub(super) fn descendants() -> io::Result<BTreeSet<u32>> {
    let mut children = BTreeMap::<u32, Vec<u32>>::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // A process that cannot be read has ended meanwhile.
        let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else { continue };
        if let Some((state, parent)) = state_and_parent(&stat)
            && state != 'Z'
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut left) = (BTreeSet::new(), vec![process::id()]);
    while let Some(parent) = left.pop() {
        let new = children.remove(&parent).unwrap_or_default();
        left.extend(new.iter().copied());
        found.extend(new);
    }
    Ok(found)
}
