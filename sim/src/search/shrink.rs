//! Shortens a failing case, and looks for a neighbour of it that passes.
//!
//! The better of two cases takes fewer steps to the same violation. If equal, it has fewer inputs,
//! then a shorter text, then earlier times. A move that is not better, or breaks another property,
//! is dropped, so that shrinking ends.

use monitor_core::{Millis, Policy};

use super::failure::{Failure, Sibling};
use super::simpler::{SIMPLEST, other_scripts, rounded, simpler_policies, without_loop};
use crate::case::definition::Case;
use crate::case::input::{InputKind, TimedInput};
use crate::machine::injected_bug::MachineUnderTest;
use crate::model::family::family;
use crate::oracle::property::Property;
use crate::oracle::trace::TraceLine;
use crate::oracle::verdict::{Oracle, Verdict};
use crate::world::simulation::{self, STEPS_MAX};

/// How many candidates may be run for one failure. Most failures take a tenth of it.
const RUNS_MAX: u32 = 20_000;

/// What is shrunk: how a case runs, and whether it fails in the same way.
pub(crate) trait Subject {
    /// Runs a case for at most so many steps.
    fn run(&self, case: &Case, steps_max: usize) -> Verdict;

    /// Returns whether a run fails in the way that is to be kept.
    fn fails(&self, verdict: &Verdict) -> bool;
}

/// A machine that violates a property.
struct Violates<M>(Property, M);

impl<M: MachineUnderTest + Copy> Subject for Violates<M> {
    fn run(&self, case: &Case, steps_max: usize) -> Verdict {
        simulation::run(case, self.1, steps_max)
    }

    fn fails(&self, verdict: &Verdict) -> bool {
        verdict.violated() == Some(self.0)
    }
}

/// Makes a failing case better as long as it fails in the same way. Returns the case, its run, and
/// a neighbour that passes.
pub(crate) fn shrink_by(case: Case, subject: &impl Subject) -> (Case, Verdict, Option<Sibling>) {
    let mut shrinker = Shrinker::new(case, subject);
    while shrinker.improve() {}
    let Shrinker { best, verdict, .. } = shrinker;
    let sibling = sibling(&best, subject);
    (best, verdict, sibling)
}

/// Makes a failing case better as long as it violates the same property. It does not know what was
/// aimed at.
pub fn shrink(
    seed: u64,
    case: Case,
    property: Property,
    machine: impl MachineUnderTest + Copy,
) -> Failure {
    let (best, verdict, sibling) = shrink_by(case, &Violates(property, machine));
    let Verdict { trace, violation, .. } = verdict;
    let panic = violation.and_then(|violation| violation.panic);
    Failure {
        seed,
        aim: None,
        property,
        oracle: Oracle::Property(property),
        case: best,
        trace,
        sibling,
        panic,
        is_unshrunk: false,
    }
}

struct Shrinker<'a, S> {
    subject: &'a S,
    policies: Vec<Policy>,
    runs: u32,
    best: Case,
    verdict: Verdict,
    measure: CaseSize,
}

/// Steps, inputs, length of the text, sum of the times.
type CaseSize = (usize, usize, usize, u64);

fn measure(case: &Case, verdict: &Verdict) -> CaseSize {
    let times = case.inputs.iter().map(|input| u64::from(input.at.as_u32())).sum();
    (verdict.trace.len(), case.inputs.len(), case.to_string().len(), times)
}

impl<'a, S: Subject> Shrinker<'a, S> {
    fn new(case: Case, subject: &'a S) -> Self {
        let verdict = subject.run(&case, STEPS_MAX);
        let measure = measure(&case, &verdict);
        // The exhaustive engine finds its shortest counterexamples under these policies.
        let policies = family().into_iter().flat_map(|member| member.policies).collect();
        Self { subject, policies, runs: 0, best: case, verdict, measure }
    }

    /// Tries every move once, the boldest first; returns whether any was for the better.
    fn improve(&mut self) -> bool {
        let before = self.measure;
        self.cut_loops();
        self.drop_inputs();
        self.replace_policy();
        self.replace_scripts();
        self.replace_inputs();
        self.round_times();
        self.measure < before && self.runs < RUNS_MAX
    }

    /// Takes the candidate if it is better.
    fn offer(&mut self, candidate: Case) -> bool {
        if self.runs >= RUNS_MAX || candidate == self.best {
            return false;
        }
        self.runs += 1;
        // A case with more steps than the best is no better. One more step shows how it ends.
        let steps_max = self.verdict.trace.len().saturating_add(1).min(STEPS_MAX);
        let verdict = self.subject.run(&candidate, steps_max);
        if !self.subject.fails(&verdict) {
            return false;
        }
        let measure = measure(&candidate, &verdict);
        let better = measure < self.measure;
        if better {
            (self.best, self.verdict, self.measure) = (candidate, verdict, measure);
        }
        better
    }

    fn change(&mut self, change: impl FnOnce(&mut Case)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        self.offer(candidate)
    }

