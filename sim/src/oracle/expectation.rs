//! Compares the run of a case with the expectations of the case.

use std::collections::BTreeMap;
use std::fmt;

use monitor_core::{Event, Millis, State};
use monitor_os::{Moment, UnitId};

use super::trace::TraceLine;
use crate::case::answer::{Answer, Item, tidy};
use crate::case::body::{replace_expectations, trigger_text};
use crate::case::definition::Case;
use crate::case::expected::{Expected, ExpectedStep, Trigger, is_run};
use crate::case::input::{InputKind, TimedInput};

/// Prints a final state in the words of an `end` line.
#[must_use]
pub fn end_text(state: State) -> String {
    let (phase, reason, outcome) = (state.phase(), state.reason(), state.outcome());
    let (restarts, strikes, level) = (state.restarts(), state.strikes(), state.level());
    format!(
        "{phase} ({reason}), outcome {outcome}, restarts {restarts}, strikes {strikes}, level {level}"
    )
}

/// The runs that the names of a case stand for.
#[derive(Clone, Debug, Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    /// Compares two texts word by word. A new name is bound to its run, unless the texts differ.
    fn unify(&mut self, expected: &str, found: &str) -> bool {
        let mut bound = self.clone();
        let same = expected.split_whitespace().count() == found.split_whitespace().count()
            && expected
                .split_whitespace()
                .zip(found.split_whitespace())
                .all(|(expected, found)| expected == found || bound.means(expected, found));
        if same {
            *self = bound;
        }
        same
    }

    fn means(&mut self, name: &str, run: &str) -> bool {
        if name.starts_with('#') || !is_run(name) || !run.starts_with('#') {
            return false;
        }
        match self.0.get(name) {
            Some(known) => known == run,
            None if self.0.values().any(|known| known == run) => false,
            None => self.0.insert(name.to_owned(), run.to_owned()).is_none(),
        }
    }

    /// The names of a case whose expectations may be wrong: the first name is the first run, and so
    /// on.
    fn in_order(case: &Case) -> Self {
        let mut names = Self::default();
        for word in case.expected.steps.iter().flat_map(ExpectedStep::runs) {
            if !names.0.contains_key(&word) {
                let run = format!("#{}", names.0.len() + 1);
                names.0.insert(word, run);
            }
        }
        names.0.retain(|name, _| !name.starts_with('#'));
        names
    }

    /// The text with the names of the runs that have one.
    fn apply(&self, text: &str) -> String {
        let name =
            |word| self.0.iter().find(|(_, run)| *run == word).map(|(name, _)| name.as_str());
        text.split(' ').map(|word| name(word).unwrap_or(word)).collect::<Vec<_>>().join(" ")
    }

    fn unify_answer(&mut self, expected: &Answer, found: &Answer) -> bool {
        let mut found_items = found.items.iter().flat_map(|item| match item {
            Item::One(action) => std::slice::from_ref(action),
            Item::AnyOrder(actions) => actions,
        });
        let same = expected.items.iter().all(|item| match item {
            Item::One(action) => found_items.next().is_some_and(|found| self.unify(action, found)),
            Item::AnyOrder(actions) => {
                let found: Vec<_> = found_items.by_ref().take(actions.len()).collect();
                self.unify_any_order(actions, &found)
            }
        });
        let phase_and_note = |answer: &Answer| answer.phase_and_note.as_deref().map(tidy);
        same && found_items.next().is_none()
            && (expected.phase_and_note.is_none()
                || phase_and_note(expected) == phase_and_note(found))
    }

    fn unify_any_order(&mut self, expected: &[String], found: &[&String]) -> bool {
        let Some((first, rest)) = expected.split_first() else { return found.is_empty() };
        (0..found.len()).any(|place| {
            let mut names = self.clone();
            let mut others = found.to_vec();
            let here = others.remove(place);
            let fits = names.unify(first, here) && names.unify_any_order(rest, &others);
            if fits {
                *self = names;
            }
            fits
        })
    }
}

/// A difference between a run and its expectations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The step, counted from 1. If the end differs, it is one more than the number of steps.
    pub step: usize,
    /// The expected step.
    pub expected: String,
    /// The actual step.
    pub actual: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, expected, actual } = self;
        write!(f, "DIFF at step {step}\n  expected  {expected}\n  actual    {actual}")
    }
}

impl std::error::Error for Difference {}

/// Compares a run with the expectations of its case.
///
/// # Errors
/// The first [`Difference`].
pub fn compare(case: &Case, trace: &[TraceLine]) -> Result<(), Difference> {
    first_difference(case, trace).map_or(Ok(()), Err)
}

