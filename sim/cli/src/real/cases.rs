//! Cases on real processes: those that are given, or those that are drawn.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anstream::{eprintln, print, println};
use monitor_core::{Exit, Millis};
use monitor_os::{Launcher, now};
use monitor_sim::case::Case;
use monitor_sim::generate::{self, Seeded};
use monitor_sim::real::{self, Leftovers, RealEngine, RealResult, SimulatorMatch, playable};
use monitor_sim::search::alarm::Alarms;

use super::options::{RealArguments, SHOWN_MAX};
use crate::exit_status::{BLIND, VIOLATED};
use crate::input::{Artifact, artifact};
use crate::progress::templated;

/// The sum of all results.
#[derive(Default)]
struct Tally {
    cases: u64,
    steps: u64,
    runs: u64,
    exits: BTreeMap<Exit, u64>,
    leaked: u64,
    simulator_match: BTreeMap<SimulatorMatch, u64>,
    faults: u64,
}

impl Tally {
    fn add(&mut self, seen: &RealResult) {
        self.cases += 1;
        self.steps += seen.steps as u64;
        self.runs += seen.runs as u64;
        self.leaked += seen.leaked as u64;
        for &exit in &seen.exits {
            *self.exits.entry(exit).or_default() += 1;
        }
        *self.simulator_match.entry(seen.simulator_match).or_default() += 1;
        self.faults += u64::from(seen.fault.is_some());
    }

    fn matches(&self, simulator_match: SimulatorMatch) -> u64 {
        self.simulator_match.get(&simulator_match).copied().unwrap_or(0)
    }
}

/// Runs the given cases, each once.
pub(super) fn given(arguments: &RealArguments, launcher: &Launcher) -> io::Result<u8> {
    let mut cases = Vec::new();
    for path in &arguments.files {
        match artifact(path) {
            Ok(Artifact::Case(case)) => {
                match playable(&case, arguments.limit.unwrap_or(Millis::from_secs(15))) {
                    Ok(()) => cases.push((path.clone(), *case)),
                    Err(why) => println!("  skipped  {}: {why}", path.display()),
                }
            }
            Ok(Artifact::Record(_)) => println!("  skipped  {}: it is a record", path.display()),
            Err(code) => return Ok(code),
        }
    }
    let paths: Vec<(PathBuf, Case)> = cases.clone();
    let mut cases = cases.into_iter();
    let name = |case: &Case| paths.iter().find(|(_, known)| known == case);
    run_cases(
        arguments,
        launcher,
        || cases.next().map(|(_, case)| case),
        |seen| {
            let path = name(&seen.case).map(|(path, _)| path.display().to_string());
            let simulator_match = match seen.simulator_match {
                SimulatorMatch::Same => "as in the simulator",
                SimulatorMatch::Late => "as in the simulator when things are late",
                SimulatorMatch::Other => "other runs than in the simulator",
            };
            let verdict = if seen.fault.is_some() { "FAIL   " } else { "accepted" };
            println!(
                "  {verdict} {}: {} steps, {simulator_match}",
                path.unwrap_or_default(),
                seen.steps
            );
        },
    )
}

/// Runs drawn cases, until the budget is used up.
pub(super) fn drawn(arguments: &RealArguments, launcher: &Launcher) -> io::Result<u8> {
    let ends = now().after(arguments.budget);
    let mut seeds = generate::seeds(arguments.seed, arguments.cases.unwrap_or(u64::MAX));
    let seconds = u64::from(arguments.budget.as_u32()) / 1_000;
    let bar = templated(seconds, "{msg:<34} {wide_bar} {pos}/{len} s");
    let begun = now();
    let mut ran = 0_u64;
    let limit = arguments.limit.unwrap_or(Millis::from_secs(2));
    let code = run_cases(
        arguments,
        launcher,
        || {
            let open = now() < ends;
            let fitting = |seed| {
                let case = real::case(&mut Seeded::new(seed));
                playable(&case, limit).is_ok().then_some(case)
            };
            if open { seeds.find_map(fitting) } else { None }
        },
        |_| {
            ran += 1;
            let seconds = now().nanos_since(begun) / 1_000_000_000;
            bar.set_position(seconds);
            bar.set_message(format!("{ran} cases on real processes"));
        },
    );
    bar.finish_and_clear();
    code
}

