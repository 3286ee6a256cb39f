//! A scenario: one rule, and the scene that shows whether it holds.

use monitor_core::Millis;

use super::feature::{Feature, Unfit};
use super::recording::Recording;
use super::rules::{self, Judge, Verdict};
use super::supervisor::{PolicyName, Request, Supervisor};
use crate::case::script::Script;

/// A scenario. Its name never changes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Scenario {
    /// The name of the scenario and of its rule.
    pub id: &'static str,
    /// The group of rules to which it belongs.
    pub class: Class,
    /// The rule, in one sentence.
    pub rule: &'static str,
    /// The restart policy of the unit.
    pub policy: PolicyName,
    /// The features that a supervisor needs.
    pub needs: &'static [Feature],
    /// What the runs do; the last script serves all later runs.
    pub scripts: fn(&Supervisor) -> Vec<Script>,
    /// What is done and awaited.
    pub steps: fn(&Supervisor) -> Vec<Step>,
    /// The judge of what was seen.
    pub judge: Judge,
}

/// A group of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// When runs begin.
    Start,
    /// What follows the end of a run.
    Restart,
    /// Stops.
    Stop,
    /// Requests for starts and restarts.
    Request,
    /// Processes that runs leave.
    Remains,
    /// The end of the supervisor itself.
    Supervisor,
}

impl Class {
    /// Returns the word of the class.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Stop => "stop",
            Self::Request => "request",
            Self::Remains => "remains",
            Self::Supervisor => "supervisor",
        }
    }
}

/// One step of a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait until so many runs have begun.
    Begun(usize),
    /// Wait until so many runs are gone.
    Gone(usize),
    /// Wait until all runs that began before the last request are gone.
    Ended,
    /// Wait until a run lives.
    Up,
    /// Wait until the first run has received a signal.
    Signalled,
    /// Ask, and wait for the answer.
    Ask(Request),
    /// Ask, and go on.
    Send(Request),
    /// Wait for all answers.
    Answers,
    /// Wait for a time.
    Pause(Millis),
    /// Wait until so long before the earliest restart after the last run.
    BeforeRestart(Millis),
    /// Wait until no run lives, and nothing has happened for long enough.
    Down,
    /// Wait until nothing has happened for long enough.
    Still,
    /// Wait long enough for anything else to happen.
    Quiet,
    /// Tell the supervisor to end.
    EndSupervisor,
    /// Kill the parent of the run, and start the supervisor again if that was it.
    Crash,
}

impl Scenario {
    /// Returns why the scenario does not apply to a supervisor; `None` if it does.
    #[must_use]
    pub fn unfit(&self, supervisor: &Supervisor) -> Option<Unfit> {
        let policy = Feature::Policy(self.policy);
        self.needs.iter().copied().chain([policy]).find_map(|need| need.lack(supervisor))
    }

    /// Judges a recording of the scenario.
    #[must_use]
    pub fn judge(&self, recording: &Recording, supervisor: &Supervisor) -> Verdict {
        rules::judge(recording, supervisor, self.judge)
    }
}
