//! The delay before the next attempt.

use crate::time::{Delay, Millis};

/// The growth of delays. The delay at step k never exceeds the cap, which every curve must have.
///
/// # Source
/// seed.md D1 to D3, and BB-73, BB-74, BB-78 of the bug bank: uncapped, wrapping and late-capped
/// growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Curve {
    /// The same delay at every step.
    Constant {
        /// The delay; zero only together with a retry budget or a start limit.
        delay: Millis,
    },
    /// `initial + k × increment`, at most `cap`.
    Linear {
        /// The delay at step 0, at least 1 ms.
        initial: Millis,
        /// The increment of each step, at least 1 ms.
        increment: Millis,
        /// The longest delay, at least `initial`, reached within 254 steps.
        cap: Millis,
    },
    /// `initial × factor^k`, at most `cap`.
    Exponential {
        /// The delay at step 0, at least 1 ms.
        initial: Millis,
        /// The factor of each step.
        factor: Factor,
        /// The longest delay, at least `initial`, reached within 254 steps.
        cap: Millis,
    },
    /// `initial × (cap / initial)^(k / steps)` up to step `steps`, then `cap`: systemd's `RestartSteps`.
    Geometric {
        /// The delay at step 0, at least 1 ms.
        initial: Millis,
        /// The delay from step `steps` on, at least `initial`.
        cap: Millis,
        /// The number of steps from `initial` to `cap`, 1 to 254.
        steps: u8,
    },
}

/// The factor of an exponential curve, in hundredths: 1.01 to 100.00.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Factor(u16);

impl Factor {
    /// The factor two.
    pub const DOUBLE: Self = Self(200);

    /// The factor with this number of hundredths, 150 for ×1.5. A policy refuses factors outside
    /// 101 to 10,000.
    #[must_use]
    pub const fn from_hundredths(hundredths: u16) -> Self {
        Self(hundredths)
    }

    /// The factor in hundredths.
    #[must_use]
    pub const fn hundredths(self) -> u16 {
        self.0
    }
}

/// The longest curve, in steps: one less than the largest level that a state can hold.
pub(crate) const STEPS_MAX: u8 = u8::MAX - 1;

impl Curve {
    /// The delay at step `step`: non-decreasing in it, never above the cap, exact to 1 ms per day.
    #[must_use]
    pub const fn at(self, step: u8) -> Millis {
        let (initial, cap, grown) = match self {
            Self::Constant { delay } => return delay,
            Self::Linear { initial, increment, cap } => {
                let added = increment.as_u32() as u64 * step as u64;
                (initial, cap, initial.as_u32() as u64 + added)
            }
            Self::Exponential { initial, factor, cap } => {
                let ratio = ((factor.0 as u64) << 32) / 100;
                // A factor with a fraction is rounded down to 2^-32; halves are exact.
                (initial, cap, scale(initial, power(ratio, step)))
            }
            Self::Geometric { initial, cap, steps } => {
                if step >= steps {
                    return cap;
                }
                (initial, cap, scale(initial, power(root(initial, cap, steps), step)))
            }
        };
        if grown >= cap.as_u32() as u64 {
            cap
        } else if grown < initial.as_u32() as u64 {
            initial
        } else {
            Millis::new(grown as u32)
        }
    }

    /// The longest delay of the curve.
    #[must_use]
    pub const fn cap(self) -> Millis {
        match self {
            Self::Constant { delay } => delay,
            Self::Linear { cap, .. }
            | Self::Exponential { cap, .. }
            | Self::Geometric { cap, .. } => cap,
        }
    }

    /// The delay at step 0.
    #[must_use]
    pub const fn initial(self) -> Millis {
        match self {
            Self::Constant { delay } => delay,
            Self::Linear { initial, .. }
            | Self::Exponential { initial, .. }
            | Self::Geometric { initial, .. } => initial,
        }
    }
}

/// A curve, and the level at which it begins.
///
/// The level counts the waits since the last healthy run or the last start by a user. A healthy run
/// sets it to 0. A start by a user sets it to `skip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Backoff {
    /// The growth of delays.
    pub curve: Curve,
    /// The delay at level 0, before the curve begins; `None` begins the curve at once.
    pub first: Option<Millis>,
    /// The level after a start by a user: 0, or 1 if the first quick exit already counts as a step.
    pub skip: u8,
    /// The largest random addition to a delay, 0 to 100 percent of it.
    pub jitter_percent: u8,
}

impl Backoff {
    /// The delay at `level`, with its jitter.
    #[must_use]
    pub const fn delay(&self, level: u8) -> Delay {
        let base = match self.first {
            Some(first) if level == 0 => first,
            Some(_) => self.curve.at(level - 1),
            None => self.curve.at(level),
        };
        let jitter = base.as_u32() as u64 * self.jitter_percent as u64 / 100;
        Delay { base, jitter: Millis::new(if jitter > MS_MAX { u32::MAX } else { jitter as u32 }) }
    }
}

const MS_MAX: u64 = u32::MAX as u64;

