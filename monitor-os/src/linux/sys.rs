//! System calls without a safe interface: the only unsafe code of this crate.
#![expect(
    unsafe_code,
    reason = "an ioctl, a signal disposition, descriptors by number and the allocator have no safe interface"
)]

use std::os::fd::{AsFd, RawFd};

use nix::sys::signal::{SigHandler, Signal, signal};
use rustix::io::Errno;
use rustix::ioctl::{Updater, ioctl, opcode};

/// Returns the exit of a process by its pidfd, as the status of `wait(2)`, even of a process that
/// is no child.
///
/// The result is `Ok(None)` until the process is reaped, because a zombie keeps its status for its
/// parent.
///
/// # Errors
/// The kernel cannot report it (before Linux 6.15), or the process is gone and its status was not
/// kept.
///
/// # Source
/// `PIDFD_GET_INFO` and `struct pidfd_info` of `<linux/pidfd.h>`.
pub(crate) fn exit_status(pidfd: impl AsFd) -> Result<Option<i32>, Errno> {
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the opcode names the size of `PidfdInfo`, all of whose bit patterns are valid, and
    // the kernel writes no more than that size.
    let request = unsafe { Updater::<PIDFD_GET_INFO, PidfdInfo>::new(&mut info) };
    // SAFETY: the request is the one that the opcode stands for, and the reference in it is alive.
    unsafe { ioctl(pidfd, request) }?;
    Ok((info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code))
}

/// Restores the default of SIGPIPE, which Rust ignores, so that `execve` does not pass the ignoring
/// on.
pub(crate) fn restore_sigpipe() {
    // SAFETY: the default disposition runs no code of this crate, and none was registered before.
    let restored = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    debug_assert!(restored.is_ok(), "SIGPIPE is a signal whose disposition may be set");
}

/// Marks the open descriptors from `first` to `last`, both included, to be closed by the next exec.
///
/// # Errors
/// ENOSYS or EINVAL: the kernel lacks the call (before Linux 5.11); some may be marked.
///
/// # Source
/// `close_range(2)`, `CLOSE_RANGE_CLOEXEC`.
pub(crate) fn close_range_on_exec(first: u32, last: u32) -> Result<(), Errno> {
    use nix::libc::{CLOSE_RANGE_CLOEXEC, SYS_close_range, syscall};
    // SAFETY: the call takes three numbers, and reads and writes no memory. It closes nothing
    // before an exec, which ends every owner of a descriptor in this process.
    let done = unsafe { syscall(SYS_close_range, first, last, CLOSE_RANGE_CLOEXEC) };
    if done == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Marks a descriptor to be closed by the next exec; a number that is not open is skipped.
///
/// # Source
/// `fcntl(2)`, `F_SETFD`.
pub(crate) fn close_on_exec(number: RawFd) {
    use nix::libc::{F_SETFD, FD_CLOEXEC, fcntl};
    // SAFETY: the call takes three numbers and touches no memory; EBADF is its one error. It closes
    // nothing before an exec, which ends every owner of a descriptor in this process.
    unsafe { fcntl(number, F_SETFD, FD_CLOEXEC) };
}

fn last_errno() -> Errno {
    Errno::from_raw_os_error(nix::errno::Errno::last_raw())
}

/// Returns freed memory of this process to the system, which the allocator would keep.
///
/// Call it after a large temporary use, such as reading a large file. It does nothing if the C
/// library is not glibc.
///
/// # Source
/// `malloc_trim(3)`.
pub fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes any number, locks the memory that it inspects, and touches free memory
    // only.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

/// The first version of `struct pidfd_info`, which every later kernel fills too.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    /// pid, tgid, ppid, and the four kinds of user and group id.
    numbers: [u32; 11],
    exit_code: i32,
}

const PIDFD_GET_INFO: rustix::ioctl::Opcode = opcode::read_write::<PidfdInfo>(0xff, 11);
const PIDFD_INFO_EXIT: u64 = 1 << 3;

const _: () = assert!(size_of::<PidfdInfo>() == 64, "PIDFD_INFO_SIZE_VER0");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{shell, sleeper, wait_readable};

    /// The kernel of the machine may be too old to report an exit; then it must report an error.
    #[test]
    fn status_is_known_once_reaped() {
        let process = shell("exit 42");
        let pidfd = process.as_fd().try_clone_to_owned().unwrap();
        wait_readable(&pidfd);
        let zombie = exit_status(&pidfd);
        process.reap().unwrap();
        match exit_status(&pidfd) {
            Ok(status) => assert_eq!((zombie, status), (Ok(None), Some(42 << 8))),
            Err(errno) => assert!(matches!(errno, Errno::NOTTY | Errno::INVAL | Errno::SRCH)),
        }
    }

    /// Goal: every descriptor in the range is marked, and none outside of it. Method: two
    /// descriptors that an exec would pass on, with numbers that no other test has.
    #[test]
    fn descriptors_are_marked_by_number() {
        use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_getfd, fcntl_setfd};
        use std::os::fd::AsRawFd;

        let null = std::fs::File::open("/dev/null").unwrap();
        let leaky = || {
            let fd = fcntl_dupfd_cloexec(&null, 300).unwrap();
            fcntl_setfd(&fd, FdFlags::empty()).unwrap();
            fd
        };
        let [first, second, other] = [leaky(), leaky(), leaky()];
        let number = u32::try_from(first.as_raw_fd()).unwrap();
        let is_marked = |fd| fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC);
        match close_range_on_exec(number, number) {
            Ok(()) => assert!(is_marked(&first)),
            Err(errno) => assert!(matches!(errno, Errno::NOSYS | Errno::INVAL), "{errno}"),
        }
        close_on_exec(second.as_raw_fd());
        assert!(is_marked(&second) && !is_marked(&other));
        close_on_exec(RawFd::MAX);
        assert_eq!(close_range_on_exec(2, 1), Err(Errno::INVAL));
    }

    #[test]
    fn who_lives_has_no_status() {
        let process = sleeper();
        assert!(!matches!(exit_status(&process), Ok(Some(_))));
        process.stop_group(9).unwrap();
        crate::testing::finish(process);
    }
}
