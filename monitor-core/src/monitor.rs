//! A policy and a state in one value: the everyday face of the machine.

use crate::event::Event;
use crate::explain::Explanation;
use crate::policy::Policy;
use crate::state::State;
use crate::step::Step;

/// One supervised process, as far as decisions go.
///
/// # Examples
/// ```
/// use monitor_core::{Action, Event, Monitor, Policy};
/// let mut monitor = Monitor::new(Policy::DEFAULT);
/// let step = monitor.handle(Event::StartRequested);
/// step.for_each(|action| println!("{action}")); // save; spawn #1; emit starting
/// # let mut spawned = false;
/// # step.for_each(|action| spawned |= matches!(action, Action::Spawn { .. }));
/// # assert!(spawned);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Monitor {
    policy: Policy,
    state: State,
}

impl Monitor {
    /// A process that was never started.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self { policy, state: State::INITIAL }
    }

    /// A process whose state was saved. Tell it what became of its run with
    /// [`Event::Recovered`] before anything else.
    #[must_use]
    pub const fn restore(policy: Policy, saved: State) -> Self {
        Self { policy, state: saved }
    }

    /// Answers one event and keeps the new state.
    pub const fn handle(&mut self, event: Event) -> Step {
        let step = self.policy.step(self.state, event);
        self.state = step.state;
        step
    }

    /// Puts another policy in force and answers [`Event::PolicyChanged`].
    pub const fn set_policy(&mut self, policy: Policy) -> Step {
        self.policy = policy;
        self.handle(Event::PolicyChanged)
    }

    /// The policy in force.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The state.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Why it is as it is, and what comes next.
    #[must_use]
    pub const fn explain(&self) -> Explanation {
        self.policy.explain(self.state)
    }
}
