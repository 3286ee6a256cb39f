//! The subcommands `run` and `merge`: a campaign over threads, shards and interruptions.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{env, fs, thread};

use anstream::{eprintln, print, println};
use clap::Args;
use monitor_os::Core;
use monitor_sim::search::alarm::{Alarm, Alarms};
use monitor_sim::search::campaign::{CampaignReport, Plan};
use monitor_sim::search::canary::Canary;
use monitor_sim::search::harness::Standard;
use monitor_sim::search::merge::{self, Merged};
use monitor_sim::search::shard::{Shard, ShardFile};
use monitor_sim::verification::canary_search::{self, CanarySearch};
use serde::Serialize;

use crate::exit_status::{BLIND, INCOMPLETE, INTERNAL, RESUMABLE, UNEQUAL, USAGE, VIOLATED};
use crate::options::positive;
use crate::progress::templated;

#[derive(Args)]
pub(crate) struct RunArguments {
    /// The name of the campaign. A name means one set of cases, on every machine.
    #[arg(long, default_value = "default", value_name = "ID", value_parser = campaign_name)]
    campaign: String,
    /// The number of cases of the whole campaign, over all shards.
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = positive::<u64>)]
    cases: u64,
    /// Stop after this time, such as 10m, and keep the finished cases. Each thread runs at least
    /// one block.
    #[arg(long, value_name = "TIME")]
    budget: Option<monitor_core::Millis>,
    /// The number of threads; all cores by default. The result does not depend on it.
    #[arg(long, value_name = "J", value_parser = positive::<usize>)]
    jobs: Option<usize>,
    /// The part of the campaign to run, as K/N with K from 0. By default it is the index that
    /// Kubernetes, Slurm or GitLab gives with --shards, or else the whole campaign.
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,
    /// The number of parts, if the index comes from the environment.
    #[arg(long, value_name = "N", conflicts_with = "shard", value_parser = positive::<u64>)]
    shards: Option<u64>,
    /// The folder of the report. After an interruption, the command goes on from this report.
    #[arg(long, default_value = "monitor-sim-campaign", value_name = "DIR")]
    out: PathBuf,
}

#[derive(Args)]
pub(crate) struct MergeArguments {
    /// Folders that `run --out` wrote.
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Print the merged report as JSON.
    #[arg(long)]
    json: bool,
}

/// The number of cases that a thread takes at a time.
const BLOCK: u64 = 2_000;

/// Reads the name of a campaign, which must not be blank.
fn campaign_name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("a name without a letter: give one such as nightly".to_owned());
    }
    Ok(text.to_owned())
}

pub(crate) fn run(arguments: &RunArguments) -> u8 {
    match try_run(Standard, arguments) {
        Ok(code) => code,
        Err(CliError { code, message }) => {
            eprintln!("monitor-sim: {message}");
            code
        }
    }
}

struct CliError {
    code: u8,
    message: String,
}

impl CliError {
    const fn usage(message: String) -> Self {
        Self { code: USAGE, message }
    }

    fn file(path: &Path, error: &io::Error) -> Self {
        let message =
            format!("{}: {error}: give an --out folder that can be written", path.display());
        Self { code: INTERNAL, message }
    }
}

fn try_run(harness: impl CanarySearch, arguments: &RunArguments) -> Result<u8, CliError> {
    // Before the canaries and all else, so that a signal at any time leaves a report and status 75.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| CliError { code: INTERNAL, message: format!("signals: {error}") })?;
    }
    let shard = resolve_shard(arguments)?;
    if shard.count > arguments.cases {
        return Err(CliError::usage(format!(
            "shard: {} shards of {} cases leave shards without a case: give fewer shards or more --cases",
            shard.count, arguments.cases
        )));
    }
    let plan = Plan::new(&arguments.campaign);
    let path = arguments.out.join(format!("shard-{}-of-{}.json", shard.index, shard.count));
    let mut file = load(&path, ShardFile::new(&plan, shard, arguments.cases))?;
    println!(
        "campaign {:?}, shard {}/{}: cases {:?} of {}, next is {}",
        plan.name(),
        shard.index,
        shard.count,
        shard.range(arguments.cases),
        arguments.cases,
        file.next
    );
    // Alarms that were raised when the cases ran still hold for these cases.
    file.alarms = if file.report.cases > 0 { file.own_alarms() } else { Alarms::default() };
    let evidence = canary_search::look_for(harness, &Canary::CAMPAIGN);
    file.canaries = evidence.found;
    file.alarms.add(evidence.alarms.clone());
    // A canary that is found where nothing is injected may mean that the machine is broken: the
    // cases tell.
    if evidence.alarms.iter().any(|alarm| alarm != Alarm::CanariesOff) {
        save(&path, &file)?;
        print!("{}", evidence.alarms);
        println!("FAIL the harness is blind, so no case was run");
        println!("report    {}", path.display());
        return Ok(BLIND);
    }
    let jobs =
        arguments.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let interrupted = work(&plan, &mut file, &path, jobs, arguments.budget, &stop)?;
    Ok(conclude(&file, &path, interrupted))
}

