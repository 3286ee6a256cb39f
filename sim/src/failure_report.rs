//! The failure report: the property, the trace as a table with the wrong step marked, and how to replay.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::{fs, io};

use monitor_core::{Event, Note, Phase, Policy, State, Step};
use monitor_os::{Machine, Moment};

use crate::alarm::Alarm;
use crate::bugs::Oracle;
use crate::case::{Case, InputKind, TimedInput};
use crate::hunt::Failure;
use crate::model::{self, Counterexample};
use crate::reference::{self, Mismatch};
use crate::timeline::{self, Timeline};
use crate::world::TraceLine;

/// A trace as a table: time, input, phase and actions, one line a step.
///
/// The first step that is not as the rules say is marked with `!`, and what they say stands under it. The
/// line of a violation is the last one; it is marked with `>`.
#[derive(Clone, Copy, Debug)]
pub struct TraceTable<'a> {
    /// The steps.
    pub trace: &'a [TraceLine],
    /// The policy in force at each step, as [`policies`] or [`replay::trace`](crate::replay::trace) gives
    /// it.
    pub policies: &'a [Policy],
    /// Whether the last step is the wrong one.
    pub marked: bool,
}

impl fmt::Display for TraceTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, usize::MAX)
    }
}

impl TraceTable<'_> {
    /// Prints at most so many lines; steps in the middle are left out first, the wrong ones last.
    fn write(&self, f: &mut fmt::Formatter<'_>, lines_max: usize) -> fmt::Result {
        let inputs = self.trace.iter().map(|line| line.event_text().len());
        let width = inputs.max().unwrap_or(0).max(14);
        writeln!(f, "  {:>10}  {:<width$}  {:<24} actions", "time", "input", "phase")?;
        let steps = self.trace.iter().zip(self.policies).enumerate();
        let wrong = steps.into_iter().find_map(|(index, (line, policy))| {
            let TraceLine { before, event, step, .. } = line;
            let mismatch = reference::compare(policy, *before, *event, *step).err()?;
            Some((index, mismatch))
        });
        let wrong_at = wrong.as_ref().map(|(index, _)| *index);
        let rule_lines = usize::from(wrong.is_some());
        let shown = self.visible_rows(lines_max.saturating_sub(1 + rule_lines), wrong_at);
        let last = self.trace.len().saturating_sub(1);
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

    /// The steps to show if there are so many lines for them: the last ones and the wrong one, the first,
    /// and then from both ends.
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

/// The policy in force at each step of a run of the case.
#[must_use]
pub fn policies(case: &Case, trace: &[TraceLine]) -> Vec<Policy> {
    (0..trace.len()).map(|index| policy_at(case, trace, index)).collect()
}

/// The last policy that was put in force by then.
fn policy_at(case: &Case, trace: &[TraceLine], index: usize) -> Policy {
    let TraceLine { unit, at, .. } = trace[index];
    let its = |input: &&TimedInput| u32::from(input.unit) == unit.as_u32();
    let given = case.inputs.iter().filter(its).filter_map(|input| {
        let due = at >= Moment::ORIGIN.after(input.at);
        if let InputKind::Policy(policy) = input.kind { due.then_some(policy) } else { None }
    });
    // Of several at one moment those that come later are not in force yet.
    let changes = |line: &&TraceLine| line.unit == unit && line.event == Event::PolicyChanged;
    let later = trace[index + 1..].iter().take_while(|line| line.at == at).filter(changes).count();
    let given: Vec<Policy> = given.collect();
    let last = given.len().checked_sub(1 + later);
    last.map_or_else(|| *case.unit(unit.as_u32() as usize).0, |last| given[last])
}

/// `running > stopping`, or the phase alone where it stays.
#[must_use]
pub fn phases(before: State, step: Step) -> String {
    change(before.phase(), step.state.phase())
}

fn change(from: Phase, to: Phase) -> String {
    if from == to { to.to_string() } else { format!("{from} > {to}") }
}

/// The actions of a step in the form of case files, or why there are none.
#[must_use]
pub fn actions(step: Step) -> String {
    let mut actions = Vec::new();
    step.for_each(|action| actions.push(action.to_string()));
    listed(actions, step.note)
}

fn listed(actions: Vec<String>, note: Note) -> String {
    match (actions.is_empty(), note) {
        (false, _) => actions.join("; "),
        (true, Note::Applied) => "-".to_owned(),
        (true, Note::Stale | Note::NotApplicable) => format!("- ({})", note.name()),
    }
}

/// What the rules say of a step, as [`phases`] and [`actions`] print it.
fn ruled(mismatch: &Mismatch, before: State) -> (String, String) {
    let (state, actions, note) = &mismatch.expected;
    let actions = actions.iter().map(ToString::to_string).collect();
    (change(before.phase(), state.phase()), listed(actions, *note))
}

/// One step of a path without times, for the exhaustive engine.
#[must_use]
pub fn untimed(event: Event, before: State, step: Step) -> String {
    format!("{:<32}  {:<24} {}", event.to_string(), phases(before, step), actions(step))
}

/// Where a failing case is saved: the case itself and its pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedFailure {
    /// The case, as text.
    pub case: PathBuf,
    /// Its timeline as an image.
    pub svg: PathBuf,
    /// Its timeline as a page.
    pub html: PathBuf,
}

