//! What a case expects: the answer of the machine to every step, and the state at the end.
//!
//! The words are those of the printed actions, one line a step:
//!
//! ```text
//! 0ms start                  => save; spawn A; emit starting [starting]
//!   then 0ms started A       => {save ; emit started ; arm healthy A 10s1ms}
//!   then 1s exited A code=1  => save; release A TERM group; arm stop-grace A 10s; emit exited
//!   then 1s released A       => save; arm backoff A 100ms; emit backing-off
//! 1s50ms stop                => save; disarm phase; emit stopped   # no second run
//! end                        => stopped (stop-requested), restarts 0
//! ```
//!
//! - A line with `=>` is a step. `then` begins what the world does by itself, with its time; the
//!   other lines are the inputs of the case. An input without `=>` is expected not to reach the
//!   machine: it contradicts what is the case, or is a crash, after which the world says what was
//!   found.
//! - Actions are separated by `;` and in their order; those in braces may come in any order; `-` is
//!   none.
//! - In brackets, if that matters: the phase reached, and `stale` or `not-applicable`.
//! - A run is written as `#1`, or by a name that begins with a capital letter: a name means one
//!   run, the one that it meets first.
//! - Either every step of the run is written, or none; `end` may stand alone. It has those parts of
//!   the final state that matter.

use monitor_core::{Event, Millis};

use super::answer::{Answer, Item, tidy};
use super::expected_error::ExpectedError;
use super::input::InputKind;

/// The expectations of a case. The default expects nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Every step, in order. Empty if steps are not compared.
    pub steps: Vec<ExpectedStep>,
    /// Parts of the final state, separated by commas.
    pub end: Option<String>,
}

/// An expected step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedStep {
    /// The event that the machine receives.
    pub trigger: Trigger,
    /// The answer of the machine.
    pub answer: Answer,
}

impl ExpectedStep {
    /// Returns the runs that occur in the step, in order, as names or numbers.
    pub(crate) fn runs(&self) -> Vec<String> {
        let event = match &self.trigger {
            Trigger::Input(_) => "",
            Trigger::World { event, .. } => event,
        };
        let actions = self.answer.items.iter().flat_map(|item| match item {
            Item::One(action) => std::slice::from_ref(action),
            Item::AnyOrder(actions) => actions,
        });
        let texts = std::iter::once(event).chain(actions.map(String::as_str));
        // No action has more than one run, and the run is the first word that looks like one.
        let run = |text: &str| text.split(' ').find(|word| is_run(word)).map(str::to_owned);
        texts.filter_map(run).collect()
    }
}

/// Returns whether a word stands for a run: a number such as `#1`, or a name.
pub(crate) fn is_run(word: &str) -> bool {
    word.starts_with(|c: char| c == '#' || c.is_ascii_uppercase())
}

/// The event of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The input of this index, which is neither a crash nor a reboot.
    Input(usize),
    /// An event of the world.
    World {
        /// The time since the beginning.
        at: Millis,
        /// The event in its text form, in which runs may have names.
        event: String,
    },
}

impl Expected {
    /// Adds the step that follows an input.
    pub(crate) fn answered(
        &mut self,
        input: usize,
        kind: InputKind,
        answer: &str,
    ) -> Result<(), ExpectedError> {
        if !matches!(kind, InputKind::Event(_) | InputKind::Policy(_)) {
            return Err(ExpectedError::NoStep(kind.to_string()));
        }
        self.steps.push(ExpectedStep { trigger: Trigger::Input(input), answer: answer.parse()? });
        Ok(())
    }

    /// Adds a step that the world takes by itself: a time and an event.
    pub(crate) fn then(
        &mut self,
        trigger: &str,
        answer: Option<&str>,
    ) -> Result<(), ExpectedError> {
        let trigger = trigger.trim();
        let (at, event) = trigger.split_once(char::is_whitespace).unwrap_or((trigger, ""));
        let (at, event) = (at.parse()?, tidy(event));
        let words = match event.split_once(' ') {
            Some((unit, words)) if unit.starts_with('@') => words,
            _ => &event,
        };
        let numbered = words
            .split(' ')
            .map(|word| if is_run(word) && !word.starts_with('#') { "#1" } else { word });
        numbered.collect::<Vec<_>>().join(" ").parse::<Event>()?;
        let answer =
            answer.ok_or_else(|| ExpectedError::NoAnswer(format!("then {}", tidy(trigger))))?;
        self.steps
            .push(ExpectedStep { trigger: Trigger::World { at, event }, answer: answer.parse()? });
        Ok(())
    }
}
