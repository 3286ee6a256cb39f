//! The user and the groups of a program.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use monitor_core::whole_number;
use nix::unistd::{
    Gid, Group, Uid, User, getegid, geteuid, getgrouplist, setgroups, setresgid, setresuid,
};
use rustix::io::Errno;

use crate::command::environment::variable;
use crate::command::setup_stage::SetupStage;
use crate::command::spawn_error::{SpawnError, failed, native};
use crate::linux::path_trust::PathTrust;

/// The account of a program, by names or numbers; a text of digits is a number.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Account {
    pub(crate) user: Option<String>,
    pub(crate) group: Option<String>,
    /// The supplementary groups; `None` stands for those of the user.
    pub(crate) groups: Option<Vec<String>>,
}

/// An [`Account`] in numbers, as the databases of users and groups give them at this moment.
#[derive(Debug)]
pub(crate) struct Credentials {
    user: Option<Uid>,
    group: Gid,
    groups: Option<Vec<Gid>>,
    entry: Option<User>,
    /// The account as a text for errors.
    subject: String,
}

impl Account {
    /// Looks the names up; `None` if no account was set.
    ///
    /// # Errors
    /// [`SpawnError::Setup`] with [`SetupStage::UserLookup`] or [`SetupStage::GroupLookup`].
    pub(crate) fn look_up(&self) -> Result<Option<Credentials>, SpawnError> {
        if *self == Self::default() {
            return Ok(None);
        }
        let (user, entry) = match self.user.as_deref() {
            None => (None, None),
            Some(name) => find_user(name).map(|(uid, entry)| (Some(uid), entry))?,
        };
        let group = match (&self.group, &entry, &self.user) {
            (Some(name), ..) => find_group(name)?,
            (None, Some(entry), _) => entry.gid,
            (None, None, None) => getegid(),
            // A bare number has no group of its own, and the monitor's group would be that of root.
            (None, None, Some(user)) => {
                return Err(failed(SetupStage::UserLookup, user, Errno::NOENT));
            }
        };
        let groups = match (&self.groups, &entry, user) {
            (Some(names), ..) => {
                Some(names.iter().map(|name| find_group(name)).collect::<Result<_, _>>()?)
            }
            // A process that runs as the user already has the groups, and may not set them.
            (None, _, Some(user)) if user == geteuid() && !user.is_root() => None,
            (None, Some(entry), _) => Some(groups_of(entry, group)?),
            (None, None, Some(_)) => Some(vec![group]),
            (None, None, None) => None,
        };
        let subject = self.encode().collect::<Vec<_>>().join(" ");
        Ok(Some(Credentials { user, group, groups, entry, subject }))
    }

    /// Encodes the account, one text for each item.
    pub(crate) fn encode(&self) -> impl Iterator<Item = String> {
        let item = |key: &str, value: &String| format!("{key} {value}");
        let items = [
            self.user.as_ref().map(|user| item("user", user)),
            self.group.as_ref().map(|group| item("group", group)),
            self.groups.as_ref().map(|groups| item("groups", &groups.join(","))),
        ];
        items.into_iter().flatten()
    }

    pub(crate) fn decode(&mut self, key: &[u8], value: String) -> Option<()> {
        match key {
            b"user" => self.user = Some(value),
            b"group" => self.group = Some(value),
            b"groups" => {
                let names = value.split(',').filter(|name| !name.is_empty());
                self.groups = Some(names.map(str::to_owned).collect());
            }
            _ => return None,
        }
        Some(())
    }
}

impl Credentials {
    /// The variables about the user, which replace those about the monitor's user.
    pub(crate) fn variables(&self) -> impl Iterator<Item = CString> {
        let values = self.entry.iter().flat_map(|entry| {
            let name = OsStr::new(&entry.name);
            [
                ("HOME", entry.dir.as_os_str()),
                ("LOGNAME", name),
                ("SHELL", entry.shell.as_os_str()),
                ("USER", name),
            ]
        });
        values.filter_map(|(name, value)| variable(name.as_ref(), value))
    }

    /// Changes the account of this process; groups first, because the user may not set them.
    ///
    /// # Errors
    /// [`SpawnError::Setup`] with [`SetupStage::Account`].
    pub(crate) fn assume(&self) -> Result<(), SpawnError> {
        let Self { user, group, groups, .. } = self;
        let become_it = || {
            if let Some(groups) = groups {
                setgroups(groups)?;
            }
            setresgid(*group, *group, *group)?;
            user.map_or(Ok(()), |user| setresuid(user, user, user))
        };
        become_it().map_err(|errno| failed(SetupStage::Account, &self.subject, native(errno)))
    }
}

