//! Trust in accounts that may write the directories of a unit's files.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, LazyLock};

use rustix::fs::{Mode, Stat, getxattr};
use rustix::process::{getegid, geteuid};

use crate::linux::path_error::Writer;

/// The user that may write the directories of a file, in addition to root and the monitor's user.
///
/// It is the user of the program that the file belongs to:
/// [`Command::path_trust`](crate::Command::path_trust). The groups of that user count as the user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PathTrust {
    /// `None` if the program runs as the monitor's user.
    pub(crate) program: Option<Arc<ProgramUser>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProgramUser {
    pub(crate) user: u32,
    pub(crate) group: u32,
    others: Box<[u32]>,
}

impl PathTrust {
    /// Trusts root and the user of this process alone.
    pub const MONITOR: Self = Self { program: None };

    /// Trusts one more user, with its primary and its other groups.
    pub(crate) fn and_user(user: u32, group: u32, others: impl IntoIterator<Item = u32>) -> Self {
        let others = others.into_iter().collect();
        let is_other = user != geteuid().as_raw();
        Self { program: is_other.then(|| Arc::new(ProgramUser { user, group, others })) }
    }

    /// Whether a user is root or the monitor's user.
    ///
    /// In a user namespace, unmapped owners count too, such as the host's root. The namespace
    /// cannot tell their rights apart.
    pub(crate) fn is_privileged(user: u32) -> bool {
        user == 0 || user == geteuid().as_raw() || *UNMAPPED == Some(user)
    }

    pub(crate) fn is_trusted(&self, user: u32) -> bool {
        Self::is_privileged(user) || self.is_program(user)
    }

    pub(crate) fn is_program(&self, user: u32) -> bool {
        self.program.as_ref().is_some_and(|program| program.user == user)
    }

    pub(crate) fn has_group(&self, group: u32) -> bool {
        let has = |of: &Arc<ProgramUser>| of.group == group || of.others.contains(&group);
        self.program.as_ref().is_some_and(has)
    }

    /// The accounts that may change the names in a directory; `acl` is its access list, if it has
    /// one.
    pub(crate) fn exposure(
        &self,
        directory: &Stat,
        acl: Option<&[u8]>,
    ) -> Result<Exposure, Writer> {
        let owner = directory.st_uid;
        let mut exposure = if Self::is_privileged(owner) {
            Exposure::Closed
        } else if self.is_program(owner) {
            Exposure::Program
        } else {
            return Err(Writer::User(owner));
        };
        let is_sticky = Mode::from_raw_mode(directory.st_mode).contains(Mode::SVTX);
        // Members may rename the files in it, but link only their own.
        let is_shared = Self::is_privileged(owner) && *LINKS_ARE_PROTECTED;
        for writer in writers(directory, acl) {
            exposure = exposure.max(match writer {
                Writer::User(user) if Self::is_privileged(user) => Exposure::Closed,
                _ if is_sticky => Exposure::Shared,
                Writer::User(user) if self.is_program(user) => Exposure::Program,
                Writer::Group(group) if self.has_group(group) => Exposure::Program,
                Writer::Group(0) => Exposure::Closed,
                // A user with a primary group of its own and the umask 002.
                Writer::Group(group) if !geteuid().is_root() && group == getegid().as_raw() => {
                    Exposure::Closed
                }
                Writer::Group(_) if is_shared => Exposure::Shared,
                writer @ (Writer::User(_) | Writer::Group(_) | Writer::Everyone) => {
                    return Err(writer);
                }
            });
        }
        Ok(exposure)
    }
}