fn first_difference(case: &Case, trace: &[TraceLine]) -> Option<Difference> {
    let mut names = Names::default();
    let Expected { steps, end } = &case.expected;
    let nothing = || "nothing more".to_owned();
    let pairs = if steps.is_empty() { 0 } else { steps.len().max(trace.len()) };
    for index in 0..pairs {
        let (wanted, line) = (steps.get(index), trace.get(index));
        let fits = wanted.zip(line).is_some_and(|(step, line)| {
            let event_text = line.event_text();
            let trigger = match &step.trigger {
                Trigger::Input(input) => input_event(case, *input) == Some((line.unit, line.event)),
                Trigger::World { at, event } => {
                    *at == millis(line.at) && names.unify(event, &event_text)
                }
            };
            trigger && names.unify_answer(&step.answer, &Answer::from(line.step))
        });
        if !fits {
            let expected = wanted.map_or_else(nothing, |step| {
                format!("{} => {}", trigger_text(case, &step.trigger), step.answer)
            });
            let actual = line.map_or_else(nothing, |line| {
                let answer = Answer::from(line.step).to_string();
                format!(
                    "{} {} => {}",
                    millis(line.at),
                    names.apply(&line.event_text()),
                    names.apply(&answer)
                )
            });
            return Some(Difference { step: index + 1, expected, actual });
        }
    }
    let actual = end_text(last_state(trace));
    let differs = end.as_ref().filter(|end| {
        !end.split(',').map(tidy).all(|part| {
            actual.split(", ").any(|found| {
                found
                    .strip_prefix(&*part)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            })
        })
    });
    differs.map(|end| Difference {
        step: trace.len() + 1,
        expected: format!("end => {end}"),
        actual: format!("end => {actual}"),
    })
}

fn millis(at: Moment) -> Millis {
    Millis::new(u32::try_from(at.as_millis()).unwrap_or(u32::MAX))
}

/// Returns the event that an input sends to its unit, if it sends one.
fn input_event(case: &Case, input: usize) -> Option<(UnitId, Event)> {
    let TimedInput { unit, kind, .. } = *case.inputs.get(input)?;
    let unit = UnitId::new(unit.into());
    match kind {
        InputKind::Event(event) => Some((unit, event)),
        InputKind::Policy(_) => Some((unit, Event::PolicyChanged)),
        InputKind::Crash { .. }
        | InputKind::Reboot { .. }
        | InputKind::StopFaults
        | InputKind::Wall(_)
        | InputKind::Suspend(_) => None,
    }
}

/// Returns the last state of the first unit.
fn last_state(trace: &[TraceLine]) -> State {
    let line = trace.iter().rfind(|line| line.unit.as_u32() == 0);
    line.map_or(State::INITIAL, |line| line.step.state)
}

/// Makes expectations from a run. Runs keep the names that the case gives them.
#[must_use]
pub fn from_trace(case: &Case, trace: &[TraceLine]) -> Expected {
    let names = Names::in_order(case);
    let mut next_input = 0;
    let steps = trace
        .iter()
        .map(|line| {
            let mut pending = (next_input..case.inputs.len())
                .take_while(|&input| case.inputs[input].at <= millis(line.at));
            let input = pending.find(|&input| {
                input_event(case, input) == Some((line.unit, line.event))
                    && case.inputs[input].at == millis(line.at)
            });
            let trigger = match input {
                Some(input) => {
                    next_input = input + 1;
                    Trigger::Input(input)
                }
                None => {
                    Trigger::World { at: millis(line.at), event: names.apply(&line.event_text()) }
                }
            };
            let mut answer = Answer::from(line.step);
            for item in &mut answer.items {
                if let Item::One(action) = item {
                    *action = names.apply(action);
                }
            }
            ExpectedStep { trigger, answer }
        })
        .collect();
    Expected { steps, end: Some(end_text(last_state(trace))) }
}

/// Rewrites the expectations in the text of a case from a run of the case. Comments, empty lines
/// and the head are kept. A comment whose line is gone moves to the next line.
///
/// `text` must be a case, and `trace` its run.
#[must_use]
pub fn rewrite(text: &str, case: &Case, trace: &[TraceLine]) -> String {
    let expected = from_trace(case, trace);
    replace_expectations(text, &Case { expected, ..case.clone() })
}

#[cfg(test)]
mod tests {
    use monitor_os::Core;

    use super::*;
    use crate::world::simulation::{self, STEPS_MAX};

    const GOOD: &str = "\
# Who reads this?
policy restart=always jitter=0 healthy-after=none
process rest lives=1s exits=code=1

0ms start                  => save; spawn A; emit starting [starting]
  then 0ms started A       => {emit started ; disarm phase ; begin-service A ; save} [running]
# It dies.
  then 1s exited A code=1  => save; release A TERM group; end-service A; arm stop-grace A 10s; emit exited
  then 1s released A       => save; arm backoff A 100ms; emit backing-off
1s10ms exited #7 code=0
1s50ms stop                => save; disarm phase; emit stopped [stopped]  # at once
end                        => stopped (stop-requested), restarts 0
# Last words.
";

    fn run(text: &str) -> (Case, Vec<TraceLine>) {
        let case: Case = text.parse().unwrap();
        let trace = simulation::run(&case, Core, STEPS_MAX).trace;
        (case, trace)
    }

