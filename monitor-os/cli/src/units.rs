//! The units of a monitor, by name: the one of `monitor run`, or the many of `monitor up`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use monitor_core::Policy;
use monitor_os::{Command, LogRing, Unit};

use crate::config::spec::Spec;
use crate::config::streams::StreamSetup;
use crate::report::unit_mode::UnitMode;

/// The units of a monitor. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Units {
    mode: UnitMode,
    /// In the order of their names.
    entries: Arc<Mutex<Vec<Arc<UnitEntry>>>>,
}

/// A unit and its configuration.
#[derive(Clone, Debug)]
pub(crate) struct UnitEntry {
    pub(crate) unit: Unit,
    /// The configuration when the file was read last. No stream of it is opened.
    pub(crate) command: Command,
    pub(crate) policy: Arc<Policy>,
    pub(crate) streams: StreamSetup,
    /// The last lines of the unit, if they are or were captured.
    pub(crate) ring: Option<LogRing>,
    /// Whether the monitor prints the lines as they come.
    pub(crate) echoed: bool,
    /// Whether the files still have the unit. If not, it stays until it is down.
    pub(crate) configured: bool,
}

impl Units {
    /// A single unit.
    pub(crate) fn one(entry: UnitEntry) -> Self {
        let units = Self { mode: UnitMode::One, ..Self::many() };
        units.insert(entry);
        units
    }

    /// An empty list to which units are added.
    pub(crate) fn many() -> Self {
        Self { mode: UnitMode::Many, entries: Arc::default() }
    }

    pub(crate) const fn mode(&self) -> UnitMode {
        self.mode
    }

    /// Adds an entry, or replaces the one of that name.
    pub(crate) fn insert(&self, entry: UnitEntry) {
        let mut entries = self.entries();
        match find(&entries, entry.unit.name()) {
            Ok(index) => entries[index] = Arc::new(entry),
            Err(index) => entries.insert(index, Arc::new(entry)),
        }
    }

    /// The entry of a name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<UnitEntry>> {
        let entries = self.entries();
        find(&entries, name).ok().map(|index| Arc::clone(&entries[index]))
    }

    /// The last lines of a unit, if they are or were captured.
    pub(crate) fn ring(&self, name: &str) -> Option<LogRing> {
        self.get(name)?.ring.clone()
    }

    /// The last lines of a unit, if the monitor did not print them.
    pub(crate) fn not_echoed(&self, name: &str) -> Option<LogRing> {
        self.get(name).filter(|entry| !entry.echoed)?.ring.clone()
    }

    /// Calls `forget` if a unit is down and removed. The list is locked meanwhile, so that no
    /// reload adds the unit again.
    pub(crate) fn if_removed(&self, name: &str, forget: impl FnOnce()) {
        let entries = self.entries();
        let found = find(&entries, name).ok().map(|index| &entries[index]);
        if found.is_some_and(|entry| !entry.configured && entry.unit.state().is_down()) {
            forget();
        }
    }

    /// The names of the units that are gone from the files, and stay until they are down.
    pub(crate) fn removed(&self) -> Vec<String> {
        let entries = self.entries();
        let removed = entries.iter().filter(|entry| !entry.configured);
        removed.map(|entry| entry.unit.name().to_owned()).collect()
    }

    /// The units that are configured, in the order of their names.
    pub(crate) fn configured(&self) -> Vec<Unit> {
        let entries = self.entries();
        let configured = entries.iter().filter(|entry| entry.configured);
        configured.map(|entry| entry.unit.clone()).collect()
    }

    /// The configured units, and the removed ones that are not down.
    pub(crate) fn visible(&self) -> Vec<Unit> {
        let entries = self.entries();
        let visible = entries.iter().filter(|m| m.configured || !m.unit.state().is_down());
        visible.map(|entry| entry.unit.clone()).collect()
    }

    /// A policy to store. Entries with equal policies share one, because most units have the same.
    pub(crate) fn shared_policy(&self, policy: Policy) -> Arc<Policy> {
        let entries = self.entries();
        let same = entries.iter().find(|entry| *entry.policy == policy);
        same.map_or_else(|| Arc::new(policy), |entry| Arc::clone(&entry.policy))
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Arc<UnitEntry>>> {
        // A panic elsewhere leaves the list whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnitEntry {
    /// The parts that the files have changed; `None` if none.
    pub(crate) fn differs(&self, spec: &Spec) -> Option<&'static str> {
        match (self.runs(&spec.command, &spec.streams), *self.policy == spec.policy) {
            (true, true) => None,
            (true, false) => Some("policy"),
            (false, true) => Some("command, from its next run on"),
            (false, false) => Some("policy; command, from its next run on"),
        }
    }

    /// Whether the unit runs this command on these streams.
    pub(crate) fn runs(&self, command: &Command, streams: &StreamSetup) -> bool {
        (&self.command, &self.streams) == (command, streams)
    }
}

/// A clause that lists the units that can be named.
pub(crate) fn choice(units: &[&str]) -> String {
    let shown = units.get(..NAMES_SHOWN).unwrap_or(units);
    match (shown.join(", "), units.len() - shown.len()) {
        (shown, 0) if shown.is_empty() => "there is none at all".into(),
        (shown, 0) => format!("name one of {shown}"),
        (shown, more) => format!("name one of {shown} and {more} others"),
    }
}

/// The index of the entry of a name, or where to insert it.
fn find(entries: &[Arc<UnitEntry>], name: &str) -> Result<usize, usize> {
    entries.binary_search_by(|entry| entry.unit.name().cmp(name))
}

const NAMES_SHOWN: usize = 20;
