//! The exit statuses of `monitor-sim`.

/// Exit status: a property is violated, a record disagrees, or a case is not as it expects.
pub(crate) const VIOLATED: u8 = 10;
/// Exit status: an alarm rings, because a check of the harness is blind; or a bug that was injected
/// was not found.
pub(crate) const BLIND: u8 = 12;
/// Exit status: the input is not understood.
pub(crate) const USAGE: u8 = 64;
/// Exit status: a file cannot be read or written.
pub(crate) const INTERNAL: u8 = 70;

/// Exit status: some of the cases were not the same when run again.
pub(crate) const UNEQUAL: u8 = 11;
/// Exit status: shards that were merged leave a gap.
pub(crate) const INCOMPLETE: u8 = 13;
/// Exit status: interrupted; the same command goes on where it was.
pub(crate) const RESUMABLE: u8 = 75;