/// The accounts other than its owner that may write a directory.
///
/// # Source
/// `acl(5)`; `struct posix_acl_xattr_entry` of `<linux/posix_acl_xattr.h>`.
fn writers(directory: &Stat, acl: Option<&[u8]>) -> Vec<Writer> {
    const WRITE: u16 = 2;
    let Some(entries) = acl.and_then(|acl| acl.get(4..)) else {
        let mode = Mode::from_raw_mode(directory.st_mode);
        let group = mode.contains(Mode::WGRP).then_some(Writer::Group(directory.st_gid));
        let others = mode.contains(Mode::WOTH).then_some(Writer::Everyone);
        return group.into_iter().chain(others).collect();
    };
    let entries = entries.chunks_exact(8).filter_map(|entry| {
        let (tag, rest) = entry.split_first_chunk()?;
        let (rights, id) = rest.split_first_chunk()?;
        let number = u32::from_le_bytes(id.try_into().ok()?);
        Some((u16::from_le_bytes(*tag), u16::from_le_bytes(*rights), number))
    });
    let entries: Vec<_> = entries.collect();
    let mask =
        entries.iter().find(|(tag, ..)| *tag == 0x10).map_or(WRITE, |(_, rights, _)| *rights);
    let writer = |&(tag, rights, number): &(u16, u16, u32)| {
        let masked = rights & mask & WRITE != 0;
        match tag {
            0x02 if masked => Some(Writer::User(number)),
            0x04 if masked => Some(Writer::Group(directory.st_gid)),
            0x08 if masked => Some(Writer::Group(number)),
            0x20 if rights & WRITE != 0 => Some(Writer::Everyone),
            _ => None,
        }
    };
    entries.iter().filter_map(writer).collect()
}

fn unmapped(map: &str, overflow: u32) -> Option<u32> {
    let is_mapped = map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse);
        let (Some(Ok(first)), _, Some(Ok(count))) =
            (numbers.next(), numbers.next(), numbers.next())
        else {
            return false;
        };
        u64::from(overflow).checked_sub(first).is_some_and(|offset: u64| offset < count)
    });
    (!is_mapped).then_some(overflow)
}

/// The accounts that may change the names in the directories of a walked path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exposure {
    /// Root and the monitor alone.
    Closed,
    /// Others may add names.
    ///
    /// In a sticky directory such as `/tmp`, they change only their own names. In a directory of
    /// root that a group may write, they change any name, but make no second name for a file of
    /// others.
    Shared,
    /// The program's user.
    Program,
}

/// The access list of a held directory; `None` if the mode says all.
pub(crate) fn access_list(directory: &OwnedFd) -> Option<Vec<u8>> {
    let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let mut list = vec![0; ACL_BYTES_MAX];
    let length = getxattr(path, "system.posix_acl_access", &mut list[..]).ok()?;
    list.truncate(length);
    Some(list)
}

/// The number that stands for unmapped users of this user namespace, if there may be any.
///
/// # Source
/// `user_namespaces(7)`.
static UNMAPPED: LazyLock<Option<u32>> = LazyLock::new(|| {
    let map = fs::read_to_string("/proc/self/uid_map").ok()?;
    let overflow = fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?;
    unmapped(&map, overflow.trim().parse().ok()?)
});

/// Whether the kernel forbids a second name for a file without the right to write it.
///
/// # Source
/// `proc_sys_fs(5)`, `protected_hardlinks`.
static LINKS_ARE_PROTECTED: LazyLock<bool> = LazyLock::new(|| {
    let set = fs::read_to_string("/proc/sys/fs/protected_hardlinks");
    set.is_ok_and(|text| text.trim() == "1")
});

