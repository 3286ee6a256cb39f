//! The subcommand `check`: verifies everything, and prints a summary.

use std::path::{Path, PathBuf};

use anstream::{eprintln, print, println};
use clap::Args;
use monitor_os::Core;
use monitor_sim::bugs::{Bug, Layer, bank, bug_hunt};
use monitor_sim::generate::{self, Race};
use monitor_sim::model;
use monitor_sim::oracle::{Compared, Oracle, Property};
use monitor_sim::report::{self, FailureReport};
use monitor_sim::search::canary::{Canary, Evidence};
use monitor_sim::search::coverage_marks::{self, CoverageMarks};
use monitor_sim::search::failure::Failure;
use monitor_sim::search::harness::{Harness as _, Standard};
use monitor_sim::verification::canary_search;
use monitor_sim::verification::check::{self, Checked, Explored, Hunted};
use monitor_sim::verification::self_test::{self, SelfTest};

use crate::exit_status::{BLIND, VIOLATED};
use crate::options::positive;
use crate::progress::bar;

#[derive(Args)]
pub(crate) struct CheckArguments {
    /// The number of cases for each race.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = positive::<u64>)]
    cases: u64,
    /// The first seed. Each case takes the next seed; after the largest comes 0.
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    seed: u64,
    /// Inject this bug of the bank, such as BB-1. The check must then fail. `monitor-sim bugs
    /// --list` prints all ids.
    #[arg(long, value_name = "ID")]
    inject: Option<Bug>,
    /// The folder for failing cases.
    #[arg(long, default_value = "monitor-sim-failures", value_name = "DIR")]
    out: PathBuf,
}

/// Checks everything, or that the injected bug is found. Returns the exit status.
pub(crate) fn check(arguments: &CheckArguments) -> u8 {
    match arguments.inject {
        Some(bug) => check_with_bug(arguments, bug),
        None => check_all(arguments),
    }
}

fn check_all(arguments: &CheckArguments) -> u8 {
    let evidence = canary_search::look_for(Standard, &Canary::ALL);
    let progress = bar(model::family().len() as u64, "exhaustive search");
    let compared = Compared::by(Core, Standard.reference());
    let explored = check::explore_family(Standard, &&compared, || progress.inc(1));
    progress.finish_and_clear();
    print_explored(&explored);
    if let Some((found, example)) = explored
        .iter()
        .find_map(|found| found.counterexample.as_ref().map(|example| (found, example)))
    {
        let (policies, oracle) = (&found.member.policies, Oracle::Property(example.property));
        println!("\n{}", report::counterexample(policies, &Core, oracle, example));
        return violated(&evidence);
    }

    let seeds = generate::seeds(arguments.seed, arguments.cases);
    let progress = bar(arguments.cases.saturating_mul(Race::ALL.len() as u64 + 1), "races");
    let hunted = check::hunt_races(Standard, seeds, &compared, || progress.inc(1));
    progress.finish_and_clear();
    print_hunted(&hunted);
    if let Some(failure) = hunted.iter().find_map(|found| found.hunt.failure.as_ref()) {
        show(failure, &arguments.out, None);
        return violated(&evidence);
    }
    let doubled_due = arguments.cases.min(1_000);
    let doubled = match check::first_nondeterminism(Standard, 0..doubled_due, Core) {
        Ok(doubled) => doubled,
        Err(differs) => {
            let (property, case) = *differs;
            println!("\nFAIL {property} ({}): {}\n{case}", property.source(), property.sentence());
            return violated(&evidence);
        }
    };
    if let Some(mismatch) = compared.mismatch() {
        println!("\nFAIL the machine and the reference differ\n{mismatch}");
        return violated(&evidence);
    }

    let progress = bar(bank::self_test().count() as u64, "injected bugs");
    let tested = self_test::self_test(Standard, arguments.cases.max(1_000), || progress.inc(1));
    progress.finish_and_clear();
    print_self_test(&tested);
    print_properties();
    print_canaries(&evidence);
    let cases = arguments.cases;
    let checked = Checked { evidence, explored, hunted, cases, doubled, doubled_due, tested };
    let alarms = check::alarms(Standard, &checked);
    let Checked { explored, hunted, tested, .. } = checked;
    let blind = tested.iter().filter(|test| test.is_blind()).count();
    print_summary(&explored, &hunted, (tested.len(), blind));
    if alarms.is_empty() {
        println!("every step agrees with the reference");
    }
    let marks = hunted
        .iter()
        .fold(CoverageMarks::default(), |all, found| all.or(found.hunt.coverage_marks));
    let missing: Vec<&str> = marks.missing().collect();
    println!(
        "{} of {} coverage marks met",
        coverage_marks::MARKS.len() - missing.len(),
        coverage_marks::MARKS.len()
    );
    for name in &missing {
        println!("  never met: {name}; give more --cases");
    }
    print!("{alarms}");
    if blind > 0 || !alarms.is_empty() { BLIND } else { 0 }
}

/// Returns the exit status of a violation, and prints the alarms of the canaries.
fn violated(evidence: &Evidence) -> u8 {
    print!("{}", evidence.alarms);
    VIOLATED
}

fn print_canaries(evidence: &Evidence) {
    println!("\nChecks of the checks: injected bugs, each of which one check alone finds\n");
    for canary in Canary::ALL {
        let found = evidence.found.get(canary.name()).map_or("NOT FOUND", String::as_str);
        println!("  {:<13} {found}", canary.name());
    }
}

