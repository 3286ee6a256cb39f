//! A bug of the bank.

use std::fmt;

use monitor_core::{Event, Policy, State, Step};
use monitor_os::Machine;

use crate::generate::race::Race;
use crate::machine::injected_bug::{InjectedBug, MachineUnderTest};

/// One bug of the bank.
#[derive(Clone, Copy, Debug)]
pub struct Bug {
    /// Its number, `BB-1`; `M-1` for a generic mutation.
    pub id: &'static str,
    /// The project that shipped it.
    pub source: &'static str,
    /// The symptom for users.
    pub symptom: &'static str,
    /// The cause, as it is injected here.
    pub cause: &'static str,
    /// The layer that it is injected into.
    pub layer: Layer,
    /// The race that shows it; `None` if any run may show it.
    pub race: Option<Race>,
    pub(super) injected_bug: Option<InjectedBug>,
    pub(super) step: fn(&Policy, State, Event) -> Step,
}

/// The layer that has a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The machine: a wrong answer.
    Core,
    /// The backend: processes, numbers, notices and clocks.
    Os,
    /// The store, which saves and reads states.
    Store,
    /// The driver, which answers callers and drives the machine.
    Driver,
}

impl Layer {
    /// Returns the printed name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Os => "os",
            Self::Store => "store",
            Self::Driver => "driver",
        }
    }
}

impl Machine for Bug {
    fn step(&self, policy: &Policy, state: State, event: Event) -> Step {
        // Only a bug about stale events answers events of other runs wrongly. Such an answer would
        // reveal any other bug too early.
        let foreign = event.run().is_some_and(|run| run != state.run());
        if foreign && self.race != Some(Race::StaleTimers) {
            return policy.step(state, event);
        }
        (self.step)(policy, state, event)
    }
}

impl MachineUnderTest for Bug {
    fn injected_bug(&self) -> Option<InjectedBug> {
        self.injected_bug
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}
