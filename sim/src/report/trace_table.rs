//! A trace as a table.

use std::collections::BTreeSet;
use std::fmt;

use monitor_core::{Event, Policy, State, Step};

use crate::oracle::comparison::{self, Mismatch};
use crate::oracle::trace::{TraceLine, actions, change, listed, phases};

/// A trace as a table: time, input, phase and actions, one line a step.
///
/// A `!` marks the first step that differs from the reference machine, whose answer is printed
/// under it. A `>` marks the last step if it violates a property.
#[derive(Clone, Copy, Debug)]
pub struct TraceTable<'a> {
    /// The steps.
    pub trace: &'a [TraceLine],
    /// The policy in force at each step, as [`oracle::policies`](crate::oracle::policies()) or
    /// [`conform::record::trace`](crate::conform::record::trace()) gives it.
    pub policies: &'a [Policy],
    /// Whether the last step violates a property.
    pub marked: bool,
}

impl fmt::Display for TraceTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, usize::MAX)
    }
}

impl TraceTable<'_> {
    /// Prints at most so many lines; steps in the middle are left out first, the wrong ones last.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, lines_max: usize) -> fmt::Result {
        let inputs = self.trace.iter().map(|line| line.event_text().len());
        let width = inputs.max().unwrap_or(0).max(14);
        writeln!(f, "  {:>10}  {:<width$}  {:<24} actions", "time", "input", "phase")?;
        let steps = self.trace.iter().zip(self.policies).enumerate();
        let wrong = steps.into_iter().find_map(|(index, (line, policy))| {
            let TraceLine { before, event, step, .. } = line;
            let mismatch = comparison::compare(policy, *before, *event, *step).err()?;
            Some((index, mismatch))
        });
        let wrong_at = wrong.as_ref().map(|(index, _)| *index);
        let rule_lines = usize::from(wrong.is_some());
        let shown = self.visible_rows(lines_max.saturating_sub(1 + rule_lines), wrong_at);
        let last = self.trace.len().saturating_sub(1);
        if self.trace.is_empty() && self.marked {
            writeln!(f, "> {:>10}  (in the first step, before its report)", "")?;
        }
        let mut next = 0;
        for (index, line) in self.trace.iter().enumerate() {
            if !shown.contains(&index) {
                continue;
            }
            if index > next {
                writeln!(f, "  {:>10}  ({} steps left out)", "...", index - next)?;
            }
            next = index + 1;
            let mark = match (self.marked && index == last, wrong_at == Some(index)) {
                (true, _) => '>',
                (false, true) => '!',
                (false, false) => ' ',
            };
            let TraceLine { at, before, step, .. } = line;
            write!(f, "{mark} {:>10}  {:<width$}  ", at.to_string(), line.event_text())?;
            writeln!(f, "{:<24} {}", phases(*before, *step), actions(*step))?;
            if let Some((_, mismatch)) = wrong.as_ref().filter(|(wrong, _)| *wrong == index) {
                let (phases, actions) = ruled(mismatch, *before);
                writeln!(f, "  {:>10}  {:<width$}  {phases:<24} {actions}", "", "the rules say:")?;
            }
        }
        Ok(())
    }

    /// The steps to show if there are so many lines for them: the last ones and the wrong one, the
    /// first, and then from both ends.
    fn visible_rows(&self, lines_max: usize, wrong: Option<usize>) -> BTreeSet<usize> {
        let steps = self.trace.len();
        if steps <= lines_max {
            return (0..steps).collect();
        }
        let last = steps - 1;
        let from_the_end = (0..steps).map(|n| last - n);
        let wanted = [Some(last), wrong, last.checked_sub(1), Some(0)].into_iter().flatten();
        let mut shown = BTreeSet::new();
        for index in wanted.chain(from_the_end) {
            let mut more = shown.clone();
            more.insert(index);
            let mut gaps = 0;
            let mut next = 0;
            for &index in &more {
                gaps += usize::from(index > next);
                next = index + 1;
            }
            if more.len() + gaps > lines_max {
                break;
            }
            shown = more;
        }
        shown
    }
}

/// What the rules say of a step, as [`phases`] and [`actions`] print it.
pub(super) fn ruled(mismatch: &Mismatch, before: State) -> (String, String) {
    let (state, actions, note) = &mismatch.expected;
    let actions = actions.iter().map(ToString::to_string).collect();
    (change(before.phase(), state.phase()), listed(actions, *note))
}

/// One step of a path without times, for the exhaustive engine.
pub(super) fn untimed(event: Event, before: State, step: Step) -> String {
    format!("{:<32}  {:<24} {}", event.to_string(), phases(before, step), actions(step))
}