    /// The first difference after a change of the text.
    fn differs(from: &str, to: &str) -> Difference {
        assert!(GOOD.contains(from), "{from} is in the case");
        let (case, trace) = run(&GOOD.replace(from, to));
        compare(&case, &trace).expect_err("the change must be found")
    }

    fn refused(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from} is in the case");
        GOOD.replace(from, to).parse::<Case>().unwrap_err().to_string()
    }

    #[test]
    fn what_happens_as_expected_passes_and_survives_its_text_form() {
        let (case, trace) = run(GOOD);
        assert_eq!(compare(&case, &trace), Ok(()));
        assert_eq!(case.to_string().parse(), Ok(case));
    }

    #[test]
    fn every_difference_is_found_where_it_is() {
        let found = differs("spawn A; emit", "emit");
        assert_eq!(
            found.to_string(),
            "DIFF at step 1\n  expected  0ms start => save; emit starting [starting]\n  actual    0ms start => save; spawn #1; emit starting [starting]"
        );
        for (from, to, step) in [
            ("[running]", "[healthy]", 2),
            (
                "{emit started ; disarm phase ; begin-service A ; save}",
                "emit started; disarm phase; begin-service A; save",
                2,
            ),
            ("{emit started ; disarm phase", "{emit started ; save ; disarm phase", 2),
            ("then 1s exited A", "then 2s exited A", 3),
            ("exited A code=1  =>", "exited B code=1  =>", 3),
            ("100ms", "200ms", 4),
            ("1s10ms exited #7 code=0", "1s10ms exited #7 code=0 => -", 5),
            ("restarts 0", "restarts 1", 6),
            ("stopped (stop", "stop (stop", 6),
        ] {
            assert_eq!(differs(from, to).step, step, "{from} -> {to}");
        }
        let missing = differs(
            "  then 0ms started A       => {emit started ; disarm phase ; begin-service A ; save} [running]\n",
            "",
        );
        assert_eq!(missing.step, 2);
        let silent = differs("  => save; disarm phase; emit stopped [stopped]  # at once", "");
        assert_eq!((silent.step, &*silent.expected), (5, "nothing more"));
    }

    #[test]
    fn a_case_may_expect_the_end_alone() {
        let (case, trace) =
            run("policy restart=no\n0ms start\n5ms stop\nend => stopped, outcome signal=TERM");
        assert_eq!(compare(&case, &trace), Ok(()));
        let (case, trace) = run("policy restart=no\n0ms start\n5ms stop\nend => running");
        assert_eq!(compare(&case, &trace).unwrap_err().step, trace.len() + 1);
    }

    #[test]
    fn what_a_run_did_is_what_it_is_expected_to_do() {
        let (case, trace) = run(GOOD);
        let recorded = Case { expected: from_trace(&case, &trace), ..case };
        assert_eq!(compare(&recorded, &trace), Ok(()));
        assert!(recorded.to_string().contains("spawn A"), "names are kept: {recorded}");
    }

    #[test]
    fn rewriting_mends_expectations_and_keeps_the_rest() {
        let broken = GOOD.replace("spawn A; ", "").replace("then 1s released", "then 3s released");
        let (case, trace) = run(&broken);
        let mended = rewrite(&broken, &case, &trace);
        assert!(
            mended.starts_with("# Who reads this?\npolicy restart=always jitter=0 healthy"),
            "{mended}"
        );
        assert!(mended.ends_with("level 1\n# Last words.\n"), "{mended}");
        assert!(
            mended.contains("\n# It dies.\n  then 1s exited A") && mended.contains("  # at once\n"),
            "{mended}"
        );
        assert_eq!(compare(&mended.parse().unwrap(), &trace), Ok(()));
        let (case, trace) = run(&mended);
        assert_eq!(rewrite(&mended, &case, &trace), mended);
    }

    #[test]
    fn errors_name_line_value_and_fix() {
        for (from, to, expected) in [
            ("spawn A;", "spwan A;", "line 5: action: \"spwan A\" is none: begin it with save"),
            ("; emit starting", "; ; emit starting", "line 5: action: \"\" is none"),
            ("; save} [running]", "; save [running]", "line 6: expected: \"{emit started"),
            ("[running]", "running]", "line 6: expected: "),
            ("then 1s exited", "then soon exited", "line 8: duration: \"soon\""),
            ("then 1s exited", "then 1s left", "line 8: event: \"left\""),
            ("1s10ms exited #7 code=0", "1s10ms crash => -", "line 10: \"crash\" is no step"),
            (
                "=> save; arm backoff A 100ms; emit backing-off",
                "",
                "line 9: \"then 1s released A\" says no answer",
            ),
            ("=> stopped (stop-requested), restarts 0", "", "line 12: \"end\" says no answer"),
            (
                "lives=1s exits=code=1",
                "lives=1s => -",
                "line 3: \"process rest lives=1s\" is no step",
            ),
        ] {
            let error = refused(from, to);
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
