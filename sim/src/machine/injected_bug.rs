//! Bugs of a backend, which replace one of its rules: numbers, notices, disks, clocks and callers.

use monitor_core::{Policy, State, Step};
use monitor_os::{Core, Machine};

/// A machine under test, and the backend below it.
pub trait MachineUnderTest: Machine {
    /// Returns the bug of the backend, if one is injected.
    fn injected_bug(&self) -> Option<InjectedBug> {
        None
    }
}

impl MachineUnderTest for Core {}

/// The machine that ships, above a backend with an injected bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WithInjectedBug(pub InjectedBug);

impl Machine for WithInjectedBug {
    fn step(&self, policy: &Policy, state: State, event: monitor_core::Event) -> Step {
        Core.step(policy, state, event)
    }
}

impl MachineUnderTest for WithInjectedBug {
    fn injected_bug(&self) -> Option<InjectedBug> {
        Some(self.0)
    }
}

/// A bug of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InjectedBug {
    // Targets of signals.
    /// Reaps at the notice, and signals the group by its number after that.
    ReapsAtNotice,
    /// Asks the handle whether the process is there, reaps, and signals by the number.
    ReapsBeforeSignal,
    /// Passes signals on by the number of the last process, whether it is reaped or not.
    ForwardsByNumber,
    /// Signals the number of the first run for ever.
    KeepsFirstNumber,

    // Waits.
    /// Reports a deadline before what was readable at it.
    DeadlinesFirst,
    /// Enforces the watchdog of the policy, of which the program was not told.
    WatchesTheUntold,

    // Notices of ends.
    /// Waits for one child at each notice.
    OneWaitPerNotice,
    /// Keeps one end at a time, and drops the others.
    KeepsOneEnd,
    /// Takes the end of any child for the end of the first unit.
    AnyChildEndsTheRun,
    /// Takes "no child has ended" for an exit with 0.
    NobodyIsAnEnd,
    /// Takes an empty group for an end with 0.
    EmptyGroupIsTheEnd,
    /// Does not wait for children that end before they are acknowledged.
    MissesEarlyEnds,
    /// Relies on notices alone, and never polls.
    TrustsNotices,
    /// Takes the end of the output for the end of the process.
    EndIsEndOfOutput,
    /// A second reaper takes the status away.
    TwoReapers,
    /// Does not reap what could not be set up.
    KeepsFailedStarts,
    /// Does not reap at all.
    NeverReaps,
    /// Ends, if a signal finds no process.
    DiesOfNobody,
    /// Takes a signal that finds no process for sent.
    NobodyIsSent,
    /// Reports a start at the fork, before the exec.
    StartsAtFork,
    /// Ignores the answer to a spawn.
    ForgetsAnswers,

    // Group members that a run leaves.
    /// Forgets the group when its leader has ended.
    ForgetsTheGroup,
    /// Kills those of a group that were there at the start.
    KillsASnapshot,

    // Recovery after a crash.
    /// Adopts any process with the saved number.
    AdoptsByNumber,
    /// Adopts the saved run without a look at the process.
    AdoptsBlindly,
    /// Takes a zombie for a living process.
    AdoptsZombies,
    /// Takes an unknown exit for one with 0.
    UnknownIsZero,
    /// Serves before the saved state is read.
    ServesUnread,

    // Saves of states.
    /// Writes over the old state.
    SavesInPlace,
    /// Renames before the content has reached the disk.
    SavesWithoutSync,
    /// Saves after reporting.
    SavesLate,
    /// Reports a state as saved although the save failed.
    HidesSaveErrors,
    /// Answers a save before it is carried out.
    AnswersSavesEarly,
    /// Saves a form without the outcome of a run.
    SavesWithoutOutcome,
    /// Shares one temporary file among all units.
    SharesTemporary,

    // Clocks.
    /// Counts delays on the wall clock.
    WallClock,
    /// Counts delays on the clock that runs while the machine sleeps.
    SleepingClock,
    /// Ignores an end with a stamp before that of the start.
    EndsByStamp,
    /// Ignores any event with a stamp before that of an earlier one.
    EventsByStamp,
    /// Ignores pings with a stamp before that of the last ping.
    PingsByStamp,

    // Callers.
    /// Wakes a caller at the next change, not by the current state.
    WakesByEdge,
    /// Registers a caller after its request was handled.
    RegistersLate,
    /// Wakes all callers at any report.
    WakesByAnything,
    /// Keeps one caller.
    OneCaller,
    /// Answers a caller at each change.
    AnswersTwice,
    /// Keeps the last of the requests made at one moment.
    CollapsesRequests,
    /// Ends while nothing runs.
    EndsWhenIdle,
}
