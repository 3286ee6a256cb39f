//! The units of a monitor, by name: the one of `monitor run`, or the many of `monitor up`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use monitor_core::Policy;
use monitor_os::{Command, LogRing, Unit};

use crate::streams::Streams;

/// The units of a monitor. Clones are the same roster.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    extent: Extent,
    members: Arc<Mutex<BTreeMap<String, Member>>>,
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
        self.members().insert(member.unit.name().into(), member);
    }

    /// A copy of a member.
    pub(crate) fn get(&self, name: &str) -> Option<Member> {
        self.members().get(name).cloned()
    }

    /// The last lines of a unit, if they are captured, or were.
    pub(crate) fn ring(&self, name: &str) -> Option<LogRing> {
        self.members().get(name)?.ring.clone()
    }

    /// The same, if they are nowhere on the screen.
    pub(crate) fn unseen(&self, name: &str) -> Option<LogRing> {
        self.members().get(name).filter(|member| !member.echoed)?.ring.clone()
    }

    /// Calls `forget` if a unit is down and unwanted. Nobody makes it wanted meanwhile, which comes before a start.
    pub(crate) fn if_over(&self, name: &str, forget: impl FnOnce()) {
        let members = self.members();
        if members.get(name).is_some_and(|member| !member.wanted && member.unit.state().is_down()) {
            forget();
        }
    }

    /// The units that are wanted, in the order of their names.
    pub(crate) fn wanted(&self) -> Vec<Unit> {
        let members = self.members();
        let wanted = members.values().filter(|member| member.wanted);
        wanted.map(|member| member.unit.clone()).collect()
    }

    /// Those, and the others for as long as they are not down.
    pub(crate) fn shown(&self) -> Vec<Unit> {
        let members = self.members();
        let shown = members.values().filter(|m| m.wanted || !m.unit.state().is_down());
        shown.map(|member| member.unit.clone()).collect()
    }

    /// A policy to be kept: the one that another member has, if it is the same, since most units have the same.
    pub(crate) fn kept(&self, policy: Policy) -> Arc<Policy> {
        let members = self.members();
        let same = members.values().find(|member| *member.policy == policy);
        same.map_or_else(|| Arc::new(policy), |member| Arc::clone(&member.policy))
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<String, Member>> {
        // A panic elsewhere leaves the map whole.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
