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
    /// Where it was shipped.
    pub source: &'static str,
    /// What users saw.
    pub symptom: &'static str,
    /// What was wrong, as it is put back here.
    pub cause: &'static str,
    /// Where it is put back.
    pub layer: Layer,
    /// The race that it needs; `None` where a run of any kind may show it.
    pub race: Option<Race>,
    pub(super) injected_bug: Option<InjectedBug>,
    pub(super) step: fn(&Policy, State, Event) -> Step,
}

/// The layer that has a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The machine: a wrong answer.
    Core,
    /// What deals with processes, numbers, notices and clocks.
    Os,
    /// What saves and reads states.
    Store,
    /// What hears callers and answers them, and drives the machine.
    Driver,
}

impl Layer {
    /// The name, as printed.
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
        // Only a bug about stale events is wrong about other runs; elsewhere that would give it away.
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
