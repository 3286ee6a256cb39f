//! The faults that took effect in a run.

/// A fault that took effect, after which the run went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultEffect {
    /// The notice of an end was lost, and the end was learnt otherwise.
    NoticeLost,
    /// A notice came twice.
    NoticeTwice,
    /// A notice came late.
    NoticeLate,
    /// Several ends shared one notice.
    NoticesMerged,
    /// A signal was refused.
    SignalRefused,
    /// A signal found no process, because others had reaped the process.
    SignalMissed,
    /// A number was given to another process.
    PidReused,
    /// All numbers were taken.
    PidsExhausted,
    /// A process ended, and others held its output open.
    OutputHeld,
    /// A process could not be set up and had to be reaped.
    FailedChild,
    /// A save was answered later.
    SavedLate,
    /// The monitor died in the middle of a step.
    DeathInAStep,
    /// The monitor died in the middle of a save.
    DeathInASave,
    /// A process ended while no monitor was there.
    EndUnseen,
    /// The power went, and a content with it.
    ContentLost,
    /// The wall clock was set while something was going on.
    WallJump,
    /// The machine slept while something was going on.
    Sleep,
    /// A signal was sent while several units ran.
    Neighbours,
}

/// A set of fault effects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultEffects(u32);

impl FaultEffects {
    /// Returns the set with one more effect.
    #[must_use]
    pub const fn with(self, effect: FaultEffect) -> Self {
        Self(self.0 | (1 << effect as u32))
    }

    /// Returns whether the set has an effect.
    #[must_use]
    pub const fn has(self, effect: FaultEffect) -> bool {
        self.0 >> effect as u32 & 1 == 1
    }
}
