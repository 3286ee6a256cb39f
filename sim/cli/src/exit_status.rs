//! The exit statuses of `monitor-sim`.

/// Exit status: a property is violated, a record disagrees, or a case is not as it expects.
pub(crate) const VIOLATED: u8 = 10;
/// Exit status: an alarm is raised, because a check of the harness is blind; or an injected bug was
/// not found.
pub(crate) const BLIND: u8 = 12;
/// Exit status: the input is not understood.
pub(crate) const USAGE: u8 = 64;
/// Exit status: a file cannot be read or written.
pub(crate) const INTERNAL: u8 = 70;

/// Exit status: the two runs of some cases differ.
pub(crate) const UNEQUAL: u8 = 11;
/// Exit status: the merged shards leave a gap.
pub(crate) const INCOMPLETE: u8 = 13;
/// Exit status: interrupted. The same command goes on from there.
pub(crate) const RESUMABLE: u8 = 75;
