//! The identity of one attempt to run the process, and of its timers.

use core::fmt;

/// One attempt to run the process, counted from 1; 0 means that no attempt was made.
///
/// Every event and every timer about a process carries its run. An event of an earlier attempt is
/// recognised by it and changes nothing. Runs are compared for equality only; the number wraps
/// after 4,294,967,295 attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct RunId(u32);

impl RunId {
    /// No attempt.
    pub const NONE: Self = Self(0);

    /// The attempt with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number of the attempt.
    #[must_use]
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    /// The attempt after this one; wraps to 1, never to [`RunId::NONE`].
    #[must_use]
    pub const fn next(self) -> Self {
        match self.0.wrapping_add(1) {
            0 => Self(1),
            number => Self(number),
        }
    }

    pub(crate) const fn is(self, other: Self) -> bool {
        self.0 == other.0
    }
}

/// Prints `#3`.
impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The purpose of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum TimerKind {
    /// The start has taken too long.
    StartTimeout,
    /// The process has served long enough for its earlier failures to be forgiven.
    Healthy,
    /// The process was asked to stop and still runs.
    StopGrace,
    /// The process was killed and still exists.
    KillWindow,
    /// The wait before the next attempt is over.
    Backoff,
    /// No ping came in time.
    Watchdog,
    /// The window over which starts are counted has ended.
    Window,
}

impl TimerKind {
    /// All kinds, in the order of their wire numbers.
    pub const ALL: [Self; 7] = [
        Self::StartTimeout,
        Self::Healthy,
        Self::StopGrace,
        Self::KillWindow,
        Self::Backoff,
        Self::Watchdog,
        Self::Window,
    ];

    /// The slot that a timer of this kind occupies.
    #[must_use]
    pub const fn slot(self) -> TimerSlot {
        match self {
            Self::StartTimeout
            | Self::Healthy
            | Self::StopGrace
            | Self::KillWindow
            | Self::Backoff => TimerSlot::Phase,
            Self::Watchdog => TimerSlot::Watchdog,
            Self::Window => TimerSlot::Window,
        }
    }

    /// The name in texts: `start-timeout`, `healthy`, `stop-grace` and so on.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StartTimeout => "start-timeout",
            Self::Healthy => "healthy",
            Self::StopGrace => "stop-grace",
            Self::KillWindow => "kill-window",
            Self::Backoff => "backoff",
            Self::Watchdog => "watchdog",
            Self::Window => "window",
        }
    }
}

impl fmt::Display for TimerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One of the three places for a timer. Each holds one deadline, and arming replaces it.
///
/// A driver keeps three deadlines for each process, so a timer that was replaced or disarmed cannot
/// fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum TimerSlot {
    /// The timer that the phase owns; leaving the phase disarms it.
    Phase,
    /// The watchdog, while the process serves.
    Watchdog,
    /// The window of the start limit, which outlives runs.
    Window,
}

impl TimerSlot {
    /// All slots, in the order in which their commands are executed.
    pub const ALL: [Self; 3] = [Self::Phase, Self::Watchdog, Self::Window];
}

/// Prints `phase`, `watchdog` or `window`.
impl fmt::Display for TimerSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Phase => "phase",
            Self::Watchdog => "watchdog",
            Self::Window => "window",
        })
    }
}

/// The name of one armed timer: its kind, and the run during which it was armed.
///
/// If another timer is armed, the firing is stale and changes nothing. The window outlives runs,
/// and its `run` only says when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TimerToken {
    /// The run during which the timer was armed.
    pub run: RunId,
    /// The purpose of the timer.
    pub kind: TimerKind,
}

/// Prints `backoff #3`.
impl fmt::Display for TimerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_from_one_and_never_reach_none_again() {
        for (run, next) in [(0, 1), (1, 2), (u32::MAX - 1, u32::MAX), (u32::MAX, 1)] {
            assert_eq!(RunId::new(run).next().as_u32(), next);
        }
        assert_eq!(RunId::NONE, RunId::new(0));
        assert_eq!(RunId::new(3).to_string(), "#3");
        assert!(RunId::new(3).is(RunId::new(3)) && !RunId::new(3).is(RunId::new(4)));
    }

    #[test]
    fn timers_of_a_phase_share_its_slot() {
        let table = [
            "start-timeout: phase",
            "healthy: phase",
            "stop-grace: phase",
            "kill-window: phase",
            "backoff: phase",
            "watchdog: watchdog",
            "window: window",
        ];
        assert_eq!(TimerKind::ALL.map(|kind| format!("{kind}: {}", kind.slot())), table);
        let timer = TimerToken { run: RunId::new(3), kind: TimerKind::Backoff };
        assert_eq!(timer.to_string(), "backoff #3");
    }
}
