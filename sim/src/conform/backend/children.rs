//! The children of a unit, by their own journal.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use monitor_core::{Exit, Signal};

use crate::real::child_journal::{self, ChildLine, ChildMark};
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

/// Reads the children of a journal, in the order in which they began.
///
/// # Errors
/// The journal cannot be read.
pub(super) fn read(journal: &Path) -> io::Result<Vec<Child>> {
    Ok(child_journal::read(journal)?.into_iter().fold(Vec::new(), |mut children, line| {
        add(&mut children, line);
        children
    }))
}

fn add(children: &mut Vec<Child>, ChildLine { process, mark }: ChildLine) {
    if let ChildMark::Began(descriptors) = mark {
        children.push(Child {
            process,
            descriptors,
            is_armed: false,
            is_ready: false,
            received: Vec::new(),
            ends: None,
            members: Vec::new(),
        });
        return;
    }
    if mark == ChildMark::Member {
        // A child waits for its member before it does anything else.
        if let Some(child) = children.last_mut() {
            child.members.push(Member { process, received: Vec::new() });
        }
        return;
    }
    let Some(child) = children.iter_mut().rfind(|child| child.process == process) else {
        let mut members = children.iter_mut().flat_map(|child| &mut child.members);
        if let ChildMark::Received(signal) = mark
            && let Some(member) = members.find(|member| member.process == process)
        {
            member.received.push(signal);
        }
        return;
    };
    match mark {
        ChildMark::Armed => child.is_armed = true,
        ChildMark::Ready => child.is_ready = true,
        ChildMark::Received(signal) => child.received.push(signal),
        ChildMark::Ends(exit) => child.ends = Some(exit),
        ChildMark::Began(_) | ChildMark::Member => {}
    }
}