/// One in fixed point with 32 fractional bits.
const ONE: u64 = 1 << 32;

/// `ratio^exponent` in fixed point; saturates.
const fn power(ratio: u64, exponent: u8) -> u64 {
    let mut result = ONE;
    let mut square = ratio;
    let mut rest = exponent;
    loop {
        if rest & 1 == 1 {
            result = times(result, square);
        }
        rest >>= 1;
        if rest == 0 {
            return result;
        }
        square = times(square, square);
    }
}

const fn times(a: u64, b: u64) -> u64 {
    let product = (a as u128 * b as u128) >> 32;
    if product > u64::MAX as u128 { u64::MAX } else { product as u64 }
}

const fn scale(base: Millis, ratio: u64) -> u64 {
    let product = base.as_u32() as u128 * ratio as u128 + (1 << 31);
    (product >> 32) as u64
}

/// The largest fixed-point number whose `steps`-th power does not exceed `cap / initial`.
const fn root(initial: Millis, cap: Millis, steps: u8) -> u64 {
    let target = ((cap.as_u32() as u64) << 32) / initial.as_u32() as u64;
    let mut root = 0;
    let mut bit = 1 << 63;
    while bit > 0 {
        if power(root + bit, steps) <= target {
            root += bit;
        }
        bit >>= 1;
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Millis = Millis::new(1_000);

    #[test]
    fn exponential_doubles_and_stays_at_its_cap() {
        let curve =
            Curve::Exponential { initial: Millis::new(100), factor: Factor::DOUBLE, cap: SECOND };
        let delays: [u32; 6] = core::array::from_fn(|k| curve.at(k as u8).as_u32());
        assert_eq!(delays, [100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(curve.at(u8::MAX), SECOND);
    }

    #[test]
    fn uncapped_doubling_saturates_instead_of_wrapping() {
        let curve = Curve::Exponential {
            initial: Millis::new(100),
            factor: Factor::DOUBLE,
            cap: Millis::MAX,
        };
        for step in 0..=25 {
            assert_eq!(curve.at(step).as_u32(), 100 << step);
        }
        for step in 26..=u8::MAX {
            assert_eq!(curve.at(step), Millis::MAX);
        }
    }

    #[test]
    fn geometric_meets_both_ends_and_the_formula_between() {
        let curve =
            Curve::Geometric { initial: Millis::new(100), cap: Millis::from_mins(5), steps: 10 };
        assert_eq!(curve.at(0).as_u32(), 100);
        assert_eq!(curve.at(10), Millis::from_mins(5));
        for step in 0..10_u8 {
            let exact = 100.0 * 3_000_f64.powf(f64::from(step) / 10.0);
            assert!((f64::from(curve.at(step).as_u32()) - exact).abs() <= 1.0, "step {step}");
        }
    }

    #[test]
    fn linear_adds_and_caps_after_the_addition() {
        let curve = Curve::Linear {
            initial: SECOND,
            increment: Millis::from_secs(10),
            cap: Millis::from_secs(25),
        };
        let delays: [u32; 5] = core::array::from_fn(|k| curve.at(k as u8).as_u32());
        assert_eq!(delays, [1_000, 11_000, 21_000, 25_000, 25_000], "BB-78");
    }

    #[test]
    fn a_fraction_is_rounded_to_the_nearest() {
        let factor = Factor::from_hundredths(150);
        let curve = Curve::Exponential { initial: Millis::new(101), factor, cap: SECOND };
        assert_eq!(curve.at(1).as_u32(), 152);
    }

    #[test]
    fn a_first_delay_comes_before_the_curve() {
        let (initial, increment, cap) = (SECOND, SECOND, Millis::from_secs(3));
        let curve = Curve::Linear { initial, increment, cap };
        let backoff = Backoff { curve, first: None, skip: 0, jitter_percent: 25 };
        let delays =
            |backoff: Backoff| [0, 1, 2, 3, 255].map(|level| backoff.delay(level).to_string());
        assert_eq!(
            delays(backoff),
            ["1s..1s250ms", "2s..2s500ms", "3s..3s750ms", "3s..3s750ms", "3s..3s750ms"]
        );
        let first = Some(Millis::ZERO);
        assert_eq!(
            delays(Backoff { first, jitter_percent: 0, ..backoff }),
            ["0ms", "1s", "2s", "3s", "3s"]
        );
    }

    /// A policy refuses both, but the functions are total.
    #[test]
    fn unsound_items_neither_shrink_delays_nor_wrap() {
        let factor = Factor::from_hundredths(50);
        let curve = Curve::Exponential { initial: Millis::new(100), factor, cap: SECOND };
        assert_eq!(curve.at(3).as_u32(), 100);
        let curve = Curve::Constant { delay: Millis::MAX };
        let backoff = Backoff { curve, first: None, skip: 0, jitter_percent: u8::MAX };
        assert_eq!(backoff.delay(0).jitter, Millis::MAX);
    }

    #[test]
    fn the_longest_curve_ends_below_the_largest_level() {
        assert_eq!(STEPS_MAX, 254);
    }
}
