//! The properties that must hold in every trace, each with its sentence and its source.

use std::fmt;

/// Something that must hold, with its sentence and its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// I1.
    OneIncarnation,
    /// I2.
    StopSticks,
    /// I3.
    StopEnds,
    /// I4.
    StopsCompose,
    /// I5.
    FirstStatusStands,
    /// I7.
    ReportedInOrder,
    /// I8.
    SavedWhenChanged,
    /// I9.
    DelayLaw,
    /// I11.
    Budget,
    /// I12.
    BackoffWaits,
    /// I13.
    StaleIsSilent,
    /// I14.
    SignalsHitTheRun,
    /// I20.
    StopWhileStartingWins,
    /// I21.
    PolicyStartsNothing,
    /// I24.
    StoppedMeansGone,
    /// I26.
    ReleasedOnce,
    /// I28.
    NeverStuck,
    /// I29.
    SignalIsNoStop,
    /// I30.
    RestartIsOneIntent,
    /// I34.
    TimersMatchThePhase,
    /// I10.
    ResetRule,
    /// I17.
    StartFailures,
    /// I27.
    StartLimitCounts,
    /// I35.
    FreshRun,
    /// I6.
    TrueStatus,
    /// I15.
    WallChangesNothing,
    /// I16.
    SleepChangesNothing,
    /// I18.
    OneReply,
    /// I19.
    EarlyEnd,
    /// I22.
    CrashSafe,
    /// I23.
    AdoptsItsOwn,
    /// I25.
    ReapedOnce,
    /// I31.
    NoHotLoop,
    /// I32.
    Deterministic,
    /// I33.
    WokenByCondition,
    /// I22, of a spawn that needs a save.
    SpawnIsSaved,
    /// I12, of what is readable at a deadline.
    ReadableFirst,
    /// I36.
    Total,
    /// I36, of the machine.
    NoPanic,
}

impl Property {
    /// All properties, in the order in which `check` prints them.
    pub const ALL: [Self; 39] = [
        Self::OneIncarnation,
        Self::StopSticks,
        Self::StopEnds,
        Self::StopsCompose,
        Self::FirstStatusStands,
        Self::ReportedInOrder,
        Self::SavedWhenChanged,
        Self::DelayLaw,
        Self::Budget,
        Self::BackoffWaits,
        Self::StaleIsSilent,
        Self::SignalsHitTheRun,
        Self::StopWhileStartingWins,
        Self::PolicyStartsNothing,
        Self::StoppedMeansGone,
        Self::ReleasedOnce,
        Self::NeverStuck,
        Self::SignalIsNoStop,
        Self::RestartIsOneIntent,
        Self::TimersMatchThePhase,
        Self::ResetRule,
        Self::StartFailures,
        Self::StartLimitCounts,
        Self::FreshRun,
        Self::TrueStatus,
        Self::WallChangesNothing,
        Self::SleepChangesNothing,
        Self::OneReply,
        Self::EarlyEnd,
        Self::CrashSafe,
        Self::AdoptsItsOwn,
        Self::ReapedOnce,
        Self::NoHotLoop,
        Self::Deterministic,
        Self::WokenByCondition,
        Self::SpawnIsSaved,
        Self::ReadableFirst,
        Self::Total,
        Self::NoPanic,
    ];