/// Runs cases, and prints the fault of each and the sum of all.
fn run_cases(
    arguments: &RealArguments,
    launcher: &Launcher,
    mut next: impl FnMut() -> Option<Case>,
    mut shown: impl FnMut(&RealResult),
) -> io::Result<u8> {
    let mut engine = RealEngine::new(launcher.clone(), "/proc/self/exe")?;
    let before = Leftovers::find(engine.folder())?;
    let begun = now();
    let mut tally = Tally::default();
    let mut given = 0;
    let next = || next().inspect(|_| given += 1);
    engine.run(arguments.width, next, |seen| {
        shown(&seen);
        tally.add(&seen);
        if let Some(fault) = seen.fault.as_ref().filter(|_| tally.faults <= SHOWN_MAX) {
            println!("FAIL {fault}");
            println!("{}", seen.case);
            save(&arguments.out, tally.faults, &seen);
        }
    })?;
    let seconds = now().nanos_since(begun) as f64 / 1e9;
    let after = Leftovers::find(engine.folder())?;
    let left = after.children.len();
    after.end(engine.folder());
    let descriptors = after.descriptors.saturating_sub(before.descriptors);
    let unreported = left.saturating_sub(usize::try_from(tally.leaked).unwrap_or(usize::MAX));
    print(&tally, seconds);
    println!("  zombies left                 {:>9}", after.zombies);
    println!("  descriptors left             {descriptors:>9}");
    println!("  processes left, not reported {unreported:>9}");
    println!("  cases with a fault           {:>9}", tally.faults);
    let clean = tally.faults == 0 && after.zombies == 0 && descriptors == 0 && unreported == 0;
    let mut alarms = Alarms::default();
    alarms.count([("cases on real processes", tally.cases, given)]);
    print!("{alarms}");
    Ok(match (clean, alarms.is_empty()) {
        (false, _) => VIOLATED,
        (true, false) => BLIND,
        (true, true) => 0,
    })
}

fn print(tally: &Tally, seconds: f64) {
    println!("\n  cases on real processes      {:>9}   in {seconds:.1} s", tally.cases);
    println!("  steps, each accepted         {:>9}", tally.steps);
    println!("  runs                         {:>9}", tally.runs);
    for (exit, count) in &tally.exits {
        println!("    ended with {:<17} {count:>9}", exit.to_string());
    }
    println!("  reported as left alone       {:>9}", tally.leaked);
    println!("  runs as in the simulator     {:>9}", tally.matches(SimulatorMatch::Same));
    println!("    when things are late       {:>9}", tally.matches(SimulatorMatch::Late));
    println!("    other, in a race           {:>9}", tally.matches(SimulatorMatch::Other));
}

/// Keeps a case with the records of its units.
fn save(folder: &Path, number: u64, seen: &RealResult) {
    let path = folder.join(format!("real-{number}.txt"));
    let record = |unit| folder.join(format!("real-{number}.{unit}.jsonl"));
    let saved = fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, seen.case.to_string()))
        .and_then(|()| {
            let mut records = seen.records.iter().enumerate();
            records.try_for_each(|(unit, text)| fs::write(record(unit), text))
        });
    match saved {
        Ok(()) => println!(
            "replay   monitor-sim replay {0}\npicture  monitor-sim timeline {0}",
            record(0).display()
        ),
        Err(error) => {
            eprintln!("monitor-sim: {}: {error}: the case is printed only", path.display())
        }
    }
}
