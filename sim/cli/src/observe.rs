//! The subcommand `observe`: judges supervisors as they are.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anstream::{eprintln, print, println};
use clap::Args;
use monitor_sim::observe::{FileMistake, Matrix, Plan, SUITE, Scenario, Supervisor, parse};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::exit_status::{INTERNAL, USAGE};
use crate::options::positive;
use crate::progress::templated;

/// Exit status: a supervisor breaks a rule.
const RED: u8 = 1;
/// Exit status: interrupted. Nothing is stored, so the same command begins anew.
const INTERRUPTED: u8 = 130;

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ObserveArguments {
    /// The files of the supervisors, one column each.
    #[arg(value_name = "SUPERVISOR.toml", required_unless_present = "list")]
    files: Vec<PathBuf>,
    /// Play this scenario alone; may be repeated.
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// How often each scenario is played.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive::<u32>)]
    repeat: u32,
    /// How many scenes are played at a time [default: 4 for each core]. Most of the time they wait.
    #[arg(long, value_name = "N", value_parser = positive::<usize>)]
    jobs: Option<usize>,
    /// Print the results as JSON, with the facts of each red cell.
    #[arg(long)]
    json: bool,
    /// Print all rules, and play nothing.
    #[arg(long, conflicts_with_all = ["files", "only", "repeat", "jobs"])]
    list: bool,
}

const AFTER_HELP: &str = "\
A file says how a supervisor is configured, started and asked, and what it claims. The supervisor
runs a scripted child, which writes down its own starts, signals and ends. No adapter is needed.
Each row of the table is a rule, and each column a supervisor:

  ok             the rule held each time
  RED 3/10       the rule was broken in 3 of 10 runs; a note says what was expected and seen
  differs 9/10   the same, and the file declares it with its source
  unfit: KEY     the rule does not apply, because of what the file says under KEY
  unclear        the scene never came about, such as a stop that always came too late
  -              a program of the supervisor is not installed

Order, counts and least durations are judged, longest durations never. Each scene has a fresh
folder, and everything that it started is ended afterwards, also after Ctrl-C.

A file, here for runit; sim/docs/OBSERVE.md describes each key:

  name = \"runit\"
  debian = \"runit\"
  programs = [\"runsvdir\", \"sv\"]
  run = [\"runsvdir\", \"{dir}/service\"]
  ready = [\"sv\", \"status\", \"{dir}/service/{name}\"]
  requests.stop = [\"sv\", \"down\", \"{dir}/service/{name}\"]
  policies.always = \"\"
  restarts = { delays = [\"1s\"], settles = \"1s\" }
  stop = { signal = \"TERM\", grace = \"never\" }
  remains = { stop = \"left\", exit = \"left\" }
  shutdown = { signal = \"HUP\", runs = \"ended\" }
  crash = { runs = \"doubled\" }
  [[file]]
  path = \"service/{name}/run\"
  program = true
  text = \"#!/bin/sh\\nexec {program}\\n\"

Examples:
  monitor-sim observe sim/supervisors/*.toml
  monitor-sim observe --list
  monitor-sim observe sim/supervisors/runit.toml --only stop-in-backoff --repeat 10

Exit status:
    0  no cell is red
    1  a cell is red
   64  the command line or a file is not understood
   70  a file cannot be read, or a process cannot be ended
  130  interrupted";

/// Observes supervisors; returns the exit status.
pub(crate) fn observe(arguments: &ObserveArguments) -> u8 {
    if arguments.list {
        list();
        return 0;
    }
    match plan(arguments) {
        Ok(plan) => play(&plan, arguments.json).unwrap_or_else(|error| {
            eprintln!("monitor-sim: {error}");
            INTERNAL
        }),
        Err(code) => code,
    }
}

fn list() {
    let width = SUITE.iter().map(|scenario| scenario.id.len()).max().unwrap_or(0);
    for scenario in &SUITE {
        println!("{:10}  {:width$}  {}", scenario.class.name(), scenario.id, scenario.rule);
    }
}

fn plan(arguments: &ObserveArguments) -> Result<Plan, u8> {
    let mut scenarios: Vec<&'static Scenario> = SUITE.iter().collect();
    if let Some(unknown) =
        arguments.only.iter().find(|id| !scenarios.iter().any(|scenario| scenario.id == **id))
    {
        eprintln!("monitor-sim: --only {unknown}: no such scenario: `observe --list` has all");
        return Err(USAGE);
    }
    if !arguments.only.is_empty() {
        scenarios.retain(|scenario| arguments.only.iter().any(|id| id == scenario.id));
    }
    let mut supervisors: Vec<(PathBuf, Supervisor)> = Vec::new();
    for file in &arguments.files {
        let text = std::fs::read_to_string(file).map_err(|error| {
            eprintln!("monitor-sim: {}: {error}: give a file that can be read", file.display());
            INTERNAL
        })?;
        let rules: Vec<_> = SUITE.iter().map(|scenario| scenario.id).collect();
        let supervisor = parse(file, &text, &rules).map_err(|mistake: FileMistake| {
            eprintln!("monitor-sim: {mistake}");
            USAGE
        })?;
        if let Some((other, _)) = supervisors.iter().find(|(_, it)| it.name() == supervisor.name())
        {
            let (file, other) = (file.display(), other.display());
            eprintln!("monitor-sim: {file}: name: {other} has it too; give one another name");
            return Err(USAGE);
        }
        let file = std::path::absolute(file).map_err(|_| INTERNAL)?;
        supervisors.push((file, supervisor));
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = arguments.jobs.unwrap_or(4 * cores);
    Ok(Plan { supervisors, scenarios, repeat: arguments.repeat, jobs })
}

fn play(plan: &Plan, json: bool) -> io::Result<u8> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let bar = templated(0, "{msg:<10} {wide_bar} {human_pos}/{human_len}  {eta} left");
    bar.set_message("scenes");
    let matrix = monitor_sim::observe::observe(plan, &interrupted, |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let Some(matrix): Option<Matrix> = matrix? else {
        debug_assert!(interrupted.load(Ordering::Relaxed), "nothing else leaves scenes out");
        eprintln!("monitor-sim: interrupted: nothing is judged, and all processes are ended");
        return Ok(INTERRUPTED);
    };
    if json {
        println!("{:#}", matrix.to_json());
    } else {
        print!("{matrix}");
    }
    Ok(if matrix.is_red() { RED } else { 0 })
}