/// Runs the rest of a shard on `jobs` threads, and saves its report every two seconds. Returns
/// whether a signal has ended it early.
fn work(
    plan: &Plan,
    file: &mut ShardFile,
    path: &Path,
    jobs: usize,
    budget: Option<monitor_core::Millis>,
    stop: &AtomicBool,
) -> Result<bool, CliError> {
    let end = file.shard.range(file.total).end;
    let template = "{wide_bar} {human_pos}/{human_len} cases  {per_sec}  {eta} left";
    let bar = templated(end - file.done().start, template).with_position(file.report.cases);
    bar.reset_eta();
    let over = || {
        let late = budget.is_some_and(|budget| {
            bar.elapsed() >= Duration::from_millis(u64::from(budget.as_u32()))
        });
        late || stop.load(Ordering::Relaxed)
    };
    let next_block = AtomicU64::new(file.next);
    let halt = AtomicBool::new(stop.load(Ordering::Relaxed));
    let (sender, reports) = mpsc::channel::<(u64, CampaignReport)>();
    let (begun_at, mut saved_at) = (file.report.cases, bar.elapsed());
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let sender = sender.clone();
            let (next_block, halt, over) = (&next_block, &halt, &over);
            scope.spawn(move || {
                while !halt.load(Ordering::Relaxed) {
                    let after = |start: u64| start.saturating_add(BLOCK).min(end);
                    let take = |start| (start < end).then(|| after(start));
                    let (order, block) = (Ordering::Relaxed, &next_block);
                    let Ok(start) = block.fetch_update(order, order, take) else { break };
                    let report = plan.run(start..after(start), Core);
                    if sender.send((start, report)).is_err() || over() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        // Blocks are added in their order, so that what is saved is always everything up to `next`.
        let mut early: BTreeMap<u64, CampaignReport> = BTreeMap::new();
        let mut result = Ok(());
        for (start, report) in reports {
            early.insert(start, report);
            while let Some(report) = early.remove(&file.next) {
                bar.inc(report.cases);
                file.next += report.cases;
                file.report.add(report);
            }
            if over() || !file.report.failures.is_empty() {
                halt.store(true, Ordering::Relaxed);
            }
            if bar.elapsed().saturating_sub(saved_at) > Duration::from_secs(2) {
                saved_at = bar.elapsed();
                file.alarms.add(file.all_alarms(Standard));
                if let Err(error) = save(path, file) {
                    halt.store(true, Ordering::Relaxed);
                    result = Err(error);
                }
            }
        }
        result
    })?;
    bar.finish_and_clear();
    file.alarms.add(file.all_alarms(Standard));
    save(path, file)?;
    let (cases, seconds) = (file.report.cases - begun_at, bar.elapsed().as_secs_f64());
    println!(
        "{cases} cases in {seconds:.1} s on {jobs} threads: {:.0} a second",
        cases as f64 / seconds
    );
    println!("{} cases and {} steps in the report", file.report.cases, file.report.steps);
    Ok(stop.load(Ordering::Relaxed))
}

fn conclude(file: &ShardFile, path: &Path, interrupted: bool) -> u8 {
    let mut alarms = file.alarms.clone();
    if !interrupted {
        let Range { start, end } = file.done();
        alarms.count([("this run", file.report.cases, end - start)]);
    }
    print_report(&file.report, &alarms);
    println!("report    {}", path.display());
    let status = status(&file.report, &alarms);
    if status != 0 {
        status
    } else if file.is_complete() {
        0
    } else if interrupted {
        println!("interrupted; the same command goes on from case {}", file.next);
        RESUMABLE
    } else {
        println!("the budget is used; the same command goes on from case {}", file.next);
        0
    }
}

/// Returns the exit status. A failure counts more than an alarm.
fn status(report: &CampaignReport, alarms: &Alarms) -> u8 {
    match (report.failures.is_empty(), report.unequal, alarms.is_empty()) {
        (false, _, _) => VIOLATED,
        (true, 1.., _) => UNEQUAL,
        (true, 0, false) => BLIND,
        (true, 0, true) => 0,
    }
}

fn print_report(report: &CampaignReport, alarms: &Alarms) {
    println!(
        "digest {:016x}; {} cases run twice, {} of them not the same again; {} phase × event cells seen",
        report.digest,
        report.doubled,
        report.unequal,
        report.cells.len()
    );
    for (property, failures) in &report.failures {
        for failure in failures {
            let aim = failure.aim.as_ref().map_or_else(String::new, |aim| format!(" ({aim})"));
            let drawn = if failure.is_unshrunk { ", as it was drawn" } else { "" };
            println!("FAIL {property}, case {}{aim}{drawn}:", failure.index);
            if let Some(panic) = &failure.panic {
                println!("    panic  {panic}");
            }
            for line in failure.case.lines() {
                println!("    {line}");
            }
        }
    }
    if !alarms.is_empty() {
        print!("{alarms}");
    } else if report.failures.is_empty() {
        println!("no property is violated");
    }
}

fn resolve_shard(arguments: &RunArguments) -> Result<Shard, CliError> {
    if let Some(shard) = arguments.shard {
        return Ok(shard);
    }
    let number = |name: &str| env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let first_from_one = |name| number(name).and_then(|index: u64| index.checked_sub(1));
    let index = number("JOB_COMPLETION_INDEX")
        .or_else(|| number("SLURM_ARRAY_TASK_ID"))
        .or_else(|| first_from_one("CI_NODE_INDEX"));
    let count = arguments
        .shards
        .or_else(|| number("SLURM_ARRAY_TASK_COUNT"))
        .or_else(|| number("CI_NODE_TOTAL"));
    match (index, count) {
        (Some(index), Some(count)) if index < count => Ok(Shard { index, count }),
        (Some(index), Some(count)) => Err(CliError::usage(format!(
            "shard: index {index} from the environment is not below {count}: number the jobs from 0 (CI_NODE_INDEX from 1)"
        ))),
        (Some(index), None) => Err(CliError::usage(format!(
            "shards: the environment says index {index}, but not of how many: give --shards N"
        ))),
        (None, Some(count)) if arguments.shards.is_some() => Err(CliError::usage(format!(
            "shard: --shards {count} needs the index from JOB_COMPLETION_INDEX, SLURM_ARRAY_TASK_ID or CI_NODE_INDEX: set it, or give --shard K/{count}"
        ))),
        (None, _) => Ok(Shard::WHOLE),
    }
}

/// Reads the file of an earlier run of the shard, or returns `fresh`.
fn load(path: &Path, fresh: ShardFile) -> Result<ShardFile, CliError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(fresh),
        Err(error) => return Err(CliError::file(path, &error)),
    };
    let found = parse(path, &text)?;
    if found.is_of(&fresh) && found.shard == fresh.shard {
        Ok(found)
    } else {
        Err(CliError::usage(format!(
            "{}: holds campaign {:?} of {} cases, version {}: give another --out folder, or remove it",
            path.display(),
            found.campaign,
            found.total,
            found.version
        )))
    }
}

