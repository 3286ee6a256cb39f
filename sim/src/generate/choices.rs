//! Where generators get their choices from: a seed, or bytes.
//!
//! One generator serves every engine: driven by a seed it samples, driven by bytes it is a proptest
//! strategy or a fuzz target, and shorter bytes are simpler cases.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// A source of choices.
pub trait Choices {
    /// Chooses a number from 0 to `bound` − 1; 0 if `bound` is 0. By convention 0 is the simplest
    /// choice.
    fn below(&mut self, bound: u32) -> u32;

    /// Chooses one of the items. The first is the simplest.
    fn pick<T: Copy>(&mut self, items: &[T]) -> T
    where
        Self: Sized,
    {
        let last = items.len().saturating_sub(1);
        let index = self.below(u32::try_from(items.len()).unwrap_or(u32::MAX)) as usize;
        items[index.min(last)]
    }
}

/// Choices drawn from a seed.
#[derive(Clone, Debug)]
pub struct Seeded(Pcg64Mcg);

impl Seeded {
    /// Makes the choices of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed))
    }
}

impl Choices for Seeded {
    fn below(&mut self, bound: u32) -> u32 {
        if bound == 0 { 0 } else { self.0.random_range(0..bound) }
    }
}

/// Choices read from bytes, one byte each; 0 when they are used up.
#[derive(Clone, Copy, Debug)]
pub struct FromBytes<'a>(pub &'a [u8]);

impl Choices for FromBytes<'_> {
    fn below(&mut self, bound: u32) -> u32 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        if bound == 0 { 0 } else { u32::from(first) % bound }
    }
}
