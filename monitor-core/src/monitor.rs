//! A policy and a state in one value: the usual interface of the machine.

use crate::event::Event;
use crate::explain::Explanation;
use crate::policy::Policy;
use crate::state::State;
use crate::step::Step;

/// The decisions for one supervised process: a policy and a state.
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
    /// Makes the monitor of a process that was never started.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self { policy, state: State::INITIAL }
    }

    /// Makes the monitor of a process whose state was saved.
    ///
    /// The first event must be [`Event::Recovered`], with the fate of its run.
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

    /// The reason of the state, and the next event that the machine waits for.
    #[must_use]
    pub const fn explain(&self) -> Explanation {
        self.policy.explain(self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::TimerCommand;
    use crate::state::Phase;
    use crate::time::{Delay, Millis};

    #[test]
    fn a_monitor_is_its_policy_and_its_state() {
        let policy: Policy = "restart=always".parse().unwrap();
        let mut monitor = Monitor::new(policy);
        assert_eq!((monitor.policy(), monitor.state()), (&policy, State::INITIAL));
        let step = monitor.handle(Event::StartRequested);
        assert_eq!(step, policy.step(State::INITIAL, Event::StartRequested));
        assert_eq!(monitor.state(), step.state);
        assert_eq!(monitor.state().phase(), Phase::Starting);
        assert_eq!(monitor.explain(), policy.explain(step.state));
        assert_eq!(Monitor::restore(policy, step.state), monitor);
    }

    #[test]
    fn another_policy_is_in_force_at_once() {
        let mut monitor = Monitor::new(Policy::DEFAULT);
        let phases = ["start", "started #1"]
            .map(|event| monitor.handle(event.parse().unwrap()).state.phase());
        assert_eq!(phases, [Phase::Starting, Phase::Running]);
        let policy = "watchdog=2s".parse().unwrap();
        let step = monitor.set_policy(policy);
        assert_eq!(monitor.policy(), &policy);
        // The process was started without a watchdog, but a ping shows that it pings.
        assert_eq!(step.actions.watchdog, TimerCommand::Keep);
        let step = monitor.handle("ping #1".parse().unwrap());
        let delay = Delay::exact(Millis::from_secs(2));
        assert_eq!(step.actions.watchdog, TimerCommand::Arm(delay));
    }
}
