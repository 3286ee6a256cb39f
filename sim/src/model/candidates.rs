//! The candidate inputs of a search state, and the answers of the machine to them.

use monitor_core::Event;

use super::input::Input;
use super::inputs::{Needs, Progress};

/// What settings have in common whose states differ in numbers only.
#[derive(Debug)]
pub(super) struct Profile {
    pub(super) candidates: Vec<Candidate>,
}

/// An input that the environment may give to the settings of a profile, if its needs are met.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) input: Input,
    pub(super) needs: Needs,
    /// The policy in force then.
    pub(super) policy: u16,
    /// The event that the machine receives.
    pub(super) event: Event,
    /// How the world progresses with it, without the run that begins.
    pub(super) progress: Progress,
    /// The latest facts.
    pub(super) latest: Known,
    /// All others that were seen.
    pub(super) others: Vec<Known>,
}

/// Facts that were met before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// The facts as a number.
    pub(super) key: u64,
    /// The response to it.
    pub(super) response: u32,
    /// The kind of the setting after it.
    pub(super) kind: u32,
}

impl Candidate {
    /// Makes facts that were met before the latest, and returns what is known of them.
    #[cold]
    pub(super) fn recall(&mut self, key: u64) -> Option<Known> {
        let known = self.others.iter_mut().find(|known| known.key == key)?;
        std::mem::swap(known, &mut self.latest);
        Some(self.latest)
    }

    #[cold]
    pub(super) fn remember(&mut self, known: Known) {
        let before = std::mem::replace(&mut self.latest, known);
        if before.key != UNMET.key {
            self.others.push(before);
        }
    }
}

/// What an answer of the machine means whatever the numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Response {
    /// Absent where there is nothing to check.
    pub(super) observation: Option<u32>,
    /// Names of the inputs, as bits, if the phase changes.
    pub(super) names: u32,
    /// What must be known for the input to be possible.
    pub(super) needs: Needs,
    pub(super) progress: Progress,
    /// Whether the monitor crashes before the event.
    pub(super) crash: bool,
    /// Whether the machine takes the input for something.
    pub(super) applied: bool,
}

/// The shape of a setting, and the first of the settings it leads to, which is itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) shape: u32,
    pub(super) targets: u32,
}

/// The number of a response, and the place of its target: side by side, so that patterns compare as
/// bytes do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct PackedAnswer(u64);

impl PackedAnswer {
    pub(super) const fn new(response: u32, target: u16) -> Self {
        Self((response as u64) << 16 | target as u64)
    }

    pub(super) const fn response(self) -> usize {
        (self.0 >> 16) as usize
    }

    pub(super) const fn target(self) -> u16 {
        self.0 as u16
    }
}

/// A class of inputs of one setting: nothing distinguishes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct InputClass {
    pub(super) response: Response,
    /// The setting after them, as a place among the targets; zero is the setting itself.
    pub(super) target: u16,
    /// The first of them, among all candidates of the setting.
    pub(super) input: u16,
    pub(super) count: u16,
}

/// What is known before anything was seen: no facts have its number.
pub(super) const UNMET: Known = Known { key: u64::MAX, response: 0, kind: 0 };
