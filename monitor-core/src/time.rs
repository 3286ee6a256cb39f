//! Durations of the machine: relative, in whole milliseconds, saturating.

use core::fmt;
use core::str::FromStr;

use crate::parse_error::{ParseError, whole_number};

/// A relative duration in whole milliseconds, 0 to 4,294,967,295 (49.7 days); arithmetic saturates.
///
/// The machine never sees a point in time: delays go out, and fired timers come in.
///
/// # Source
/// seed.md D1 to D3 and Q12: delay arithmetic that wraps turns a backoff into a hot loop.
///
/// # Examples
/// ```
/// use monitor_core::Millis;
/// assert_eq!("1m30s".parse(), Ok(Millis::from_secs(90)));
/// assert_eq!(Millis::new(1_500).to_string(), "1s500ms");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Millis(u32);

impl Millis {
    /// The duration zero.
    pub const ZERO: Self = Self(0);
    /// The longest duration, 4,294,967,295 ms.
    pub const MAX: Self = Self(u32::MAX);

    /// The duration of `ms` milliseconds.
    #[must_use]
    pub const fn new(ms: u32) -> Self {
        Self(ms)
    }

    /// The duration of `secs` seconds; saturates at [`Millis::MAX`].
    #[must_use]
    pub const fn from_secs(secs: u32) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// The duration of `mins` minutes; saturates at [`Millis::MAX`].
    #[must_use]
    pub const fn from_mins(mins: u32) -> Self {
        Self(mins.saturating_mul(60_000))
    }

    /// The number of milliseconds.
    #[must_use]
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    /// The sum; saturates at [`Millis::MAX`].
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// Prints the largest units first, `1h`, `1m30s`, `1s500ms`, `0ms`, in a form that parses back.
impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0ms");
        }
        let mut rest = self.0;
        for (ms, unit) in UNITS {
            let count = rest / ms;
            rest %= ms;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

/// Reads `100ms`, `10s`, `1m30s`, `2h`, `1d`; every number needs its unit.
///
/// # Errors
/// [`ParseError`] with the value, if a unit is missing or unknown, or the sum exceeds 49.7 days.
impl FromStr for Millis {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        const FIX: &str =
            "write a whole number and its unit, such as 100ms, 10s, 1m30s, 2h (at most 49d)";
        let error = || ParseError::new("duration", text, FIX);
        let mut total: u32 = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
            let (number, tail) = rest.split_at(digits);
            let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, next) = tail.split_at(end);
            let number: u32 = whole_number(number).ok_or_else(error)?;
            let (ms, _) = UNITS.iter().find(|(_, name)| *name == unit).ok_or_else(error)?;
            total = number
                .checked_mul(*ms)
                .and_then(|part| total.checked_add(part))
                .ok_or_else(error)?;
            rest = next;
        }
        if text.is_empty() { Err(error()) } else { Ok(Self(total)) }
    }
}

/// A delay that the driver draws uniformly from `base` to `base + jitter`, both included.
///
/// The machine returns a range, so it needs no randomness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Delay {
    /// The shortest delay.
    pub base: Millis,
    /// The largest addition; zero for an exact delay.
    pub jitter: Millis,
}

impl Delay {
    /// A delay of exactly `base`.
    #[must_use]
    pub const fn exact(base: Millis) -> Self {
        Self { base, jitter: Millis::ZERO }
    }

    /// The longest delay that may be drawn; saturates at [`Millis::MAX`].
    #[must_use]
    pub const fn longest(self) -> Millis {
        self.base.saturating_add(self.jitter)
    }
}

/// Prints `100ms`, or `100ms..110ms` with jitter.
impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.base.fmt(f)?;
        if self.jitter > Millis::ZERO {
            write!(f, "..{}", self.longest())?;
        }
        Ok(())
    }
}

const UNITS: [(u32, &str); 5] =
    [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_printed_with_its_largest_units_first_and_read_back() {
        for (ms, text) in [
            (0, "0ms"),
            (1, "1ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (1_500, "1s500ms"),
            (59_999, "59s999ms"),
            (60_000, "1m"),
            (90_000, "1m30s"),
            (3_600_000, "1h"),
            (7_201_000, "2h1s"),
            (86_400_000, "1d"),
            (u32::MAX, "49d17h2m47s295ms"),
        ] {
            assert_eq!(Millis::new(ms).to_string(), text);
            assert_eq!(text.parse(), Ok(Millis::new(ms)), "{text}");
        }
        assert_eq!("90s".parse(), Ok(Millis::new(90_000)));
        assert_eq!("500ms1s".parse(), Ok(Millis::new(1_500)));
    }

    #[test]
    fn a_time_without_its_unit_or_beyond_the_longest_is_refused() {
        let fix = "write a whole number and its unit, such as 100ms, 10s, 1m30s, 2h (at most 49d)";
        for text in [
            "",
            "5",
            "ms",
            "1s5",
            "5x",
            "1.5s",
            "-1s",
            "1 s",
            "50d",
            "4294967296ms",
            "49d17h2m47s296ms",
        ] {
            let error = ParseError::new("duration", text, fix);
            assert_eq!(text.parse::<Millis>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Millis::from_secs(90).as_u32(), 90_000);
        assert_eq!(Millis::from_secs(u32::MAX), Millis::MAX);
        assert_eq!(Millis::from_mins(2).as_u32(), 120_000);
        assert_eq!(Millis::from_mins(u32::MAX), Millis::MAX);
        assert_eq!(Millis::new(3).saturating_add(Millis::new(4)), Millis::new(7));
        assert_eq!(Millis::MAX.saturating_add(Millis::new(1)), Millis::MAX);
    }

    #[test]
    fn a_delay_is_exact_or_a_range() {
        let (base, jitter) = (Millis::new(100), Millis::new(10));
        for (delay, longest, text) in [
            (Delay::exact(base), 100, "100ms"),
            (Delay { base, jitter }, 110, "100ms..110ms"),
            (Delay { base: Millis::MAX, jitter }, u32::MAX, "49d17h2m47s295ms..49d17h2m47s295ms"),
        ] {
            assert_eq!(delay.longest().as_u32(), longest);
            assert_eq!(delay.to_string(), text);
        }
    }
}
