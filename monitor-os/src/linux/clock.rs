//! The clocks: the only place that reads the time.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::driver::kernel::Moment;

/// This moment, on the monotonic clock of every [`Moment`] that a handle shows.
#[must_use]
pub fn now() -> Moment {
    Moment::from_nanos(monotonic_nanos())
}

/// Reads the wall clock, for the timestamps of log lines; it may be set back, and decides nothing.
///
/// # Source
/// `clock_gettime(2)`, `CLOCK_REALTIME`.
pub(crate) fn wall() -> SystemTime {
    let now = clock_gettime(ClockId::Realtime);
    let nanos = u32::try_from(now.tv_nsec).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::new(whole(now.tv_sec), nanos)
}

/// Reads the monotonic clock, in nanoseconds since an unspecified point (the boot, in practice).
///
/// It is the clock of every deadline, and never goes back. It stands still while the machine is
/// suspended, so a child gets its whole grace period of running time.
///
/// # Source
/// `clock_gettime(2)`, `CLOCK_MONOTONIC`.
pub(crate) fn monotonic_nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    whole(now.tv_sec).saturating_mul(NANOS_PER_SECOND).saturating_add(whole(now.tv_nsec))
}

/// Converts a deadline on the monotonic clock, in nanoseconds, into the kernel's form.
pub(crate) fn timespec(nanos: u64) -> Timespec {
    // Neither conversion can fail: a u64 of nanoseconds is 585 years, and a remainder is below 1e9.
    Timespec {
        tv_sec: i64::try_from(nanos / NANOS_PER_SECOND).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(nanos % NANOS_PER_SECOND).unwrap_or(0),
    }
}

/// A field of a clock reading; negative only before 1970, which counts as 0.
fn whole(field: i64) -> u64 {
    u64::try_from(field).unwrap_or(0)
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_never_goes_back() {
        let mut last = monotonic_nanos();
        for _ in 0..1000 {
            let now = monotonic_nanos();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn timespec_splits_seconds_and_nanos() {
        assert_eq!(timespec(2_000_000_003), Timespec { tv_sec: 2, tv_nsec: 3 });
        assert_eq!(timespec(u64::MAX).tv_sec, 18_446_744_073);
    }
}
