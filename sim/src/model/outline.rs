//! The meaning of a shape of answers for an oracle: the possible inputs, and the successors.

use std::ops::Range;

use super::liveness::{Obligation, Timing};
use crate::oracle::property::Property;

/// What a shape means to an oracle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outline {
    /// Its successors, by number.
    pub(super) start: u32,
    pub(super) end: u32,
    /// How many inputs are possible.
    pub(super) transitions: u32,
    /// How many of them change something.
    pub(super) effective: u32,
    /// Which property is broken after these successors, and by which input.
    pub(super) breaks: Option<(Property, u16)>,
    pub(super) pending: Pending,
}

impl Outline {
    pub(super) const fn successors(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Which of the requests that the finished graph is asked about have not come to their end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) stop: bool,
    pub(super) restart: bool,
}

impl Pending {
    pub(super) const fn any(self) -> bool {
        self.stop || self.restart
    }
}

/// A successor that matters: another search state, or a self-loop by which the world progresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Successor {
    /// The oracle after the input.
    pub(super) oracle: u32,
    /// The shape of the setting when it was last looked up, and the place of the outline there.
    /// Many settings have their successors in common, and mostly these have one shape.
    pub(super) shape: u32,
    pub(super) place: u32,
    /// Its setting, as a place among the targets of the setting before it.
    pub(super) target: u16,
    /// The first input that leads to it.
    pub(super) input: u16,
    pub(super) destination: Destination,
    /// What the world pays with the input, as far as a request is pending.
    pub(super) obligation: Option<Obligation>,
    pub(super) timing: Timing,
}

/// The search state that a successor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// Another one. Its id is needed if this successor is an edge, or a parallel one is.
    Other { needs_id: bool },
    /// That of the successor before it in the list.
    Previous,
    /// The one in which the input comes.
    SelfLoop,
}

impl Successor {
    /// Whether it is an edge of the finished graph.
    #[inline]
    pub(super) fn is_edge(&self) -> bool {
        self.obligation.is_some() || self.timing != Timing::Delayed
    }

    /// Whether both lead to the same search state.
    pub(super) fn is_parallel_to(&self, other: &Self) -> bool {
        (self.target, self.oracle) == (other.target, other.oracle)
    }
}
