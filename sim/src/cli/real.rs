//! The subcommand `real`: cases on Linux, with processes that follow their scripts.

mod monitors;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anstream::{eprintln, print, println};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use monitor_core::{Exit, Millis};
use monitor_os::{Launcher, now};
use monitor_sim::alarm::Alarms;
use monitor_sim::case::Case;
use monitor_sim::choices::Seeded;
use monitor_sim::hunt;
use monitor_sim::real::{self, Leftovers, RealEngine, RealResult, SimulatorMatch, playable};

use super::{Artifact, BLIND, INTERNAL, VIOLATED, artifact, positive};

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct RealArguments {
    /// Cases to run, each once; without any, cases are drawn until the budget is used up.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How long to go on with cases that are drawn.
    #[arg(long, value_name = "TIME", default_value = "60s", conflicts_with = "files")]
    budget: Millis,
    /// How many cases to draw at most.
    #[arg(long, value_name = "N", conflicts_with = "files", value_parser = positive::<u64>)]
    cases: Option<u64>,
    /// The first seed; each case takes the next one, and after the largest comes 0.
    #[arg(long, value_name = "SEED", default_value_t = 0, conflicts_with = "files")]
    seed: u64,
    /// How many cases run at once.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = positive::<usize>)]
    width: usize,
    /// How long a case may take in the virtual world [default: 15s, and 2s for those that are drawn].
    #[arg(long, value_name = "TIME")]
    limit: Option<Millis>,
    /// Start and end this many programs instead of cases, while descriptors and processes run out and the disk hangs.
    #[arg(long, value_name = "N", conflicts_with_all = ["files", "kills"],
        value_parser = positive::<u64>)]
    cycles: Option<u64>,
    /// Kill the program `monitor` this often instead of cases, at moments that are drawn, and go on.
    #[arg(long, value_name = "N", conflicts_with = "files", group = "killing",
        value_parser = positive::<u32>)]
    kills: Option<u32>,
    /// Kill the program `monitor` before each system call of a start and a stop, or before every Nth.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1", group = "killing",
        conflicts_with_all = ["files", "cycles"], value_parser = positive::<usize>)]
    steps: Option<usize>,
    /// The program `monitor` to kill [default: the one beside this program].
    #[arg(long, value_name = "PATH", requires = "killing")]
    monitor: Option<PathBuf>,
    /// Where cases are saved in which something was wrong.
    #[arg(long, value_name = "DIR", default_value = "monitor-sim-failures")]
    out: PathBuf,
}

/// How many cases with a fault are shown.
const SHOWN_MAX: u64 = 3;

const AFTER_HELP: &str = "\
Each case runs under the supervisor of monitor-os, with this program as the process that follows the
script. Everything is recorded, and the record must be accepted by the machine and by every oracle. How a
run is reported to have ended must be a way in which it can have ended, no two runs of a unit live at a time,
and afterwards there is no zombie, no descriptor and no process left that was not reported.

Examples:
  monitor-sim real --budget 60s            drawn cases for a minute
  monitor-sim real --cycles 10000          starts and ends while descriptors and processes run out
                                           and the disk hangs, which takes root
  monitor-sim real --kills 500             kill -9 of the monitor at any moment, and go on
  monitor-sim real --steps                 the same at each step of a start and a stop
  monitor-sim real sim/cases/*.txt         the cases of the simulator; what only a virtual world can do is
                                           skipped, and why is said

Status 12 if no case ran: all were skipped, or the budget ended before the first.";

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

pub(crate) fn real(arguments: &RealArguments, launcher: &Launcher) -> u8 {
    let code = if let Some(cycles) = arguments.cycles {
        cycle(launcher, cycles)
    } else if let Some(times) = arguments.kills {
        monitors::kill(arguments, times)
    } else if let Some(every) = arguments.steps {
        monitors::step(arguments, every)
    } else if arguments.files.is_empty() {
        drawn(arguments, launcher)
    } else {
        given(arguments, launcher)
    };
    code.unwrap_or_else(|error| {
        eprintln!(
            "monitor-sim: {error}: the kernel's own limits are in the way, or /proc is missing"
        );
        INTERNAL
    })
}

/// Runs the given cases, each once.
fn given(arguments: &RealArguments, launcher: &Launcher) -> io::Result<u8> {
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

/// Runs cases that are drawn, until the budget is used up.
fn drawn(arguments: &RealArguments, launcher: &Launcher) -> io::Result<u8> {
    let ends = now().after(arguments.budget);
    let mut seeds = hunt::seeds(arguments.seed, arguments.cases.unwrap_or(u64::MAX));
    let seconds = u64::from(arguments.budget.as_u32()) / 1_000;
    let bar = bar(seconds, "{msg:<34} {wide_bar} {pos}/{len} s");
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

/// Starts and ends programs while descriptors and processes run out and the disk hangs.
fn cycle(launcher: &Launcher, cycles: u64) -> io::Result<u8> {
    let before = Leftovers::find(Path::new("/"))?;
    let begun = now();
    let bar = bar(cycles, "{msg:<24} {wide_bar} {human_pos}/{human_len}  {per_sec}");
    bar.set_message("starts and ends");
    let program = std::env::current_exe()?;
    let seen = real::cycle(launcher, &program, cycles, |started| bar.set_position(started))?;
    bar.finish_and_clear();
    let after = Leftovers::find(Path::new("/"))?;
    let seconds = now().nanos_since(begun) as f64 / 1e9;
    let descriptors = after.descriptors.saturating_sub(before.descriptors);
    println!("\n  programs started             {:>9}   in {seconds:.1} s", seen.started);
    println!("  ends, with their status      {:>9}", seen.ended);
    println!("  starts of what is missing    {:>9}", seen.missing);
    println!("  starts without descriptors   {:>9}   EMFILE", seen.no_descriptors);
    println!(
        "  starts without processes     {:>9}   EAGAIN by a limit of the user",
        seen.no_processes
    );
    println!("  saves that hung with the disk{:>9}   for 20 ms each", seen.disk_hung);
    println!("  ends with a wrong status     {:>9}", seen.wrong_status);
    println!("  ends not reported            {:>9}", seen.started - seen.ended - seen.wrong_status);
    println!("  programs not reported        {:>9}", seen.unreported);
    println!("  two of a unit at a time      {:>9}", seen.complaints.len());
    println!("  zombies left                 {:>9}", after.zombies);
    println!("  descriptors left             {descriptors:>9}");
    println!("  control groups left          {:>9}", seen.groups);
    seen.absent.iter().for_each(|what| println!("not shown: {what}"));
    seen.complaints.iter().for_each(|complaint| println!("FAIL {complaint}"));
    if !seen.all_met() {
        println!("FAIL something was taken away and never missed: give more cycles");
    }
    let clean = seen.is_clean() && after.zombies == 0 && descriptors == 0 && seen.all_met();
    Ok(if clean { 0 } else { VIOLATED })
}

fn bar(length: u64, form: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style);
    }
    bar
}

/// Runs cases, prints what was wrong with each and the sum of all.
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
    Ok(match (clean, alarms.is_silent()) {
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