/// Accounts that may be able to change the path of a file that such a program names.
pub(crate) fn trust(credentials: Option<&Credentials>) -> PathTrust {
    let program = credentials.and_then(|of| {
        let others = of.groups.iter().flatten().map(|group| group.as_raw());
        Some(PathTrust::and_user(of.user?.as_raw(), of.group.as_raw(), others))
    });
    program.unwrap_or(PathTrust::MONITOR)
}

fn find_user(name: &str) -> Result<(Uid, Option<User>), SpawnError> {
    let not_found = |errno| failed(SetupStage::UserLookup, name, errno);
    let found = match number(name) {
        Some(number) => {
            let uid = Uid::from_raw(number);
            return Ok((uid, User::from_uid(uid).map_err(|errno| not_found(why(errno)))?));
        }
        None => User::from_name(name),
    };
    let entry = found.map_err(|errno| not_found(why(errno)))?;
    let entry = entry.ok_or_else(|| not_found(Errno::NOENT))?;
    Ok((entry.uid, Some(entry)))
}

fn find_group(name: &str) -> Result<Gid, SpawnError> {
    if let Some(number) = number(name) {
        return Ok(Gid::from_raw(number));
    }
    let not_found = |errno| failed(SetupStage::GroupLookup, name, errno);
    let found = Group::from_name(name).map_err(|errno| not_found(why(errno)))?;
    found.map(|group| group.gid).ok_or_else(|| not_found(Errno::NOENT))
}

/// All groups that name the user, and the group that the program runs with.
fn groups_of(user: &User, group: Gid) -> Result<Vec<Gid>, SpawnError> {
    let name = CString::new(OsStr::new(&user.name).as_bytes()).unwrap_or_default();
    getgrouplist(&name, group)
        .map_err(|errno| failed(SetupStage::GroupLookup, &user.name, native(errno)))
}

/// The number in a text; 2^32 - 1 means "no change" to the kernel and is rejected.
fn number(text: &str) -> Option<u32> {
    whole_number(text).filter(|&number| number != u32::MAX)
}

/// Maps the error numbers that report a missing entry to ENOENT (`getpwnam(3)`).
const fn why(errno: nix::errno::Errno) -> Errno {
    match native(errno) {
        Errno::SRCH | Errno::BADF | Errno::PERM => Errno::NOENT,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(user: &str, group: Option<&str>, groups: Option<&[&str]>) -> Account {
        Account {
            user: Some(user.into()),
            group: group.map(Into::into),
            groups: groups.map(|names| names.iter().map(|&name| name.into()).collect()),
        }
    }

    #[test]
    fn names_and_numbers_are_looked_up() {
        let root = account("root", None, None).look_up().unwrap().unwrap();
        assert_eq!((root.user, root.group), (Some(Uid::from_raw(0)), Gid::from_raw(0)));
        let variables: Vec<_> = root.variables().collect();
        assert!(
            variables.contains(&c"HOME=/root".into()) && variables.contains(&c"USER=root".into())
        );
        let number = account("4000000000", Some("7"), None).look_up().unwrap().unwrap();
        assert_eq!((number.group, number.groups), (Gid::from_raw(7), Some(vec![Gid::from_raw(7)])));
        let none = account("0", None, Some(&[])).look_up().unwrap().unwrap();
        assert_eq!(none.groups, Some(Vec::new()));
        assert!(Account::default().look_up().unwrap().is_none());
    }

    #[test]
    fn who_is_not_there_is_named() {
        for (account, stage, name) in [
            (account("no-such-user", None, None), SetupStage::UserLookup, "no-such-user"),
            (
                account("root", Some("no-such-group"), None),
                SetupStage::GroupLookup,
                "no-such-group",
            ),
            (
                account("root", None, Some(&["0", "nobody-has-it"])),
                SetupStage::GroupLookup,
                "nobody-has-it",
            ),
            (account("4000000000", None, None), SetupStage::UserLookup, "4000000000"),
        ] {
            let error = account.look_up().unwrap_err();
            assert_eq!(error, failed(stage, name, Errno::NOENT));
            assert!(error.to_string().contains(name), "{error}");
            assert!(!error.is_transient());
        }
        assert!(failed(SetupStage::UserLookup, "x", Errno::IO).is_transient());
    }
}
