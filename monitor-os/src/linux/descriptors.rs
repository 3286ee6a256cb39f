//! Descriptors above the standard streams: a program gets only those that its command names.
//!
//! This process may hold descriptors without close-on-exec. Its parent left one open, or another
//! library of the host opened one. A program of another user must not read through them files that
//! only this process may read.

use std::fs;
use std::io;
use std::os::fd::RawFd;

use rustix::io::Errno;

use crate::linux::sys::{close_on_exec, close_range_on_exec};

/// Marks every descriptor above 2 close-on-exec, except `kept`; this process has one thread.
///
/// # Errors
/// The kernel has no `close_range(2)` with `CLOSE_RANGE_CLOEXEC` (before Linux 5.11), and `/proc`
/// cannot be read.
pub(crate) fn keep_only(kept: Option<u8>) -> io::Result<()> {
    let kept = kept.map(u32::from);
    let below = kept.map_or(Ok(()), |kept| mark(FIRST, kept - 1));
    match below.and_then(|()| mark(kept.map_or(FIRST, |kept| kept + 1), u32::MAX)) {
        Ok(()) => Ok(()),
        Err(_) => keep_only_by_list(kept),
    }
}

fn mark(first: u32, last: u32) -> Result<(), Errno> {
    if first > last { Ok(()) } else { close_range_on_exec(first, last) }
}

/// Marks the descriptors one by one, for kernels that cannot mark a range.
fn keep_only_by_list(kept: Option<u32>) -> io::Result<()> {
    for number in above_streams()? {
        if u32::try_from(number).ok() != kept {
            close_on_exec(number);
        }
    }
    Ok(())
}

/// Lists the open descriptors above 2, including the one of the listing, which is closed again.
///
/// # Errors
/// `/proc` cannot be read, or no descriptor is left.
pub(crate) fn above_streams() -> io::Result<Vec<RawFd>> {
    let entries = fs::read_dir("/proc/self/fd")?;
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<RawFd>().ok();
    let numbers = entries.map(|entry| entry.map(number)).collect::<io::Result<Vec<_>>>()?;
    let above = |number: &RawFd| u32::try_from(*number).is_ok_and(|number| number >= FIRST);
    Ok(numbers.into_iter().flatten().filter(above).collect())
}

/// The first number above the standard streams.
const FIRST: u32 = 3;

#[cfg(test)]
mod tests {
    use std::os::fd::{AsRawFd, OwnedFd};

    use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

    use super::*;
    use crate::command::Command;
    use crate::linux::process::WaitStatus;
    use crate::testing::{finish, spawn};

    /// A descriptor that an exec would pass on, above those that other tests open.
    fn leaky() -> OwnedFd {
        let null = fs::File::open("/dev/null").unwrap();
        let leaky = rustix::io::fcntl_dupfd_cloexec(&null, 100).unwrap();
        fcntl_setfd(&leaky, FdFlags::empty()).unwrap();
        leaky
    }

    fn is_marked(fd: &OwnedFd) -> bool {
        fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC)
    }

    /// Goal: a range and a list mark all descriptors but the named one, whether or not the kernel
    /// supports ranges. Method: marks hold for the whole process. This binary is therefore started
    /// again with the test below, which is ignored otherwise.
    #[test]
    fn all_but_one_are_marked() {
        let test = std::env::current_exe().unwrap();
        let name = "linux::descriptors::tests::under_marked_descriptors";
        let arguments = ["--ignored", "--exact", "--test-threads=1", name].map(Into::into);
        let command = Command::new(test, arguments as [std::ffi::OsString; 4]).unwrap();
        assert_eq!(finish(spawn(&command).unwrap()), WaitStatus::Exited(0));
    }

    #[test]
    #[ignore = "started by all_but_one_are_marked"]
    fn under_marked_descriptors() {
        for by_list in [false, true] {
            let [first, kept, last] = [leaky(), leaky(), leaky()];
            assert!(![&first, &kept, &last].into_iter().any(is_marked));
            let number = u8::try_from(kept.as_raw_fd()).unwrap();
            if by_list {
                keep_only_by_list(Some(number.into())).unwrap();
            } else {
                keep_only(Some(number)).unwrap();
            }
            assert_eq!([&first, &kept, &last].map(is_marked), [true, false, true], "{by_list}");
        }
        let other = leaky();
        keep_only(None).unwrap();
        assert!(is_marked(&other));
    }

    #[test]
    fn listed_are_those_above_the_streams() {
        let other = leaky();
        let listed = above_streams().unwrap();
        assert!(listed.contains(&other.as_raw_fd()));
        assert!(listed.iter().all(|&number| number > 2));
    }
}
