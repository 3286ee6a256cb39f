//! The failure report: the property, the trace as a table with the wrong step marked, and how to
//! replay.

use std::fmt;

use super::saved_failure::SavedFailure;
use super::trace_table::TraceTable;
use crate::case::definition::Case;
use crate::search::alarm::Alarm;
use crate::search::failure::Failure;

/// A failure as text, on at most [`FailureReport::LINES_MAX`] lines.
#[derive(Clone, Copy, Debug)]
pub struct FailureReport<'a> {
    /// The failure.
    pub failure: &'a Failure,
    /// The saved files. Without them the whole case is printed.
    pub saved: Option<&'a SavedFailure>,
    /// Further options of the command that replays it, such as `--inject BB-1`.
    pub options: &'a str,
}

impl<'a> FailureReport<'a> {
    /// The most lines of a report whose case is saved.
    pub const LINES_MAX: usize = 25;

    /// Makes the report of a failure that is not saved.
    #[must_use]
    pub const fn of(failure: &'a Failure) -> Self {
        Self { failure, saved: None, options: "" }
    }
}

impl fmt::Display for FailureReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEAD_MAX: usize = 8;
        const AROUND: usize = 6;
        let Failure { seed, aim, oracle, case, trace, sibling, panic, is_unshrunk, .. } =
            self.failure;
        writeln!(f, "FAIL {oracle}")?;
        let (steps, inputs) = (trace.len(), case.inputs.len());
        let aim = aim.map_or_else(String::new, |aim| format!(", {aim}"));
        if let Some(panic) = panic {
            writeln!(f, "panic     {panic}")?;
        }
        if *is_unshrunk {
            let alarm = Alarm::ShrunkCasePasses;
            writeln!(f, "ALARM {alarm}: {}", alarm.meaning())?;
            writeln!(f, "seed {seed}{aim}, {steps} steps and {inputs} inputs of this case:")?;
        } else {
            writeln!(
                f,
                "seed {seed}{aim}, shrunk to {steps} steps and {inputs} inputs of this case:"
            )?;
        }
        // The table has the inputs.
        let head = Case { inputs: Vec::new(), ..case.clone() };
        let text = if self.saved.is_some() { head.to_string() } else { case.to_string() };
        let lines: Vec<&str> = text.lines().collect();
        let fits = if self.saved.is_some() { HEAD_MAX } else { usize::MAX };
        let left_out = if lines.len() > fits { lines.len() + 1 - fits } else { 0 };
        for line in &lines[..lines.len() - left_out] {
            writeln!(f, "    {line}")?;
        }
        if left_out > 0 {
            writeln!(f, "    ({left_out} lines left out)")?;
        }
        let more = usize::from(panic.is_some()) + usize::from(*is_unshrunk);
        let lines_left = Self::LINES_MAX.saturating_sub(AROUND + more + lines.len().min(fits));
        TraceTable { trace, marked: true }.write(f, lines_left.max(6))?;
        match sibling {
            Some(sibling) => writeln!(f, "passes    {sibling}")?,
            None => writeln!(f, "passes    no case that differs in one input")?,
        }
        let space = if self.options.is_empty() { "" } else { " " };
        match self.saved {
            Some(SavedFailure { case, svg, html }) => {
                let case = case.display();
                writeln!(f, "replay    monitor-sim replay {case}{space}{}", self.options)?;
                writeln!(f, "as test   monitor-sim replay {case} --emit rust")?;
                write!(f, "pictures  {} {}", svg.display(), html.display())
            }
            None => {
                write!(
                    f,
                    "replay    monitor-sim replay -{space}{}, with the case above",
                    self.options
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::bugs::bank;
    use crate::machine::injected_bug::MachineUnderTest as _;
    use crate::report::rust_test::rust_test;
    use crate::report::saved_failure::save;
    use crate::search::hunt;

    #[test]
    fn every_bug_of_the_bank_fits_on_a_screen() {
        let folder = tempfile::tempdir().unwrap();
        let (mut shown, mut of_the_machine, mut explained) = (0, 0, 0);
        for bug in bank::ALL {
            let hunt = [bug.race, None].map(|race| hunt::hunt(race, 0..1_000, *bug, || {}));
            let Some(failure) = hunt.into_iter().find_map(|hunt| hunt.failure) else { continue };
            let saved = save(&failure, folder.path()).unwrap();
            let report = FailureReport { saved: Some(&saved), ..FailureReport::of(&failure) };
            let text = report.to_string();
            assert!(text.lines().count() <= FailureReport::LINES_MAX, "{bug}:\n{text}");
            let aim = failure.aim.unwrap().to_string();
            assert!(text.contains(&aim), "{bug}: {aim} is not said:\n{text}");
            assert!(text.contains("\n> "), "{bug}: the violation is not marked:\n{text}");
            let in_the_machine = bug.injected_bug().is_none();
            of_the_machine += usize::from(in_the_machine);
            explained += usize::from(in_the_machine && text.contains("the rules say:"));
            let again: Case = fs::read_to_string(&saved.case).unwrap().parse().unwrap();
            assert_eq!(again, failure.case, "{bug}");
            shown += 1;
        }
        assert!(shown * 2 > bank::ALL.len(), "only {shown} bugs were found");
        // The virtual kernel notices the other wrong steps while the driver executes them, before
        // the driver reports them.
        assert!(
            explained * 10 > of_the_machine * 9,
            "only {explained} of {of_the_machine} show a wrong step"
        );
    }

    #[test]
    fn an_emitted_test_holds_the_case() {
        let text = "policy restart=always\n0ms start\n5ms stop\n";
        let case: Case = text.parse().unwrap();
        let test = rust_test(&case);
        let quoted = test.split('"').nth(1).unwrap();
        assert_eq!(quoted.parse(), Ok(case), "{test}");
    }
}
