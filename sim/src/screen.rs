//! The failure screen: the property, the trace as a table with the wrong step marked, and how to replay.

use std::fmt::{self, Write as _};

use monitor_core::{Event, Note, Policy, State, Step};
use monitor_os::Machine;

use crate::case::Case;
use crate::hunt::Failure;
use crate::model::{self, Counterexample};
use crate::world::TraceLine;

/// A trace as a table: time, input, phase and actions, one line a step.
///
/// The line of a violation is the last one; it is marked.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// The steps.
    pub trace: &'a [TraceLine],
    /// Whether the last step is the wrong one.
    pub marked: bool,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inputs = self.trace.iter().map(|line| line.event.to_string().len());
        let width = inputs.max().unwrap_or(0).max(5);
        writeln!(f, "  {:>10}  {:<width$}  {:<24} actions", "time", "input", "phase")?;
        let last = self.trace.len().saturating_sub(1);
        for (index, line) in self.trace.iter().enumerate() {
            let mark = if self.marked && index == last { '>' } else { ' ' };
            let TraceLine { at, event, before, step, .. } = line;
            write!(f, "{mark} {:>10}  {:<width$}  ", at.to_string(), event.to_string())?;
            writeln!(f, "{:<24} {}", phases(*before, *step), actions(*step))?;
        }
        Ok(())
    }
}

/// `running > stopping`, or the phase alone where it stays.
#[must_use]
pub fn phases(before: State, step: Step) -> String {
    let (from, to) = (before.phase(), step.state.phase());
    if from == to { to.to_string() } else { format!("{from} > {to}") }
}

/// The actions of a step in the form of case files, or why there are none.
#[must_use]
pub fn actions(step: Step) -> String {
    let mut text = String::new();
    step.for_each(|action| {
        let separator = if text.is_empty() { "" } else { "; " };
        // Writing to a string cannot fail.
        let _unfailing = write!(text, "{separator}{action}");
    });
    match (text.is_empty(), step.note) {
        (false, _) => text,
        (true, Note::Applied) => "-".to_owned(),
        (true, note) => format!("- ({})", note.name()),
    }
}

/// One step of a path without times, for the exhaustive engine.
#[must_use]
pub fn untimed(event: Event, before: State, step: Step) -> String {
    format!("{:<32}  {:<24} {}", event.to_string(), phases(before, step), actions(step))
}

/// Everything about one failure that fits on a screen.
#[derive(Clone, Copy, Debug)]
pub struct FailureScreen<'a> {
    /// The failure.
    pub failure: &'a Failure,
    /// The command that shows it again.
    pub replay: &'a str,
}

impl fmt::Display for FailureScreen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { seed, property, case, trace } = self.failure;
        writeln!(f, "FAIL {property} ({}): {}", property.source(), property.sentence())?;
        writeln!(f, "seed {seed}, shrunk to this case:")?;
        for line in case.to_string().lines() {
            writeln!(f, "    {line}")?;
        }
        write!(f, "{}", Table { trace, marked: true })?;
        write!(f, "replay    {}", self.replay)
    }
}

/// A shortest path to a violation, as the exhaustive engine found it.
#[must_use]
pub fn counterexample(
    policies: &[Policy],
    machine: &impl Machine,
    example: &Counterexample,
) -> String {
    let property = example.property;
    let mut text = format!(
        "FAIL {property} ({}): {}\nby exhaustive search: no shorter case exists ({} inputs)\n",
        property.source(),
        property.sentence(),
        example.path.len()
    );
    // Writing to a string cannot fail.
    for policy in policies {
        let _unfailing = writeln!(text, "    policy {policy}");
    }
    if example.lap > 0 {
        let _unfailing = writeln!(
            text,
            "the last {} inputs can be repeated for ever, marked below",
            example.lap
        );
    }
    let steps = model::walk(policies, machine, &example.path);
    for (index, (_, event, before, step)) in steps.iter().enumerate() {
        let mark = if index + example.lap.max(1) >= steps.len() { '>' } else { ' ' };
        let _unfailing = writeln!(text, "{mark} {}", untimed(*event, *before, *step));
    }
    text
}

/// The case as a complete Rust test, to be kept in any crate that depends on `monitor-sim`.
#[must_use]
pub fn rust_test(case: &Case) -> String {
    let mut text = String::from("#[test]\nfn this_case_violates_nothing() {\n");
    text.push_str("    let case: monitor_sim::case::Case = \"\n");
    for line in case.to_string().lines() {
        // Writing to a string cannot fail.
        let _unfailing = writeln!(text, "        {line}");
    }
    text.push_str("    \"\n    .parse()\n    .unwrap();\n");
    text.push_str("    let verdict = monitor_sim::world::run(&case, monitor_os::Core, 400);\n");
    text.push_str("    assert_eq!(verdict.violated, None);\n}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emitted_test_holds_the_case() {
        let text = "policy restart=always\n0ms start\n5ms stop\n";
        let case: Case = text.parse().unwrap();
        let test = rust_test(&case);
        let quoted = test.split('"').nth(1).unwrap();
        assert_eq!(quoted.parse(), Ok(case), "{test}");
    }
}
