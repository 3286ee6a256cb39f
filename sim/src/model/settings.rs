//! Settings by number: what the machine is in, found by the names in its state and by the numbers
//! in it.

use monitor_core::State;

use super::interner::Interner;
use super::packed::{self, Numbers};
use crate::oracle::step_facts::AbstractState;

/// What the machine is in: its state, and the policy in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) state: State,
    pub(super) policy: u16,
    /// Its column in the matrix: the names in its state, and the policy.
    pub(super) kind: u32,
    /// Its row in the matrix: the numbers in its state.
    pub(super) numbers: u32,
}

/// Distinct settings in the order in which they came.
///
/// Kinds and numbers are few, and about three in four of their pairs are met. So a setting is found
/// in a matrix of them, in which the settings that an answer leads to stand close to the one that
/// was asked.
#[derive(Debug)]
pub(super) struct Settings {
    items: Vec<Setting>,
    kinds: Interner<(AbstractState, u16)>,
    numbers: Interner<Numbers>,
    /// By numbers, and then by kind: the id, or [`FREE`].
    ids: Vec<u32>,
    /// For how many kinds there is room.
    width: usize,
}

const FREE: u32 = u32::MAX;

impl Settings {
    pub(super) fn new() -> Self {
        Self {
            items: Vec::new(),
            kinds: Interner::new(),
            numbers: Interner::new(),
            ids: Vec::new(),
            width: 64,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn items(&self) -> &[Setting] {
        &self.items
    }

    #[inline]
    pub(super) fn get(&self, id: u32) -> Setting {
        self.items[id as usize]
    }

    /// What a state under a policy is as a setting. Its numbers are cut: see
    /// [`Model::fold`](super::Model::fold).
    pub(super) fn of(&mut self, state: State, policy: u16) -> Setting {
        Setting { state, policy, kind: self.kind(state, policy), numbers: self.numbers(state) }
    }

    /// The column of all states with these names.
    pub(super) fn kind(&mut self, state: State, policy: u16) -> u32 {
        let (kind, new) = self.kinds.intern((AbstractState::of(state), policy));
        if new && kind as usize == self.width {
            let widened = self
                .ids
                .chunks(self.width)
                .flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(FREE, self.width)));
            self.ids = widened.collect();
            self.width *= 2;
        }
        kind
    }

    /// The row of all states with these numbers.
    pub(super) fn numbers(&mut self, state: State) -> u32 {
        let (numbers, new) = self.numbers.intern(packed::numbers(packed::state(&state)));
        if new {
            self.ids.resize(self.ids.len() + self.width, FREE);
        }
        numbers
    }

    /// The id of a setting, which may be new.
    #[inline]
    pub(super) fn intern(&mut self, setting: Setting) -> u32 {
        let Setting { kind, numbers, .. } = setting;
        let id = &mut self.ids[numbers as usize * self.width + kind as usize];
        if *id == FREE {
            *id = self.items.len() as u32;
            self.items.push(setting);
        }
        *id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_keeps_its_id_while_kinds_and_numbers_become_more() {
        let mut settings = Settings::new();
        let mut all = Vec::new();
        for policy in 0..200 {
            for level in 0..50 {
                let mut bytes = State::INITIAL.to_bytes();
                bytes[3] = level;
                let state = State::from_bytes(&bytes).unwrap();
                assert_eq!(state.level(), level);
                let setting = settings.of(state, policy);
                assert_eq!(settings.intern(setting), all.len() as u32);
                all.push(setting);
            }
        }
        for (id, &setting) in (0..).zip(&all) {
            assert_eq!(settings.of(setting.state, setting.policy), setting);
            assert_eq!(settings.intern(setting), id);
        }
        assert_eq!(settings.items(), all);
    }
}
