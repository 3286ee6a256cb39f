//! Situations by number: each distinct one gets a dense id, found by its setting and then by its watch.

use super::product::Situation;

/// Distinct situations in the order in which they came.
///
/// The ways on from a setting lead to a few others again and again, so what is known of a setting lies together: a
/// small table of its own, by the watch. One that is full moves to the end, twice as large.
#[derive(Debug)]
pub(super) struct Situations {
    items: Vec<Situation>,
    /// By setting.
    shelves: Vec<Shelf>,
    slots: Vec<Slot>,
}

/// Where the slots of a setting are; none as long as it has no situation.
#[derive(Clone, Copy, Debug)]
struct Shelf {
    start: u32,
    /// The number of slots is two to the power of this.
    log2: u32,
    taken: u32,
}

/// A watch, and the id of the situation.
#[derive(Clone, Copy, Debug)]
struct Slot {
    watch: u32,
    id: u32,
}

const NONE: Shelf = Shelf { start: 0, log2: 0, taken: 0 };
/// Its watch does not count.
const FREE: Slot = Slot { watch: 0, id: u32::MAX };
const LOG2_MIN: u32 = 2;

impl Situations {
    pub(super) fn new() -> Self {
        // The one slot is that of all settings without a situation, and stays free.
        Self { items: Vec::new(), shelves: Vec::new(), slots: vec![FREE] }
    }

    /// The id of a situation, and whether it is new.
    #[inline]
    pub(super) fn intern(&mut self, situation: Situation) -> (u32, bool) {
        let Situation { setting, watch } = situation;
        let shelf = self.shelves.get(setting as usize).copied().unwrap_or(NONE);
        match self.find(shelf, watch) {
            Ok(id) => (id, false),
            Err(at) => (self.add(situation, at), true),
        }
    }

    /// The id, or the slot that is free for it.
    #[inline]
    fn find(&self, shelf: Shelf, watch: u32) -> Result<u32, usize> {
        let mask = (1_u32 << shelf.log2) - 1;
        // The high bits of the product spread; a shift by all bits leaves none.
        let mut at = (watch.wrapping_mul(GOLDEN) >> 1) >> (31 - shelf.log2);
        loop {
            let place = (shelf.start + at) as usize;
            let slot = self.slots[place];
            if slot.id == FREE.id {
                return Err(place);
            }
            if slot.watch == watch {
                return Ok(slot.id);
            }
            at = (at + 1) & mask;
        }
    }

    fn add(&mut self, situation: Situation, at: usize) -> u32 {
        let Situation { setting, watch } = situation;
        let id = self.items.len() as u32;
        self.items.push(situation);
        let setting = setting as usize;
        if self.shelves.len() <= setting {
            self.shelves.resize(setting + 1, NONE);
        }
        let shelf = self.shelves[setting];
        // One in four stays free, so that every search ends, and soon.
        if (shelf.taken + 1) * 4 <= 3 << shelf.log2 {
            self.slots[at] = Slot { watch, id };
        } else {
            self.grow(setting, Slot { watch, id });
        }
        self.shelves[setting].taken += 1;
        id
    }

    fn grow(&mut self, setting: usize, new: Slot) {
        let old = self.shelves[setting];
        let log2 = LOG2_MIN.max(old.log2 + 1);
        let start = self.slots.len() as u32;
        let shelf = Shelf { start, log2, ..old };
        self.slots.resize(self.slots.len() + (1 << log2), FREE);
        let first = old.start as usize;
        for place in first..first + (1 << old.log2) {
            let slot = self.slots[place];
            if slot.id != FREE.id {
                self.put(shelf, slot);
            }
        }
        self.put(shelf, new);
        self.shelves[setting] = shelf;
    }

    fn put(&mut self, shelf: Shelf, slot: Slot) {
        if let Err(at) = self.find(shelf, slot.watch) {
            self.slots[at] = slot;
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn items(&self) -> &[Situation] {
        &self.items
    }
}

/// An odd constant with no structure: the fraction of the golden ratio.
const GOLDEN: u32 = 0x9E37_79B9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_situation_keeps_its_id_while_its_shelf_grows() {
        let mut situations = Situations::new();
        let all: Vec<Situation> = (0..20_000_u32)
            .map(|number| Situation { setting: number % 7 * 3, watch: number / 7 * 64 })
            .collect();
        for (id, &situation) in (0..).zip(&all) {
            assert_eq!(situations.intern(situation), (id, true));
        }
        for (id, &situation) in (0..).zip(&all) {
            assert_eq!(situations.intern(situation), (id, false));
        }
        assert_eq!(situations.items(), all);
        assert_eq!(situations.len(), all.len());
    }
}
