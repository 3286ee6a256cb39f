//! The agenda: the deadlines of all units, in the order of delivery.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use monitor_core::TimerSlot;

use crate::driver::kernel::{Moment, UnitId};

/// A deadline, ordered by delivery: the earliest first, then by unit, then by alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline {
    pub(crate) at: Moment,
    /// The unit and the place of the alarm in one number, because a heap mainly compares and moves.
    whose: u64,
}

/// The subject of a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alarm {
    Timer(TimerSlot),
    Save,
}

impl Alarm {
    /// In the order that breaks ties.
    const ALL: [Self; 4] = [
        Self::Timer(TimerSlot::Phase),
        Self::Timer(TimerSlot::Watchdog),
        Self::Timer(TimerSlot::Window),
        Self::Save,
    ];

    const fn place(self) -> u64 {
        match self {
            Self::Timer(slot) => slot as u64,
            Self::Save => 3,
        }
    }
}

impl Deadline {
    pub(crate) const fn new(at: Moment, unit: UnitId, alarm: Alarm) -> Self {
        Self { at, whose: (unit.as_u32() as u64) << 2 | alarm.place() }
    }

    pub(crate) const fn unit(self) -> UnitId {
        UnitId::new((self.whose >> 2) as u32)
    }

    pub(crate) const fn alarm(self) -> Alarm {
        Alarm::ALL[(self.whose & 3) as usize]
    }
}

/// A heap of deadlines, from which a deadline is removed only at its time or by a sweep.
///
/// A stale deadline is skipped when it comes first. A sweep removes all stale ones when they
/// outnumber the valid ones.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    heap: BinaryHeap<Reverse<Deadline>>,
    /// The number of deadlines after the last sweep.
    swept: usize,
}

/// The size below which a sweep is not worth its cost.
const SWEEP_MIN: usize = 64;

impl Agenda {
    pub(crate) fn set(&mut self, deadline: Deadline) {
        self.heap.push(Reverse(deadline));
    }

    /// The first deadline, which is valid if nothing has changed since [`Agenda::tidy`].
    pub(crate) fn first(&self) -> Option<Deadline> {
        self.heap.peek().map(|&Reverse(first)| first)
    }

    /// Takes the first deadline if it is due; the deadline may be stale.
    pub(crate) fn take_due(&mut self, now: Moment) -> Option<Deadline> {
        self.first().filter(|first| first.at <= now)?;
        self.heap.pop().map(|Reverse(first)| first)
    }

    /// Drops stale deadlines: those that come first, or all of them if they are too many.
    pub(crate) fn tidy(&mut self, stands: impl Fn(Deadline) -> bool) {
        if self.heap.len() > SWEEP_MIN.max(self.swept * 2) {
            self.heap.retain(|&Reverse(deadline)| stands(deadline));
            self.swept = self.heap.len();
        }
        while self.first().is_some_and(|first| !stands(first)) {
            self.heap.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deadline(at: u64, unit: u32) -> Deadline {
        Deadline::new(Moment::from_millis(at), UnitId::new(unit), Alarm::Save)
    }

    #[test]
    fn a_deadline_knows_its_unit_and_its_alarm() {
        let unit = UnitId::new(u32::MAX);
        let deadlines = Alarm::ALL.map(|alarm| Deadline::new(Moment::ORIGIN, unit, alarm));
        assert!(deadlines.is_sorted());
        assert_eq!(deadlines.map(Deadline::alarm), Alarm::ALL);
        assert_eq!(deadlines.map(Deadline::unit), [unit; 4]);
    }

    #[test]
    fn deadlines_come_in_their_order_and_only_when_due() {
        let mut agenda = Agenda::default();
        for (at, unit) in [(30, 1), (10, 2), (20, 1), (10, 1)] {
            agenda.set(deadline(at, unit));
        }
        let mut taken = std::iter::from_fn(|| agenda.take_due(Moment::from_millis(20)));
        assert_eq!(taken.next(), Some(deadline(10, 1)));
        assert_eq!(taken.next(), Some(deadline(10, 2)));
        assert_eq!(taken.next(), Some(deadline(20, 1)));
        assert_eq!(taken.next(), None);
        assert_eq!(agenda.first(), Some(deadline(30, 1)));
    }

    /// A watchdog that is armed anew at each ping must not fill the memory.
    #[test]
    fn what_no_longer_stands_neither_comes_first_nor_piles_up() {
        let mut agenda = Agenda::default();
        for at in 0..10_000 {
            agenda.set(deadline(at, 0));
            agenda.tidy(|deadline| deadline.at == Moment::from_millis(at));
            assert_eq!(agenda.first(), Some(deadline(at, 0)));
        }
        // These never come up, because another deadline comes first.
        agenda.set(deadline(0, 0));
        for at in 1..10_000 {
            agenda.set(deadline(at, 1));
            let now = [deadline(0, 0), deadline(at, 1)];
            agenda.tidy(|deadline| now.contains(&deadline));
            assert!(agenda.heap.len() <= SWEEP_MIN + 1, "{}", agenda.heap.len());
        }
        assert_eq!(agenda.first(), Some(deadline(0, 0)));
    }
}