/// The largest size of an attribute (`xattr(7)`).
const ACL_BYTES_MAX: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::fs::fstat;
    use tempfile::tempdir;

    use super::*;

    #[test]
    fn directory_is_as_open_as_its_mode_and_owner_say() {
        let own = tempdir().unwrap();
        let mut stat = fstat(File::open(own.path()).unwrap()).unwrap();
        let (own_user, other, group) = (geteuid().as_raw(), 12_345, 54_321);
        let trust = PathTrust::and_user(777, 778, [779]);
        let shared = || {
            if *LINKS_ARE_PROTECTED { Ok(Exposure::Shared) } else { Err(Writer::Group(group)) }
        };
        for (user, of_group, mode, expected) in [
            (own_user, group, 0o700, Ok(Exposure::Closed)),
            (0, group, 0o755, Ok(Exposure::Closed)),
            (0, 0, 0o775, Ok(Exposure::Closed)),
            (0, 778, 0o775, Ok(Exposure::Program)),
            (0, 779, 0o2775, Ok(Exposure::Program)),
            (777, group, 0o755, Ok(Exposure::Program)),
            (777, group, 0o1777, Ok(Exposure::Program)),
            (0, group, 0o1777, Ok(Exposure::Shared)),
            (0, group, 0o1775, Ok(Exposure::Shared)),
            (0, 778, 0o1770, Ok(Exposure::Shared)),
            (0, group, 0o2775, shared()),
            (777, group, 0o775, Err(Writer::Group(group))),
            (0, 0, 0o757, Err(Writer::Everyone)),
            (777, 778, 0o777, Err(Writer::Everyone)),
            (other, 0, 0o700, Err(Writer::User(other))),
            (other, 0, 0o1777, Err(Writer::User(other))),
        ] {
            (stat.st_uid, stat.st_gid, stat.st_mode) = (user, of_group, 0o040_000 | mode);
            assert_eq!(trust.exposure(&stat, None), expected, "{user} {of_group} {mode:o}");
        }
        (stat.st_uid, stat.st_gid, stat.st_mode) = (777, 778, 0o040_755);
        assert_eq!(PathTrust::MONITOR.exposure(&stat, None), Err(Writer::User(777)));
        // A program with root's group is not root.
        let rooted = PathTrust::and_user(777, 0, []);
        (stat.st_uid, stat.st_gid, stat.st_mode) = (0, 0, 0o040_775);
        assert_eq!(rooted.exposure(&stat, None), Ok(Exposure::Program));
    }

    /// Goal: the entries of an access list count, of which the mode shows only the mask.
    #[test]
    fn access_list_says_who_may_write() {
        let own = tempdir().unwrap();
        let mut stat = fstat(File::open(own.path()).unwrap()).unwrap();
        (stat.st_uid, stat.st_gid, stat.st_mode) = (0, 0, 0o040_775);
        let trust = PathTrust::and_user(777, 778, []);
        for (entries, expected) in [
            (&[(0x01, 7, 0), (0x04, 5, 0), (0x20, 5, 0)][..], Ok(Exposure::Closed)),
            (&[(0x02, 7, 777), (0x04, 5, 0), (0x10, 7, 0)], Ok(Exposure::Program)),
            (&[(0x02, 7, 999), (0x04, 5, 0), (0x10, 7, 0)], Err(Writer::User(999))),
            (&[(0x02, 7, 999), (0x04, 5, 0), (0x10, 5, 0)], Ok(Exposure::Closed)),
            (&[(0x02, 7, 0), (0x10, 7, 0)], Ok(Exposure::Closed)),
            (&[(0x08, 7, 778), (0x10, 7, 0)], Ok(Exposure::Program)),
            (&[(0x10, 5, 0), (0x20, 7, 0)], Err(Writer::Everyone)),
        ] {
            let mut acl = 2_u32.to_le_bytes().to_vec();
            for &(tag, rights, id) in entries {
                acl.extend(u16::to_le_bytes(tag));
                acl.extend(u16::to_le_bytes(rights));
                acl.extend(u32::to_le_bytes(id));
            }
            assert_eq!(trust.exposure(&stat, Some(&acl)), expected, "{entries:?}");
        }
    }

    #[test]
    fn users_without_a_number_are_known_in_a_namespace() {
        assert_eq!(unmapped("         0          0 4294967295\n", 65_534), None);
        assert_eq!(unmapped("         0       1000          1\n", 65_534), Some(65_534));
        assert_eq!(unmapped("0 1000 1\n1 100000 65536\n", 65_534), None);
        assert_eq!(unmapped("", 65_534), Some(65_534));
        assert_eq!(unmapped("garbage\n", 65_534), Some(65_534));
    }
}
