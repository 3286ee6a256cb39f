//! The subcommands `run` and `merge`: a campaign over threads, shards and interruptions.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anstream::{eprintln, print, println};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use monitor_os::Core;
use monitor_sim::alarm::{Alarm, Alarms};
use monitor_sim::campaign::{self, CampaignReport, Merged, Plan, Shard, ShardFile};
use monitor_sim::canary::{self, Canary};
use monitor_sim::harness::Standard;

use serde::Serialize;

use super::{BLIND, INTERNAL, USAGE, VIOLATED};

#[derive(Args)]
pub(crate) struct RunArguments {
    /// The campaign's name. The same name is the same cases, on every machine.
    #[arg(long, default_value = "default", value_name = "ID")]
    campaign: String,
    /// How many cases the whole campaign has, over all shards.
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    cases: u64,
    /// Stop after this time, such as 10m, with what was done by then.
    #[arg(long, value_name = "TIME")]
    budget: Option<monitor_core::Millis>,
    /// How many threads to use; all cores by default. The result is the same.
    #[arg(long, value_name = "J")]
    jobs: Option<usize>,
    /// Which part of the campaign to run, as K/N with K from 0. Without it: the index that Kubernetes,
    /// Slurm or GitLab gives, with --shards; else the whole.
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,
    /// How many parts there are, where the index comes from the environment.
    #[arg(long, value_name = "N", conflicts_with = "shard")]
    shards: Option<u64>,
    /// Where the report is kept, and found again to go on after an interruption.
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

/// Exit status: some of the cases were not the same when run again.
const UNEQUAL: u8 = 11;
/// Exit status: interrupted; the same command goes on where it was.
const RESUMABLE: u8 = 75;

/// How many cases a thread takes at a time.
const BLOCK: u64 = 2_000;

pub(crate) fn run(arguments: &RunArguments) -> u8 {
    match try_run(arguments) {
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

fn try_run(arguments: &RunArguments) -> Result<u8, CliError> {
    let shard = resolve_shard(arguments)?;
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
    let evidence = canary::look_for(Standard, &Canary::CAMPAIGN);
    // A canary that is found where nothing is injected may mean that the machine is broken: the cases tell.
    if evidence.alarms.iter().any(|alarm| alarm != Alarm::CanariesOff) {
        print!("{}", evidence.alarms);
        println!("FAIL the harness is blind, so no case was run");
        return Ok(BLIND);
    }
    file.canaries = evidence.found;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| CliError { code: INTERNAL, message: format!("signals: {error}") })?;
    }
    let jobs =
        arguments.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let interrupted = work(&plan, &mut file, &path, jobs, arguments.budget, &stop)?;
    Ok(conclude(&file, evidence.alarms, &path, interrupted))
}

/// Runs the rest of a shard on `jobs` threads, saving what was done every two seconds. Returns whether
/// a signal has ended it early.
fn work(
    plan: &Plan,
    file: &mut ShardFile,
    path: &Path,
    jobs: usize,
    budget: Option<monitor_core::Millis>,
    stop: &AtomicBool,
) -> Result<bool, CliError> {
    let end = file.shard.range(file.total).end;
    let bar = ProgressBar::new(end - file.done().start).with_position(file.report.cases);
    if let Ok(style) = ProgressStyle::with_template(
        "{wide_bar} {human_pos}/{human_len} cases  {per_sec}  {eta} left",
    ) {
        bar.set_style(style);
    }
    bar.reset_eta();
    let over = || {
        let late = budget.is_some_and(|budget| {
            bar.elapsed() >= Duration::from_millis(u64::from(budget.as_u32()))
        });
        late || stop.load(Ordering::Relaxed)
    };
    let next_block = AtomicU64::new(file.next);
    let halt = AtomicBool::new(over());
    let (sender, reports) = mpsc::channel::<(u64, CampaignReport)>();
    let (begun_at, mut saved_at) = (file.report.cases, bar.elapsed());
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let sender = sender.clone();
            let (next_block, halt) = (&next_block, &halt);
            scope.spawn(move || {
                while !halt.load(Ordering::Relaxed) {
                    let start = next_block.fetch_add(BLOCK, Ordering::Relaxed);
                    if start >= end {
                        break;
                    }
                    let report = plan.run(start..(start + BLOCK).min(end), Core);
                    if sender.send((start, report)).is_err() {
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
                file.alarms = file.all_alarms(Standard).texts();
                if let Err(error) = save(path, file) {
                    halt.store(true, Ordering::Relaxed);
                    result = Err(error);
                }
            }
        }
        result
    })?;
    bar.finish_and_clear();
    file.alarms = file.all_alarms(Standard).texts();
    save(path, file)?;
    let (cases, seconds) = (file.report.cases - begun_at, bar.elapsed().as_secs_f64());
    println!(
        "{cases} cases in {seconds:.1} s on {jobs} threads: {:.0} a second",
        cases as f64 / seconds
    );
    println!("{} cases and {} steps in the report", file.report.cases, file.report.steps);
    Ok(stop.load(Ordering::Relaxed))
}

fn conclude(file: &ShardFile, mut alarms: Alarms, path: &Path, interrupted: bool) -> u8 {
    alarms.add(file.all_alarms(Standard));
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

/// What was found counts more than what may have been missed.
fn status(report: &CampaignReport, alarms: &Alarms) -> u8 {
    match (report.failures.is_empty(), report.unequal, alarms.is_silent()) {
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
    if !alarms.is_silent() {
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

/// The file of an earlier run of the same shard, or `fresh`.
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
    serde_json::from_str(text).map_err(|error| {
        CliError::usage(format!(
            "{}: {error}: this is no report of `monitor-sim run`, or is damaged; remove it",
            path.display()
        ))
    })
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
            status(&merged.report, &merged.alarms)
        }
        Err(CliError { code, message }) => {
            eprintln!("monitor-sim: {message}");
            code
        }
    }
}

/// The sum of all shards as JSON: the report, and by name the alarms that ring.
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
    campaign::merge(files).map_err(|error| CliError::usage(error.to_string()))
}

fn print_merged(merged: &Merged) {
    println!("{} of {} cases, {} steps", merged.report.cases, merged.total, merged.report.steps);
    if merged.duplicates > 0 {
        println!("{} files were copies of others and count once", merged.duplicates);
    }
    for gap in &merged.gaps {
        println!("gap       cases {gap:?} are missing: run their shard");
    }
    print_report(&merged.report, &merged.alarms);
}