fn parse(path: &Path, text: &str) -> Result<ShardFile, CliError> {
    let damaged = |why: &dyn Display| {
        CliError::usage(format!(
            "{}: {why}: this is no report of `monitor-sim run`, or is damaged; remove it",
            path.display()
        ))
    };
    let file: ShardFile = serde_json::from_str(text).map_err(|error| damaged(&error))?;
    if file.is_sound() { Ok(file) } else { Err(damaged(&"next: it is no index of the shard")) }
}

/// Replaces the file as a whole, so that an interruption leaves the old one or the new one.
fn save(path: &Path, file: &ShardFile) -> Result<(), CliError> {
    let write = || {
        let dir = path.parent().unwrap_or_else(|| Path::new("."));
        fs::create_dir_all(dir)?;
        let mut temporary = tempfile::NamedTempFile::new_in(dir)?;
        serde_json::to_writer_pretty(&mut temporary, file)?;
        temporary.write_all(b"\n")?;
        temporary.as_file().sync_all()?;
        temporary.persist(path)?;
        Ok(())
    };
    write().map_err(|error: io::Error| CliError::file(path, &error))
}

pub(crate) fn merge(arguments: &MergeArguments) -> u8 {
    match try_merge(&arguments.dirs) {
        Ok(merged) => {
            if arguments.json {
                let Merged { report, alarms, .. } = &merged;
                match serde_json::to_string_pretty(&Json { report, alarms: alarms.texts() }) {
                    Ok(json) => println!("{json}"),
                    Err(error) => eprintln!("monitor-sim: {error}"),
                }
            } else {
                print_merged(&merged);
            }
            match status(&merged.report, &merged.alarms) {
                0 if !merged.gaps.is_empty() => INCOMPLETE,
                status => status,
            }
        }
        Err(CliError { code, message }) => {
            eprintln!("monitor-sim: {message}");
            code
        }
    }
}

