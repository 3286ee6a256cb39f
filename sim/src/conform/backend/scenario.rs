//! A scenario: units with their scripts, and what is requested when.

use monitor_core::{Event, Exit, Phase, Signal};

/// A course of requests and processes, with which a backend is checked.
#[derive(Clone, Debug)]
pub struct Scenario {
    id: &'static str,
    sentence: &'static str,
    pub(super) units: Vec<UnitScript>,
    pub(super) acts: Vec<Act>,
    /// Whether each release is called twice.
    pub(super) releases_twice: bool,
    /// Why the scenario proves nothing where no program can report its readiness.
    pub(super) needs_notify: bool,
}

/// A unit of a scenario.
#[derive(Clone, Debug)]
pub(super) struct UnitScript {
    /// The text of the policy.
    pub(super) policy: &'static str,
    /// The texts of the scripts, by run; the last one serves all later runs.
    pub(super) scripts: &'static [&'static str],
    /// Whether the program is a file that does not exist.
    pub(super) is_missing: bool,
}

/// One thing that a scenario does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// Passes an event to the machine.
    Request(usize, Event),
    /// Goes on when a condition holds.
    Await(Cue),
    /// Goes on when a condition holds, and lets the backend read nothing until then.
    AwaitUnread(Cue),
}

/// A condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cue {
    /// The child of this number of the unit, counted from 1, receives signals, and its member does.
    Armed(usize, usize),
    /// The last child of the unit has received the signal.
    Received(usize, Signal),
    /// The last member of the unit has received the signal.
    MemberReceived(usize, Signal),
    /// The last child of the unit has ended.
    Ended(usize),
    /// The unit is in the phase.
    InPhase(usize, Phase),
    /// The unit is down.
    Down(usize),
    /// The unit is down, and the outcome of its last run is this exit.
    DownWith(usize, Exit),
}

impl Scenario {
    pub(super) const fn new(id: &'static str, sentence: &'static str) -> Self {
        Self {
            id,
            sentence,
            units: Vec::new(),
            acts: Vec::new(),
            releases_twice: false,
            needs_notify: false,
        }
    }

    /// The id, by which findings name the scenario.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        self.id
    }

    /// One sentence that says what the scenario shows.
    #[must_use]
    pub const fn sentence(&self) -> &'static str {
        self.sentence
    }

    pub(super) fn unit(mut self, policy: &'static str, scripts: &'static [&'static str]) -> Self {
        self.units.push(UnitScript { policy, scripts, is_missing: false });
        self
    }

    pub(super) fn missing_program(mut self, policy: &'static str) -> Self {
        self.units.push(UnitScript { policy, scripts: &[""], is_missing: true });
        self
    }

    pub(super) const fn with_doubled_releases(mut self) -> Self {
        self.releases_twice = true;
        self
    }

    pub(super) const fn with_notify(mut self) -> Self {
        self.needs_notify = true;
        self
    }

    /// Requests a start of a unit.
    pub(super) fn start(self, unit: usize) -> Self {
        self.request(unit, Event::StartRequested)
    }

    /// Requests a stop of a unit.
    pub(super) fn stop(self, unit: usize) -> Self {
        self.request(unit, Event::stop())
    }

    pub(super) fn request(mut self, unit: usize, event: Event) -> Self {
        self.acts.push(Act::Request(unit, event));
        self
    }

    pub(super) fn until(mut self, cue: Cue) -> Self {
        self.acts.push(Act::Await(cue));
        self
    }

    pub(super) fn until_unread(mut self, cue: Cue) -> Self {
        self.acts.push(Act::AwaitUnread(cue));
        self
    }
}