    /// Where the machine is twice in the same phase for the same reason, what lies between may be a
    /// detour.
    fn cut_loops(&mut self) {
        const PAIRS_MAX: usize = 100;
        let trace = self.verdict.trace.clone();
        let place =
            |line: &TraceLine| (line.unit, line.step.state.phase(), line.step.state.reason());
        let mut pairs: Vec<(usize, usize)> = (0..trace.len())
            .flat_map(|to| (0..to).map(move |from| (from, to)))
            .filter(|&(from, to)| place(&trace[from]) == place(&trace[to]))
            .collect();
        pairs.sort_by_key(|&(from, to)| std::cmp::Reverse(to - from));
        for (from, to) in pairs.into_iter().take(PAIRS_MAX) {
            if self.offer(without_loop(&self.best, &trace[from], &trace[to])) {
                // The places belong to the old trace, so the search for loops begins again.
                return self.cut_loops();
            }
        }
    }

    /// Drops halves of the inputs, then quarters, and so on down to single ones.
    fn drop_inputs(&mut self) {
        let mut size = self.best.inputs.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < self.best.inputs.len() {
                let to = (from + size).min(self.best.inputs.len());
                if !self.change(|case| drop(case.inputs.drain(from..to))) {
                    from = to;
                }
            }
            size /= 2;
        }
    }

    fn replace_policy(&mut self) {
        for policy in self.policies.clone().into_iter().chain(simpler_policies(self.best.policy)) {
            self.change(|case| case.policy = policy);
        }
        for policy in simpler_policies(self.best.policy) {
            self.change(|case| case.policy = policy);
        }
        for index in 0..self.best.inputs.len() {
            if let InputKind::Policy(policy) = self.best.inputs[index].kind {
                for policy in self.policies.clone().into_iter().chain(simpler_policies(policy)) {
                    self.change(|case| case.inputs[index].kind = InputKind::Policy(policy));
                }
            }
        }
    }

    fn replace_scripts(&mut self) {
        self.change(|case| case.timers_late = Millis::ZERO);
        self.change(|case| case.handling_takes = Millis::ZERO);
        self.change(|case| case.saves_fail_until = Millis::ZERO);
        self.change(|case| case.saves_take = Millis::ZERO);
        self.change(|case| case.seed = 0);
        for simpler in self.best.clone().without_a_fault() {
            self.offer(simpler);
        }
        let mut index = 0;
        while index < self.best.scripts.len() {
            let last = self.best.scripts.len() == 1;
            if !last && self.change(|case| drop(case.scripts.drain(index..=index))) {
                continue;
            }
            for script in other_scripts(self.best.scripts[index]) {
                self.change(|case| case.scripts[index] = script);
            }
            index += 1;
        }
    }

    fn replace_inputs(&mut self) {
        for index in 0..self.best.inputs.len() {
            for event in SIMPLEST {
                self.change(|case| case.inputs[index].kind = InputKind::Event(event));
            }
        }
    }

    /// Moves inputs to earlier and rounder times, with and without what comes after them.
    fn round_times(&mut self) {
        for index in 0..self.best.inputs.len() {
            while self.move_input(index) {}
        }
    }

    fn move_input(&mut self, index: usize) -> bool {
        let at = self.best.inputs[index].at.as_u32();
        let before = index.checked_sub(1).map_or(0, |n| self.best.inputs[n].at.as_u32());
        // Half the way, a quarter, and so on: a threshold is found in a few steps.
        let gaps = std::iter::successors(Some(at - before), |gap| Some(gap / 2));
        let nearer = gaps.take_while(|&gap| gap > 0).map(|gap| at - gap);
        let mut earlier =
            nearer.chain(rounded(at)).filter(|earlier| (before..at).contains(earlier));
        earlier.any(|earlier| {
            let shift = |input: &mut TimedInput| {
                input.at = Millis::new(input.at.as_u32() - (at - earlier));
            };
            self.change(|case| case.inputs[index..].iter_mut().for_each(shift))
                || self.change(|case| shift(&mut case.inputs[index]))
        })
    }
}

/// The nearest case that passes: one input moved as little as possible, the last one first; else
/// one input left out.
fn sibling(case: &Case, subject: &impl Subject) -> Option<Sibling> {
    let passes = |change: &dyn Fn(&mut Case)| {
        let mut candidate = case.clone();
        change(&mut candidate);
        !subject.fails(&subject.run(&candidate, STEPS_MAX))
    };
    let last_first = || (0..case.inputs.len()).rev();
    for by in [1, 10, 100, 1_000, 10_000] {
        for index in last_first() {
            let at = case.inputs[index].at.as_u32();
            let before = index.checked_sub(1).map_or(0, |n| case.inputs[n].at.as_u32());
            let after = case.inputs.get(index + 1).map_or(u32::MAX, |next| next.at.as_u32());
            for to in [at.saturating_add(by), at.saturating_sub(by)] {
                let moved_to = Millis::new(to);
                if (before..=after).contains(&to)
                    && to != at
                    && passes(&|case| case.inputs[index].at = moved_to)
                {
                    return Some(Sibling { input: case.inputs[index], moved_to: Some(moved_to) });
                }
            }
        }
    }
    last_first()
        .find(|&index| passes(&|case| drop(case.inputs.drain(index..=index))))
        .map(|index| Sibling { input: case.inputs[index], moved_to: None })
}