/// The sum of all shards as JSON: the report, and the raised alarms by name.
#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    report: &'a CampaignReport,
    alarms: BTreeMap<String, String>,
}

fn try_merge(dirs: &[PathBuf]) -> Result<Merged, CliError> {
    let mut paths = Vec::new();
    for dir in dirs {
        let unreadable = |error: io::Error| CliError {
            code: INTERNAL,
            message: format!("{}: {error}: give folders that `run --out` wrote", dir.display()),
        };
        for entry in fs::read_dir(dir).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).map_err(|error| CliError::file(&path, &error))?;
        files.push(parse(&path, &text)?);
    }
    merge::merge(files).map_err(|error| CliError::usage(error.to_string()))
}

fn print_merged(merged: &Merged) {
    println!("{} of {} cases, {} steps", merged.report.cases, merged.total, merged.report.steps);
    if merged.duplicates > 0 {
        println!("{} files were copies of others and count once", merged.duplicates);
    }
    for gap in &merged.gaps {
        println!("gap       cases {gap:?} are missing: run their shard, and merge again");
    }
    print_report(&merged.report, &merged.alarms);
}

#[cfg(test)]
mod tests {
    use monitor_sim::search::canary::Missed;
    use monitor_sim::search::harness::Harness;

    use super::*;

    /// A harness of which one canary is not found.
    #[derive(Clone, Copy)]
    struct Blind;

    impl Harness for Blind {}

    impl CanarySearch for Blind {
        fn look(self, canary: Canary, is_injected: bool) -> Result<String, Missed> {
            if canary == Canary::End {
                return Err("nothing".into());
            }
            canary_search::look(self, canary, is_injected)
        }
    }

    /// A blind shard must not look like one that nobody has run.
    #[test]
    fn a_blind_run_saves_its_report_with_the_alarms_and_the_sum_rings() {
        let dir = tempfile::tempdir().unwrap();
        let arguments = |index| RunArguments {
            campaign: "test".to_owned(),
            cases: 1_000,
            budget: None,
            jobs: Some(1),
            shard: Some(Shard { index, count: 2 }),
            shards: None,
            out: dir.path().to_owned(),
        };
        let ran = |code: Result<u8, CliError>| code.map_err(|error| error.message);
        assert_eq!(ran(try_run(Blind, &arguments(0))), Ok(BLIND));
        assert_eq!(ran(try_run(Standard, &arguments(1))), Ok(0));
        let merged = || merge(&MergeArguments { dirs: vec![dir.path().to_owned()], json: false });
        let alarms = try_merge(&[dir.path().to_owned()]).map(|merged| merged.alarms);
        let said = alarms.map_err(|error| error.message).unwrap().to_string();
        assert!(said.contains("ALARM end-not-checked: "), "{said}");
        assert!(said.contains("seen    shard 0/2: nothing"), "{said}");
        assert_eq!(merged(), BLIND);
        // No case ran under the alarm, so a harness that sees goes on as if nothing had been;
        assert_eq!(ran(try_run(Standard, &arguments(0))), Ok(0));
        assert_eq!(merged(), 0);
        // where cases stand in the report, the alarm stays.
        assert_eq!(ran(try_run(Blind, &arguments(0))), Ok(BLIND));
        assert_eq!(ran(try_run(Standard, &arguments(0))), Ok(BLIND));
        assert_eq!(merged(), BLIND);
    }
}
