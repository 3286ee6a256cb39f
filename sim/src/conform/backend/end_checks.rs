//! Checks at the end of a scenario: what is owed, and what the processes have seen.

use std::collections::BTreeSet;

use monitor_core::{RunId, Scope, Signal};
use monitor_os::UnitId;

use super::children::{Child, Member};
use super::finding::Rule;
use super::watch::{RunWatch, SpawnAnswer, Watch};
use crate::real::process_identity::ProcessLife;

impl Watch {
    /// Every run, with its unit.
    fn runs(&self) -> Vec<(UnitId, RunId)> {
        let units = (0..).map(UnitId::new).zip(&self.units);
        units.flat_map(|(unit, found)| found.runs.keys().map(move |&run| (unit, run))).collect()
    }

    /// Whether the backend owes an answer.
    pub(super) fn owes(&self) -> bool {
        let runs = self.units.iter().flat_map(|unit| unit.runs.values());
        self.units.iter().any(|unit| !unit.saves.is_empty())
            || runs.into_iter().any(|run| {
                run.spawn == SpawnAnswer::Awaited || run.releases > 0 && run.released.is_none()
            })
    }

    /// Finds what the backend owes; false if it owes nothing.
    pub(super) fn find_owed(&mut self) -> bool {
        self.read_children();
        let before = self.findings.len();
        for (unit, run) in self.runs() {
            let Some(found) = self.unit(unit) else { continue };
            let child = found.children_of(run).first().cloned();
            let Some(run_watch) = found.runs.get(&run) else { continue };
            if run_watch.is_abandoned {
                continue;
            }
            let owed = owed(run_watch, child.as_ref());
            if let Some((rule, expected, seen)) = owed {
                self.find(rule, format!("{expected} {run} of {unit}"), seen);
            }
        }
        let units = (0..).map(UnitId::new).zip(&self.units);
        let saves: Vec<_> = units
            .filter_map(|(unit, found)| found.saves.first().map(|&ticket| (unit, ticket)))
            .collect();
        for (unit, ticket) in saves {
            let expected = format!("an answer to the save of {unit} with {ticket}");
            self.find(Rule::SAVES, expected, "none");
        }
        self.findings.len() > before
    }

    /// Checks the processes of a scenario that is over.
    pub(super) fn check_processes(&mut self) {
        self.read_children();
        for (unit, run) in self.runs() {
            let Some(found) = self.unit(unit) else { continue };
            let children = found.children_of(run).to_vec();
            let Some(run_watch) = found.runs.get(&run) else { continue };
            let name = format!("{run} of {unit}");
            let (sent, later) = (run_watch.sent.clone(), run_watch.sent_later.clone());
            let (failed, leaves) =
                (run_watch.spawn == SpawnAnswer::Failed, run_watch.scope == Scope::Process);
            if children.len() > 1 || failed && !children.is_empty() {
                let expected = format!("one process for the spawn of {name}");
                self.find(Rule::SPAWNS, expected, format!("{} began", children.len()));
            }
            for child in &children {
                self.check_signals(&name, child, &sent, &later);
                self.check_descriptors(&name, child);
                if child.process.life() != ProcessLife::Gone {
                    let expected = format!("the main process of {name} is gone at the end");
                    self.find(Rule::RELEASES, expected, format!("{:?}", child.process.life()));
                }
                let living = child.living_members().count();
                if living > 0 && !leaves {
                    let expected = format!("no member of {name} is left at the end");
                    self.find(Rule::RELEASES, expected, format!("{living} run"));
                }
            }
        }
    }

    /// Checks that the processes of the scenario that run are ones which wrote themselves down: any
    /// other was made without a run.
    pub(super) fn check_strangers(&mut self, running: &BTreeSet<u32>) {
        self.read_children();
        let children = self.units.iter().flat_map(|unit| &unit.children);
        let processes = children.flat_map(|child| {
            std::iter::once(child.process).chain(child.members.iter().map(|member| member.process))
        });
        let known: BTreeSet<u32> = processes.map(|process| process.pid).collect();
        let strange = running.difference(&known).count();
        if strange > 0 {
            let expected = "one process for each spawn";
            self.find(Rule::SPAWNS, expected, format!("{strange} processes of no run"));
        }
    }

    fn check_signals(
        &mut self,
        name: &str,
        child: &Child,
        sent: &[(Signal, Scope)],
        later: &[Signal],
    ) {
        let own: Vec<_> = sent.iter().map(|&(signal, _)| signal).collect();
        self.check_received(&format!("the main process of {name}"), &child.received, &own);
        let group = sent.iter().filter(|&&(_, scope)| scope == Scope::Group);
        let group: Vec<_> = group.map(|&(signal, _)| signal).chain(later.iter().copied()).collect();
        for Member { received, .. } in &child.members {
            self.check_received(&format!("a member of {name}"), received, &group);
        }
    }

    /// Checks that a process received nothing but signals that were sent, in their order. It may
    /// have ended before it received them all.
    fn check_received(&mut self, name: &str, received: &[Signal], sent: &[Signal]) {
        let mut left = sent.iter();
        if !received.iter().all(|signal| left.any(|sent| sent == signal)) {
            let expected = format!("{name} receives {}", list(sent));
            self.find(Rule::SIGNALS, expected, list(received));
        }
    }

    fn check_descriptors(&mut self, name: &str, child: &Child) {
        let strange: Vec<_> = child.descriptors.difference(&self.inherited).cloned().collect();
        if !strange.is_empty() {
            let expected = format!("the program of {name} has the standard streams alone");
            self.find(Rule::SPAWNS, expected, strange.join(" "));
        }
    }
}

/// The first thing that a backend owes a run: the rule, the answer, and what is seen instead.
fn owed(run: &RunWatch, child: Option<&Child>) -> Option<(Rule, &'static str, String)> {
    let lives = child.is_some_and(Child::is_alive);
    let received = |signal| child.is_some_and(|child| child.received.contains(&signal));
    let has_begun = child.is_some();
    if run.spawn == SpawnAnswer::Awaited {
        return Some((Rule::SPAWNS, "an answer to the spawn of", "none".into()));
    }
    let has_started = matches!(run.spawn, SpawnAnswer::Started | SpawnAnswer::Exited);
    if has_started && run.exit.is_none() && has_begun && !lives {
        return Some((Rule::FACTS, "the exit of", "none, and its process has ended".into()));
    }
    let missed = run.sent.iter().find(|&&(signal, _)| !received(signal));
    if let Some((signal, _)) = missed.filter(|_| lives) {
        return Some((Rule::SIGNALS, "each signal reaches", format!("{signal} did not")));
    }
    let members = child.into_iter().flat_map(Child::living_members).collect::<Vec<_>>();
    let group = run.sent.iter().filter(|&&(_, scope)| scope == Scope::Group);
    let group: Vec<_> = group.map(|&(signal, _)| signal).chain(run.sent_later.clone()).collect();
    let missed = |member: &&Member| group.iter().find(|signal| !member.received.contains(signal));
    if let Some(signal) = members.iter().find_map(missed) {
        return Some((
            Rule::SIGNALS,
            "each signal reaches the group of",
            format!("{signal} did not"),
        ));
    }
    (run.releases > 0 && run.released.is_none())
        .then(|| (Rule::RELEASES, "an answer to the release of", "none".into()))
}

fn list(signals: &[Signal]) -> String {
    let names: Vec<_> = signals.iter().map(ToString::to_string).collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}
