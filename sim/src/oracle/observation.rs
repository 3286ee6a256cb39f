//! The observation of one step, and the rules that a step alone can break.
//!
//! A step is checked in two parts. This part needs no memory: it reads a step and the policy, and
//! answers the questions (`StepView`) of the second part,
//! [`SafetyOracle`](crate::oracle::SafetyOracle).
//!
//! A run of a case answers from the step itself, so that it computes the needed answers alone. An
//! exhaustive search keeps the answers. Steps with equal answers are one observation, which each
//! oracle checks once instead of once for each transition.

use monitor_core::{Event, Exit, Lifecycle, Note, Phase, Policy, State, Step, TimerSlot};

use super::property::Property;
use super::step_facts::{StepFacts, TimerEffect};
use super::step_view::{EventMeaning, ProcessEffect, StepView, View};

/// The answers of `StepView` for one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Observation {
    pub(crate) meaning: EventMeaning,
    pub(crate) note: Note,
    /// The phase after the step.
    pub(crate) phase: Phase,
    /// The exit that the state after the step remembers.
    pub(crate) exit: Option<Exit>,
    /// Whether the state after the step says that the start limit has refused a run.
    pub(crate) refused: bool,
    pub(crate) process: ProcessEffect,
    /// The effects on the timers, by slot.
    pub(crate) timers: [TimerEffect; TimerSlot::ALL.len()],
    pub(crate) emit: Option<Lifecycle>,
    /// Whether the step does something although the event does not count.
    pub(crate) acts_though_ignored: bool,
    /// Whether the step changes the state and does not save it, or the other way round.
    pub(crate) is_unsaved: bool,
    /// Whether a delay is not what the curve says.
    pub(crate) is_off_the_curve: bool,
    /// Whether a process that never was is said to have left something.
    pub(crate) is_false_leak: bool,
    /// The rule that the state after the step breaks.
    pub(crate) state_breaks: Option<Property>,
    /// The other rule that the step breaks.
    pub(crate) breaks: Option<Property>,
}

impl Observation {
    /// Reads the step from `before` at `event` under `policy`. Returns `None` for a step without
    /// any effect, which needs no check.
    #[must_use]
    pub fn of(policy: &Policy, before: State, event: Event, step: Step) -> Option<Self> {
        let facts = StepFacts::of(policy, before, event, &step, step.state != before);
        let view = View::new(policy, &before, &event, facts);
        (!view.is_nothing()).then(|| Self::from_view(&view))
    }

    pub(crate) fn from_view(view: &impl StepView) -> Self {
        Self {
            meaning: view.meaning(),
            note: view.note(),
            phase: view.phase(),
            exit: view.exit(),
            refused: view.refused(),
            process: view.process(),
            timers: TimerSlot::ALL.map(|slot| view.timer(slot)),
            emit: view.emit(),
            acts_though_ignored: view.acts_though_ignored(),
            is_unsaved: view.is_unsaved(),
            is_off_the_curve: view.is_off_the_curve(),
            is_false_leak: view.is_false_leak(),
            state_breaks: view.state_breaks(),
            breaks: view.breaks(),
        }
    }
}

impl StepView for Observation {
    fn meaning(&self) -> EventMeaning {
        self.meaning
    }

    fn note(&self) -> Note {
        self.note
    }

    fn phase(&self) -> Phase {
        self.phase
    }

    fn exit(&self) -> Option<Exit> {
        self.exit
    }

    fn refused(&self) -> bool {
        self.refused
    }

    fn process(&self) -> ProcessEffect {
        self.process
    }

    fn timer(&self, slot: TimerSlot) -> TimerEffect {
        self.timers[slot as usize]
    }

    fn emit(&self) -> Option<Lifecycle> {
        self.emit
    }

    fn acts_though_ignored(&self) -> bool {
        self.acts_though_ignored
    }

    fn is_unsaved(&self) -> bool {
        self.is_unsaved
    }

    fn is_off_the_curve(&self) -> bool {
        self.is_off_the_curve
    }

    fn is_false_leak(&self) -> bool {
        self.is_false_leak
    }

    fn state_breaks(&self) -> Option<Property> {
        self.state_breaks
    }

    fn breaks(&self) -> Option<Property> {
        self.breaks
    }
}
