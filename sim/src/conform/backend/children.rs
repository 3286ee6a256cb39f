//! The children of a unit, by their own record.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use monitor_core::{Exit, Signal};

use crate::real::child_record::{ChildFact, ChildLine, read_lines};
use crate::real::process_identity::{ProcessIdentity, ProcessLife};

/// A child of a unit, as it wrote itself down.
#[derive(Clone, Debug)]
pub(super) struct Child {
    pub(super) process: ProcessIdentity,
    /// Descriptors above those of the standard streams, at its begin.
    pub(super) descriptors: BTreeSet<String>,
    /// Whether it receives signals.
    pub(super) is_armed: bool,
    /// Whether it has reported its readiness.
    pub(super) is_ready: bool,
    pub(super) received: Vec<Signal>,
    /// How it said that it would end.
    pub(super) ends: Option<Exit>,
    pub(super) members: Vec<Member>,
}

/// A process that a child started.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) process: ProcessIdentity,
    pub(super) received: Vec<Signal>,
}

impl Child {
    /// Whether its process runs.
    pub(super) fn is_alive(&self) -> bool {
        self.process.life() == ProcessLife::Alive
    }

    /// The members whose processes run.
    pub(super) fn living_members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.process.life() == ProcessLife::Alive)
    }
}

/// Reads the children of a record, in the order in which they began.
///
/// # Errors
/// The record cannot be read.
pub(super) fn read(record: &Path) -> io::Result<Vec<Child>> {
    let mut children = Vec::new();
    // A number belongs to the last process that began with it.
    let mut processes = BTreeMap::new();
    for ChildLine { pid, fact, .. } in read_lines(record, &mut 0)? {
        if let ChildFact::Started { ticks, .. } | ChildFact::MemberStarted { ticks, .. } = fact {
            processes.insert(pid, ProcessIdentity { pid, start: ticks });
        }
        if let Some(&process) = processes.get(&pid) {
            add(&mut children, process, fact);
        }
    }
    Ok(children)
}

fn add(children: &mut Vec<Child>, process: ProcessIdentity, fact: ChildFact) {
    let child = children.iter_mut().rfind(|child| child.process == process);
    match (fact, child) {
        (ChildFact::Started { descriptors, .. }, _) => children.push(Child {
            process,
            descriptors,
            is_armed: false,
            is_ready: false,
            received: Vec::new(),
            ends: None,
            members: Vec::new(),
        }),
        (ChildFact::MemberStarted { .. }, _) => {
            // A child waits for its member before it does anything else.
            if let Some(child) = children.last_mut() {
                child.members.push(Member { process, received: Vec::new() });
            }
        }
        (ChildFact::Armed, Some(child)) => child.is_armed = true,
        (ChildFact::Ready, Some(child)) => child.is_ready = true,
        (ChildFact::Signalled { signal }, Some(child)) => {
            child.received.extend(Signal::new(signal));
        }
        (ChildFact::Signalled { signal }, None) => {
            let mut members = children.iter_mut().flat_map(|child| &mut child.members);
            if let Some(member) = members.find(|member| member.process == process) {
                member.received.extend(Signal::new(signal));
            }
        }
        (ChildFact::Ending { exit }, Some(child)) => child.ends = exit.parse().ok(),
        (ChildFact::Armed | ChildFact::Ready | ChildFact::Ending { .. }, None) => {}
    }
}
