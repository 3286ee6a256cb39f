//! The last event entries.

use std::collections::VecDeque;

use monitor_os::Moment;

use super::event_entry::EventEntry;

/// A ring of the last [`KEPT`] entries, numbered from 0 without a gap.
#[derive(Debug, Default)]
pub(crate) struct History {
    entries: VecDeque<(Moment, EventEntry)>,
    /// The number of the first kept entry.
    first: u64,
    /// The number of the next entry.
    end: u64,
}

/// How many entries are kept: those of some sixty runs.
pub(crate) const KEPT: usize = 256;

impl History {
    pub(crate) fn push(&mut self, at: Moment, entry: EventEntry) {
        if self.entries.len() == KEPT {
            self.entries.pop_front();
            self.first += 1;
        }
        self.entries.push_back((at, entry));
        self.end += 1;
    }

    /// The number of the first kept entry.
    pub(crate) const fn first(&self) -> u64 {
        self.first
    }

    /// The number of the next entry.
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    /// The entry of a number, if it is kept.
    pub(crate) fn get(&self, number: u64) -> Option<&EventEntry> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.entries.get(index).map(|(_, entry)| entry)
    }

    /// The entries and their times, the newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &(Moment, EventEntry)> {
        self.entries.iter().rev()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_kept_under_their_numbers() {
        let mut history = History::default();
        assert_eq!((history.first(), history.end()), (0, 0));
        for run in 0..300 {
            history.push(Moment::ORIGIN, EventEntry { run, ..EventEntry::default() });
        }
        assert_eq!((history.first(), history.end()), (44, 300));
        assert_eq!(history.get(43), None);
        assert_eq!(history.get(44).unwrap().run, 44);
        assert_eq!(history.get(299).unwrap().run, 299);
        assert_eq!(history.get(300), None);
        assert_eq!(history.newest_first().next().unwrap().1.run, 299);
    }
}
