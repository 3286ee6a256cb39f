//! Kills of the program `monitor`: at random moments, and before each of its system calls.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use anstream::{print, println};
use monitor_core::{Phase, State};
use monitor_os::now;
use monitor_sim::real::{self, KillResult, Kills, Programs, Protocol, Resumed, SyscallStep};

use super::options::{RealArguments, SHOWN_MAX};
use crate::exit_status::VIOLATED;
use crate::progress::templated;

/// Returns the program to kill: the given one, or the one beside this program.
fn monitor(arguments: &RealArguments) -> io::Result<PathBuf> {
    let beside = || {
        let own = std::env::current_exe()?;
        Ok::<_, io::Error>(own.with_file_name("monitor"))
    };
    let monitor = arguments.monitor.clone().map_or_else(beside, Ok)?;
    let missing = || io::Error::other(format!("{}: there is no such program", monitor.display()));
    if monitor.exists() { Ok(monitor) } else { Err(missing()) }
}

/// Kills monitors at any moment.
pub(super) fn kill(arguments: &RealArguments, times: u32) -> io::Result<u8> {
    let monitor = monitor(arguments)?;
    let program = std::env::current_exe()?;
    let begun = now();
    let bar =
        templated(u64::from(times), "{msg:<24} {wide_bar} {human_pos}/{human_len}  {per_sec}");
    bar.set_message("kills of the monitor");
    let mut sum = Kills::default();
    let mut seed = arguments.seed;
    while sum.killed < times {
        let count = KILLS_PER_SESSION.min(times - sum.killed);
        let kills = real::kill_monitors(&monitor, &program, seed, count)?;
        sum.killed += kills.killed;
        sum.orphans += kills.orphans;
        sum.runs += kills.runs;
        sum.faults.extend(kills.faults.into_iter().map(|fault| format!("seed {seed}: {fault}")));
        seed = seed.wrapping_add(1);
        bar.set_position(u64::from(sum.killed));
    }
    bar.finish_and_clear();
    for fault in sum.faults.iter().take(3) {
        println!("FAIL {fault}");
    }
    let seconds = now().nanos_since(begun) as f64 / 1e9;
    println!("\n  monitors killed              {:>9}   in {seconds:.1} s", sum.killed);
    println!("    while their process lived  {:>9}", sum.orphans);
    println!("  runs of the processes        {:>9}", sum.runs);
    println!("  two at a time, left, or lost {:>9}", sum.faults.len());
    Ok(if sum.faults.is_empty() { 0 } else { VIOLATED })
}

/// The number of kills in one state directory.
const KILLS_PER_SESSION: u32 = 10;

/// Kills a monitor before every nth step of a start and a stop, each in a state directory of its
/// own.
pub(super) fn step(arguments: &RealArguments, every: usize) -> io::Result<u8> {
    let monitor = monitor(arguments)?;
    let program = std::env::current_exe()?;
    let programs = Programs { monitor: &monitor, program: &program };
    let begun = now();
    let mut steps = programs.steps()?;
    let all = steps.len();
    // The steps of one thread together, each in its order; the threads in that of their first
    // steps.
    let mut threads: Vec<String> = Vec::new();
    for step in &steps {
        if !threads.contains(&step.of) {
            threads.push(step.of.clone());
        }
    }
    steps.sort_by_key(|step| threads.iter().position(|of| *of == step.of));
    let steps: Vec<SyscallStep> = steps.into_iter().step_by(every).collect();
    let bar =
        templated(steps.len() as u64, "{msg:<24} {wide_bar} {human_pos}/{human_len}  {per_sec}");
    bar.set_message("kills of the monitor");
    let results = programs.kill_at_each(&steps, arguments.width, || bar.inc(1))?;
    bar.finish_and_clear();
    let seconds = now().nanos_since(begun) as f64 / 1e9;
    let mut table = KillTable::new(threads);
    let (mut missed, mut faults) = (0_u32, 0_u64);
    for (step, result) in steps.into_iter().zip(results) {
        let Some(result) = result else {
            missed += 1;
            continue;
        };
        for fault in &result.faults {
            faults += 1;
            if faults <= SHOWN_MAX {
                println!("FAIL {}, killed before {step}: {fault}", result.protocol);
            }
        }
        table.add(&step, &result);
    }
    table.print();
    let killed = table.killed();
    println!("\n  steps of a start and a stop  {all:>9}   in {seconds:.1} s");
    println!("  monitors killed              {killed:>9}");
    println!("  steps that were not taken    {missed:>9}");
    println!("  two at a time, left, lost, unrecorded or a stop forgotten {faults:>9}");
    Ok(if faults == 0 && killed > 0 { 0 } else { VIOLATED })
}

/// The killed monitors by their saved state, by the thread that was about to make a call, and by
/// the first action of the next monitor.
struct KillTable {
    threads: Vec<String>,
    rows: BTreeMap<TableKey, Row>,
}

/// A row of the table: the saved state, in the order of the phases.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct TableKey {
    protocol: Protocol,
    /// Set if the saved state is gone, as it is after a finished stop.
    forgotten: bool,
    phase: Option<Phase>,
}

#[derive(Default)]
struct Row {
    by_thread: BTreeMap<String, u32>,
    by_resumed: BTreeMap<Resumed, u32>,
}

impl KillTable {
    const fn new(threads: Vec<String>) -> Self {
        Self { threads, rows: BTreeMap::new() }
    }

    fn add(&mut self, step: &SyscallStep, result: &KillResult) {
        let phase = result.remembered.map(State::phase);
        let forgotten = result.protocol == Protocol::Stop && phase.is_none();
        let row =
            self.rows.entry(TableKey { protocol: result.protocol, forgotten, phase }).or_default();
        *row.by_thread.entry(step.of.clone()).or_default() += 1;
        *row.by_resumed.entry(result.resumed).or_default() += 1;
    }

    fn killed(&self) -> u32 {
        self.rows.values().flat_map(|row| row.by_thread.values()).sum()
    }

    fn print(&self) {
        println!(
            "\nMonitors that were killed before a system call: what was remembered, which thread was about to"
        );
        println!("make the call, and what the next monitor did\n");
        let short = |of: &String| of.trim_start_matches("monitor-").to_owned();
        print!("  {:<6} {:<12}", "during", "remembered");
        self.threads.iter().for_each(|of| print!(" {:>8}", short(of)));
        print!("  |");
        Resumed::ALL.iter().for_each(|resumed| print!(" {:>13}", resumed.to_string()));
        println!();
        for (key, row) in &self.rows {
            let phase = key.phase.map_or("nothing", Phase::name);
            print!("  {:<6} {phase:<12}", key.protocol.to_string());
            let threads = self.threads.iter().map(|of| row.by_thread.get(of));
            threads.for_each(|count| print!(" {:>8}", count.copied().unwrap_or(0)));
            print!("  |");
            let resumed = Resumed::ALL.iter().map(|resumed| row.by_resumed.get(resumed));
            resumed.for_each(|count| print!(" {:>13}", count.copied().unwrap_or(0)));
            println!();
        }
    }
}