    /// The name, as printed and as given on command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneIncarnation => "one-incarnation",
            Self::StopSticks => "stop-sticks",
            Self::StopEnds => "stop-ends",
            Self::StopsCompose => "stops-compose",
            Self::FirstStatusStands => "first-status-stands",
            Self::ReportedInOrder => "reported-in-order",
            Self::SavedWhenChanged => "saved-when-changed",
            Self::DelayLaw => "delay-law",
            Self::Budget => "budget",
            Self::BackoffWaits => "backoff-waits",
            Self::StaleIsSilent => "stale-is-silent",
            Self::SignalsHitTheRun => "signals-hit-the-run",
            Self::StopWhileStartingWins => "stop-while-starting-wins",
            Self::PolicyStartsNothing => "policy-starts-nothing",
            Self::StoppedMeansGone => "stopped-means-gone",
            Self::ReleasedOnce => "released-once",
            Self::NeverStuck => "never-stuck",
            Self::SignalIsNoStop => "signal-is-no-stop",
            Self::RestartIsOneIntent => "restart-is-one-intent",
            Self::TimersMatchThePhase => "timers-match-the-phase",
            Self::ResetRule => "reset-rule",
            Self::StartFailures => "start-failures",
            Self::StartLimitCounts => "start-limit-counts",
            Self::FreshRun => "fresh-run",
            Self::TrueStatus => "true-status",
            Self::WallChangesNothing => "wall-changes-nothing",
            Self::SleepChangesNothing => "sleep-changes-nothing",
            Self::OneReply => "one-reply",
            Self::EarlyEnd => "early-end",
            Self::CrashSafe => "crash-safe",
            Self::AdoptsItsOwn => "adopts-its-own",
            Self::ReapedOnce => "reaped-once",
            Self::NoHotLoop => "no-hot-loop",
            Self::Deterministic => "deterministic",
            Self::WokenByCondition => "woken-by-condition",
            Self::SpawnIsSaved => "spawn-is-saved",
            Self::ReadableFirst => "readable-first",
            Self::Total => "total",
            Self::NoPanic => "no-panic",
        }
    }

    /// The invariant of the bug bank that it stands for.
    #[must_use]
    pub const fn source(self) -> &'static str {
        match self {
            Self::OneIncarnation => "I1",
            Self::StopSticks => "I2",
            Self::StopEnds => "I3",
            Self::StopsCompose => "I4",
            Self::FirstStatusStands => "I5",
            Self::ReportedInOrder => "I7",
            Self::SavedWhenChanged => "I8",
            Self::DelayLaw => "I9",
            Self::Budget => "I11",
            Self::BackoffWaits => "I12",
            Self::StaleIsSilent => "I13",
            Self::SignalsHitTheRun => "I14",
            Self::StopWhileStartingWins => "I20",
            Self::PolicyStartsNothing => "I21",
            Self::StoppedMeansGone => "I24",
            Self::ReleasedOnce => "I26",
            Self::NeverStuck => "I28",
            Self::SignalIsNoStop => "I29",
            Self::RestartIsOneIntent => "I30",
            Self::TimersMatchThePhase => "I34",
            Self::ResetRule => "I10",
            Self::StartFailures => "I17",
            Self::StartLimitCounts => "I27",
            Self::FreshRun => "I35",
            Self::TrueStatus => "I6",
            Self::WallChangesNothing => "I15",
            Self::SleepChangesNothing => "I16",
            Self::OneReply => "I18",
            Self::EarlyEnd => "I19",
            Self::CrashSafe => "I22",
            Self::AdoptsItsOwn => "I23",
            Self::ReapedOnce => "I25",
            Self::NoHotLoop => "I31",
            Self::Deterministic => "I32",
            Self::WokenByCondition => "I33",
            Self::SpawnIsSaved => "I22",
            Self::ReadableFirst => "I12",
            Self::Total | Self::NoPanic => "I36",
        }
    }

    /// What must hold, in a sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::OneIncarnation => "no run begins before the one before has ended and is released",
            Self::StopSticks => "after a stop no run begins until one is requested",
            Self::StopEnds => "a stop comes to its end, whatever the process does",
            Self::StopsCompose => "a second stop neither repeats a signal nor lengthens a deadline",
            Self::FirstStatusStands => "the first reported status of a run is kept",
            Self::ReportedInOrder => {
                "observers see the steps of a run in the order of its lifecycle, each once"
            }
            Self::SavedWhenChanged => "the state is saved exactly when it has changed",
            Self::DelayLaw => "a delay is what the curve says, and never above its cap",
            Self::Budget => "automatic restarts without a healthy run stay within the budget",
            Self::BackoffWaits => {
                "the wait before an attempt ends by its timer or by a request, and by nothing else"
            }
            Self::StaleIsSilent => {
                "what is stale or does not apply changes nothing and asks for nothing"
            }
            Self::SignalsHitTheRun => {
                "signals go only to a run that was spawned and is not released"
            }
            Self::StopWhileStartingWins => {
                "a process that is wanted down is signalled as soon as it exists"
            }
            Self::PolicyStartsNothing => {
                "another policy begins no run, forgets no failure and waits for no ping that the program does not know of"
            }
            Self::StoppedMeansGone => {
                "a unit is reported down only when its run is released, or with a reported leak"
            }
            Self::ReleasedOnce => {
                "each run is released once, after its end and before the next begins"
            }
            Self::NeverStuck => "what is not down has a run, a release or a timer to wait for",
            Self::SignalIsNoStop => "a signal that is no stop changes neither intent nor policy",
            Self::RestartIsOneIntent => "a restart ends in a new run unless a stop comes after it",
            Self::TimersMatchThePhase => {
                "the phase's slot holds the phase's timer or nothing, the watchdog's only while it serves"
            }
            Self::ResetRule => {
                "the delay is forgiven by a healthy run, a start by a user or a reset, and by nothing else"
            }
            Self::StartFailures => {
                "a failed start is kept as such, and tried again only where the policy says so"
            }
            Self::StartLimitCounts => {
                "a start that the limit counts is counted, and within its burst"
            }
            Self::FreshRun => "a run begins wanted, without an outcome, under a number of its own",
            Self::TrueStatus => "the reported status of a run is the one that the kernel has",
            Self::WallChangesNothing => "setting the wall clock changes nothing",
            Self::SleepChangesNothing => {
                "the sleep of the machine lets no delay pass, and changes nothing else"
            }
            Self::OneReply => "every caller is answered once, as soon as what it waits for is so",
            Self::EarlyEnd => {
                "an end that comes before the acknowledgement of the start leads to the same state"
            }
            Self::CrashSafe => {
                "what is read after a crash is the last saved state, or the one that was being saved"
            }
            Self::AdoptsItsOwn => {
                "after a crash nothing is adopted but the living process of the saved run"
            }
            Self::ReapedOnce => "every child is reaped, also one that could not be set up",
            Self::NoHotLoop => "no unit takes step after step without time",
            Self::Deterministic => "the same case has the same trace",
            Self::WokenByCondition => "no caller is woken before what it waits for is so",
            Self::SpawnIsSaved => {
                "where the policy requires it, no process is made of a run that is not saved"
            }
            Self::ReadableFirst => "a timer fires only after all that was readable was handled",
            Self::Total => "every input has an answer, and nothing ends the monitor",
            Self::NoPanic => "the machine answers every event, and never panics",
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
