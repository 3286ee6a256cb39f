//! The meaning of a shape of answers for an oracle: the possible inputs, and the ways that lead on.

use std::ops::Range;

use super::liveness::{Obligation, Pace};
use crate::oracle::property::Property;

/// What a shape means to an oracle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outline {
    /// Its ways, by number.
    pub(super) start: u32,
    pub(super) end: u32,
    /// How many inputs are possible.
    pub(super) transitions: u32,
    /// How many of them change something.
    pub(super) effective: u32,
    /// Which property is broken after these ways, and by which input.
    pub(super) breaks: Option<(Property, u16)>,
    pub(super) pending: Pending,
}

impl Outline {
    pub(super) const fn ways(&self) -> Range<usize> {
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

/// One way to go on that matters: it leads to another search state, or is a way of the world back
/// to where it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// The oracle after it.
    pub(super) oracle: u32,
    /// The shape of the setting that it led to the last time, and the place of the outline there.
    /// Many settings have their ways in common, and mostly these lead to the same shape.
    pub(super) shape: u32,
    pub(super) place: u32,
    /// Where it leads, as a place among the targets of the setting.
    pub(super) target: u16,
    /// The first input that takes it.
    pub(super) input: u16,
    pub(super) leads: Leads,
    /// What the world pays with it, as far as a request is pending.
    pub(super) obligation: Option<Obligation>,
    pub(super) pace: Pace,
}

/// To which search state a way leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leads {
    /// To another. Its number is asked for if this way is an edge, or one along it.
    On { is_asked: bool },
    /// To the one of the way before it.
    Along,
    /// To where it begins.
    Back,
}

impl Way {
    /// Whether it is one of the edges of which the finished graph is asked.
    #[inline]
    pub(super) fn is_edge(&self) -> bool {
        self.obligation.is_some() || self.pace != Pace::Waits
    }

    /// Whether both lead to the same search state.
    pub(super) fn meets(&self, other: &Self) -> bool {
        (self.target, self.oracle) == (other.target, other.oracle)
    }
}
