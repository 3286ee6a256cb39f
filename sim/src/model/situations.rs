//! Situations by number: each distinct one gets a dense id, found by its setting and its place there.

use super::table::number;

/// A situation by the numbers of its factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Situation {
    pub(super) setting: u32,
    /// The outline of its oracle for the shape of the setting.
    pub(super) outline: u32,
}

/// Distinct situations in the order in which they came.
///
/// What is known of a setting lies together on a shelf. The place of a situation there is that of its outline among
/// those of the shape, so that it is found without a search.
#[derive(Debug)]
pub(super) struct Situations {
    items: Vec<Situation>,
    /// By setting.
    shelves: Vec<Shelf>,
    /// By setting: how many places there are on its shelf.
    lengths: Vec<u32>,
    /// The ids on all shelves, or [`FREE`].
    ids: Vec<u32>,
}

/// What is known of a setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shelf {
    /// Which of the first 64 places are taken, as bits: most questions end here.
    taken: u64,
    /// The shape of the setting, once there is a situation with it.
    pub(super) shape: u32,
    /// Where its ids are. They move to the end to become more.
    start: u32,
}

/// No shape has this number.
pub(super) const NO_SHAPE: u32 = u32::MAX;
const NONE: Shelf = Shelf { taken: 0, shape: NO_SHAPE, start: 0 };
const FREE: u32 = u32::MAX;

impl Shelf {
    /// Whether a situation is known to be at a place. Beyond the first 64 places that is not known here.
    #[inline]
    pub(super) const fn is_taken(&self, place: u32) -> bool {
        place < u64::BITS && self.taken >> place & 1 == 1
    }
}

impl Situations {
    pub(super) const fn new() -> Self {
        Self { items: Vec::new(), shelves: Vec::new(), lengths: Vec::new(), ids: Vec::new() }
    }

    #[inline]
    pub(super) fn shelf(&self, setting: u32) -> Shelf {
        self.shelves.get(setting as usize).copied().unwrap_or(NONE)
    }

    /// The situation at a place of the shelf of a setting.
    #[inline]
    pub(super) fn find(&self, setting: u32, shelf: Shelf, place: u32) -> Option<u32> {
        if place < u64::BITS {
            return shelf.is_taken(place).then(|| self.at(shelf, place));
        }
        let length = *self.lengths.get(setting as usize)?;
        (place < length).then(|| self.at(shelf, place)).filter(|&id| id != FREE)
    }

    /// The situation at a place that is taken.
    #[inline]
    pub(super) fn at(&self, shelf: Shelf, place: u32) -> u32 {
        self.ids[(shelf.start + place) as usize]
    }

    /// Adds a situation that is not there, and returns its id. A shelf that is too short gets room for at least as
    /// many as are `likely`, and for half as many again as it had.
    pub(super) fn add(&mut self, situation: Situation, shape: u32, place: u32, likely: u32) -> u32 {
        let setting = situation.setting as usize;
        if self.shelves.len() <= setting {
            self.shelves.resize(setting + 1, NONE);
            self.lengths.resize(setting + 1, 0);
        }
        let (shelf, length) = (&mut self.shelves[setting], &mut self.lengths[setting]);
        if place >= *length {
            let (old, new) = (shelf.start as usize, self.ids.len());
            self.ids.extend_from_within(old..old + *length as usize);
            *length = likely.max(place + 1).max(*length + *length / 2);
            self.ids.resize(new + *length as usize, FREE);
            (shelf.shape, shelf.start) = (shape, number(self.ids.len()) - *length);
        }
        if place < u64::BITS {
            shelf.taken |= 1 << place;
        }
        let id = number(self.items.len());
        self.ids[(shelf.start + place) as usize] = id;
        self.items.push(situation);
        id
    }

    pub(super) const fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn items(&self) -> &[Situation] {
        &self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places come in any order, and a shelf grows for a likely number of them or without one, so there are holes.
    #[test]
    fn a_situation_keeps_its_id_while_its_shelf_grows() {
        const PLACES: u32 = 211;
        for likely in [0, 17, 64, 500] {
            let mut situations = Situations::new();
            let mut all = Vec::new();
            // Multiples of a number that has no factor in common with the prime: each place once.
            for outline in (0..PLACES).map(|number| number * 89 % PLACES) {
                for setting in [0, 3, 6, 21] {
                    let before = situations.shelf(setting);
                    assert_eq!(situations.find(setting, before, outline), None);
                    let situation = Situation { setting, outline };
                    let id = situations.add(situation, setting + 1, outline, likely);
                    assert_eq!(id, all.len() as u32);
                    all.push(situation);
                }
            }
            for (id, &Situation { setting, outline }) in (0..).zip(&all) {
                let shelf = situations.shelf(setting);
                assert_eq!(shelf.shape, setting + 1);
                assert_eq!(shelf.is_taken(outline), outline < 64);
                assert_eq!(situations.find(setting, shelf, outline), Some(id));
                assert_eq!(situations.at(shelf, outline), id);
            }
            assert_eq!(situations.find(5, situations.shelf(5), 70), None, "no such setting");
            assert_eq!(situations.items(), all);
        }
    }

    /// A shelf whose likely length is known too late is not copied for each situation.
    #[test]
    fn the_room_of_a_shelf_grows_with_what_is_on_it() {
        let mut situations = Situations::new();
        for outline in 0..10_000 {
            situations.add(Situation { setting: 0, outline }, 0, outline, outline + 1);
        }
        assert!(situations.ids.len() < 60_000, "{}", situations.ids.len());
    }
}