fn print_explored(explored: &[Explored]) {
    println!("Exhaustive: every reachable state, every input in each, every oracle at each step\n");
    println!(
        "  {:<52} {:>9} {:>13} {:>12} {:>12}",
        "policy", "states", "search states", "transitions", "race pairs"
    );
    for found in explored {
        let verdict = if found.counterexample.is_some() { "  VIOLATED" } else { "" };
        println!(
            "  {:<52} {:>9} {:>13} {:>12} {:>12}{verdict}",
            found.member.name,
            found.states,
            found.search_states,
            found.transitions,
            found.race_pairs
        );
    }
}

fn print_hunted(hunted: &[Hunted]) {
    println!("\nRandom: the driver on a virtual clock and kernel\n");
    println!("  {:<30} {:>10} {:>12} {:>14}", "race", "cases", "steps", "took place in");
    for found in hunted {
        let name = found.race.map_or("anything", Race::name);
        let verdict = match (&found.hunt.failure, found.hunt.occurred) {
            (Some(failure), _) => format!("  VIOLATED {}", failure.property),
            (None, 0) => "  NEVER TOOK PLACE".to_owned(),
            (None, _) => String::new(),
        };
        println!(
            "  {name:<30} {:>10} {:>12} {:>14}{verdict}",
            found.hunt.cases, found.hunt.steps, found.hunt.occurred
        );
    }
}

fn print_self_test(tested: &[SelfTest]) {
    println!("\nSelf-test: some known bugs, injected; `monitor-sim bugs` hunts them all\n");
    println!(
        "  {:<7} {:<7} {:>12} {:>13} {:>12}  {:<26} symptom",
        "bug", "layer", "cases to it", "shrunk inputs", "shortest", "found as"
    );
    for test in tested {
        let (cases, inputs, property) = match &test.hunted {
            Some((failure, cases)) => {
                (cases.to_string(), failure.case.inputs.len().to_string(), failure.property.name())
            }
            None => ("NOT FOUND".to_owned(), "-".to_owned(), "-"),
        };
        let shortest = match &test.exhausted {
            Some((example, _)) => example.path.len().to_string(),
            None if test.bug.layer == Layer::Core => "NOT FOUND".to_owned(),
            None => "-".to_owned(),
        };
        let Bug { id, layer, symptom, .. } = test.bug;
        println!(
            "  {id:<7} {:<7} {cases:>12} {inputs:>13} {shortest:>12}  {property:<26} {symptom}",
            layer.name()
        );
    }
}

fn print_properties() {
    println!("\nWhat was checked at every step (I: invariant of the bug bank)\n");
    for property in Property::ALL {
        println!("  {:<26} {:<6} {}", property.name(), property.source(), property.sentence());
    }
}

fn print_summary(explored: &[Explored], hunted: &[Hunted], (tested, blind): (usize, usize)) {
    let transitions: usize = explored.iter().map(|found| found.transitions).sum();
    let cases: u64 = hunted.iter().map(|found| found.hunt.cases).sum();
    let steps: u64 = hunted.iter().map(|found| found.hunt.steps).sum();
    println!(
        "\n{} policies explored, {transitions} transitions; {cases} cases, {steps} steps; {} of {} bugs found; no violation",
        explored.len(),
        tested - blind,
        tested,
    );
    if blind > 0 {
        println!("FAIL the harness is blind to {blind} known bugs, marked NOT FOUND above");
    }
}

/// Injects a bug, and prints the find of each engine. Fails if no engine finds it.
fn check_with_bug(arguments: &CheckArguments, bug: Bug) -> u8 {
    println!("{bug} ({}, {}): {}; {}\n", bug.layer.name(), bug.source, bug.symptom, bug.cause);
    let proof = bug_hunt::prove(Standard, bug, true);
    match &proof {
        Some(proof) => {
            let policies = &proof.member.policies;
            println!("{}", report::counterexample(policies, &bug, proof.oracle, &proof.example));
        }
        None if bug.layer == Layer::Core => println!("exhaustive search has not found it\n"),
        None => println!("below the machine the random engine searches alone\n"),
    }
    let seeds = generate::seeds(arguments.seed, arguments.cases);
    let rounds = if bug.race.is_some() { 4 } else { 2 };
    let progress = bar(arguments.cases.saturating_mul(rounds), "cases");
    let detection = bug_hunt::detect(Standard, bug, seeds, || progress.inc(1));
    progress.finish_and_clear();
    match &detection {
        Some(detection) => {
            println!("found by the random engine after {} cases", detection.cases);
            show(&detection.failure, &arguments.out, Some(bug));
        }
        None => println!("the random engine has not found it"),
    }
    if proof.is_none() && detection.is_none() {
        println!("FAIL {bug} was not found by any engine");
        return BLIND;
    }
    VIOLATED
}

/// Saves the failing case with its pictures, and prints the failure with the injected bug.
fn show(failure: &Failure, out: &Path, injected: Option<Bug>) {
    let saved = report::save(failure, out).map_err(|error| {
        eprintln!("monitor-sim: {}: {error}: the case is printed only", out.display());
    });
    let options = injected.map_or(String::new(), |bug| format!("--inject {bug}"));
    println!("{}", FailureReport { failure, saved: saved.as_ref().ok(), options: &options });
}
