//! The subcommand `bugs`: hunts the whole bug bank.

use std::time::Instant;

use anstream::{eprint, print, println};
use clap::Args;
use monitor_sim::bugs::bug_hunt::{self, BugResult};
use monitor_sim::bugs::{Bug, bank};
use monitor_sim::generate::{Aim, Race};
use monitor_sim::oracle::Oracle;
use monitor_sim::search::alarm::{Alarm, Alarms};
use monitor_sim::search::harness::Standard;

use crate::exit_status::BLIND;
use crate::options::positive;
use crate::progress::bar;

/// The options of `bugs`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BugsArguments {
    /// The number of campaigns of the random engine for each bug.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = positive::<usize>)]
    campaigns: usize,
    /// Print a JSON array of objects instead of a table.
    #[arg(long)]
    json: bool,
    /// Hunt this bug only, such as BB-4.
    #[arg(long, value_name = "ID")]
    id: Option<Bug>,
    /// Print the id, layer, race and symptom of each bug, and hunt none.
    #[arg(long, conflicts_with_all = ["campaigns", "json", "id"])]
    list: bool,
}

/// Hunts the bank and prints the results. The exit status is 0 if every bug was found and no alarm
/// was raised.
pub(crate) fn bugs(arguments: &BugsArguments) -> u8 {
    if arguments.list {
        print_list();
        return 0;
    }
    let bank = arguments.id.map_or_else(|| bank::ALL.to_vec(), |only| vec![only]);
    let progress = bar(bank.len() as u64, "bugs");
    let clock = clock();
    let results: Vec<BugResult> = bank
        .into_iter()
        .map(|bug| {
            let results = bug_hunt::hunt_bug(Standard, bug, arguments.campaigns, &clock);
            progress.inc(1);
            results
        })
        .collect();
    progress.finish_and_clear();
    if arguments.json {
        print_json(&results);
    } else {
        print_table(&results);
    }
    let alarms = alarms(arguments, &results);
    // The array is all that stands on the standard output.
    if arguments.json {
        eprint!("{alarms}")
    } else {
        print!("{alarms}")
    }
    let is_found = results.iter().all(BugResult::is_found);
    if is_found && alarms.is_empty() { 0 } else { BLIND }
}

fn alarms(arguments: &BugsArguments, results: &[BugResult]) -> Alarms {
    let mut alarms = Alarms::default();
    if arguments.id.is_none() && results.len() < bank::ALL.len() {
        let detail = format!("{} bugs were injected, not {}", results.len(), bank::ALL.len());
        alarms.raise(Alarm::BankTooSmall, detail);
    }
    if let Some(result) = results.iter().find(|result| result.is_unshrunk) {
        alarms.raise(Alarm::ShrunkCasePasses, format!("a case that finds {}", result.bug));
    }
    alarms
}

#[expect(clippy::disallowed_methods, reason = "how long a hunt takes is what is measured")]
fn clock() -> impl Fn() -> f64 {
    let begin = Instant::now();
    move || begin.elapsed().as_secs_f64() * 1_000.0
}

fn print_list() {
    for Bug { id, layer, race, symptom, .. } in bank::ALL {
        let (layer, race) = (layer.name(), race.map_or("anything", Race::name));
        println!("  {id:<7} {layer:<7} {race:<27} {symptom}");
    }
}

fn print_table(results: &[BugResult]) {
    println!(
        "  {:<7} {:<7} {:<19} {:<26} {:>9} {:>8} {:>10} {:>10} {:>7} {:>6} {:>9}  {}",
        "bug",
        "layer",
        "engine",
        "oracle",
        "campaigns",
        "cases",
        "median ms",
        "p95 ms",
        "shrunk",
        "shown",
        "shortest",
        "aim"
    );
    for found in results {
        println!(
            "  {:<7} {:<7} {:<19} {:<26} {:>9} {:>8} {:>10.1} {:>10.1} {:>7} {:>6} {:>9}  {}",
            found.bug.id,
            found.bug.layer.name(),
            found.engine(),
            found.oracle.map_or("-", Oracle::name),
            format!("{}/{}", found.found.0, found.found.1),
            found.cases,
            found.median_ms,
            found.p95_ms,
            or_dash(found.shrunk_len),
            or_dash(found.shown_len()),
            or_dash(found.shortest_len()),
            found.aim.map_or("-", Aim::name),
        );
    }
    let found = results.iter().filter(|found| found.is_found()).count();
    let slow = results.iter().filter(|found| found.median_ms > 1_000.0).count();
    print!("\n{found} of {} bugs found, {slow} of them in more than 1 s (median)", results.len());
    let times = |length: fn(&BugResult) -> Option<usize>| {
        let pairs = results.iter().filter_map(|found| length(found).zip(found.shortest_len()));
        let ratios: Vec<f64> = pairs
            .filter(|&(_, best)| best > 0)
            .map(|(len, best)| len as f64 / best as f64)
            .collect();
        match ratios.len() {
            0 => "-".to_owned(),
            count => format!("{:.2}", ratios.iter().sum::<f64>() / count as f64),
        }
    };
    println!(
        "; cases are shown by the exhaustive engine where it has one, {} times the shortest; the random engine shrinks to {} times",
        times(BugResult::shown_len),
        times(|found| found.shrunk_len)
    );
}

/// Returns the engine whose case is shown.
const fn shown_by(found: &BugResult) -> &'static str {
    match (found.exhaustive_len, found.shrunk_len) {
        (Some(_), _) => "exhaustive",
        (None, Some(_)) => "random",
        (None, None) => "none",
    }
}

fn or_dash(length: Option<usize>) -> String {
    length.map_or_else(|| "-".to_owned(), |length| length.to_string())
}

fn print_json(results: &[BugResult]) {
    let number = |length: Option<usize>| {
        length.map_or_else(|| "null".to_owned(), |length| length.to_string())
    };
    println!("[");
    for (index, found) in results.iter().enumerate() {
        let quoted = |name: Option<&str>| {
            name.map_or_else(|| "null".to_owned(), |name| format!("\"{name}\""))
        };
        let oracle = quoted(found.oracle.map(Oracle::name));
        let aim = quoted(found.aim.map(Aim::name));
        let alarm = quoted(found.is_unshrunk.then(|| Alarm::ShrunkCasePasses.name()));
        let comma = if index + 1 < results.len() { "," } else { "" };
        println!(
            "  {{\"id\": \"{}\", \"layer\": \"{}\", \"found\": {}, \"engine\": \"{}\", \"oracle\": {oracle}, \"schedules\": {}, \
             \"median_ms\": {:.3}, \"p95_ms\": {:.3}, \"shrunk_len\": {}, \"shown_len\": {}, \
             \"shown_by\": \"{}\", \"shortest_len\": {}, \"aim\": {aim}, \"alarm\": {alarm}}}{comma}",
            found.bug.id,
            found.bug.layer.name(),
            found.is_found(),
            found.engine(),
            found.cases,
            found.median_ms,
            found.p95_ms,
            number(found.shrunk_len),
            number(found.shown_len()),
            shown_by(found),
            number(found.shortest_len()),
        );
    }
    println!("]");
}
