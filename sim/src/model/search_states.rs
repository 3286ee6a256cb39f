//! Search states by number: each distinct one gets a dense id, found by its setting and its place
//! there.

use super::interner::number;

/// A search state by the numbers of its factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SearchStateKey {
    pub(super) setting: u32,
    /// The outline of its oracle for the shape of the setting.
    pub(super) outline: u32,
}

/// Distinct search states in the order in which they came.
///
/// What is known of a setting lies together in a bucket. The place of a search state there is that
/// of its outline among those of the shape, so that it is found without a search.
#[derive(Debug)]
pub(super) struct SearchStates {
    items: Vec<SearchStateKey>,
    /// By setting.
    buckets: Vec<Bucket>,
    /// By setting: how many places there are in its bucket.
    lengths: Vec<u32>,
    /// The ids in all buckets, or [`FREE`].
    ids: Vec<u32>,
}

/// What is known of a setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// Which of the first 64 places are taken, as bits: most questions end here.
    taken: u64,
    /// The shape of the setting, once there is a search state with it.
    pub(super) shape: u32,
    /// Where its ids are. They move to the end to become more.
    start: u32,
}

/// No shape has this number.
pub(super) const NO_SHAPE: u32 = u32::MAX;
const NONE: Bucket = Bucket { taken: 0, shape: NO_SHAPE, start: 0 };
const FREE: u32 = u32::MAX;

impl Bucket {
    /// Whether a search state is known to be at a place. Beyond the first 64 places that is not
    /// known here.
    #[inline]
    pub(super) const fn is_taken(&self, place: u32) -> bool {
        place < u64::BITS && self.taken >> place & 1 == 1
    }
}

impl SearchStates {
    pub(super) const fn new() -> Self {
        Self { items: Vec::new(), buckets: Vec::new(), lengths: Vec::new(), ids: Vec::new() }
    }

    #[inline]
    pub(super) fn bucket(&self, setting: u32) -> Bucket {
        self.buckets.get(setting as usize).copied().unwrap_or(NONE)
    }

    /// The search state at a place of the bucket of a setting.
    #[inline]
    pub(super) fn find(&self, setting: u32, bucket: Bucket, place: u32) -> Option<u32> {
        if place < u64::BITS {
            return bucket.is_taken(place).then(|| self.at(bucket, place));
        }
        let length = *self.lengths.get(setting as usize)?;
        (place < length).then(|| self.at(bucket, place)).filter(|&id| id != FREE)
    }

    /// The search state at a place that is taken.
    #[inline]
    pub(super) fn at(&self, bucket: Bucket, place: u32) -> u32 {
        self.ids[(bucket.start + place) as usize]
    }

    /// Adds a search state that is not there, and returns its id. A bucket that is too short gets
    /// room for at least as many as are `likely`, and for half as many again as it had.
    pub(super) fn add(&mut self, key: SearchStateKey, shape: u32, place: u32, likely: u32) -> u32 {
        let setting = key.setting as usize;
        if self.buckets.len() <= setting {
            self.buckets.resize(setting + 1, NONE);
            self.lengths.resize(setting + 1, 0);
        }
        let (bucket, length) = (&mut self.buckets[setting], &mut self.lengths[setting]);
        if place >= *length {
            let (old, new) = (bucket.start as usize, self.ids.len());
            self.ids.extend_from_within(old..old + *length as usize);
            *length = likely.max(place + 1).max(*length + *length / 2);
            self.ids.resize(new + *length as usize, FREE);
            (bucket.shape, bucket.start) = (shape, number(self.ids.len()) - *length);
        }
        if place < u64::BITS {
            bucket.taken |= 1 << place;
        }
        let id = number(self.items.len());
        self.ids[(bucket.start + place) as usize] = id;
        self.items.push(key);
        id
    }

    pub(super) const fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn items(&self) -> &[SearchStateKey] {
        &self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places come in any order, and a bucket grows for a likely number of them or without one, so
    /// there are holes.
    #[test]
    fn a_search_state_keeps_its_id_while_its_bucket_grows() {
        const PLACES: u32 = 211;
        for likely in [0, 17, 64, 500] {
            let mut search_states = SearchStates::new();
            let mut all = Vec::new();
            // Multiples of a number that has no factor in common with the prime: each place once.
            for outline in (0..PLACES).map(|number| number * 89 % PLACES) {
                for setting in [0, 3, 6, 21] {
                    let before = search_states.bucket(setting);
                    assert_eq!(search_states.find(setting, before, outline), None);
                    let key = SearchStateKey { setting, outline };
                    let id = search_states.add(key, setting + 1, outline, likely);
                    assert_eq!(id, all.len() as u32);
                    all.push(key);
                }
            }
            for (id, &SearchStateKey { setting, outline }) in (0..).zip(&all) {
                let bucket = search_states.bucket(setting);
                assert_eq!(bucket.shape, setting + 1);
                assert_eq!(bucket.is_taken(outline), outline < 64);
                assert_eq!(search_states.find(setting, bucket, outline), Some(id));
                assert_eq!(search_states.at(bucket, outline), id);
            }
            assert_eq!(search_states.find(5, search_states.bucket(5), 70), None, "no such setting");
            assert_eq!(search_states.items(), all);
        }
    }

    /// A bucket whose likely length is known too late is not copied for each search state.
    #[test]
    fn the_room_of_a_bucket_grows_with_what_is_on_it() {
        let mut search_states = SearchStates::new();
        for outline in 0..10_000 {
            search_states.add(SearchStateKey { setting: 0, outline }, 0, outline, outline + 1);
        }
        assert!(search_states.ids.len() < 60_000, "{}", search_states.ids.len());
    }
}
