//! A machine of which each step is compared with the reference machine.

use std::sync::{Mutex, MutexGuard, PoisonError};

use monitor_core::{Actions, Event, Note, Policy, State, Step};
use monitor_os::Machine;

use super::comparison::{Compare, Mismatch, compare};
use crate::machine::injected_bug::{InjectedBug, MachineUnderTest};

/// A machine of which every step is compared with the reference machine.
#[derive(Debug)]
pub struct Compared<M> {
    machine: M,
    mismatch: Mutex<Option<Box<Mismatch>>>,
    strict: bool,
    compare: Compare,
}

impl<M: Machine> Compared<M> {
    /// Compares `machine`.
    pub const fn new(machine: M) -> Self {
        Self::by(machine, compare)
    }

    /// Compares `machine` by another comparison than [`compare`].
    pub const fn by(machine: M, compare: Compare) -> Self {
        Self { machine, mismatch: Mutex::new(None), strict: false, compare }
    }

    /// Compares `machine`, and breaks off at the first difference. A step that every oracle refuses
    /// replaces the differing step, so that any engine reports and shrinks it.
    pub const fn strict(machine: M) -> Self {
        Self::strictly_by(machine, compare)
    }

    /// Compares `machine` as [`Self::strict`] does, by another comparison than [`compare`].
    pub const fn strictly_by(machine: M, compare: Compare) -> Self {
        Self { machine, mismatch: Mutex::new(None), strict: true, compare }
    }

    /// Locks the first difference, even after a panic of another thread.
    fn found(&self) -> MutexGuard<'_, Option<Box<Mismatch>>> {
        self.mismatch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the first difference since the last call.
    pub fn mismatch(&self) -> Option<Box<Mismatch>> {
        self.found().take()
    }
}

impl<M: MachineUnderTest> MachineUnderTest for &Compared<M> {
    fn injected_bug(&self) -> Option<InjectedBug> {
        self.machine.injected_bug()
    }
}

impl<M: Machine> Machine for &Compared<M> {
    fn step(&self, policy: &Policy, state: State, event: Event) -> Step {
        let answer = self.machine.step(policy, state, event);
        if let Err(found) = (self.compare)(policy, state, event, answer) {
            self.found().get_or_insert(found);
            if self.strict {
                let actions = Actions { persist: true, ..Actions::NONE };
                return Step { state, actions, note: Note::NotApplicable };
            }
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use monitor_core::{Preset, TimerKind, TimerSlot};
    use monitor_os::Core;

    use super::*;
    use crate::generate::choices::Seeded;
    use crate::generate::seeds;
    use crate::oracle::comparison::alike;
    use crate::oracle::reference::scribe::delay_at;
    use crate::oracle::reference::state::{RefAction, RefTimer};
    use crate::search::harness::Standard;
    use crate::verification::check;
    use crate::world::simulation;

    #[test]
    fn every_cell_of_the_explored_family_agrees() {
        let compared = Compared::new(Core);
        let explored = check::explore_family(Standard, &&compared, || {});
        assert!(explored.iter().all(|found| found.counterexample.is_none()));
        if let Some(found) = compared.mismatch() {
            panic!("{found}");
        }
    }

    #[test]
    fn every_random_run_agrees() {
        let compared = Compared::new(Core);
        for seed in 0..20_000 {
            let case = seeds::case(&mut Seeded::new(seed));
            let verdict = simulation::run(&case, &compared, 400);
            assert_eq!(verdict.violated(), None);
            if let Some(found) = compared.mismatch() {
                panic!("{case}{found}");
            }
        }
    }

    #[test]
    fn every_delay_of_every_preset_agrees() {
        for preset in Preset::ALL {
            let policy = preset.builder().build().unwrap();
            for level in 0..=u8::MAX {
                let core = policy.rules().backoff.delay(level);
                let naive = delay_at(policy.rules(), level);
                let pair = [core, naive].map(|delay| {
                    RefAction::Timer(TimerSlot::Phase, RefTimer::Set(TimerKind::Backoff, delay))
                });
                assert!(alike(pair[0], pair[1]), "{} {level}: {pair:?}", preset.name());
            }
        }
    }

    #[test]
    fn a_difference_is_seen() {
        let honest = Policy::DEFAULT.step(State::INITIAL, Event::StartRequested);
        let silent = Step { actions: Actions::NONE, ..honest };
        let found = compare(&Policy::DEFAULT, State::INITIAL, Event::StartRequested, silent);
        assert!(found.unwrap_err().to_string().contains("at start"));
    }
}