/// Writes a failing case and its pictures into a folder, which is made if it is not there.
///
/// # Errors
/// What the file system says; some of the files may have been written.
pub fn save(failure: &Failure, folder: &Path) -> io::Result<SavedFailure> {
    let Failure { seed, property, case, trace, .. } = failure;
    let file = |kind: &str| folder.join(format!("{property}-{seed}.{kind}"));
    let saved = SavedFailure { case: file("txt"), svg: file("svg"), html: file("html") };
    let lanes = Timeline::new(trace, true);
    fs::create_dir_all(folder)?;
    fs::write(&saved.case, case.to_string())?;
    fs::write(&saved.svg, timeline::svg(&lanes))?;
    fs::write(&saved.html, timeline::html(&lanes, property.name(), trace))?;
    Ok(saved)
}

/// All facts about one failure, on at most [`FailureReport::LINES_MAX`] lines.
#[derive(Clone, Copy, Debug)]
pub struct FailureReport<'a> {
    /// The failure.
    pub failure: &'a Failure,
    /// The oracle that found it.
    pub oracle: Oracle,
    /// Where it is saved; if nowhere, the whole case is printed.
    pub saved: Option<&'a SavedFailure>,
    /// What else the command that replays it must say, such as `--inject BB-1`; empty for nothing.
    pub options: &'a str,
}

impl<'a> FailureReport<'a> {
    /// The most lines of a report whose case is saved.
    pub const LINES_MAX: usize = 25;

    /// The report of a failure that is not saved, found by a property.
    #[must_use]
    pub const fn of(failure: &'a Failure) -> Self {
        Self { failure, oracle: Oracle::Property(failure.property), saved: None, options: "" }
    }
}

impl fmt::Display for FailureReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEAD_MAX: usize = 8;
        const AROUND: usize = 6;
        let Failure { seed, aim, case, trace, sibling, panic, is_unshrunk, .. } = self.failure;
        writeln!(f, "FAIL {}", self.oracle)?;
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
        // The inputs stand in the table.
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
        let policies = &policies(case, trace);
        TraceTable { trace, policies, marked: true }.write(f, lines_left.max(6))?;
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

/// A shortest path to a violation, as the exhaustive engine found it. The first step that is not as the rules
/// say has under it what they say.
#[must_use]
pub fn counterexample(
    policies: &[Policy],
    machine: &impl Machine,
    oracle: Oracle,
    example: &Counterexample,
) -> String {
    let mut text = format!(
        "FAIL {oracle}\nby exhaustive search: no shorter case exists ({} inputs)\n",
        example.path.len()
    );
    // Writing to a string cannot fail.
    if let Some(panic) = &example.panic {
        let _unfailing = writeln!(text, "panic     {panic}");
    }
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
    let mut right_so_far = true;
    for (index, (policy, event, before, step)) in steps.iter().enumerate() {
        let mark = if index + example.lap.max(1) >= steps.len() { '>' } else { ' ' };
        let _unfailing = writeln!(text, "{mark} {}", untimed(*event, *before, *step));
        if !right_so_far {
            continue;
        }
        if let Err(mismatch) = reference::compare(&policies[*policy], *before, *event, *step) {
            right_so_far = false;
            let (phases, actions) = ruled(&mismatch, *before);
            let _unfailing = writeln!(text, "  {:<32}  {phases:<24} {actions}", "the rules say:");
        }
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
    use crate::bank;
    use crate::hunt;
    use crate::world::MachineUnderTest as _;

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
        // The others are noticed by the kernel while the wrong step is executed, before it is reported.
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
