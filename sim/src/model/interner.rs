//! Interning: each distinct item gets a dense id. Open addressing over ids, with full comparison.

use std::hash::{Hash, Hasher};
use std::ops::Range;

/// Distinct items in the order in which they came, and their ids.
#[derive(Debug)]
pub(super) struct Interner<T> {
    items: Vec<T>,
    slots: Slots,
}

impl<T: Copy + Eq + Hash> Interner<T> {
    pub(super) fn new() -> Self {
        Self { items: Vec::new(), slots: Slots::new() }
    }

    /// The id of an item, and whether it is new.
    #[inline]
    pub(super) fn intern(&mut self, item: T) -> (u32, bool) {
        let found = self.slots.find(hash(&item), |id| self.items[id as usize] == item);
        if found.1 {
            self.items.push(item);
        }
        found
    }

    pub(super) fn get(&self, id: usize) -> T {
        self.items[id]
    }

    pub(super) fn items(&self) -> &[T] {
        &self.items
    }
}

/// Distinct sequences of items, each with an owner, and their ids.
#[derive(Debug)]
pub(super) struct Sequences<T> {
    /// Where each begins and ends, and its owner.
    known: Vec<(u32, u32, u32)>,
    items: Vec<T>,
    slots: Slots,
}

impl<T: Copy + Eq + Hash> Sequences<T> {
    pub(super) fn new() -> Self {
        Self { known: Vec::new(), items: Vec::new(), slots: Slots::new() }
    }

    /// The owner of a sequence, and where its items are.
    pub(super) fn range(&self, id: u32) -> (u32, Range<usize>) {
        let (start, end, owner) = self.known[id as usize];
        (owner, start as usize..end as usize)
    }

    /// All items, one sequence after the other.
    pub(super) fn items(&self) -> &[T] {
        &self.items
    }

    /// The id of a sequence, and whether it is new.
    pub(super) fn intern(&mut self, owner: u32, sequence: &[T]) -> (u32, bool) {
        let found = self.slots.find(hash(&(owner, sequence)), |id| {
            let (start, end, of) = self.known[id as usize];
            of == owner && self.items[start as usize..end as usize] == *sequence
        });
        if found.1 {
            let start = number(self.items.len());
            self.items.extend_from_slice(sequence);
            self.known.push((start, number(self.items.len()), owner));
        }
        found
    }
}

/// Ids by hash; what they stand for is kept elsewhere.
#[derive(Debug)]
struct Slots {
    /// Zero where free; else half of the hash in the high half and the id plus one in the low half,
    /// so that growing hashes nothing again and most comparisons end before they reach an item.
    slots: Vec<u64>,
    /// The slot of a hash is its high half, shifted by this.
    shift: u32,
    len: u32,
}

const SLOTS_MIN_LOG2: u32 = 10;

impl Slots {
    fn new() -> Self {
        Self { slots: vec![0; 1 << SLOTS_MIN_LOG2], shift: u32::BITS - SLOTS_MIN_LOG2, len: 0 }
    }

    /// The id that has this hash and is the one looked for, or the next id, and whether it is new.
    #[inline]
    fn find(&mut self, hash: u64, is_it: impl Fn(u32) -> bool) -> (u32, bool) {
        let tag = hash >> 32;
        let mask = self.slots.len() - 1;
        let mut at = (tag >> self.shift) as usize;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                break;
            }
            let id = (slot as u32) - 1;
            if slot >> 32 == tag && is_it(id) {
                return (id, false);
            }
            at = (at + 1) & mask;
        }
        let id = self.len;
        self.len += 1;
        self.slots[at] = tag << 32 | u64::from(self.len);
        if self.len as usize * 2 > self.slots.len() {
            self.grow();
        }
        (id, true)
    }

    #[cold]
    fn grow(&mut self) {
        self.shift -= 1;
        let mut slots = vec![0_u64; self.slots.len() * 2];
        let mask = slots.len() - 1;
        for &slot in self.slots.iter().filter(|&&slot| slot != 0) {
            let mut at = (slot >> 32 >> self.shift) as usize;
            while slots[at] != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = slot;
        }
        self.slots = slots;
    }
}

/// How many there are, as a number of the search; its numbers have 32 bits, so as to be many.
///
/// # Panics
/// If there are too many.
#[inline]
pub(super) fn number(count: usize) -> u32 {
    assert!(count <= u32::MAX as usize, "a search of more than four thousand million of a kind");
    count as u32
}

fn hash(item: &(impl Hash + ?Sized)) -> u64 {
    let mut mixer = Mixer::default();
    item.hash(&mut mixer);
    mixer.finish()
}

/// Turns and adds each field, and multiplies once at the end; the same in every process.
///
/// What is interned here consists of many small fields, so that multiplying for each, as general
/// hashers do, would be most of the work.
#[derive(Debug, Default)]
struct Mixer(u64);

/// A 64-bit odd constant with no structure: the fraction of the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Mixer {
    #[inline]
    const fn add(&mut self, value: u64) {
        self.0 = self.0.rotate_left(11).wrapping_add(value);
    }
}

impl Hasher for Mixer {
    #[inline]
    fn finish(&self) -> u64 {
        let product = folded_product(self.0 ^ GOLDEN, GOLDEN);
        // The high half picks the slot: every bit of the sum must reach it.
        folded_product(product, 0xD6E8_FEB8_6659_FD93)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u8(byte));
    }

    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.add(u64::from(value));
    }

    #[inline]
    fn write_u16(&mut self, value: u16) {
        self.add(u64::from(value));
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.0 = self.0.rotate_left(32);
        self.add(u64::from(value));
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.add(value);
    }

    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.add(value as u64);
    }

    /// Tags of enums come this way.
    #[inline]
    fn write_isize(&mut self, value: isize) {
        self.add(value as u64);
    }
}

#[inline]
const fn folded_product(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_keeps_its_id_while_the_interner_grows() {
        let mut table = Interner::new();
        let item = |index: u32| (index as u8, index, Some(index as u16), [Some(true), None]);
        for index in 0..100_000 {
            assert_eq!(table.intern(item(index)), (index, true));
        }
        for index in 0..100_000 {
            assert_eq!(table.intern(item(index)), (index, false));
            assert_eq!(table.get(index as usize), item(index));
        }
        assert_eq!(table.items().len(), 100_000);
    }

    #[test]
    fn the_high_half_of_the_hash_spreads() {
        let mut seen = vec![false; 1 << 16];
        for index in 0_u32..1 << 16 {
            seen[(hash(&(index as u8, (index >> 8) as u8)) >> 48) as usize] = true;
        }
        let hit = seen.iter().filter(|&&seen| seen).count();
        // A random function reaches 63 % of its range.
        assert!((40_000..44_000).contains(&hit), "{hit}");
    }
}
