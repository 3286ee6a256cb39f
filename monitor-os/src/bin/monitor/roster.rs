//! The units of a monitor, by name: the one of `monitor run`, or the many of `monitor up`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use monitor_core::Policy;
use monitor_os::{Command, LogRing, Unit};

use crate::streams::Streams;

/// The units of a monitor. Clones are the same roster.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    extent: Extent,
    /// In the order of their names.
    members: Arc<Mutex<Vec<Arc<Member>>>>,
}

/// How many units there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    One,
    Many,
}

/// A unit, and what is said of it.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) unit: Unit,
    /// What the file said when it was read last. No stream of it is opened.
    pub(crate) command: Command,
    pub(crate) policy: Arc<Policy>,
    pub(crate) streams: Streams,
    /// The last lines that it printed, if they are captured, or were.
    pub(crate) ring: Option<LogRing>,
    /// Whether they are on the screen already.
    pub(crate) echoed: bool,
    /// Whether the files still have it. If not, it is there until it is down.
    pub(crate) wanted: bool,
}

impl Roster {
    /// The roster of one unit.
    pub(crate) fn one(member: Member) -> Self {
        let roster = Self { extent: Extent::One, ..Self::many() };
        roster.insert(member);
        roster
    }

    /// A roster to which units are added.
    pub(crate) fn many() -> Self {
        Self { extent: Extent::Many, members: Arc::default() }
    }

    pub(crate) const fn extent(&self) -> Extent {
        self.extent
    }

    /// Adds a member, or puts it in the place of the one of that name.
    pub(crate) fn insert(&self, member: Member) {
        let mut members = self.members();
        match find(&members, member.unit.name()) {
            Ok(index) => members[index] = Arc::new(member),
            Err(index) => members.insert(index, Arc::new(member)),
        }
    }

    /// The member of a name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Member>> {
        let members = self.members();
        find(&members, name).ok().map(|index| Arc::clone(&members[index]))
    }

    /// The last lines of a unit, if they are captured, or were.
    pub(crate) fn ring(&self, name: &str) -> Option<LogRing> {
        self.get(name)?.ring.clone()
    }

    /// The same, if they are nowhere on the screen.
    pub(crate) fn unseen(&self, name: &str) -> Option<LogRing> {
        self.get(name).filter(|member| !member.echoed)?.ring.clone()
    }

    /// Calls `forget` if a unit is down and unwanted. Nobody makes it wanted meanwhile, which comes before a start.
    pub(crate) fn if_over(&self, name: &str, forget: impl FnOnce()) {
        let members = self.members();
        let found = find(&members, name).ok().map(|index| &members[index]);
        if found.is_some_and(|member| !member.wanted && member.unit.state().is_down()) {
            forget();
        }
    }

    /// The names of the units that are there only until they are down.
    pub(crate) fn unwanted(&self) -> Vec<String> {
        let members = self.members();
        let unwanted = members.iter().filter(|member| !member.wanted);
        unwanted.map(|member| member.unit.name().to_owned()).collect()
    }

    /// The units that are wanted, in the order of their names.
    pub(crate) fn wanted(&self) -> Vec<Unit> {
        let members = self.members();
        let wanted = members.iter().filter(|member| member.wanted);
        wanted.map(|member| member.unit.clone()).collect()
    }

    /// Those, and the others for as long as they are not down.
    pub(crate) fn shown(&self) -> Vec<Unit> {
        let members = self.members();
        let shown = members.iter().filter(|m| m.wanted || !m.unit.state().is_down());
        shown.map(|member| member.unit.clone()).collect()
    }

    /// A policy to be kept: the one that another member has, if it is the same, since most units have the same.
    pub(crate) fn kept(&self, policy: Policy) -> Arc<Policy> {
        let members = self.members();
        let same = members.iter().find(|member| *member.policy == policy);
        same.map_or_else(|| Arc::new(policy), |member| Arc::clone(&member.policy))
    }

    fn members(&self) -> MutexGuard<'_, Vec<Arc<Member>>> {
        // A panic elsewhere leaves the list whole.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says which units can be named.
pub(crate) fn choice(units: &[&str]) -> String {
    let shown = units.get(..NAMES_SHOWN).unwrap_or(units);
    match (shown.join(", "), units.len() - shown.len()) {
        (shown, 0) if shown.is_empty() => "there is none at all".into(),
        (shown, 0) => format!("name one of {shown}"),
        (shown, more) => format!("name one of {shown} and {more} others"),
    }
}

/// Where the member of a name is, or belongs.
fn find(members: &[Arc<Member>], name: &str) -> Result<usize, usize> {
    members.binary_search_by(|member| member.unit.name().cmp(name))
}

const NAMES_SHOWN: usize = 20;
