//! The bugs that are planted in a backend, to see that the suite finds them.

use std::fmt;

use super::finding::Rule;

/// A bug that is planted between a backend and the kit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mutant {
    pub(super) kind: MutantKind,
    sentence: &'static str,
    pub(super) scenario: &'static str,
    rule: Rule,
}

impl Mutant {
    /// The id.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        self.kind.id()
    }

    /// One sentence that says what is broken.
    #[must_use]
    pub const fn sentence(&self) -> &'static str {
        self.sentence
    }

    /// The rule that the bug breaks.
    #[must_use]
    pub const fn rule(&self) -> Rule {
        self.rule
    }
}

/// Prints the id and the rule.
impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.id(), self.rule)
    }
}

/// Declares the kinds, with their ids, and the list of mutants.
macro_rules! mutants {
    ($($kind:ident $id:literal $scenario:literal $rule:ident $sentence:literal)*) => {
        /// What a mutant breaks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum MutantKind {
            $($kind,)*
        }

        impl MutantKind {
            const fn id(self) -> &'static str {
                match self {
                    $(Self::$kind => $id,)*
                }
            }
        }

        /// The bugs that the suite finds in any backend.
        #[must_use]
        pub const fn mutants() -> &'static [Mutant] {
            const ALL: &[Mutant] = &[
                $(Mutant {
                    kind: MutantKind::$kind,
                    sentence: $sentence,
                    scenario: $scenario,
                    rule: Rule::$rule,
                },)*
            ];
            ALL
        }
    };
}

mutants! {
    ExitToldTwice "exit-told-twice" "exit-code-is-true" FACTS
        "An exit is reported a second time, with another status."
    ExitNeverTold "exit-never-told" "starts-and-exits" FACTS
        "No exit is reported."
    ExitOfAnotherStatus "wrong-status" "exit-code-is-true" FACTS
        "Each exit is reported with code 0."
    ExitWhileItRuns "exit-while-it-runs" "stop-in-grace" FACTS
        "A start is followed by an exit of a program that runs."
    WrongRun "wrong-run" "starts-and-exits" FACTS
        "An exit names the run after it."
    WrongUnit "wrong-unit" "two-units-do-not-mix" SIGNALS
        "A signal reaches the run of another unit."
    ReadyDropped "ready-dropped" "ready-before-exit" ORDER
        "A report of readiness is lost."
    ReadyAfterRelease "ready-after-release" "starts-and-exits" RELEASES
        "A report of readiness follows the release."
    StartFailureDropped "start-failure-dropped" "start-fails" SPAWNS
        "A failed start is not reported."
    StartFailureStarted "start-failure-told-as-start" "start-fails" SPAWNS
        "A failed start is reported as a start."
    StartedNeverTold "started-never-told" "stop-in-grace" SPAWNS
        "No start is reported."
    SpawnedTwice "spawned-twice" "starts-and-exits" SPAWNS
        "A spawn makes two processes."
    DescriptorLeaked "descriptor-leaked" "starts-and-exits" SPAWNS
        "The program inherits a descriptor of the monitor."
    SignalSwallowed "signal-swallowed" "stop-in-grace" SIGNALS
        "A signal is reported as sent, and is not sent."
    SignalRefused "signal-refused" "stop-in-grace" SIGNALS
        "A signal is sent, and reported as refused."
    GroupForProcess "group-for-process" "process-alone" SIGNALS
        "A signal to the main process reaches its group."
    ProcessForGroup "process-for-group" "group-is-signalled" SIGNALS
        "A signal to the group reaches the main process alone."
    ReleasedTooEarly "released-too-early" "group-is-emptied" RELEASES
        "A release is answered before the group is empty."
    ReleaseNeverTold "release-never-told" "group-is-emptied" RELEASES
        "No release is answered."
    ReleaseToldTwice "release-told-twice" "group-is-emptied" RELEASED_ONCE
        "A release is answered twice."
    LeakDenied "leak-denied" "grandchild-holds-output" RELEASES
        "A release with the scope of the process reports no leak."
    DeadlineEarly "deadline-early" "stop-escalates" DEADLINES
        "A deadline is reported at once, with its moment."
    DeadlineBeforeItsMoment "deadline-before-its-moment" "stop-escalates" DEADLINES
        "A wait ends a millisecond before its deadline, and says so."
    MomentGoesBack "moment-goes-back" "stop-escalates" MOMENTS
        "Each second moment is earlier than the one before it."
    TooMuchJitter "too-much-jitter" "restart-loop" JITTER
        "A drawn delay is longer than the jitter."
    SaveNeverAnswered "save-never-answered" "saved-before-the-spawn" SAVES
        "A save is pending, and is not answered."
    SaveOfAnother "save-of-another" "saved-before-the-spawn" SAVES
        "A save is answered that was never asked for."
    RequestMadeUp "request-made-up" "starts-and-exits" REQUESTS
        "A restart comes without a request."
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::conform::backend::scenario::Scenario;
    use crate::conform::backend::scenarios::scenarios;

    #[test]
    fn each_mutant_has_an_id_and_a_scenario() {
        let known: BTreeSet<_> = scenarios().iter().map(Scenario::id).collect();
        let ids: BTreeSet<_> = mutants().iter().map(Mutant::id).collect();
        assert_eq!(ids.len(), mutants().len());
        for mutant in mutants() {
            assert!(known.contains(mutant.scenario), "{mutant}");
            assert!(mutant.sentence().ends_with('.'), "{mutant}");
        }
    }
}
