//! What the kit knows of the units and runs of a scenario.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use monitor_core::{Exit, Outcome, Phase, Remains, RunId, Scope, Signal};
use monitor_os::{Ticket, UnitId};

use super::children::{self, Child};
use super::finding::{Finding, Rule};

/// A scenario that runs: its units, and what was found so far.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) scenario: &'static str,
    pub(super) units: Vec<UnitWatch>,
    pub(super) findings: Vec<Finding>,
    /// The rule whose first finding ends the scenario.
    pub(super) wanted: Option<Rule>,
    /// The descriptors that this process lets each of its children inherit.
    pub(super) inherited: BTreeSet<String>,
}

/// A unit, and its runs.
#[derive(Debug)]
pub(super) struct UnitWatch {
    pub(super) is_missing: bool,
    record: PathBuf,
    /// The children that have begun, as last read.
    pub(super) children: Vec<Child>,
    pub(super) runs: BTreeMap<RunId, RunWatch>,
    pub(super) phase: Phase,
    pub(super) outcome: Outcome,
    /// Saves whose answers are awaited.
    pub(super) saves: BTreeSet<Ticket>,
}

/// A run: the calls for it, and their answers.
#[derive(Debug)]
pub(super) struct RunWatch {
    /// The number of children of the unit before it.
    pub(super) first_child: usize,
    pub(super) spawn: SpawnAnswer,
    pub(super) exit: Option<Exit>,
    /// Whether the exit is known by the answer to a signal, so that its notice may follow.
    pub(super) was_gone: bool,
    pub(super) is_ready: bool,
    /// How often its release was called.
    pub(super) releases: u32,
    pub(super) scope: Scope,
    pub(super) released: Option<Remains>,
    /// How often the release was answered by an event.
    pub(super) released_events: u32,
    pub(super) is_abandoned: bool,
    /// The signals that were sent while the main process was not reported as ended.
    pub(super) sent: Vec<(Signal, Scope)>,
    /// The signals to the group after that.
    pub(super) sent_later: Vec<Signal>,
}

/// The answer to a spawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpawnAnswer {
    Awaited,
    Started,
    Failed,
    /// The exit came first; *started* may still follow it.
    Exited,
}

impl Watch {
    pub(super) fn find(
        &mut self,
        rule: Rule,
        expected: impl Into<String>,
        seen: impl Into<String>,
    ) {
        let scenario = self.scenario;
        let (expected, seen) = (expected.into(), seen.into());
        let finding = Finding { scenario, rule, expected, seen };
        // A wait that is repeated repeats its fault.
        if !self.findings.contains(&finding) && self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }

    /// Whether the finding is there that ends the scenario.
    pub(super) fn is_found(&self) -> bool {
        self.findings.iter().any(|finding| Some(finding.rule) == self.wanted)
    }

    /// Reads the records of all units again.
    pub(super) fn read_children(&mut self) {
        for unit in &mut self.units {
            // A record that cannot be read has no new lines, which the wait for them reports.
            if let Ok(children) = children::read(&unit.record) {
                unit.children = children;
            }
        }
    }

    pub(super) fn unit(&self, unit: UnitId) -> Option<&UnitWatch> {
        self.units.get(unit.as_u32() as usize)
    }

    pub(super) fn unit_mut(&mut self, unit: UnitId) -> Option<&mut UnitWatch> {
        self.units.get_mut(unit.as_u32() as usize)
    }

    pub(super) fn run_mut(&mut self, unit: UnitId, run: RunId) -> Option<&mut RunWatch> {
        self.unit_mut(unit)?.runs.get_mut(&run)
    }

    /// The child of a run, after the records were read again.
    pub(super) fn child_now(&mut self, unit: UnitId, run: RunId) -> Option<&Child> {
        self.read_children();
        self.unit(unit)?.children_of(run).first()
    }
}

impl UnitWatch {
    pub(super) fn new(record: &Path, is_missing: bool) -> Self {
        Self {
            is_missing,
            record: record.into(),
            children: Vec::new(),
            runs: BTreeMap::new(),
            phase: Phase::Idle,
            outcome: Outcome::None,
            saves: BTreeSet::new(),
        }
    }

    /// The children of a run: those that began after its spawn and before the next one.
    pub(super) fn children_of(&self, run: RunId) -> &[Child] {
        let Some(found) = self.runs.get(&run) else { return &[] };
        let later = self.runs.range(run..).nth(1);
        let end = later.map_or(self.children.len(), |(_, later)| later.first_child);
        self.children.get(found.first_child..end).unwrap_or_default()
    }
}

impl RunWatch {
    pub(super) const fn new(first_child: usize) -> Self {
        Self {
            first_child,
            spawn: SpawnAnswer::Awaited,
            exit: None,
            was_gone: false,
            is_ready: false,
            releases: 0,
            scope: Scope::Group,
            released: None,
            released_events: 0,
            is_abandoned: false,
            sent: Vec::new(),
            sent_later: Vec::new(),
        }
    }
}

/// A backend that goes wrong at each turn is reported this often.
const FINDINGS_MAX: usize = 20;
